"""What the health job does, against real servers: who is asked when, and what is kept of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
import pytest

from controlplane.health.checks import Checking, check_now
from controlplane.health.models import HealthCheck, HealthSnapshot, HealthVersion
from controlplane.jobs.lease import due_jobs
from controlplane.jobs.running import run_job
from controlplane.records.models import CallMinute, FaultMinute, RequestRecord
from failover.engine.bench_entries import BenchEntry
from failover.models import Bench
from providers.models import ListedModel
from routing.models import RoutingState
from tests.support import rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.upstreams import Upstream

pytestmark = pytest.mark.django_db
SECRET = "sk-very-secret-0123456789"


class Clinic:
    """Runs the job at moments of a test's own."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)

    def __call__(self, passed_s: float = 0) -> str:
        self.now += timedelta(seconds=passed_s)
        return Checking(self.now, dice=lambda: 0.5).run()


@pytest.fixture
def check() -> Clinic:
    return Clinic()


def seen(name: str = "lab") -> HealthSnapshot:
    return HealthSnapshot.objects.get(provider=name)


def lab(server: Upstream, **fields):
    more = {"base_url": server.base_url, "secret": SECRET, **fields}
    return rows.provider("lab", **more)


def lists_asked(server: Upstream) -> int:
    return sum(entry["path"].endswith("/models") for entry in server.requests)


def calls(server: Upstream) -> int:
    return sum(entry["method"] == "POST" for entry in server.requests)


def answered(provider: str, at: datetime) -> None:
    ms = int(at.timestamp() * 1000)
    RequestRecord.objects.create(
        id=UUID(int=ms << 80 | 7), outcome="answered", provider=provider, duration_ms=1
    )


def test_who_answers_is_healthy_and_its_list_is_kept(check, upstream: Callable[..., Upstream]):
    server = upstream()
    lab(server, headers={"X-Team": "t"})

    assert check() == "1 checked; lab is healthy"

    row = seen()
    assert (row.status, row.reason, row.registered) == ("healthy", "It answers.", True)
    assert (row.discovered_models, row.using_cached_list, row.failures) == (1, False, 0)
    assert row.last_success_at == row.checked_at >= check.now
    assert (row.last_error_at, row.latency_ms > 0) == (None, True)
    assert list(ListedModel.objects.values_list("provider", "model_id")) == [("lab", "first-model")]
    sent = dict(server.requests[0]["headers"])
    assert (sent["authorization"], sent["x-team"]) == (f"Bearer {SECRET}", "t")
    (kept,) = HealthCheck.objects.all()
    assert (kept.status, kept.at, kept.error) == ("healthy", row.checked_at, "")


def test_nobody_is_asked_before_its_interval_is_over(check, upstream):
    server = upstream()
    lab(server, health={"interval_s": 30})
    check()
    assert (check(25), check(0)) == ("", "")
    assert lists_asked(server) == 1
    assert check(6) == "1 checked"
    assert lists_asked(server) == 2


def test_the_first_failure_degrades_and_the_second_six_times_sooner_makes_it_unhealthy(
    check, upstream
):
    server = upstream()
    lab(server)
    check()
    before = HealthVersion.objects.get().value
    server.refuse()

    assert check(61) == "1 checked; lab is degraded"
    row = seen()
    assert row.reason.startswith("It cannot be reached: ")
    assert (row.failures, row.using_cached_list, row.discovered_models) == (1, True, 1)
    assert row.last_error == row.availability_error == row.reason
    assert row.latency_ms is None
    assert check(8) == ""
    assert check(4) == "1 checked; lab is unhealthy"
    assert HealthVersion.objects.get().value == before + 2

    server.accept()
    assert check(11) == "1 checked; lab is healthy"
    row = seen()
    assert (row.failures, row.availability_error, row.using_cached_list) == (0, "", False)
    assert row.last_error.startswith("It cannot be reached")
    assert row.last_error_at < row.last_success_at


def test_a_server_that_answers_5xx_is_as_good_as_away(check, upstream):
    lab(upstream(mode="status:503"))
    rows.pool("small", "lab/s")
    check()
    assert (seen().status, seen().failures) == ("degraded", 1)
    check(11)
    assert seen().status == "unhealthy"
    assert "It answers with status 503" in seen().reason


def test_without_a_model_that_is_known_one_failure_says_nothing_yet(check, upstream):
    lab(upstream(mode="status:503"))
    check()
    assert seen().status == "unknown"


def test_traffic_that_succeeds_since_the_last_two_checks_is_a_word_against_unhealthy(
    check, upstream
):
    lab(upstream(mode="status:500"))
    rows.pool("small", "lab/s")
    answered("lab", check.now - timedelta(seconds=30))
    check()
    check(11)
    assert seen().status == "unhealthy"
    answered("lab", check.now + timedelta(seconds=1))
    check(2)
    assert seen().status == "degraded"
    check(10)
    assert (seen().status, seen().failures) == ("degraded", 3)
    check(11)
    assert seen().status == "unhealthy"  # what has served is older than the last two checks


@pytest.mark.parametrize("status", [401, 403, 404, 405])
def test_who_refuses_to_list_is_unknown_and_degraded_if_it_had_listed(check, upstream, status):
    server = upstream(mode=f"status:{status}")
    lab(server)
    check()
    row = seen()
    assert (row.status, row.failures, row.availability_error) == ("unknown", 0, "")
    assert f"({status})" in row.last_error
    server.set("ok")
    check(61)
    assert seen().status == "healthy"
    server.set(f"status:{status}")
    check(61)
    row = seen()
    assert (row.status, row.using_cached_list, row.discovered_models) == ("degraded", True, 1)


@pytest.mark.parametrize("mode", ["status:429", "html", "status:302", "truncated"])
def test_an_answer_that_is_no_list_is_an_error_and_never_unhealthy(check, upstream, mode):
    lab(upstream(mode=mode))
    rows.pool("small", "lab/s")
    for _time in range(3):
        check(61)
    assert (seen().status, seen().failures) == ("degraded", 0)


def test_a_key_that_is_refused_says_nothing_of_the_next_one(check, upstream):
    server = upstream()
    lab(server, secret="sk-bad~status:401")
    provider = rows.Provider.objects.get()
    rows.Credential.objects.create(provider=provider, label="spare", secret="sk-good", position=1)
    check()
    assert (seen().status, lists_asked(server)) == ("healthy", 2)


def test_no_key_and_no_password_of_a_proxy_is_kept_with_an_error(check, upstream):
    server = upstream(mode="status:500:message=bad key " + SECRET)
    lab(server)
    rows.provider(
        "far",
        base_url="http://far.invalid/v1",
        secret=SECRET,
        proxy="http://u:hush-hush@127.0.0.1:9",
    )
    check()
    kept = msgspec.json.encode(list(HealthSnapshot.objects.values("reason", "last_error"))).decode()
    assert "It says: bad key" in kept
    assert SECRET not in kept
    assert "hush-hush" not in kept


# Who is looked at


def test_who_is_off_is_not_called_and_says_why(check, upstream):
    server = upstream()
    lab(server, enabled=False)
    rows.provider("off", base_url=server.base_url, secret=SECRET)
    rows.provider("keyless", base_url=server.base_url)
    rows.provider("azure", kind="azure_openai", base_url=server.base_url, secret=SECRET)
    RoutingState.objects.create(kind="provider", provider_name="off", enabled=False)

    check()

    found = {row.provider: (row.status, row.registered) for row in HealthSnapshot.objects.all()}
    assert found == dict.fromkeys(("lab", "off", "keyless", "azure"), ("unknown", False))
    assert seen().reason == "Not checked: it is disabled."
    assert seen("off").reason == "Not checked: an operator has switched it off."
    assert seen("keyless").reason == "Not checked: it has no key."
    assert server.requests == []


def test_who_is_switched_off_while_unhealthy_is_so_no_more(check, upstream):
    server = upstream(mode="status:500")
    lab(server)
    check()
    check(11)
    assert seen().status == "unhealthy"
    RoutingState.objects.create(kind="provider", provider_name="lab", enabled=False)
    before = HealthVersion.objects.get().value
    check(1)
    row = seen()
    assert (row.status, row.checked_at, row.stale_at) == ("unknown", None, None)
    assert HealthVersion.objects.get().value == before + 1


def test_who_is_deleted_leaves_nothing_behind(check, upstream):
    lab(upstream())
    check()
    rows.Provider.objects.all().delete()
    check(1)
    assert not HealthSnapshot.objects.exists()
    assert not HealthCheck.objects.exists()


def test_the_configurations_provider_counts_and_not_the_one_that_it_shadows(check, upstream):
    server = upstream()
    rows.provider("lab", base_url="http://127.0.0.1:9/v1", secret=SECRET)
    rows.provider("lab", base_url=server.base_url, secret=SECRET, managed_source="config")
    check()
    assert seen().status == "healthy"


def test_what_is_benched_is_looked_at_sooner(check, upstream):
    server = upstream()
    lab(server)
    check()
    wall = check.now.timestamp()
    entry = BenchEntry(
        subject="lab/s", credential=None, since=wall, until=wall + 60, reason="status"
    )
    Bench.objects.create(
        place="p",
        entry=msgspec.json.encode(entry).decode(),
        until=check.now + timedelta(minutes=1),
        version=1,
    )
    assert check(8) == ""
    assert check(3) == "1 checked"


def test_whoever_asks_for_a_check_now_gets_one(check, upstream):
    lab(upstream())
    check()
    check_now(["lab"])
    assert "health" in due_jobs()
    assert check(1) == "1 checked"


def test_updated_at_stays_where_only_times_have_moved(check, upstream):
    lab(upstream())
    check()
    first = seen()
    check(61)
    second = seen()
    assert second.updated_at == first.updated_at
    assert second.checked_at > first.checked_at
    assert second.stale_at == second.checked_at + timedelta(seconds=180)


def test_a_simulator_is_asked_in_this_process_and_fails_as_told(check):
    sim = rows.provider("sim", kind="simulator")
    rows.provider("bad", kind="simulator", fault="status:503")
    rows.pool("small", "sim/s", "bad/s")
    check()
    check(11)
    assert (seen("sim").status, seen("bad").status) == ("healthy", "unhealthy")
    assert seen("sim").discovered_models is None
    sim.fault = "empty"
    sim.save()
    check(61)
    assert (seen("sim").status, seen("sim").failures) == ("degraded", 0)


# A call that costs something


def paying(server: Upstream, **fields):
    return lab(server, health={"paid_probe_model": "gpt-x"}, **fields)


def test_nothing_is_paid_while_the_list_says_enough(check, upstream):
    server = upstream()
    paying(server)
    check()
    server.set("status:500")
    check(61)
    assert calls(server) == 0


def test_where_the_list_is_refused_one_short_call_tells(check, upstream):
    server = upstream()
    server.set("status:404", times=1)
    paying(server)
    check()
    assert (seen().status, calls(server)) == ("healthy", 1)
    sent = json.loads(server.requests[-1]["body"])
    assert (sent["model"], sent["max_tokens"]) == ("gpt-x", 16)


def test_a_paid_call_is_made_once_an_interval_however_often_the_list_is_asked(check, upstream):
    server = upstream(mode="status:404")
    paying(server)
    rows.pool("small", "lab/gpt-x")
    check()
    assert (seen().status, calls(server)) == ("degraded", 1)  # the call got the 404 as well
    for _time in range(3):
        check_now(["lab"])
        check(11)
    assert (lists_asked(server), calls(server)) == (4, 1)
    assert seen().status == "degraded"
    check_now(["lab"])
    check(30)
    assert calls(server) == 2


def test_a_paid_call_that_fails_twice_makes_it_unhealthy(check, upstream):
    server = upstream()
    lab(
        server,
        secret="sk-list~status:404",
        health={"paid_probe_model": "gpt-x~status:503"},
    )
    rows.pool("small", "lab/gpt-x")
    check()
    assert (seen().status, seen().failures) == ("degraded", 1)
    check(11)  # the list is asked, and refused: that is no new word on whether it serves
    assert seen().failures == 1
    check(61)
    assert (seen().status, seen().failures) == ("unhealthy", 2)


@pytest.mark.parametrize(
    ("kind", "path"),
    [("anthropic", "/v1/messages"), ("gemini", "/v1/models/gpt-x:generateContent")],
)
def test_a_paid_call_speaks_what_its_provider_does(check, upstream, kind, path):
    server = upstream(mode="status:404")
    paying(server, kind=kind)
    check()
    assert [e["path"] for e in server.requests if e["method"] == "POST"] == [path]


# Traffic


def minute(check: Clinic, ago_s: float, calls: int, **faults: int) -> None:
    at = check.now - timedelta(seconds=ago_s)
    of = {"minute": at, "pool": "small", "provider": "lab", "model": "s"}
    CallMinute.objects.create(**of, calls=calls, failed=sum(faults.values()))
    for fault, count in faults.items():
        FaultMinute.objects.create(**of, fault=fault, status=500, calls=count)


@pytest.mark.parametrize(
    ("faults", "status"),
    [
        ({"status": 10}, "healthy"),
        ({"status": 11}, "degraded"),
        ({"timeout": 6, "bad_reply": 5}, "degraded"),
        ({"caller": 50, "content_filter": 20, "context_length": 20}, "healthy"),
        ({"hedged": 60, "own": 10, "busy": 10, "status": 2}, "healthy"),
        ({"hedged": 60, "own": 10, "busy": 10, "status": 3}, "degraded"),
    ],
)
def test_more_than_a_tenth_of_calls_that_failed_by_the_providers_fault_degrades(
    check, upstream, faults, status
):
    lab(upstream())
    check()
    minute(check, 60, 100, **faults)
    check(1)  # nobody is due: what traffic says counts at once
    assert seen().status == status


def test_what_was_five_minutes_ago_does_not_count(check, upstream):
    lab(upstream())
    minute(check, 301, 100, status=100)
    check()
    assert seen().status == "healthy"


# The job


def test_the_job_tells_what_it_did_and_twice_is_as_good_as_once(upstream):
    lab(upstream())
    due_jobs()
    run = run_job("health")
    assert (run.outcome, run.told) == ("done", "1 checked; lab is healthy")
    assert run_job("health") is None
    check_now([])
    again = run_job("health")
    assert (again.outcome, again.told) == ("done", "")
    assert HealthCheck.objects.count() == 1


def test_many_are_looked_at_side_by_side(check, upstream):
    server = upstream(mode="slow:ttft_ms=300")
    for number in range(16):
        rows.provider(f"lab{number}", base_url=server.base_url, secret=SECRET)
    check()
    assert HealthSnapshot.objects.filter(status="healthy").count() == 16
    asked = server.requests
    assert max(entry["at"] for entry in asked) < min(entry["answered_at"] for entry in asked)
