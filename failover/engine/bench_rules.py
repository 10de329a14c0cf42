"""When a place is benched, and for how long: what is counted, and how benches grow."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import Final

from msgspec import Struct

from failover.engine.bench_entries import Key
from failover.engine.policy import BenchPolicy
from providers.errors import MESSAGE_LIMIT, Failure, Fault

BUCKETS: Final = 10
OVERLOAD_COOLDOWN_S: Final = 5.0
OVERLOAD_STATED_MAX_S: Final = 30.0
STATED_MIN_S: Final = 1.0
STATED_MAX_S: Final = 3600.0
JITTER: Final = 0.2
FORGET_S: Final = 60.0
TOGETHER_S: Final = 1.0
# What a provider does while it is away or not itself. It may be well again at any moment, and a
# trial of it fails over unseen, so that it costs little to ask soon.
OUTAGES: Final = frozenset(
    {
        Fault.CONNECT,
        Fault.RESET,
        Fault.TIMEOUT,
        Fault.STATUS,
        Fault.OVERLOADED,
        Fault.CONFIG,
        Fault.BAD_REPLY,
        Fault.BAD_STREAM,
        Fault.INTERRUPTED,
    }
)


def stated_s(failure: Failure) -> float | None:
    """The time that the provider itself stated, within bounds; None if it stated none."""
    if failure.retry_after_s is None:
        return None
    if failure.fault is Fault.RATE_LIMITED:
        return min(max(failure.retry_after_s, STATED_MIN_S), STATED_MAX_S)
    if failure.fault is Fault.OVERLOADED:
        return min(max(failure.retry_after_s, STATED_MIN_S), OVERLOAD_STATED_MAX_S)
    return None


def length_s(fault: Fault, policy: BenchPolicy, earlier: int, rng: Random) -> float:
    """
    Seconds that `fault` benches for, after so many `earlier` benches in a row.

    `cooldown_s` doubling, within a fifth, and never longer than the policy's longest.
    """
    base_s, grows = {
        Fault.OVERLOADED: (OVERLOAD_COOLDOWN_S, True),
        Fault.QUOTA: (policy.auth_cooldown_s, True),
        Fault.AUTH: (policy.auth_cooldown_s, False),
        Fault.FORBIDDEN_MODEL: (policy.auth_cooldown_s, False),
        Fault.MODEL_NOT_FOUND: (policy.max_cooldown_s, False),
    }.get(fault, (policy.cooldown_s, True))
    if fault in OUTAGES:
        longest_s = min(policy.max_outage_s, policy.max_cooldown_s)
    else:
        longest_s = max(policy.max_cooldown_s, base_s)
    unjittered_s = min(base_s * 2.0**earlier, longest_s) if grows else base_s
    return min(unjittered_s * rng.uniform(1 - JITTER, 1 + JITTER), longest_s)


def sample_of(failure: Failure, *, is_stated: bool) -> str:
    """The provider's words, and which field of its answer stated the time."""
    if not (is_stated and failure.stated_by):
        return failure.message[:MESSAGE_LIMIT]
    source = f" (until the time in {failure.stated_by})"
    return failure.message[: MESSAGE_LIMIT - len(source)] + source


@dataclass(slots=True)
class History:
    """
    What outlives a bench: the starts of those in a row, and when something failed last.

    `ill_until`: the last failure, or the end of the last bench. A minute after it without another
    failure the next bench is a first one again.
    """

    starts: list[float] = field(default_factory=list)
    ill_until: float = float("-inf")
    last_connect_failure: float = float("-inf")

    def observe_failure(self, now: float) -> None:
        if now - self.ill_until >= FORGET_S:
            self.starts = []
        self.ill_until = max(self.ill_until, now)

    def connect_fails_again(self, now: float) -> bool:
        """Whether a failure to connect is the second within a second."""
        is_again = now - self.last_connect_failure <= TOGETHER_S
        self.last_connect_failure = now
        return is_again


class Window:
    """
    Successes and failures of the last `span_s` seconds, in ten buckets.

    The bucket of the moment is `good` and `bad`, and is put with the others when it ends: noting
    a success in the four windows of a call takes a quarter of the time of finding its bucket.
    """

    __slots__ = ("_bad", "_current", "_good", "_width_s", "bad", "ends_at", "good", "span_s")

    def __init__(self, span_s: float) -> None:
        self.span_s = span_s
        self._width_s = span_s / BUCKETS
        self._current = -1
        self.ends_at = 0.0
        self.forget()

    def observe(self, now: float, *, ok: bool) -> None:
        if now >= self.ends_at:
            self.advance(now)
        if ok:
            self.good += 1
        else:
            self.bad += 1

    def counts(self, now: float) -> tuple[int, int]:
        """(successes, failures) inside the window."""
        if now >= self.ends_at:
            self.advance(now)
        return sum(self._good) + self.good, sum(self._bad) + self.bad

    def forget(self) -> None:
        self.good = self.bad = 0
        self._good = [0] * BUCKETS
        self._bad = [0] * BUCKETS

    def advance(self, now: float) -> None:
        """Begin the bucket of `now`, which is after `ends_at`."""
        tick = int(now / self._width_s)
        if tick - self._current >= BUCKETS:
            self.forget()
        else:
            at = self._current % BUCKETS
            self._good[at], self._bad[at] = self.good, self.bad
            self.good = self.bad = 0
            for step in range(self._current + 1, tick + 1):
                self._good[step % BUCKETS] = self._bad[step % BUCKETS] = 0
        self._current = tick
        self.ends_at = (tick + 1) * self._width_s


# Whose doing a failure is, where the provider alone cannot be told from the caller: what one
# caller's requests meet again and again, while another's are answered between them, says nothing of
# the provider. While it is truly away nobody is answered, so that one caller's failures bench it
# as soon as ever.

# What a request itself can bring about: a head or body that a server cannot stand. Not what keeps
# everybody waiting, nor an address that nobody answers at.
MAY_BE_THE_CALLERS: Final = frozenset(
    {
        Fault.RESET,
        Fault.STATUS,
        Fault.CONFIG,
        Fault.FORBIDDEN,
        Fault.BAD_REPLY,
        Fault.BAD_STREAM,
    }
)


class _Answered(Struct):
    """Who was answered last and when, and who of the others before."""

    caller: str
    at: float
    others_at: float = -inf


class _Failing(Struct):
    """Whose requests fail, since when, until when, and when another's did last."""

    caller: str
    since: float
    at: float
    others_at: float = -inf


class Callers:
    """By candidate. A caller is the name of a key; "" is nobody, of whom nothing is noted."""

    def __init__(self) -> None:
        self._answered: dict[str, _Answered] = {}
        self._failing: dict[Key, _Failing] = {}

    def answered(self, subject: str, caller: str, now: float) -> None:
        """Called for every answer: 0.1 µs."""
        last = self._answered.get(subject)
        if last is None:
            self._answered[subject] = _Answered(caller, now)
        elif last.caller == caller:
            last.at = now
        else:
            last.caller, last.others_at, last.at = caller, last.at, now

    def failed(self, key: Key, caller: str, span_s: float, now: float) -> None:
        failing = self._failing.get(key)
        if failing is None or now - failing.at > span_s:
            self._failing[key] = _Failing(caller, now, now)
        elif failing.caller == caller:
            failing.at = now
        else:
            self._failing[key] = _Failing(caller, now, now, failing.at)

    def is_own(self, key: Key, fault: Fault, span_s: float, now: float) -> bool:
        """Whether what `key` has been failing with lately is the doing of one caller."""
        failing = self._failing.get(key)
        if failing is None or not failing.caller or fault not in MAY_BE_THE_CALLERS:
            return False
        if now - failing.others_at <= span_s:
            return False
        last = self._answered.get(key[0])
        if last is None:
            return False
        return (last.others_at if last.caller == failing.caller else last.at) >= failing.since

    def forget(self, key: Key) -> None:
        self._failing.pop(key, None)
