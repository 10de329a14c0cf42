"""The counts of all workers of a host as one, those of workers that are gone included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from routing.gateway.telemetry.promtext import BY_NAME, Labels, Sample, Series

DEPARTED_LIMIT: Final = 32  # workers that may still come back; their counts are kept apart


class _Told(Struct):
    """What a ledger writes down: the counts of each instance."""

    counters: dict[str, list[Sample]]


class Ledger:
    """
    What the workers of a host have told, living and dead.

    Each worker tells totals, so hearing one twice changes nothing. When it is gone, its counters
    stay and its gauges vanish.
    """

    def __init__(self) -> None:
        self._counters: dict[str, dict[Series, tuple[float, ...]]] = {}
        self._gauges: dict[str, Sequence[Sample]] = {}
        self._past: dict[Series, tuple[float, ...]] = {}

    @property
    def present(self) -> int:
        """How many workers are here."""
        return len(self._gauges)

    def hear(
        self, instance: str, counters: Sequence[Sample], gauges: Sequence[Sample] | None
    ) -> None:
        """Take what a worker tells. Without `gauges` those that it told before stay."""
        series = self._counters.setdefault(instance, {})
        for name, labels, values in counters:
            if _is_sound(name, labels, values):
                series[name, labels] = values
        if gauges is not None:
            self._gauges[instance] = gauges

    def value(self, instance: str, name: str) -> float:
        """What a worker told of a counter without labels; 0 if nothing yet."""
        return self._counters.get(instance, {}).get((name, ()), (0.0,))[0]

    def leave(self, instance: str) -> None:
        """A worker is gone, for good or until it is heard again."""
        self._gauges.pop(instance, None)
        # To the end: the order is that of going, and the longest gone cannot come back.
        if series := self._counters.pop(instance, None):
            self._counters[instance] = series
        departed = [name for name in self._counters if name not in self._gauges]
        for name in departed[: max(0, len(departed) - DEPARTED_LIMIT)]:
            _add(self._past, self._counters.pop(name))

    def count(self, name: str, labels: Labels, more: float) -> None:
        """Add what no worker tells any more."""
        _add(self._past, {(name, labels): (more,)})

    def samples(self) -> list[Sample]:
        """The counters of all added up, and the gauges of those who are here."""
        total = dict(self._past)
        for series in self._counters.values():
            _add(total, series)
        found: list[Sample] = [(name, labels, values) for (name, labels), values in total.items()]
        for gauges in self._gauges.values():
            found += (g for g in gauges if _is_sound(*g))
        return found

    def dump(self) -> bytes:
        """The counters, for `restore` after a restart."""
        told = {"": self._past, **self._counters}
        return msgspec.json.encode(
            _Told({who: [(*key, v) for key, v in series.items()] for who, series in told.items()})
        )

    def restore(self, raw: bytes) -> None:
        """Begin with what `dump` gave. Raises ValueError if `raw` is something else."""
        told = msgspec.json.decode(raw, type=_Told)
        for instance, samples in told.counters.items():
            self.hear(instance, samples, None)
        self._past = self._counters.pop("", {})


def _is_sound(name: str, labels: Labels, values: Sequence[float]) -> bool:
    """Whether this version knows the family; a file or worker of another one may tell of others."""
    family = BY_NAME.get(name)
    return family is not None and len(labels) == len(family.labels) and len(values) == family.width


def _add(total: dict[Series, tuple[float, ...]], series: dict[Series, tuple[float, ...]]) -> None:
    for key, values in series.items():
        earlier = total.get(key)
        if earlier is not None:
            values = tuple([a + b for a, b in zip(earlier, values, strict=True)])  # noqa: PLW2901
        total[key] = values
