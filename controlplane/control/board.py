"""What a host knows of benches and pins, for all its workers and for other hosts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from failover.engine.bench_entries import BenchEntry, Place, newer
from routing.gateway.deciding.affinity import PIN_LIMIT, PinEntry

PINS_KEPT: Final = 2 * PIN_LIMIT


class BenchBoard:
    """Every bench and release that still counts. `number` moves with each change."""

    def __init__(self) -> None:
        self.number = 0
        self._entries: dict[Place, BenchEntry] = {}
        self._numbers: dict[Place, int] = {}

    def take(self, entries: Iterable[BenchEntry], wall: float) -> list[BenchEntry]:
        """Merge `entries`; those that were news."""
        news = []
        for entry in entries:
            if newer(self._entries.get(entry.place), entry) is entry and not entry.is_over(wall):
                self._entries[entry.place] = entry
                news.append(entry)
        if news:
            self.number += 1
            self._numbers.update((entry.place, self.number) for entry in news)
        return news

    def get(self, place: Place) -> BenchEntry | None:
        return self._entries.get(place)

    def number_of(self, place: Place) -> int:
        """What `number` was when `place` changed last."""
        return self._numbers[place]

    def everything(self, wall: float) -> list[BenchEntry]:
        """What one who knows nothing has to hear, releases too."""
        for place in [place for place, e in self._entries.items() if e.is_over(wall)]:
            del self._entries[place], self._numbers[place]
        return list(self._entries.values())

    def sitting(self, wall: float) -> list[BenchEntry]:
        """
        Who sits out, or may be half-open, sorted.

        A bench that traffic made stays on the board after its time until it is released, as
        half-open, for as long as benches are remembered; a manual one ends with its time.
        """
        live = [entry for entry in self.everything(wall) if entry.holds(wall)]
        return sorted(live, key=lambda e: (e.subject, e.credential or "", e.manual))


class PinBoard:
    """The latest word of each session that moved, the longest unused first; bounded."""

    def __init__(self) -> None:
        self._pins: OrderedDict[tuple[str, int], PinEntry] = OrderedDict()

    def take(self, entries: Iterable[PinEntry], wall: float) -> list[PinEntry]:
        """Merge `entries`, the later word wins; those that were news."""
        news = []
        for entry in entries:
            place = (entry.pool, entry.session)
            known = self._pins.get(place)
            is_later = known is None or entry.used_at > known.used_at
            if is_later and wall - entry.used_at < entry.ttl_s:
                self._pins[place] = entry
                self._pins.move_to_end(place)
                news.append(entry)
        while len(self._pins) > PINS_KEPT:
            self._pins.popitem(last=False)
        return news

    def everything(self, wall: float) -> list[PinEntry]:
        """What still holds, ends of pins too."""
        for place in [p for p, e in self._pins.items() if wall - e.used_at >= e.ttl_s]:
            del self._pins[place]
        return list(self._pins.values())
