"""
Benches in the database: the truth that survives, and the way between hosts that is always there.

Every write moves one counter first, and by that waits for the write before it: who has seen the
counter at n has all that was written up to n, and whoever merges reads what no other one is about
to replace.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from django.db import transaction
from django.db.models import F

from controlplane.benches.remembered import forget, remember
from failover.engine.bench_entries import REMEMBERED_S, BenchEntry, Place, newer
from failover.models import Bench, BenchReader, BenchVersion

AT_ONCE: Final = 500
PRUNE_EVERY_S: Final = 60.0
READER_EVERY_S: Final = 5.0
READER_GONE_S: Final = 3 * READER_EVERY_S

logger = logging.getLogger("switchyard.control")
_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(BenchEntry)


class BenchStore:
    """
    One host's dealings with the table. Used by one thread at a time.

    Every method raises what the database raises; the next exchange is then a whole one.
    """

    def __init__(self, host: str, *, wall: Callable[[], float] = time.time) -> None:
        self._host = host
        self._wall = wall
        self._seen = -1
        self._prune_at = 0.0
        self._told: tuple[int, int] = (-1, -1)
        self._told_at = 0.0

    @property
    def version(self) -> int:
        """What has been read goes up to here; -1 before the first exchange."""
        return self._seen

    def exchange(
        self, ours: Sequence[BenchEntry], everything: Callable[[], Sequence[BenchEntry]]
    ) -> list[BenchEntry]:
        """
        Put `ours` in where they hold, and return what has been put in since the last exchange.

        `everything` is asked for when the last one failed, or this is another database.
        """
        seen, self._seen = self._seen, -1
        value = _version()
        if value < seen:
            seen = -1
        theirs = _since(seen) if value != seen else []
        known = {entry.place: entry for entry in theirs}
        wall = self._wall()
        news = [
            entry
            for entry in (everything() if seen < 0 else ours)
            if not entry.is_over(wall) and newer(known.get(entry.place), entry) is entry
        ]
        if news:
            _write(news, wall)
        if wall >= self._prune_at:
            self._prune_at = wall + PRUNE_EVERY_S
            self._prune(wall)
        # What was written meanwhile, by us too, is read the next time.
        self._seen = value
        return theirs

    def tell(self, version: int, workers: int) -> None:
        """This host's `workers` workers have seen the benches up to `version`."""
        wall = self._wall()
        if (version, workers) == self._told and wall - self._told_at < READER_EVERY_S:
            return
        BenchReader.objects.bulk_create(
            [BenchReader(host=self._host, version=version, workers=workers, seen_at=_at(wall))],
            update_conflicts=True,
            unique_fields=["host"],
            update_fields=["version", "workers", "seen_at"],
        )
        self._told, self._told_at = (version, workers), wall

    def leave(self) -> None:
        """This host serves no more."""
        BenchReader.objects.filter(host=self._host).delete()

    def _prune(self, wall: float) -> None:
        Bench.objects.filter(until__lte=_at(wall - REMEMBERED_S)).delete()
        forget(wall)
        BenchReader.objects.filter(seen_at__lte=_at(wall - PRUNE_EVERY_S)).delete()


def readers(wall: float) -> list[BenchReader]:
    """The hosts that are there, and how far they have come."""
    since = _at(wall) - timedelta(seconds=READER_GONE_S)
    return list(BenchReader.objects.filter(seen_at__gt=since).order_by("host"))


def versions_of(places: Iterable[Place]) -> dict[Place, int]:
    """The version at which each place was written last; those that are not there yet are not in."""
    digests = {digest_of(place): place for place in places}
    rows = Bench.objects.filter(place__in=digests).values_list("place", "version")
    return {digests[digest]: version for digest, version in rows}


def _version() -> int:
    return BenchVersion.objects.filter(pk=1).values_list("value", flat=True).first() or 0


def _since(version: int) -> list[BenchEntry]:
    rows = Bench.objects.filter(version__gt=version).values_list("entry", flat=True)
    return list(_decoded(rows))


def _decoded(rows: Iterable[str]) -> Iterator[BenchEntry]:
    for raw in rows:
        try:
            yield _decoder.decode(raw)
        except msgspec.DecodeError as error:
            # Written by a release that is newer than this one; the others must not wait for it.
            logger.warning("a bench in the database cannot be read: %s", error)


@transaction.atomic
def _write(entries: Sequence[BenchEntry], wall: float) -> None:
    if not BenchVersion.objects.filter(pk=1).update(value=F("value") + 1):
        BenchVersion.objects.get_or_create(pk=1, defaults={"value": 0})
        BenchVersion.objects.filter(pk=1).update(value=F("value") + 1)
    version = _version()
    for first in range(0, len(entries), AT_ONCE):
        some = {digest_of(e.place): e for e in entries[first : first + AT_ONCE]}
        rows = Bench.objects.filter(place__in=some).values_list("entry", flat=True)
        current = {entry.place: entry for entry in _decoded(rows)}
        some = {
            digest: entry
            for digest, entry in some.items()
            if newer(current.get(entry.place), entry) is not current.get(entry.place)
        }
        remember(some, current, wall)
        Bench.objects.bulk_create(
            [
                Bench(
                    place=digest,
                    entry=_encode(entry).decode(),
                    until=_at(entry.until),
                    version=version,
                )
                for digest, entry in some.items()
            ],
            update_conflicts=True,
            unique_fields=["place"],
            update_fields=["entry", "until", "version"],
        )


def digest_of(place: Place) -> str:
    return hashlib.sha256(_encode(place)).hexdigest()


def _at(wall: float) -> datetime:
    return datetime.fromtimestamp(wall, UTC)
