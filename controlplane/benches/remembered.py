"""
Benches that are over: who sat out, why, how long, and what ended it, for a day.

Written with the entries themselves, under the same lock: of several hosts the one that puts an
entry in writes what it ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from django.db.models import Q

from failover.engine.bench_entries import REMEMBERED_S
from failover.models import BenchRecord
from routing.gateway.deciding.wording import lasting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from failover.engine.bench_entries import BenchEntry, Place

KEPT: Final = timedelta(days=1)
SHOWN: Final = 100
AS_IT_GOES: Final = ("reason", "status", "sample_error", "request_id", "count", "until")
AT_ITS_END: Final = ("ended_at", "ending", "ended_by", "ended_reason")
Ending = BenchRecord.Ending


def remember(
    entries: Mapping[str, BenchEntry], current: Mapping[Place, BenchEntry], wall: float
) -> None:
    """`entries`, by the digests of their places, take the place of `current` ones."""
    going, ended = [], []
    for place, entry in entries.items():
        before = current.get(entry.place)
        if before is not None and before.released:
            before = None
        if not entry.released:
            going.append(_row(place, entry))
        if before is None or before.epoch == entry.epoch:
            continue
        row = _row(place, before)
        row.ended_at = _at(wall)
        row.ending, row.ended_by, row.ended_reason = map(_text, _ending(before, entry))
        ended.append(row)
    for rows, fields in ((going, AS_IT_GOES), (ended, AT_ITS_END)):
        BenchRecord.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["place", "epoch"],
            update_fields=fields,
        )


def _row(place: str, entry: BenchEntry) -> BenchRecord:
    return BenchRecord(
        place=place,
        epoch=entry.epoch,
        subject=_text(entry.subject),
        credential=_text(entry.credential or ""),
        manual=entry.manual,
        by=_text(entry.by),
        reason=_text(entry.reason),
        status=entry.status,
        sample_error=_text(entry.sample_error),
        request_id=_text(entry.request_id),
        count=entry.count,
        began_at=_at(entry.since),
        until=_at(entry.until),
    )


def _text(told: str) -> str:
    """What PostgreSQL holds of a provider's or an operator's words: no NUL."""
    return told.replace("\x00", "")


def _ending(before: BenchEntry, entry: BenchEntry) -> tuple[str, str, str]:
    """How `entry` ended `before`, by whom and why."""
    if not entry.released:
        return Ending.REPLACED, entry.by, entry.reason
    said = entry.reason if entry.reason != before.reason else ""
    if entry.by:
        return Ending.RELEASED, entry.by, said
    return (Ending.ANSWERED if entry.starts else Ending.MENDED), "", said


def forget(wall: float) -> None:
    gone = _at(wall) - KEPT
    over = Q(ended_at__lte=gone) | Q(ended_at=None, until__lte=gone)
    BenchRecord.objects.filter(over).delete()


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A bench that is over, and how it ended in words."""

    row: BenchRecord
    ended_at: datetime
    ending: str

    @property
    def lasted(self) -> str:
        return lasting((self.ended_at - self.row.began_at).total_seconds())


def past(now: datetime) -> list[Past]:
    """The benches that ended within the last day, the last ones first."""
    since, untried = now - KEPT, now - timedelta(seconds=REMEMBERED_S)
    by_time = Q(ended_at=None, until__gt=since)
    by_time &= Q(manual=True, until__lte=now) | Q(manual=False, until__lte=untried)
    rows = BenchRecord.objects.filter(Q(ended_at__gt=since) | by_time)
    found = [_told(row) for row in rows.order_by("-until")[: 10 * SHOWN]]
    return sorted(found, key=lambda one: one.ended_at, reverse=True)[:SHOWN]


def _told(row: BenchRecord) -> Past:
    if row.ended_at is None:
        over = "its time was over" if row.manual else "nobody tried it again"
        return Past(row=row, ended_at=row.until, ending=over)
    ended_at = row.ended_at
    if row.manual and row.until < ended_at:  # the word came when nothing held any more
        return Past(row=row, ended_at=row.until, ending="its time was over")
    words = {
        Ending.RELEASED: f"released by {row.ended_by}",
        Ending.ANSWERED: "it answered again",
        Ending.MENDED: "its provider was edited",
        Ending.REPLACED: f"another bench by {row.ended_by or 'traffic'}",
    }[Ending(row.ending)]
    said = f": {row.ended_reason}" if row.ended_reason else ""
    return Past(row=row, ended_at=ended_at, ending=f"{words}{said}")


def _at(wall: float) -> datetime:
    return datetime.fromtimestamp(wall, UTC)
