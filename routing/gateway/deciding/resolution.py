"""What a name means: groups of candidates in the order of trying; or nothing, as a value too."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import inf

from failover.engine.plan import Candidate, Plan
from routing.gateway.deciding.pools import Pool
from routing.gateway.deciding.snapshot import RuleSpec
from routing.gateway.deciding.strategies import STRATEGIES


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """Nothing is meant by `requested`; `close` are names like it."""

    requested: str
    close: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One resolved name. `stage` says where it came from: request, chain or rule."""

    requested: str
    pool: Pool
    resolved_by: str
    stage: str = "request"

    @property
    def is_known(self) -> bool:
        """Whether somebody configured it; what callers make up is not remembered."""
        return all(candidate.is_known for candidate in self.pool.candidates)


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """
    What a `model` means: groups in the order of trying, the rule's targets last.

    `plans` remembers those that nothing live bears on, by protocol, whether failover is wished
    away, and needs; the planner keeps it.
    """

    requested: str
    groups: tuple[Group, ...]
    rule: RuleSpec | None
    resolved_by: str
    warnings: tuple[str, ...] = ()
    plans: dict[tuple[str, bool, frozenset[str]], Plan] = field(default_factory=dict, repr=False)

    @property
    def canonical_model(self) -> str:
        return self.groups[0].pool.name

    def is_single(self, disabled: frozenset[str], first: Candidate) -> bool:
        """Whether failover is disabled for it, so that after `first` nobody is called."""
        names = (self.requested, self.groups[0].requested, self.canonical_model, first.name)
        return bool(disabled) and not disabled.isdisjoint(names)

    @cached_property
    def is_settled(self) -> bool:
        """Whether one plan serves all requests while nobody is benched or unhealthy."""
        pools = [group.pool for group in self.groups]
        return all(
            STRATEGIES[p.strategy].is_settled and not p.stays and not p.is_measured for p in pools
        )

    @cached_property
    def smallest_window(self) -> float:
        """Up to so many tokens nobody is left out for the size of the request."""
        windows = [group.pool.smallest_window for group in self.groups]
        return min((window for window in windows if window is not None), default=inf)

    @cached_property
    def lacking(self) -> frozenset[str]:
        """What at least one candidate is known not to be capable of."""
        return frozenset().union(*(group.pool.lacking for group in self.groups))

    @cached_property
    def takes_sessions(self) -> bool:
        """Whether it matters who is talking: to a pool, or to the choice of a credential."""
        return any(
            group.pool.takes_sessions or any(len(c.credentials) > 1 for c in group.pool.candidates)
            for group in self.groups
        )
