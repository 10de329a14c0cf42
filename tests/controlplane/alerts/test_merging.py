"""Causes become open alerts: one each, for as long as the cause lasts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from controlplane.alerts.conditions import Cause
from controlplane.alerts.merging import AWAY_S, write
from controlplane.alerts.models import Alert

T0 = datetime(2026, 11, 27, 12, tzinfo=UTC)
SICK = Cause.of("provider_unhealthy", "lab", "Nobody answers.")


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def opened() -> list[tuple[str, str]]:
    rows = Alert.objects.filter(ended_at=None).order_by("kind", "subject")
    return [(row.kind, row.subject) for row in rows]


pytestmark = pytest.mark.django_db


def test_a_cause_begins_one_alert_however_often_it_is_seen():
    assert write([SICK], at(0)) == (1, 0)
    assert write([SICK], at(5)) == (0, 0)

    (row,) = Alert.objects.all()
    assert (row.since, row.ended_at, row.gone_at, row.is_urgent) == (T0, None, None, True)
    assert "q=lab" in row.path


def test_new_words_take_the_place_of_the_old_ones():
    write([SICK], at(0))
    write([Cause.of("provider_unhealthy", "lab", "It answers 500.")], at(5))

    assert Alert.objects.get().text == "Provider lab is unhealthy. It answers 500."


def test_an_alert_ends_only_when_its_cause_has_been_away_for_a_minute():
    write([SICK], at(0))
    write([], at(10))
    assert write([], at(10 + AWAY_S - 1)) == (0, 0)
    assert write([], at(10 + AWAY_S)) == (0, 1)

    assert Alert.objects.get().ended_at == at(10)  # when it was over, not when that was believed
    assert write([], at(200)) == (0, 0)


def test_what_comes_and_goes_stays_one_alert():
    for turn in range(10):
        write([SICK], at(60 * turn))
        write([], at(60 * turn + 30))

    (row,) = Alert.objects.all()
    assert row.ended_at is None


def test_what_comes_back_after_its_end_is_another_alert():
    write([SICK], at(0))
    write([], at(10))
    write([], at(10 + AWAY_S))
    write([SICK], at(100))

    assert Alert.objects.count() == 2
    assert opened() == [("provider_unhealthy", "lab")]


def test_a_pool_that_gets_worse_does_not_seem_to_mend_first():
    degraded, gone = Cause.of("pool_degraded", "small"), Cause.of("pool_unavailable", "small")
    write([degraded], at(0))
    write([gone], at(5))
    write([gone], at(5 + 2 * AWAY_S))
    assert opened() == [("pool_degraded", "small"), ("pool_unavailable", "small")]

    for seconds in (200, 200 + AWAY_S):
        write([degraded], at(seconds))
    assert opened() == [("pool_degraded", "small")]


def test_a_pool_that_is_unavailable_at_once_is_told_once():
    write([Cause.of("pool_unavailable", "small")], at(0))

    assert opened() == [("pool_unavailable", "small")]
