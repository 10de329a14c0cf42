"""How long a bench lasts, by what was at fault and by those before it."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Final

from failover.engine.policy import BenchPolicy
from providers.errors import Failure, Fault

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
