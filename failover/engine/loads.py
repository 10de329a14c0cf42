"""
How busy candidates are: calls under way, time to the first token, and the last minute's calls.

Kept by "provider/model" for those that somebody goes by (`Candidate.is_measured`), in this
process. Every method takes `now` (monotonic seconds).
"""

from __future__ import annotations

from collections import deque
from math import exp
from typing import Final, NamedTuple

from failover.engine.plan import Candidate
from providers.protocols import Request, Usage

AVERAGED_OVER_S: Final = 10.0
FORGOTTEN_OVER_S: Final = 60.0
WINDOW_S: Final = 60.0


def expected_tokens(request: Request) -> int:
    """What a call for `request` is thought to take, before anybody has answered."""
    return request.estimated_input_tokens + (request.max_output_tokens or 0)


def total_tokens(usage: Usage | None) -> int | None:
    """What an answer took, as providers count it; None if it did not say."""
    if usage is None or usage.input_tokens is None:
        return None
    return usage.input_tokens + (usage.output_tokens or 0)


class Saturated(NamedTuple):
    """A candidate takes no more by its own limits. `returns_in_s` is None where nobody knows."""

    returns_in_s: float | None


class Load:
    """The load of one provider's model."""

    __slots__ = ("_calls", "_latency_s", "_measured_at", "_tokens", "in_flight", "is_limited")

    def __init__(self) -> None:
        self.in_flight = 0
        self.is_limited = False
        self._latency_s = 0.0
        self._measured_at = 0.0
        self._calls: deque[list[float]] = deque()  # [when, tokens]; tokens may be corrected
        self._tokens = 0.0

    def latency_s(self, now: float) -> float:
        """
        Time to the first token as a peak-sensitive moving average; 0 if nothing is known.

        A rise counts at once, a fall over 10 s. What is not measured any more fades over 60 s,
        so that one bad answer does not keep everybody away for good.

        Source: Twitter Finagle, "Peak EWMA" load metric, checked 2026-11-21. There both times
        are one; with few requests a minute the slow one would then have every other turn.
        """
        if not self._latency_s:
            return 0.0
        return self._latency_s * exp((self._measured_at - now) / FORGOTTEN_OVER_S)

    def measure(self, latency_s: float, now: float) -> None:
        before = self._latency_s
        if latency_s < before:
            kept = exp((self._measured_at - now) / AVERAGED_OVER_S)
            latency_s = before * kept + latency_s * (1 - kept)
        self._latency_s, self._measured_at = latency_s, now

    def note(self, tokens: int, now: float) -> list[float]:
        self._expire(now)
        call = [now, float(tokens)]
        self._calls.append(call)
        self._tokens += tokens
        return call

    def correct(self, call: list[float], tokens: int) -> None:
        """`call` took another number of tokens than was thought; too late is no matter."""
        if self._calls and call[0] >= self._calls[0][0]:
            self._tokens += tokens - call[1]
            call[1] = tokens

    def full(self, rpm: int | None, tpm: int | None, tokens: int, now: float) -> tuple[bool, float]:
        """(whether one more call of `tokens` is too many for a minute, seconds until it is not)."""
        self._expire(now)
        calls = self._calls
        if not calls:
            # A call larger than the whole limit is let through alone: it would never fit.
            return False, 0.0
        wait_s = 0.0
        if rpm is not None and len(calls) >= rpm:
            wait_s = calls[len(calls) - rpm][0] + WINDOW_S - now
        if tpm is not None and self._tokens + tokens > tpm:
            left = self._tokens + tokens
            freed_at = now
            for at, taken in calls:
                freed_at = at
                left -= taken
                if left <= tpm:
                    break
            wait_s = max(wait_s, freed_at + WINDOW_S - now)
        return wait_s > 0, wait_s

    def _expire(self, now: float) -> None:
        calls = self._calls
        while calls and calls[0][0] <= now - WINDOW_S:
            self._tokens -= calls.popleft()[1]


class Lease:
    """One call under way. `end` it whatever happens; a second time changes nothing."""

    __slots__ = ("_call", "_load")

    def __init__(self, load: Load, call: list[float] | None) -> None:
        self._load: Load | None = load
        self._call = call

    def answered(self, latency_s: float, now: float) -> None:
        """The first content came `latency_s` after the call began."""
        if self._load is not None:
            self._load.measure(latency_s, now)

    def end(self, tokens: int | None = None) -> None:
        """The call is over; `tokens` is what it took, if that is known."""
        load, self._load = self._load, None
        if load is None:
            return
        load.in_flight -= 1
        if self._call is not None and tokens is not None:
            load.correct(self._call, tokens)


class Loads:
    """
    The loads of one process.

    `workers` is how many processes share the candidates' limits: each keeps to its part, of at
    least one.
    """

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self._loads: dict[str, Load] = {}

    def get(self, name: str) -> Load | None:
        return self._loads.get(name)

    def begin(self, candidate: Candidate, tokens: int, now: float) -> Lease:
        """A call of about `tokens` tokens starts."""
        load = self._loads.get(candidate.name)
        if load is None:
            load = self._loads[candidate.name] = Load()
        load.in_flight += 1
        limits = candidate.limits
        if limits is not None and (limits.rpm is not None or limits.tpm is not None):
            load.is_limited = True
        return Lease(load, load.note(tokens, now) if load.is_limited else None)

    def full(self, candidate: Candidate, tokens: int, now: float) -> Saturated | None:
        """What keeps `candidate` from taking one more call of `tokens` tokens, by its limits."""
        limits, load = candidate.limits, self._loads.get(candidate.name)
        if limits is None or load is None:
            return None
        if limits.rpm is not None or limits.tpm is not None:
            is_full, wait_s = load.full(self._part(limits.rpm), self._part(limits.tpm), tokens, now)
            if is_full:
                return Saturated(wait_s)
        parallel = self._part(limits.max_parallel)
        if parallel is not None and load.in_flight >= parallel:
            return Saturated(None)
        return None

    def prune(self, measured: frozenset[str]) -> None:
        """Forget those whom nobody goes by any more."""
        for name in self._loads.keys() - measured:
            if not self._loads[name].in_flight:
                del self._loads[name]

    def _part(self, limit: int | None) -> int | None:
        return None if limit is None else max(1, limit // self.workers)
