"""Who is told, how often, and what happens when somebody does not listen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from controlplane.alerts.addresses import AlertAddress
from controlplane.alerts.kinds import KINDS
from controlplane.alerts.models import Alert, Notice
from controlplane.alerts.sending import BACKOFF_S, deliver, prepare, take
from tests.support.receiver import receiving

T0 = datetime(2026, 11, 27, 12, tzinfo=UTC)
pytestmark = pytest.mark.django_db


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


@pytest.fixture
def receiver():
    with receiving() as found:
        yield found


def to(url: str, name: str = "ops") -> AlertAddress:
    return AlertAddress(channel=f"webhook {name}", kind="slack", target=url, is_guarded=False)


def alert(kind: str = "provider_unhealthy", subject: str = "lab", **changes: object) -> Alert:
    fields = {"text": f"{subject} is not well.", "since": T0, "is_urgent": KINDS[kind].is_urgent}
    return Alert.objects.create(kind=kind, subject=subject, **{**fields, **changes})


def turn(where: list[AlertAddress], seconds: float, *, is_quiet: bool = False) -> tuple[int, int]:
    """One run's part of the job."""
    prepare(where, at(seconds))
    return deliver(take(where, at(seconds), is_quiet=is_quiet), at(seconds))


def end(row: Alert, seconds: float) -> None:
    row.ended_at = at(seconds)
    row.save()


def texts(receiver) -> list[bytes]:
    return [got.body for got in receiver.posted]


def test_an_alert_is_told_once_to_each_address_and_once_that_it_is_over(receiver):
    where = [to(receiver.url), to(receiver.url, "second")]
    row = alert()
    assert turn(where, 0) == (2, 0)
    assert turn(where, 5) == (0, 0)

    end(row, 60)
    assert turn(where, 65) == (2, 0)
    assert turn(where, 70) == (0, 0)
    assert sorted(texts(receiver)) == [
        *[b'{"text":"Provider lab is back."}'] * 2,
        *[b'{"text":"lab is not well."}'] * 2,
    ]


def test_two_workers_that_look_at_the_same_moment_send_one_message(receiver):
    where = [to(receiver.url)]
    alert()
    for _worker in range(2):
        prepare(where, at(0))
    tries = [take(where, at(0), is_quiet=False) for _worker in range(2)]

    assert [len(some) for some in tries] == [1, 0]


def test_a_worker_that_died_while_it_sent_is_made_up_for(receiver):
    where = [to(receiver.url)]
    alert()
    prepare(where, at(0))
    take(where, at(0), is_quiet=False)  # and is killed

    assert turn(where, 5) == (0, 0)
    assert turn(where, BACKOFF_S[0]) == (1, 0)


def test_who_does_not_take_it_is_asked_eight_times_in_an_hour_and_then_no_more(receiver):
    receiver.status = 500
    where = [to(receiver.url)]
    alert()
    now, tries = 0.0, []
    for wait in (*BACKOFF_S, 3600, 3600):
        tries.append(turn(where, now))
        now += wait

    notice = Notice.objects.get()
    assert tries == [(0, 1)] * 8 + [(0, 0)]
    assert 3500 <= sum(BACKOFF_S) <= 3700
    assert (notice.due_at, notice.tries, notice.sent_at) == (None, 8, None)
    assert notice.error == "answered 500: ok"


def test_who_takes_it_later_gets_it_once(receiver):
    receiver.status = 503
    where = [to(receiver.url)]
    alert()
    turn(where, 0)
    receiver.status = 200

    assert turn(where, 10) == (1, 0)
    assert turn(where, 3600) == (0, 0)
    assert Notice.objects.get().error == ""


def test_whoever_was_not_told_of_an_alert_is_not_told_that_it_is_over(receiver):
    receiver.status = 500
    where = [to(receiver.url)]
    row = alert()
    turn(where, 0)
    receiver.status = 200
    end(row, 5)

    assert turn(where, 10) == (0, 0)
    assert len(receiver.posted) == 1
    assert Notice.objects.get().error == "it was over before it was sent"


def test_what_is_over_before_it_has_settled_bothers_nobody(receiver):
    settle_s = KINDS["pool_degraded"].settle_s
    where = [to(receiver.url)]
    short, long = alert("pool_degraded", "a"), alert("pool_degraded", "b")
    assert turn(where, settle_s - 1) == (0, 0)
    end(short, settle_s - 1)

    assert turn(where, settle_s) == (1, 0)
    end(long, settle_s)
    assert turn(where, settle_s + 5) == (1, 0)
    assert len(receiver.posted) == 2


def test_quiet_hours_let_only_through_what_is_unavailable(receiver):
    where = [to(receiver.url)]
    urgent, other = alert(), alert("failover_rate", "small")
    passing = alert("failover_rate", "large")
    assert turn(where, 0, is_quiet=True) == (1, 0)
    end(urgent, 60)
    end(passing, 60)
    assert turn(where, 65, is_quiet=True) == (1, 0)

    # In the morning: what is still open is told, what is over is not.
    assert turn(where, 3600) == (1, 0)
    assert texts(receiver)[-1] == b'{"text":"small is not well."}'
    end(other, 3700)
    assert turn(where, 3700, is_quiet=True) == (0, 0)
    assert turn(where, 7300) == (1, 0)


def test_an_address_that_is_new_hears_of_what_is_open(receiver):
    alert()
    turn([to(receiver.url)], 0)

    assert turn([to(receiver.url), to(receiver.url, "new")], 5) == (1, 0)


def test_an_address_that_is_gone_is_not_tried_again(receiver):
    receiver.status = 500
    alert()
    turn([to(receiver.url)], 0)

    assert turn([], 10) == (0, 0)
    assert Notice.objects.get().error == "the address is gone"


def test_who_is_slow_costs_only_themselves(receiver):
    with receiving() as quick:
        receiver.hold()
        where = [to(receiver.url, "slow"), to(quick.url, "quick")]
        for subject in "abc":
            alert(subject=subject)

        prepare(where, at(0))
        tries = take(where, at(0), is_quiet=False)
        sent, failed = deliver(tries, at(0), within_s=0.3)

    assert (sent, failed) == (3, 1)
    assert len(receiver.posted) == 1  # the others of the slow one are not even tried
    waiting = Notice.objects.filter(channel="webhook slow", due_at__lte=at(0))
    assert {notice.tries for notice in waiting} == {0}
    assert waiting.count() == 2
