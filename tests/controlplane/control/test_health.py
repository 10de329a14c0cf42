"""What the control child makes of the rows of health: what is stale counts no more."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.utils import timezone

from controlplane.control.health import READ_EVERY_S, HealthWatch
from controlplane.control.hub import Hub
from controlplane.health.models import HealthSnapshot, HealthVersion
from tests.support.builders import FakeClock

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def watch(tmp_path: Path, clock: FakeClock) -> HealthWatch:
    async def nothing() -> Any: ...

    return HealthWatch(Hub(tmp_path / "s", nothing), clock=lambda: clock.now)


def note(provider: str, status: str, *, fresh_for_s: float = 60) -> None:
    stale_at = timezone.now() + timedelta(seconds=fresh_for_s)
    HealthSnapshot.objects.update_or_create(
        provider=provider, defaults={"status": status, "stale_at": stale_at}
    )
    HealthVersion.move()


def test_every_status_but_unknown_is_told(watch):
    for status in ("healthy", "degraded", "unhealthy", "unknown"):
        note(status[:3], status)
    assert watch.look() == {"hea": "healthy", "deg": "degraded", "unh": "unhealthy"}


def test_a_change_is_seen_by_the_next_look_and_else_one_question_is_asked(
    watch, django_assert_num_queries
):
    note("a", "unhealthy")
    watch.look()
    with django_assert_num_queries(1):
        assert watch.look() == {"a": "unhealthy"}
    note("a", "healthy")
    with django_assert_num_queries(2):
        assert watch.look() == {"a": "healthy"}


def test_what_is_stale_removes_nobody(watch, clock):
    note("a", "unhealthy", fresh_for_s=-1)
    note("b", "unhealthy", fresh_for_s=60)
    assert watch.look() == {"b": "unhealthy"}
    clock.now += 61  # the worker is dead; nothing moves the version
    HealthSnapshot.objects.update(stale_at=timezone.now() - timedelta(seconds=1))
    assert watch.look() == {}


def test_a_check_that_changes_nothing_keeps_a_status_from_going_stale(watch, clock):
    note("a", "unhealthy", fresh_for_s=READ_EVERY_S + 1)
    watch.look()
    HealthSnapshot.objects.update(stale_at=timezone.now() + timedelta(seconds=60))
    clock.now += READ_EVERY_S + 2
    assert watch.look() == {"a": "unhealthy"}


def test_without_the_database_what_was_known_counts_until_it_is_stale(watch, clock, caplog):
    note("a", "unhealthy")
    watch.look()

    def away(*_arguments: Any) -> None:
        raise OSError("the database is away")

    with connection.execute_wrapper(away):
        assert watch.look() == {"a": "unhealthy"}
        clock.now += 61
        assert watch.look() == {}
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    clock.now -= 61
    assert watch.look() == {"a": "unhealthy"}


def test_before_anything_could_be_read_nothing_is_told(watch):

    def away(*_arguments: Any) -> None:
        raise OSError("the database is away")

    with connection.execute_wrapper(away):
        assert watch.look() is None
