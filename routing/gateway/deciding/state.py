"""
What changes from request to request: the one narrow thing that planning reads besides the table.

`State` is what `plan` may ask. `LiveState` answers from this process;
routing.gateway.explain.replay from what was recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, Protocol

from failover.engine.availability import blocked, is_half_open, ramp
from failover.engine.benches import Benches
from failover.engine.loads import Loads
from failover.engine.plan import FULL_RAMP, Candidate, Plan, Standing
from routing.gateway.deciding.affinity import Pins
from routing.gateway.deciding.snapshot import PoolSpec
from routing.gateway.deciding.table import Table

NO_COUNTERS: Final[Mapping[str, int]] = {}
NO_HEALTH: Final[Mapping[str, str]] = {}
UNHEALTHY: Final = "unhealthy"
REST: Final = Standing()


class State(Protocol):
    """
    What planning asks. Nothing here changes by being asked.

    `disturbed` are provider/model and provider/* of all that may not be at rest, apart from those
    that are only busy; `busy` asks of those that are measured and not disturbed.
    """

    def disturbed(self, now: float) -> AbstractSet[str]: ...
    def standing(self, candidate: Candidate, tokens: int, now: float) -> Standing | None: ...
    def busy(self, candidate: Candidate, tokens: int, now: float) -> Standing | None: ...
    def counters(self, pool: str) -> dict[str, int]: ...
    def pinned(self, pool: str, session: int, now: float) -> str: ...
    def commit(self, pool: str, weights: Sequence[tuple[str, int]], chosen: str) -> None: ...


class LiveState:
    """
    The state of one process. It outlives every table.

    `rotations` are the counters of rotations by pool and candidate; a move replaces a pool's
    counters as a whole, so that what was read stays as it was. `health` has a word for each
    provider of which probes know something; `unhealthy` are those who are that.
    """

    __slots__ = (
        "_unhealthy_subjects",
        "benches",
        "health",
        "loads",
        "pins",
        "rotations",
        "unhealthy",
    )

    def __init__(
        self, *, benches: Benches, loads: Loads | None = None, pins: Pins | None = None
    ) -> None:
        self.benches = benches
        self.loads = loads or Loads()
        self.pins = pins or Pins(wall=benches.wall)
        self.rotations: dict[str, dict[str, int]] = {}
        self.health: Mapping[str, str] = NO_HEALTH
        self.unhealthy: frozenset[str] = frozenset()
        self._unhealthy_subjects: frozenset[str] = frozenset()

    # What planning asks

    def disturbed(self, now: float) -> AbstractSet[str]:
        subjects = self.benches.subjects(now)
        return subjects | self._unhealthy_subjects if self._unhealthy_subjects else subjects

    def standing(self, candidate: Candidate, tokens: int, now: float) -> Standing | None:
        """How `candidate` stands; None if it is at rest."""
        benches = self.benches
        busy = self.busy(candidate, tokens, now) if candidate.is_measured else None
        block = blocked(candidate, benches, now)
        is_manual = block is not None and block.reason == "benched_manually"
        is_unhealthy = candidate.provider in self.unhealthy and not is_manual
        if block is None and not is_unhealthy:
            half_open = is_half_open(candidate, benches, now)
            ramped = ramp(candidate, benches, now)
            if busy is None and not half_open and ramped == FULL_RAMP:
                return None
            busy = busy or REST
            return Standing(
                reason=busy.reason,
                returns_in_s=busy.returns_in_s,
                is_limited=busy.is_limited,
                half_open=half_open,
                ramp=ramped,
                in_flight=busy.in_flight,
                latency_s=busy.latency_s,
            )
        busy = busy or REST
        return Standing(
            reason="unhealthy" if is_unhealthy or block is None else block.reason,
            returns_in_s=None if block is None else block.returns_in_s,
            yields=(block is None or block.yields) and not busy.reason,
            is_limited=block is not None and block.is_stated,
            in_flight=busy.in_flight,
            latency_s=busy.latency_s,
        )

    def busy(self, candidate: Candidate, tokens: int, now: float) -> Standing | None:
        """How busy `candidate` is, which is measured; None if it is at rest, or nobody knows."""
        load = self.loads.get(candidate.name)
        if load is None:
            return None
        in_flight, latency_s = load.in_flight, load.latency_s(now)
        if candidate.limits is not None:
            full = self.loads.full(candidate, tokens, now)
            if full is not None:
                return Standing(
                    reason="saturated",
                    returns_in_s=full.returns_in_s,
                    is_limited=True,
                    in_flight=in_flight,
                    latency_s=latency_s,
                )
        if not in_flight and not latency_s:
            return None
        return Standing(in_flight=in_flight, latency_s=latency_s)

    def counters(self, pool: str) -> dict[str, int]:
        return self.rotations.get(pool) or {}

    def pinned(self, pool: str, session: int, now: float) -> str:
        return self.pins.get(pool, session, now)

    # What is told

    def commit(self, pool: str, weights: Sequence[tuple[str, int]], chosen: str) -> None:
        """One pick of a rotation by smooth weighted round robin."""
        counters = dict(self.rotations.get(pool, NO_COUNTERS))
        total = 0
        for name, weight in weights:
            counters[name] = counters.get(name, 0) + weight
            total += weight
        counters[chosen] -= total
        self.rotations[pool] = counters

    def served(self, plan: Plan, candidate: Candidate, now: float) -> None:
        """`candidate` has begun to answer: a session that moved is remembered."""
        if plan.affinity is not None:
            self.pins.note(plan.affinity, candidate.name, now)

    def note_health(self, statuses: Mapping[str, str]) -> None:
        """How probes found these providers; of no other one anything is known."""
        self.health = statuses
        self.mark_unhealthy(name for name, status in statuses.items() if status == UNHEALTHY)

    def mark_unhealthy(self, providers: Iterable[str]) -> None:
        """Probes could not reach these, and no others."""
        self.unhealthy = frozenset(providers)
        self._unhealthy_subjects = frozenset(f"{name}/*" for name in self.unhealthy)

    def prune(self, table: Table) -> None:
        """Forget what belongs to pools and candidates that are gone."""
        for name, counters in list(self.rotations.items()):
            spec = table.pools.get(name) or table.aliases.get(name)
            if spec is None:
                del self.rotations[name]
                continue
            members = spec.candidates if isinstance(spec, PoolSpec) else spec.targets
            kept = {f"{c.provider}/{c.model}" for c in members} & counters.keys()
            if len(kept) < len(counters):
                self.rotations[name] = {n: c for n, c in counters.items() if n in kept}
        self.pins.prune(lambda pool: pool in table.pools or pool in table.aliases)
        self.loads.prune(table.measured)
