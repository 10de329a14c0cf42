"""
Published snapshots that are kept whole, so that a recorded request can be decided again.

Kept are the newest `NEWEST`, and older ones that a request record still refers to.
"""

from __future__ import annotations

import zlib
from datetime import timedelta
from itertools import pairwise
from typing import Final

from controlplane.models import PublishedSnapshot, RequestRecord, SnapshotContent
from routing.gateway.deciding.snapshot import Content, Snapshot, decode, digest_of, pack, seal

NEWEST: Final = 100
LOOKED_AT: Final = 20  # at each end of the older ones, so that a round stays short
# A worker may serve a generation a little longer than it is the newest.
LINGERS: Final = timedelta(minutes=10)


class NotKept(Exception):
    """The snapshot of a generation cannot be had; the text says why."""


def keep(row: PublishedSnapshot, content: Content, packed: bytes | None = None) -> None:
    """Store what `row` numbers, unless that has been done. `packed` are the content's bytes."""
    packed = pack(content) if packed is None else packed
    snapshot = Snapshot(
        generation=row.generation,
        created_at=row.created_at.timestamp(),
        checksum=digest_of(packed),
        content=content,
    )
    compressed = zlib.compress(seal(snapshot, packed), 1)
    SnapshotContent.objects.get_or_create(published=row, defaults={"packed": compressed})


def snapshot_of(generation: int) -> Snapshot:
    """The snapshot of `generation`. Raises NotKept."""
    row = SnapshotContent.objects.filter(published__generation=generation).first()
    if row is None:
        raise NotKept(f"The snapshot of generation {generation} is not kept any more.")
    try:
        return decode(zlib.decompress(row.packed))
    except (zlib.error, ValueError) as error:
        raise NotKept(f"The snapshot of generation {generation} cannot be read: {error}") from error


def prune() -> int:
    """
    Delete old snapshots that no record refers to; how many went.

    Looks at both ends of those beyond the newest: the near end has just been left behind, and the
    far end is where records run out first.
    """
    rows = PublishedSnapshot.objects.order_by("generation")
    # Each is looked at with its successor; the last one of `near` is the oldest of the newest.
    near = list(rows.reverse()[NEWEST - 1 : NEWEST + LOOKED_AT])[::-1]
    if len(near) < 2:
        return 0
    far = list(rows.filter(generation__lte=near[-1].generation)[: LOOKED_AT + 1])
    pairs = {*pairwise(far), *pairwise(near)}
    unused = [row.pk for row, successor in pairs if not _is_referred_to(row, successor)]
    _rows, by_model = PublishedSnapshot.objects.filter(pk__in=unused).delete()
    return by_model.get("controlplane.PublishedSnapshot", 0)


def _is_referred_to(row: PublishedSnapshot, successor: PublishedSnapshot) -> bool:
    """Whether a record names it. Ids sort by time, so only its own time is looked through."""
    first = RequestRecord.first_id_at(row.created_at - LINGERS)
    last = RequestRecord.first_id_at(successor.created_at + LINGERS)
    return RequestRecord.objects.filter(
        id__gte=first, id__lt=last, generation=row.generation
    ).exists()
