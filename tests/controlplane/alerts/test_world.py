"""The state of the world, read from the database."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from django.utils import timezone

from controlplane.advice.models import Suggestion
from controlplane.alerts.conditions import causes
from controlplane.alerts.world import Pictures, look
from controlplane.benches.store import BenchStore
from controlplane.health.models import HealthSnapshot
from controlplane.hosts.models import HostReport
from controlplane.jobs.models import Job, JobRun
from controlplane.models import ConfigSource, Settings
from controlplane.publishing.publisher import publish
from controlplane.records.models import RequestMinute
from routing.gateway.link.fleet import HostSeen
from routing.models import RoutingState, SwitchKind
from tests.support import rows
from tests.support.builders import bench_entry

pytestmark = pytest.mark.django_db


def bench(subject: str, **changes: Any) -> None:
    now = time.time()
    entry = bench_entry(subject, **{"since": now, "until": now + 60, **changes})
    BenchStore("host").exchange((), lambda: [entry])


def sick(provider: str, **changes: Any) -> None:
    now = timezone.now()
    fields = {"status": "unhealthy", "reason": "Nobody answers.", "checked_at": now}
    HealthSnapshot.objects.create(provider=provider, **{**fields, **changes})


@pytest.fixture
def pools(tmp_path):
    rows.provider("a", secret="sk-a-key")
    rows.provider("b", secret="sk-b-key")
    rows.pool("one", "a/m")
    rows.pool("two", "a/m", "b/m")
    rows.pool("other", "b/m")

    def statuses() -> dict[str, str]:
        publish(tmp_path)
        found = look(timezone.now(), Pictures())
        return {pool.canonical_model: pool.status for pool in found.pools}

    return statuses


def test_an_empty_installation_is_a_calm_world():
    world = look(timezone.now(), Pictures())

    assert world.pools == []
    assert world.unhealthy == []
    assert world.benches == []
    assert not world.is_worker_silent


def test_pools_at_rest_are_no_concern(pools):
    assert pools() == {}


def test_a_bench_degrades_a_pool_or_takes_it_out(pools):
    bench("a/m")

    assert pools() == {"one": "unavailable", "two": "degraded"}


def test_a_bench_that_was_released_counts_no_more(pools):
    bench("a/m")
    bench("a/m", epoch=1, released=True)

    assert pools() == {}


def test_an_unhealthy_provider_takes_its_candidates_out(pools):
    at = timezone.now().replace(hour=9, minute=5)
    sick("a", page_indicator="major", page_says="Partial Outage", page_read_at=at)

    assert pools() == {"one": "unavailable", "two": "degraded"}
    told = [c for c in causes(look(timezone.now(), Pictures())) if c.kind == "provider_unhealthy"]
    (cause,) = told
    page = f"Its status page said at {at:%Y-%m-%d} 09:05 UTC: major: Partial Outage."
    assert cause.text == f"Provider a is unhealthy. Nobody answers. {page}"


def test_a_pool_that_nobody_can_serve_even_at_rest_is_told(pools):
    rows.provider("keyless")
    rows.pool("lost", "keyless/m")

    assert pools() == {"lost": "unavailable"}


def test_what_operators_switch_off_is_seen(pools):
    RoutingState.objects.create(kind=SwitchKind.PROVIDER, provider_name="a", enabled=False)

    assert pools() == {"two": "degraded"}  # the other is disabled, as they wanted


def test_a_health_check_of_long_ago_says_nothing(pools):
    sick("a", checked_at=timezone.now() - timedelta(seconds=181))

    assert pools() == {}


def test_a_provider_that_is_gone_or_off_is_no_concern(pools):
    sick("gone")
    rows.provider("off", secret="sk-off-key", enabled=False)
    sick("off")
    sick("b", status="degraded")

    assert pools() == {}
    assert look(timezone.now(), Pictures()).unhealthy == []


def test_a_snapshot_is_compiled_once(pools):
    pools()
    pictures = Pictures()
    first = pictures.newest()

    assert pictures.newest() is first
    rows.pool("new", "a/m")
    pools()
    assert pictures.newest() is not first


def test_traffic_is_that_of_the_last_five_minutes():
    now = datetime(2026, 11, 27, 12, 0, 30, tzinfo=UTC)
    for minutes, key, requests in [(0, "k", 10), (1, "k", 20), (1, "l", 5), (7, "k", 100)]:
        RequestMinute.objects.create(
            minute=now.replace(second=0) - timedelta(minutes=minutes),
            pool="small",
            key=key,
            requests=requests,
            failovers=requests // 5,
        )

    (told,) = look(now, Pictures()).traffic

    assert (told.pool, told.requests, told.failovers) == ("small", 35, 7)


def test_the_rate_is_the_configurations_over_admins():
    settings = Settings.load()
    settings.alerts_failover_rate = 0.3
    settings.save()
    assert look(timezone.now(), Pictures()).failover_rate == 0.3

    source = ConfigSource.load()
    source.values = {"alerts.failover_rate": {"value": 0.5, "source": "file"}}
    source.save()
    assert look(timezone.now(), Pictures()).failover_rate == 0.5


def test_open_suggestions_are_counted_until_they_expire():
    now = timezone.now()
    for name, state, hours in [("a", "open", 1), ("b", "open", -1), ("c", "dismissed", 1)]:
        Suggestion.objects.create(
            kind="order",
            fingerprint=name,
            target=name,
            state=state,
            created_at=now,
            expires_at=now + timedelta(hours=hours),
        )

    assert look(now, Pictures()).suggestions == 1


def test_a_refused_edit_counts_until_another_was_taken_over():
    now = timezone.now()
    source = ConfigSource.load()
    source.refused_at, source.refused_errors = now, ["c.yaml:1: wrong"]
    source.applied_at = now - timedelta(hours=1)
    source.save()
    assert look(now, Pictures()).refused == ["c.yaml:1: wrong"]

    source.applied_at = now + timedelta(seconds=1)
    source.save()
    assert look(now, Pictures()).refused == []


@pytest.mark.parametrize(("ago_s", "is_told"), [(None, False), (10, True), (400, False)])
def test_a_host_that_has_lately_dropped_records_is_named(ago_s, is_told):
    dropped_at = None if ago_s is None else time.time() - ago_s
    host = HostSeen(id="h", host="host-1", data_dir="/d", pid=1, dropped_at=dropped_at)
    report = msgspec.json.encode(host).decode()
    HostReport.objects.create(host="h", report=report, seen_at=timezone.now())

    assert look(timezone.now(), Pictures()).dropping == (["host-1"] if is_told else [])


# The worker


def job(name: str, *, due_s: float, **changes: Any) -> Job:
    due_at = timezone.now() + timedelta(seconds=due_s)
    return Job.objects.create(name=name, due_at=due_at, **changes)


def run(row: Job, *, ago_s: float) -> None:
    started_at = timezone.now() - timedelta(seconds=ago_s)
    JobRun.objects.create(job=row, holder="w", started_at=started_at)


def is_silent() -> bool:
    return look(timezone.now(), Pictures()).is_worker_silent


def test_a_worker_that_has_begun_a_job_within_a_minute_is_there():
    run(job("health", due_s=-100), ago_s=50)

    assert not is_silent()


def test_a_worker_that_has_begun_none_for_a_minute_though_one_was_due_is_silent():
    run(job("health", due_s=-70), ago_s=75)

    assert is_silent()


def test_the_job_that_looks_for_it_proves_nothing():
    run(job("health", due_s=-70), ago_s=75)
    run(job("alerts", due_s=3), ago_s=2)

    assert is_silent()


def test_a_worker_that_is_at_a_long_job_is_there():
    run(job("health", due_s=-70), ago_s=75)
    job("retention", due_s=3000, held_until=timezone.now() + timedelta(seconds=15))

    assert not is_silent()


def test_a_worker_with_nothing_to_do_is_there():
    run(job("health", due_s=-70, is_paused=True), ago_s=75)

    assert not is_silent()


def test_a_worker_that_never_was_is_silent_once_somebody_has_looked_for_a_minute():
    watcher = job("alerts", due_s=3)
    run(watcher, ago_s=30)
    assert not is_silent()

    run(watcher, ago_s=61)
    assert is_silent()


def test_jobs_that_missed_two_runs_are_named():
    run(job("health", due_s=-100), ago_s=105)
    run(job("discovery", due_s=10), ago_s=590)

    assert look(timezone.now(), Pictures()).missed_jobs == ["health"]
