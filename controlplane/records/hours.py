"""
The sums of hours, made anew from those of minutes wherever one of these was.

Whoever writes a minute marks its hour in the same transaction (`mark_hours`); `sum_hours` makes it
as a whole, and takes the mark away. The hour under way changes all the time, and is made once a
minute.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from controlplane.records.models import DirtyHour, RequestHour, RequestMinute
from controlplane.records.sums import REQUEST_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

HOUR: Final = timedelta(hours=1)
EVERY: Final = timedelta(minutes=1)
TIME_S: Final = 30.0  # of one run; what is left is the next one's

_SUMMED: Final = [name for name in REQUEST_COLUMNS if name not in ("pool", "key")]
_SUMS: Final = [
    f"MAX({name})" if name == "most_input_tokens" else f"SUM({name})" for name in _SUMMED
]
_INSERT: Final = (
    f"INSERT INTO {RequestHour._meta.db_table} (minute, pool, {', '.join(_SUMMED)})"  # noqa: S608, SLF001 - our own names
    f" SELECT %s, pool, {', '.join(_SUMS)} FROM {RequestMinute._meta.db_table}"  # noqa: SLF001 - as above
    " WHERE minute >= %s AND minute < %s GROUP BY pool"
)


def mark_hours(minutes: Iterable[datetime]) -> None:
    """
    Their hours are to be made anew.

    A mark that is there already is written again, so that nobody takes it away for a sum which
    these minutes, not committed yet, are not in.
    """
    now = timezone.now()
    DirtyHour.objects.bulk_create(
        [
            DirtyHour(hour=hour, since=now, marked_at=now)
            for hour in sorted({minute.replace(minute=0) for minute in minutes})
        ],
        update_conflicts=True,
        unique_fields=["hour"],
        update_fields=["marked_at"],
    )


def sum_hours(now: datetime) -> None:
    """Make the marked hours that are due, newest first."""
    end = time.monotonic() + TIME_S
    due = Q(hour__lte=now - HOUR) | Q(since__lte=now - EVERY)
    hours = DirtyHour.objects.filter(due).order_by("-hour").values_list("hour", flat=True)
    for hour in list(hours):
        _sum(hour)
        if time.monotonic() > end:
            return  # the next run does the rest


def _sum(hour: datetime) -> None:
    with transaction.atomic():
        # Whoever marks it meanwhile waits, and marks it again.
        mark = DirtyHour.objects.select_for_update().filter(hour=hour).first()
        if mark is None:
            return
        RequestHour.objects.filter(minute=hour).delete()
        times = (hour, hour, hour + HOUR)
        with connection.cursor() as cursor:
            cursor.execute(_INSERT, [connection.ops.adapt_datetimefield_value(at) for at in times])
        mark.delete()
