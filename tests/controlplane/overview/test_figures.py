"""What the overview says of a window, from sums of request records."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from controlplane.overview.figures import (
    PERIODS,
    busiest,
    dollars,
    milliseconds,
    pools_traffic,
    share,
    short,
    traffic,
)
from controlplane.records.hours import mark_hours, sum_hours
from controlplane.records.models import RequestMinute

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 28, 12, 0, 30, tzinfo=UTC)


def minute(ago: int, pool: str = "small", **sums: object) -> None:
    at = NOW.replace(second=0) - timedelta(minutes=ago)
    RequestMinute.objects.create(minute=at, pool=pool, key="team", **sums)


def by_title() -> dict[str, str]:
    return {one.title: one.value for one in traffic(PERIODS["1h"], NOW).figures}


def test_figures_are_of_the_window_alone():
    minute(1, requests=90, answered=90, failovers=9, duration_1=90, input_tokens=1200)
    minute(2, requests=10, answered=5, failed=5, output_tokens=300, cost_usd=1.5)
    minute(61, requests=1000, failed=1000)
    shown = by_title()
    assert shown["Requests"] == "100"
    assert shown["Errors"] == "5.0 %"
    assert shown["Failovers"] == "9.0 %"
    assert shown["Tokens"] == "1.5k"
    assert shown["Cost"] == "$1.50"


def test_many_errors_are_red_and_few_are_not():
    minute(1, requests=1000, failed=5)
    colours = {one.title: one.colour for one in traffic(PERIODS["1h"], NOW).figures}
    assert colours["Errors"] == ""
    minute(2, requests=100, failed=100)
    colours = {one.title: one.colour for one in traffic(PERIODS["1h"], NOW).figures}
    assert colours["Errors"] == "danger"


def test_a_window_without_requests_is_empty():
    shown = traffic(PERIODS["1h"], NOW)
    assert shown.is_empty
    assert {one.value for one in shown.figures} >= {"0", "none", "$0.00"}


@pytest.mark.parametrize("key", PERIODS)
def test_charts_have_a_value_for_every_step(key):
    minute(3, requests=4, failovers=1, failed=1)
    mark_hours(RequestMinute.objects.values_list("minute", flat=True))
    sum_hours(NOW + timedelta(hours=1))
    window = PERIODS[key]
    for chart in traffic(window, NOW).charts:
        assert len(chart["labels"]) in {window.length_s // window.step_s + n for n in (0, 1)}
        assert {len(line["values"]) for line in chart["lines"]} == {len(chart["labels"])}
    lines = {line["label"]: sum(line["values"]) for line in traffic(window, NOW).charts[0]["lines"]}
    assert lines == {"answered at once": 2, "answered after a failover": 1, "errors": 1}


def test_pools_with_errors_come_first_then_those_with_failovers():
    minute(1, "quiet", requests=5)
    minute(1, "busy", requests=5000)
    minute(1, "moved", requests=10, failovers=3)
    minute(1, "broken", requests=2, failed=1)
    minute(1, "", requests=9, refused=9)
    assert busiest(PERIODS["1h"], NOW, 3) == ["broken", "moved", "busy"]


def test_a_pools_strip_tells_when_it_failed():
    minute(1, requests=10, failed=10)
    minute(31, requests=10)
    sums = pools_traffic(PERIODS["1h"], NOW, ["small", "other"])
    assert set(sums) == {"small"}
    states = [cell.state for cell in sums["small"].strip]
    assert states.count("danger") == states.count("success") == 1
    assert states.index("danger") > states.index("success")
    assert "many errors in 1 of" in sums["small"].words
    assert "10 requests, 10 errors" in sums["small"].strip[states.index("danger")].words


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "none"), (0.0, "0 %"), (0.004, "0.4 %"), (0.5, "50 %"), (1, "100 %")],
)
def test_shares_in_words(value, words):
    assert share(value) == words


def test_numbers_in_words():
    assert [milliseconds(each) for each in (None, 48.4, 1500)] == ["none", "48 ms", "1.5 s"]
    assert [short(each) for each in (999, 1200, 3_400_000)] == ["999", "1.2k", "3.4M"]
    assert [dollars(each) for each in (0, 0.000012, 1234.5)] == ["$0.00", "$0.000012", "$1,234.50"]
