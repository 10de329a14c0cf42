"""How a request ended: attempts, and what the caller is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from msgspec import Struct

from failover.engine.loads import Lease
from failover.engine.plan import Candidate
from providers.adapters.simulator.faults import SimulatedFault
from providers.errors import Failure, Fault


class Ending(StrEnum):
    """Why nobody served. The gateway gives each one a status and a code per protocol."""

    UPSTREAM_FAILED = "upstream_failed"
    RATE_LIMITED = "rate_limited"
    OUT_OF_QUOTA = "insufficient_quota"
    OVERLOADED = "server_is_overloaded"
    TIMED_OUT = "upstream_timeout"
    LOOP = "loop_detected"
    CALLER = "caller"  # the first provider's 4xx goes back as it is


class Attempt(Struct, kw_only=True):
    """
    One call. Times are monotonic seconds of the engine's clock.

    `lease` is its part in the candidate's load, where that is measured. `simulated` is the fault
    that the provider pretended. `is_hedge`: it began beside another that had no content yet.
    `dropped` are members of the request that the provider could not take. `caller` is the name of
    the key that asks; `is_unusual`: its request is one that a provider may fail at. A Struct is
    made in 0.1 µs, a dataclass in 0.7; so with what else each request makes one of.
    """

    candidate: Candidate
    credential: str
    started_at: float
    headers_at: float | None = None
    content_at: float | None = None
    ended_at: float | None = None
    status: int | None = None
    failure: Failure | None = None
    lease: Lease | None = None
    simulated: SimulatedFault | None = None
    is_hedge: bool = False
    dropped: tuple[str, ...] = ()
    caller: str = ""
    is_unusual: bool = False

    def summary(self) -> dict[str, Any]:
        """What a caller may see of it: never a key, never a raw body."""
        failure = self.failure
        told = {
            "provider": self.candidate.provider,
            "model": self.candidate.model,
            "status": self.status,
            "reason": failure.fault.value if failure else None,
        }
        if self.simulated is not None:
            told["simulated"] = self.simulated.text
        return told


@dataclass(slots=True, kw_only=True)
class Failed:
    """Nobody served. `returns_in_s`: when the soonest candidate returns, if that is known."""

    ending: Ending
    failure: Failure
    attempts: list[Attempt] = field(default_factory=list)
    returns_in_s: float | None = None


def ending_of(attempts: list[Attempt]) -> Ending:
    """The word for a request that every attempt failed."""
    faults = {attempt.failure.fault for attempt in attempts if attempt.failure} - {Fault.HEDGED}
    if faults == {Fault.RATE_LIMITED}:
        return Ending.RATE_LIMITED
    if faults == {Fault.QUOTA}:
        return Ending.OUT_OF_QUOTA
    if faults <= {Fault.QUOTA, Fault.RATE_LIMITED}:
        return Ending.RATE_LIMITED
    if faults == {Fault.OVERLOADED}:
        return Ending.OVERLOADED
    if faults == {Fault.LOOP}:
        return Ending.LOOP  # said on, so that no gateway before this one asks again
    return Ending.UPSTREAM_FAILED
