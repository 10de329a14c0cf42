"""The attempts of a recorded request laid out in time, for its page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from providers.errors import Fault
from routing.gateway.deciding.wording import words_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from controlplane.records.models import RequestRecord
    from routing.gateway.records.record import AttemptRecord, RejectedRecord


def duration(ms: float | None) -> str:
    """A time in words."""
    if ms is None:
        return "never"
    if ms >= 10_000:
        return f"{ms / 1000:.1f} s"
    return f"{ms:.0f} ms" if ms >= 10 else f"{ms:.1f} ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A stretch of an attempt on the time axis, in percent of it."""

    phase: str
    left: str
    width: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownAttempt:
    """An attempt as the page shows it."""

    number: int
    candidate: str
    credential: str
    verdict: str
    is_good: bool
    message: str
    bars: tuple[Bar, ...]
    times: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTrail:
    """`left_out` are those whom the plan passed over, and why, in words."""

    calls: tuple[ShownAttempt, ...]
    ticks: tuple[tuple[str, str], ...]
    left_out: tuple[tuple[str, str], ...]


def trail_of(row: RequestRecord) -> RequestTrail:
    """The attempts laid out on a time axis from the request's start to its end."""
    attempts = row.told.attempts
    total = max([row.duration_ms, 0.001, *(a.ended_ms or 0.0 for a in attempts)])
    return RequestTrail(
        calls=tuple(_call(number, a, row, total) for number, a in enumerate(attempts, 1)),
        ticks=tuple((f"{part}%", duration(total * part / 100)) for part in (0, 25, 50, 75, 100)),
        left_out=left_out(row.told.decision.rejected),
    )


def left_out(entries: Iterable[RejectedRecord]) -> tuple[tuple[str, str], ...]:
    return tuple((entry.candidate, words_of(entry.reason)) for entry in entries)


def _call(number: int, attempt: AttemptRecord, row: RequestRecord, total: float) -> ShownAttempt:
    end = row.duration_ms if attempt.ended_ms is None else attempt.ended_ms
    marks = [
        ("waiting for headers", attempt.started_ms),
        ("waiting for content", attempt.headers_ms),
        ("content", attempt.content_ms),
    ]
    reached = [(phase, at) for phase, at in marks if at is not None]
    ends = [at for _, at in reached[1:]] + [end]
    bars = [
        Bar(
            phase=phase.split()[-1],
            left=f"{100 * at / total:.2f}%",
            width=f"{max(100 * (until - at) / total, 0):.2f}%",
        )
        for (phase, at), until in zip(reached, ends, strict=True)
    ]
    if attempt.fault == Fault.HEDGED:
        verdict = "called off: the one beside it was first"
    elif attempt.fault:
        status = "" if attempt.status is None else str(attempt.status)
        verdict = " ".join(filter(None, [attempt.fault.replace("_", " "), status]))
    elif attempt.ended_ms is None:
        verdict = "given up: the request ended first"
    else:
        verdict = "answered"
    if attempt.simulated:
        verdict += f" (simulated: {attempt.simulated})"
    if attempt.dropped:
        verdict += f" (left out: {', '.join(attempt.dropped)})"
    if attempt.is_hedge:
        verdict += " (hedge)"
    return ShownAttempt(
        number=number,
        candidate=f"{attempt.provider}/{attempt.model}",
        credential=attempt.credential or "none",
        verdict=verdict,
        is_good=attempt.fault in ("", Fault.HEDGED),
        message=attempt.message,
        bars=tuple(bars),
        times=(
            ("begun", duration(attempt.started_ms)),
            ("headers", duration(attempt.headers_ms)),
            ("first content", duration(attempt.content_ms)),
            ("end", duration(attempt.ended_ms)),
        ),
    )
