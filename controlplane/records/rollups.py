"""
The sums of records by the minute, made anew for every minute that records have come in for.

Minutes are read, and then their old sums are replaced in one short transaction, in which their
marks (DirtyMinute) go, too, where no more has come meanwhile. Whoever is killed in between leaves
the marks; of two at the same minute the second waits, and finds no mark or makes the sums again.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import connection, transaction

from controlplane.records.hours import mark_hours, sum_hours
from controlplane.records.models import (
    CallMinute,
    DirtyMinute,
    FaultMinute,
    NeedMinute,
    RecordHorizon,
    RequestMinute,
    RequestRecord,
)
from controlplane.records.sums import (
    CALL_COLUMNS,
    COLUMNS,
    FAULT_COLUMNS,
    NEED_COLUMNS,
    REQUEST_COLUMNS,
    MinuteSums,
)
from providers.saying.counting import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from controlplane.jobs.running import Run

MINUTE: Final = timedelta(minutes=1)
CHUNK: Final = 2000  # records in memory
GROUP_ROWS, GROUP_MINUTES = 2000, 60  # sums that are written at once, about
BATCH: Final = 500
TIME_S: Final = 120.0  # of one run; what is left is the next one's

_TABLES: Final[Sequence[tuple[Any, Sequence[str], Callable[[MinuteSums], Iterator[Any]]]]] = (
    (RequestMinute, REQUEST_COLUMNS, MinuteSums.request_rows),
    (CallMinute, CALL_COLUMNS, MinuteSums.call_rows),
    (FaultMinute, FAULT_COLUMNS, MinuteSums.fault_rows),
    (NeedMinute, NEED_COLUMNS, MinuteSums.need_rows),
)


def roll_up(run: Run) -> str:
    """Sum the minutes that records have come in for, oldest first, and then their hours."""
    told = sum_marked(run)
    sum_hours(run.began_at)
    return told


def sum_marked(run: Run, before: datetime | None = None) -> str:
    """Sum what is marked, of `before` alone if it is given; what was done, in words."""
    rows = DirtyMinute.objects.order_by("minute")
    if before is not None:
        rows = rows.filter(minute__lt=before)
    # Read before the records: what comes in later has another token.
    marks = dict(rows.values_list("minute", "token"))
    end = time.monotonic() + TIME_S
    horizon = RecordHorizon.passed()
    group: dict[datetime, MinuteSums] = {}
    for number, minute in enumerate(marks, 1):
        group[minute] = sums = MinuteSums()
        if minute >= horizon:
            for row in _records(minute):
                sums.add(row)
        is_late = time.monotonic() > end
        if (
            is_late
            or number == len(marks)
            or len(group) >= GROUP_MINUTES
            or sum(map(len, group.values())) >= GROUP_ROWS
        ):
            _replace(group, marks)
            group = {}
            run.progress(number, len(marks))
        if is_late and number < len(marks):
            left = counted(len(marks) - number, "is", "are")
            return f"{counted(number, 'minute')} summed, {left} left for the next run"
    return f"{counted(len(marks), 'minute')} summed" if marks else ""


_SELECT: Final = (
    f"SELECT {', '.join(COLUMNS)} FROM {RequestRecord._meta.db_table}"  # noqa: S608, SLF001 - our own names
    f" WHERE id > %s AND id < %s ORDER BY id LIMIT {CHUNK}"
)


def _records(minute: datetime) -> Iterator[Sequence[Any]]:
    """The minute's rows of COLUMNS, some at a time: no model objects, which would take longer."""
    field = RequestRecord._meta.pk  # noqa: SLF001 - Django's own API
    # No id is as low as the lowest: its version's digit is 7.
    last = field.get_db_prep_value(RequestRecord.first_id_at(minute), connection)
    end = field.get_db_prep_value(RequestRecord.first_id_at(minute + MINUTE), connection)
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_SELECT, [last, end])
            rows = cursor.fetchall()
        yield from rows
        if len(rows) < CHUNK:
            return
        last = rows[-1][0]


def _replace(group: Mapping[datetime, MinuteSums], marks: Mapping[datetime, int]) -> None:
    """The rows of these minutes, and their marks where those are what they were in `marks`."""
    with transaction.atomic():
        # In the order in which ingest takes them, too, so that neither waits for the other's.
        locked = DirtyMinute.objects.select_for_update().filter(minute__in=group)
        found = dict(locked.order_by("minute").values_list("minute", "token"))
        # Asked again: deleting of records begins only after it is noted here. And who is not
        # marked any more, another worker has summed.
        horizon = RecordHorizon.passed()
        written = {minute: group[minute] for minute in found if minute >= horizon}
        for model, columns, rows_of in _TABLES:
            model.objects.filter(minute__in=written).delete()
            _insert(
                model,
                columns,
                [
                    (at, *row)
                    for minute, sums in written.items()
                    for at in (connection.ops.adapt_datetimefield_value(minute),)
                    for row in rows_of(sums)
                ],
            )
        mark_hours(written)
        done = [minute for minute, token in found.items() if token == marks[minute]]
        DirtyMinute.objects.filter(minute__in=done).delete()


def _insert(model: Any, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    table, names = model._meta.db_table, ", ".join(("minute", *columns))  # noqa: SLF001 - Django's own API
    if connection.vendor == "postgresql":
        with (
            connection.cursor() as cursor,
            connection.wrap_database_errors,  # what comes while copying is the driver's own
            cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row(row)
        return
    sql = f"INSERT INTO {table} ({names}) VALUES ({', '.join(['%s'] * (len(columns) + 1))})"  # noqa: S608 - our own names
    with connection.cursor() as cursor:
        for start in range(0, len(rows), BATCH):
            cursor.executemany(sql, rows[start : start + BATCH])
