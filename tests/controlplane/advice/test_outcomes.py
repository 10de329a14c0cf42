"""Whether an accepted suggestion helped, by the rollups before and after."""

from __future__ import annotations

from datetime import timedelta

import pytest

from controlplane.advice.outcomes import fill_outcomes
from controlplane.records.models import CallMinute, FaultMinute, RequestMinute
from tests.controlplane.advice.seeded import NOW
from tests.support.rows import suggestion
from tests.support.traffic import insert

pytestmark = pytest.mark.django_db

AT = NOW.replace(second=0)
HOUR = timedelta(hours=1)


def requests(at, number, failed, failovers, pool="small"):
    row = {"minute": at, "pool": pool, "key": "k", "requests": number, "failed": failed}
    insert(RequestMinute, [{**row, "failovers": failovers}])


def accepted(**fields):
    return suggestion("small", state="accepted", decided_at=NOW, **fields)


def test_after_an_hour_errors_and_failovers_are_told_before_and_after():
    requests(AT - HOUR, 100, 20, 30)
    requests(AT - 2 * HOUR, 900, 900, 0)  # of no hour that counts
    requests(AT, 50, 1, 5)
    requests(AT + HOUR, 500, 500, 0)
    requests(AT, 500, 500, 0, pool="other")
    row = accepted()
    assert fill_outcomes(NOW + HOUR) == 1
    row.refresh_from_db()
    assert row.outcome == {
        "window_s": 3600,
        "text": "errors 20 % before, 2 % after; failovers 30 % before, 10 % after",
        "before": {
            "requests": 100, "errors": 20, "error_rate": 0.2, "failovers": 30,
            "failover_rate": 0.3,
        },
        "after": {
            "requests": 50, "errors": 1, "error_rate": 0.02, "failovers": 5, "failover_rate": 0.1,
        },
    }  # fmt: skip
    assert fill_outcomes(NOW + 2 * HOUR) == 0


def test_after_a_day_the_day_replaces_the_hour():
    requests(AT - HOUR, 100, 20, 30)
    requests(AT + timedelta(minutes=5), 100, 0, 0)
    requests(AT + 20 * HOUR, 100, 10, 0)
    row = accepted()
    fill_outcomes(NOW + HOUR)
    fill_outcomes(NOW + 24 * HOUR)
    row.refresh_from_db()
    assert (row.outcome["window_s"], row.outcome["after"]["error_rate"]) == (86400, 0.05)


def test_nothing_is_told_too_soon_or_without_traffic():
    row = accepted()
    requests(AT + 2 * HOUR, 100, 0, 0)
    fill_outcomes(NOW + timedelta(minutes=59))
    fill_outcomes(NOW + HOUR)
    row.refresh_from_db()
    assert row.outcome is None
    fill_outcomes(NOW + 24 * HOUR)
    row.refresh_from_db()
    assert row.outcome["before"]["error_rate"] is None
    assert row.outcome["text"].startswith("errors unknown before, 0 % after")


def test_providers_are_judged_by_their_calls():
    names = {"pool": "small", "provider": "north", "model": "a"}
    insert(CallMinute, [{"minute": at, **names, "calls": 10} for at in (AT - HOUR, AT)])
    insert(
        FaultMinute,
        [
            {"minute": AT - HOUR, **names, "fault": "connect", "calls": 5},
            {"minute": AT - HOUR, **names, "fault": "caller", "calls": 3},
        ],
    )
    row = suggestion("north, south", kind="failure_domain", state="accepted", decided_at=NOW)
    fill_outcomes(NOW + HOUR)
    row.refresh_from_db()
    assert row.outcome["text"] == "errors 50 % before, 0 % after"
