"""Candidates that their providers limit all the time, and what passed meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import fmean, pstdev
from typing import Final

from controlplane.advice.finding.values import (
    Ground,
    Line,
    Proposal,
    Seat,
    Span,
    Step,
    Tally,
    confidence_of,
    share,
)
from providers.saying.counting import counted

ALWAYS: Final = 0.8  # of the minutes in which it was called
MINUTES: Final = 30
STEADY: Final = 0.15  # the deviation of what is limited, as a part of its mean
STEADIER: Final = 0.5  # what is limited instead of the calls is so much steadier than they are
FIELDS: Final = ("rpm", "tpm", "max_parallel")
WORDS: Final = {
    "rpm": ("call a minute", "calls a minute"),
    "tpm": ("token a minute", "tokens a minute"),
    "max_parallel": ("call at once", "calls at once"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """What passed in a minute in which others were rate limited: calls, tokens, call seconds."""

    calls: int
    tokens: int
    busy_s: float


def limits(
    lines: Iterable[Line],
    tallies: Callable[[Seat], Tally],
    passed: Callable[[Seat], Sequence[Passed]],
    window: Span,
) -> Iterator[Proposal]:
    """
    A limit of our own where a provider's is met (nearly) every minute: then nobody is sent to be
    refused. `tallies` and `passed` are of a provider's model whatever pool asked for it, since its
    limits are counted so.
    """
    for line in lines:
        for seat in line.live:
            if is_always_limited(tallies(seat)):
                found = _limit(line, seat, tallies(seat), passed(seat), window)
                if found is not None:
                    yield found


def is_always_limited(tally: Tally) -> bool:
    return tally.limited_minutes >= max(MINUTES, ALWAYS * tally.minutes)


def _limit(
    line: Line, seat: Seat, tally: Tally, passed: Sequence[Passed], window: Span
) -> Proposal | None:
    series: dict[str, list[float]] = {
        "rpm": [minute.calls for minute in passed],
        "tpm": [minute.tokens for minute in passed],
        "max_parallel": [minute.busy_s / 60 for minute in passed],
    }
    name = _steadiest(series)
    middle = median(series[name])
    value = max(1, ceil(middle))
    old = getattr(seat, name)
    if not middle or (old is not None and old <= value):
        return None
    return Proposal(
        kind="limit",
        target=line.pool,
        about=f"{line.pool}\n{seat.name}",
        text=f"Send {seat.name} in pool {line.pool} at most {counted(value, *WORDS[name])}"
        f" ({name} {value}).",
        steps=(
            Step(
                object="pool", name=line.pool, candidate=seat.name, field=name, old=old, new=value
            ),
        ),
        grounds=(
            Ground(
                text=f"{seat.name} was rate limited in {tally.limited_minutes:,} of the"
                f" {counted(tally.minutes, 'minute')} in which it was called"
                f" ({share(tally.limited_minutes / tally.minutes)}); in those minutes"
                f" {counted(value, *WORDS[name])} passed (median).",
                figures={
                    "candidate": seat.name,
                    "calls": tally.calls,
                    "rate_limited": tally.limited,
                    "minutes": tally.minutes,
                    "rate_limited_minutes": tally.limited_minutes,
                    f"passed_{name}": value,
                },
                window=window,
            ),
        ),
        confidence=confidence_of([tally.limited_minutes], MINUTES),
    )


def _steadiest(series: dict[str, list[float]]) -> str:
    """What the provider seems to count: the calls, unless something else is much steadier."""
    spread = {name: _spread(values) for name, values in series.items()}
    best = min(FIELDS, key=spread.__getitem__)
    is_it = spread["rpm"] > STEADY and spread[best] < STEADIER * spread["rpm"]
    return best if is_it else "rpm"


def _spread(values: list[float]) -> float:
    mean = fmean(values) if values else 0.0
    return pstdev(values) / mean if mean else float("inf")


def median(values: Iterable[float]) -> float:
    """The lower of the two in the middle, so that it is one that was seen."""
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) // 2] if ordered else 0.0
