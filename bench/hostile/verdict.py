"""What the ordinary caller felt, what the processes held, and whether that is as promised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bench.load.callers import quantile
from bench.soak import watch

P99_MS: Final = 100.0
GROWTH_MIB: Final = 200.0


@dataclass(slots=True)
class Felt:
    """Milliseconds of the answers that came; `failed` is how many did not."""

    ms: list[float] = field(default_factory=list)
    failed: int = 0

    def note(self, took_ms: float) -> None:
        if took_ms < 0:
            self.failed += 1
        else:
            self.ms.append(took_ms)

    def at(self, share: float) -> float:
        return quantile(sorted(self.ms), share)

    def __str__(self) -> str:
        figures = (self.at(0.5), self.at(0.99), max(self.ms, default=0.0))
        return " | ".join(f"{each:,.1f}" for each in figures)


class Ordinary:
    """What the ordinary caller said, by what was going on when it asked."""

    def __init__(self) -> None:
        self.through, self.beside = Felt(), Felt()
        self._moments: list[tuple[float, str, float]] = []

    def hear(self, line: str) -> None:
        at, name, took = line.split()
        (self.through if name == "through" else self.beside).note(float(took))
        self._moments.append((float(at), name, float(took)))

    def during(self, began: float, ended: float) -> tuple[Felt, Felt]:
        """Through the gateway, and beside it."""
        felt = {"through": Felt(), "beside": Felt()}
        for at, name, took in self._moments:
            if began <= at < ended:
                felt[name].note(took)
        return felt["through"], felt["beside"]


def growth(samples: Sequence[watch.Sample]) -> dict[str, tuple[float, float, float]]:
    """By process: MiB at first, the most there ever were, and at last."""
    found: dict[str, tuple[float, float, float]] = {}
    for each in samples:
        for name, held in each.items():
            first, most, _ = found.get(name, (held["rss_mib"], 0.0, 0.0))
            found[name] = (first, max(most, held["rss_mib"], held["peak_mib"]), held["rss_mib"])
    return found


def problems(
    ordinary: Ordinary,
    samples: Sequence[watch.Sample],
    failures: Sequence[str],
    tracebacks: int,
) -> list[str]:
    """Every line that is not held."""
    found = []
    through = ordinary.through
    if not through.ms:
        found.append("the ordinary caller was never answered")
    # What it waits for the upstream itself, with no gateway between, is the machine's fault.
    allowed = P99_MS + ordinary.beside.at(0.99)
    if through.at(0.99) > allowed:
        found.append(f"the ordinary caller's p99 is {through.at(0.99):,.0f} ms of {allowed:,.0f}")
    if through.failed:
        found.append(f"{through.failed} of the ordinary caller's requests failed")
    for name, (first, most, _) in growth(samples).items():
        if name.startswith("worker ") and most - first > GROWTH_MIB:
            found.append(f"{name} grew from {first:,.0f} to {most:,.0f} MiB")
    found += [f"{name} died, or was new" for name in sorted(watch.came_and_went(samples))]
    if tracebacks:
        found.append(f"{tracebacks} tracebacks in the log")
    return found + list(failures)


def table(rows: Sequence[tuple[str, ...]], heads: Mapping[str, str]) -> str:
    """A Markdown table; `heads` by name, with how each column is aligned."""
    lines = [f"| {' | '.join(heads)} |", f"|{'|'.join(heads.values())}|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])
