"""
A bench as processes tell each other of it, and which of two holds.

Of one key there are two entries that never touch each other: what traffic has found, and what an
operator has said. So no traffic, however late its word arrives, ends an operator's bench.

Of two entries for one place the higher epoch holds; within an epoch a release, then the later
`until`. `newer` is the maximum of a total order: merging is commutative, associative and
idempotent, and an entry only ever gives way to a higher one.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

Key = tuple[str, str | None]
Place = tuple[str, str | None, bool]

REMEMBERED_S: Final = 3600.0  # so long after its end an entry still counts against older ones
STARTS_LIMIT: Final = 16


class BenchEntry(Struct, frozen=True, kw_only=True):
    """
    `since`, `until` and `starts` are Unix times in seconds; `starts` are those of this bench and
    of the earlier ones that still make it longer. `stated` means that the provider named the time
    itself. `by` is who benched or released by hand.

    A released entry keeps the `until` of the bench that it ended, or its own time if that is
    later: it must be remembered for as long as somebody might still tell of that bench.
    """

    subject: str
    credential: str | None
    since: float
    until: float
    reason: str
    status: int | None = None
    sample_error: str = ""
    request_id: str = ""
    count: int = 1
    manual: bool = False
    stated: bool = False
    epoch: int = 0
    released: bool = False
    starts: tuple[float, ...] = ()
    by: str = ""

    @property
    def key(self) -> Key:
        return (self.subject, self.credential)

    @property
    def place(self) -> Place:
        return (self.subject, self.credential, self.manual)

    def is_over(self, wall: float) -> bool:
        """Whether it says nothing any more, not even against older entries."""
        return self.until + REMEMBERED_S <= wall

    def holds(self, wall: float) -> bool:
        """Whether somebody sits out by it, or is half-open."""
        return not self.released and (wall < self.until or not (self.manual or self.is_over(wall)))


def newer(current: BenchEntry | None, other: BenchEntry) -> BenchEntry:
    """Of two entries for one place, the one that holds; the order of arrival does not matter."""
    if current is None or _rank(other) > _rank(current):
        return other
    return current


def _rank(entry: BenchEntry) -> tuple[object, ...]:
    """Every field counts: entries of the same rank are the same."""
    return (
        entry.epoch,
        entry.released,
        entry.manual,
        entry.until,
        entry.since,
        entry.count,
        entry.request_id,
        entry.reason,
        -1 if entry.status is None else entry.status,
        entry.sample_error,
        entry.stated,
        entry.starts,
        entry.by,
        entry.subject,
        entry.credential or "",
    )


def by_hand(current: BenchEntry | None, entry: BenchEntry, wall: float) -> BenchEntry:
    """
    An operator's bench where `current` is known.

    Epochs of operators are milliseconds: of words given on hosts that did not hear of each other
    the last one holds.
    """
    epoch = max(int(wall * 1000), current.epoch + 1 if current is not None else 0)
    return replace(entry, epoch=epoch, manual=True, released=False)


def released(
    entry: BenchEntry, wall: float, *, by: str | None = None, reason: str = ""
) -> BenchEntry:
    """
    The end of `entry`: by traffic, or by an operator's word, which forgets earlier benches too.
    """
    epoch = entry.epoch + 1
    if entry.manual:
        epoch = max(epoch, int(wall * 1000))
    until = max(entry.until, wall)
    if by is None:
        return replace(entry, epoch=epoch, released=True, until=until)
    return replace(
        entry,
        epoch=epoch,
        released=True,
        until=until,
        starts=(),
        by=by,
        reason=reason or entry.reason,
    )
