"""Sums by the minute: true to the records, however late, often or at once those come."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, transaction

from controlplane.records import sums
from controlplane.records.hours import mark_hours, sum_hours
from controlplane.records.ingest import store
from controlplane.records.models import (
    OTHER,
    CallMinute,
    DirtyHour,
    DirtyMinute,
    FaultMinute,
    NeedMinute,
    RecordHorizon,
    RequestHour,
    RequestMinute,
    RequestRecord,
)
from controlplane.records.reading import totals
from controlplane.records.rollups import CHUNK, roll_up, sum_marked
from controlplane.records.sums import MOST_ROWS, MinuteSums
from routing.gateway.records.record import Outcome, row_of
from tests.support.builders import attempt_record, request_record
from tests.support.processes import wait_for
from tests.support.runs import Told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from routing.gateway.records.record import RequestRecord as Record

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

pytestmark = pytest.mark.django_db
at_once = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="SQLite has one writer at a time"
)

_numbers = iter(range(10**6))


def record(minutes: int = 0, seconds: float = 1, **changes: Any) -> Record:
    number = next(_numbers)
    at_ms = int((NOON + minutes * MINUTE).timestamp() * 1000 + seconds * 1000)
    return request_record(id=f"{at_ms:012x}7{number & 0xFFF:03x}a{number:015x}", **changes)


def keep(*made: Record) -> None:
    store([row_of(one) for one in made])


def rolled_up(*made: Record) -> None:
    keep(*made)
    roll_up(Told())


def only(model: Any, *names: str, **where: Any) -> dict[str, Any]:
    """The one row of the table, as far as it is no 0."""
    row = model.objects.filter(**where).values(*names).get()
    return {name: value for name, value in row.items() if value}


# What is counted


def test_a_minute_counts_its_requests_by_pool_and_key() -> None:
    rolled_up(
        record(canonical_model="small", key="a"),
        record(canonical_model="small", key="a", seconds=59.9),
        record(canonical_model="small", key="b"),
        record(canonical_model="large", key="a"),
        record(minutes=1, canonical_model="small", key="a"),
    )

    found = RequestMinute.objects.order_by("minute", "pool", "key")
    assert list(found.values_list("minute", "pool", "key", "requests")) == [
        (NOON, "large", "a", 1),
        (NOON, "small", "a", 2),
        (NOON, "small", "b", 1),
        (NOON + MINUTE, "small", "a", 1),
    ]


def test_each_outcome_is_counted_by_itself() -> None:
    for number, outcome in enumerate(Outcome, 1):
        keep(*[record(outcome=outcome, seconds=number) for _ in range(number)])
    roll_up(Told())

    names = [outcome.value for outcome in Outcome]
    assert list(only(RequestMinute, *names).items()) == [
        (name, number) for number, name in enumerate(names, 1)
    ]


def test_what_requests_took_is_summed_and_counted_by_bounds() -> None:
    rolled_up(
        record(duration_ms=50.0, first_content_ms=49.5, input_tokens=10, output_tokens=1,
               cached_tokens=4, cost_usd=0.25, stream=True),
        record(duration_ms=50.5, first_content_ms=None, input_tokens=30, cost_usd=None,
               failover=True, attempts=(attempt_record(), attempt_record())),
        record(duration_ms=500_000.0, first_content_ms=130_000.0),
    )  # fmt: skip

    row = RequestMinute.objects.get()
    assert (row.requests, row.streams, row.failovers, row.calls) == (3, 1, 1, 4)
    assert (row.input_tokens, row.output_tokens, row.cached_tokens) == (40, 1, 4)
    assert row.most_input_tokens == 30
    assert float(row.cost_usd) == 0.25
    assert row.duration_ms == 500_100.5
    assert row.content_ms == 130_049.5
    assert (row.duration_0, row.duration_1, row.duration_12) == (1, 1, 1)
    assert (row.content_0, row.content_12) == (1, 1)


def test_tokens_cost_and_times_are_those_of_the_call_that_served() -> None:
    failed = attempt_record(
        provider="bad", started_ms=1.0, ended_ms=61.0, content_ms=None, status=503, fault="status"
    )
    served = attempt_record(provider="one", started_ms=61.0, content_ms=70.0, ended_ms=261.5)
    rolled_up(
        record(attempts=(failed, served), input_tokens=7, cost_usd=0.5, duration_ms=262.0,
               first_content_ms=70.0)
    )  # fmt: skip

    names = ("calls", "served", "failed", "input_tokens", "duration_ms", "content_ms")
    assert only(CallMinute, *names, provider="bad") == {"calls": 1, "failed": 1}
    assert only(CallMinute, *names, provider="one") == {
        "calls": 1, "served": 1, "input_tokens": 7, "duration_ms": 200.5, "content_ms": 9.0,
    }  # fmt: skip
    row = CallMinute.objects.get(provider="one")
    assert (row.duration_3, row.content_0, float(row.cost_usd)) == (1, 1, 0.5)


def test_faults_are_counted_by_status_and_failures_are_those_somebody_is_to_blame_for() -> None:
    faults = [("status", 503), ("status", 500), ("status", 503), ("timeout", None),
              ("hedged", None), ("caller", 400), ("content_filter", 400)]  # fmt: skip
    rolled_up(
        *[record(outcome="failed", provider="", model="",
                 attempts=(attempt_record(fault=fault, status=status),))
          for fault, status in faults]
    )  # fmt: skip

    counted = FaultMinute.objects.values_list("fault", "status", "calls")
    assert set(counted) == {
        ("status", 503, 2), ("status", 500, 1), ("timeout", 0, 1), ("hedged", 0, 1),
        ("caller", 400, 1), ("content_filter", 400, 1),
    }  # fmt: skip
    assert only(CallMinute, "calls", "served", "failed") == {"calls": 7, "failed": 4}


def test_a_stream_that_broke_off_is_served_and_failed() -> None:
    broken = attempt_record(fault="interrupted")
    rolled_up(record(outcome="interrupted", attempts=(broken,), output_tokens=3))

    assert only(CallMinute, "served", "failed", "output_tokens") == {
        "served": 1, "failed": 1, "output_tokens": 3,
    }  # fmt: skip


def test_a_hedge_that_was_called_off_served_nobody() -> None:
    off = attempt_record(fault="hedged", content_ms=None)
    won = attempt_record(is_hedge=True)
    rolled_up(record(attempts=(won, off), input_tokens=5))

    assert only(CallMinute, "calls", "served", "failed", "input_tokens") == {
        "calls": 2, "served": 1, "input_tokens": 5,
    }  # fmt: skip


def test_a_fault_that_was_pretended_for_one_request_counts_against_nobody() -> None:
    pretended = attempt_record(provider="bad", fault="status", status=503, simulated="status:503")
    rolled_up(record(attempts=(pretended, attempt_record())))

    assert list(CallMinute.objects.values_list("provider", "calls")) == [("one", 1)]
    assert not FaultMinute.objects.exists()
    assert only(RequestMinute, "calls") == {"calls": 2}


def test_needs_are_counted_by_pool() -> None:
    rolled_up(record(needs=("tools", "vision")), record(needs=("tools",)), record())

    assert set(NeedMinute.objects.values_list("pool", "need", "requests")) == {
        ("gpt", "tools", 2),
        ("gpt", "vision", 1),
    }


def test_names_that_callers_make_up_do_not_fill_the_tables() -> None:
    made = MinuteSums()
    for number in range(2 * MOST_ROWS):
        call = f'["lab","made-up-{number}","main",1.0,null,null,2.0,404,"model_not_found"]'
        detail = f'{{"attempts":[{call}],"features":{{"needs":["need-{number}"]}}}}'
        row = (None, f"lab/made-up-{number}", "a", "failed", "", "", 0, 0, 1.0)
        made.add((*row, None, None, None, None, None, detail))

    assert len(made.requests) == len(made.calls) == MOST_ROWS + 1
    assert len(made.faults) == MOST_ROWS + 1
    assert len(made.needs) <= 2 * MOST_ROWS
    assert made.requests[OTHER, "a"][sums._REQUESTS] == MOST_ROWS
    assert made.calls["(other)", "lab", "(other)"][sums._FAILED] == MOST_ROWS


def test_more_records_than_are_held_in_memory_are_all_counted() -> None:
    keep(*[record(seconds=n / 100) for n in range(CHUNK + 5)])
    roll_up(Told())

    assert only(RequestMinute, "requests") == {"requests": CHUNK + 5}


# When it is counted


def test_records_mark_their_minutes_and_the_rollup_takes_the_marks_away() -> None:
    keep(record(), record(seconds=59.999), record(minutes=3))

    minutes = DirtyMinute.objects.order_by("minute").values_list("minute", flat=True)
    assert list(minutes) == [NOON, NOON + 3 * MINUTE]
    assert roll_up(Told()) == "2 minutes summed"
    assert not DirtyMinute.objects.exists()
    assert roll_up(Told()) == ""


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("minute", range(6))
def test_no_minute_is_marked_that_no_record_is_of(minute: int, side: int) -> None:
    # Sums of a minute whose records have gone would be lost by it, however near it is.
    for milliseconds in (1, 700, 2000, 4000):
        keep(record(minutes=minute, seconds=side * milliseconds / 1000))

    marked = DirtyMinute.objects.values_list("minute", flat=True)
    assert list(marked) == [NOON + (minute - (side < 0)) * MINUTE]


def test_a_minute_is_summed_anew_as_a_whole_when_more_of_it_comes() -> None:
    rolled_up(record(key="a"), record(key="b"))
    rolled_up(record(key="a"))

    counted = RequestMinute.objects.order_by("key").values_list("key", "requests")
    assert list(counted) == [("a", 2), ("b", 1)]


def test_records_that_come_twice_are_counted_once() -> None:
    twice = record()
    rolled_up(twice)
    rolled_up(twice)

    assert only(RequestMinute, "requests") == {"requests": 1}


def test_records_that_come_while_a_minute_is_summed_are_in_the_next_sum() -> None:
    keep(record())
    with after("SELECT id, canonical_model", lambda: keep(record())):
        roll_up(Told())

    assert DirtyMinute.objects.exists()
    roll_up(Told())
    assert only(RequestMinute, "requests") == {"requests": 2}
    assert not DirtyMinute.objects.exists()


def test_who_dies_while_writing_leaves_old_sums_and_the_mark() -> None:
    rolled_up(record(needs=("tools",)))
    keep(record())

    def die() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), after('DELETE FROM "controlplane_callminute"', die):
        roll_up(Told())

    assert only(RequestMinute, "requests") == {"requests": 1}
    assert NeedMinute.objects.exists()
    assert DirtyMinute.objects.exists()


def test_a_sum_of_what_was_there_before_does_not_replace_a_newer_one() -> None:
    keep(record())

    def another_worker() -> None:
        keep(record())
        roll_up(Told())

    with after("SELECT id, canonical_model", another_worker):
        roll_up(Told())

    assert only(RequestMinute, "requests") == {"requests": 2}


def test_a_minute_whose_records_are_deleted_keeps_its_sums() -> None:
    rolled_up(record(), record(), record(minutes=5))
    RecordHorizon.objects.create(pk=1, moment=NOON + MINUTE)
    RequestRecord.purge(NOON + MINUTE)
    keep(record())  # of a host that was away so long
    told = roll_up(Told())

    assert only(RequestMinute, "requests", minute=NOON) == {"requests": 2}
    assert not DirtyMinute.objects.exists()
    assert told == "1 minute summed"


def test_deleting_that_begins_while_a_minute_is_summed_leaves_its_sums() -> None:
    rolled_up(record(), record())
    keep(record())

    def delete() -> None:
        RecordHorizon.objects.create(pk=1, moment=NOON + MINUTE)
        RequestRecord.purge(NOON + MINUTE)

    with after('SELECT "controlplane_recordhorizon"', delete):
        roll_up(Told())

    assert only(RequestMinute, "requests") == {"requests": 2}


@contextmanager
def after(beginning: str, work: Callable[[], None]) -> Iterator[None]:
    """Do `work` once, after the first statement that begins so."""
    is_done: list[bool] = []

    def watch(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        result = execute(sql, params, many, context)
        if sql.startswith(beginning) and not is_done:
            is_done.append(True)
            work()
        return result

    with connection.execute_wrapper(watch):
        yield
    assert is_done


# Hours


def test_an_hour_is_the_sum_of_its_minutes_however_late_they_come() -> None:
    def is_true() -> bool:
        window = (NOON, NOON + 120 * MINUTE)
        by_minutes = totals(RequestMinute, *window, by=("pool",))
        return totals(RequestHour, *window, by=("pool",)) == by_minutes

    rolled_up(
        record(canonical_model="small", key="a", input_tokens=30, cost_usd=0.25),
        record(canonical_model="small", key="b", input_tokens=10, minutes=1, failover=True),
        record(canonical_model="large", key="a", minutes=59),
        record(canonical_model="small", key="a", minutes=60),
    )

    found = RequestHour.objects.order_by("minute", "pool")
    assert list(found.values_list("minute", "pool", "requests", "failovers")) == [
        (NOON, "large", 1, 0),
        (NOON, "small", 2, 1),
        (NOON + 60 * MINUTE, "small", 1, 0),
    ]
    assert is_true()
    rolled_up(record(canonical_model="small", input_tokens=50, minutes=2))
    assert is_true()
    assert found.get(minute=NOON, pool="small").most_input_tokens == 50
    assert not DirtyHour.objects.exists()


def test_the_hour_under_way_is_made_when_its_mark_is_a_minute_old() -> None:
    keep(record())
    roll_up(Told(NOON + 10 * MINUTE))
    assert not RequestHour.objects.exists()
    DirtyHour.objects.update(since=NOON + 9 * MINUTE)
    roll_up(Told(NOON + 10 * MINUTE))
    assert only(RequestHour, "requests") == {"requests": 1}


# At once, on PostgreSQL: SQLite lets one write at a time


@at_once
@pytest.mark.django_db(transaction=True)
def test_the_mark_of_an_hour_is_not_taken_away_while_minutes_are_on_their_way() -> None:
    mark_hours([NOON])
    keep(record())
    summing = threading.Thread(target=in_thread(lambda: sum_hours(NOON + 120 * MINUTE)))
    with transaction.atomic():
        sum_marked(Told())
        summing.start()
        wait_for(lambda: not summing.is_alive() or is_somebody_waiting(), what="the sums of hours")
    summing.join()
    sum_hours(NOON + 120 * MINUTE)

    assert only(RequestHour, "requests") == {"requests": 1}
    assert not DirtyHour.objects.exists()


@at_once
@pytest.mark.django_db(transaction=True)
def test_a_mark_is_not_taken_away_while_records_are_on_their_way() -> None:
    keep(record())
    summing = threading.Thread(target=in_thread(lambda: roll_up(Told())))
    with transaction.atomic():
        keep(record())
        summing.start()
        wait_for(lambda: not summing.is_alive() or is_somebody_waiting(), what="the rollup")
    summing.join()
    roll_up(Told())

    assert only(RequestMinute, "requests") == {"requests": 2}
    assert not DirtyMinute.objects.exists()


@at_once
@pytest.mark.django_db(transaction=True)
def test_records_whose_mark_is_being_taken_away_mark_their_minute_again() -> None:
    keep(record())
    ingesting = threading.Thread(target=in_thread(lambda: keep(record())))
    with transaction.atomic():
        roll_up(Told())
        ingesting.start()
        wait_for(lambda: not ingesting.is_alive() or is_somebody_waiting(), what="the ingest")
    ingesting.join()
    assert only(RequestMinute, "requests") == {"requests": 1}
    roll_up(Told())

    assert only(RequestMinute, "requests") == {"requests": 2}


@at_once
@pytest.mark.django_db(transaction=True)
def test_two_workers_at_one_minute_are_one_after_the_other() -> None:
    keep(record())
    failed: list[BaseException] = []
    other = threading.Thread(target=in_thread(lambda: roll_up(Told()), failed))
    with transaction.atomic():
        roll_up(Told())
        other.start()
        wait_for(lambda: not other.is_alive() or is_somebody_waiting(), what="the other worker")
    other.join()

    assert failed == []
    assert only(RequestMinute, "requests") == {"requests": 1}


def in_thread(
    work: Callable[[], None], failed: list[BaseException] | None = None
) -> Callable[[], None]:
    def run() -> None:
        try:
            work()
        except BaseException as error:
            if failed is None:
                raise
            failed.append(error)
        finally:
            connection.close()

    return run


def is_somebody_waiting() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])
