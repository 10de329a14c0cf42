"""
From a name in a request to groups of candidates: pool, alias, provider/model, bare id, or chain.

Pure: a lookup in the table. Single names are remembered in the table; chains are not, because
callers make them up.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from functools import cached_property
from math import inf

from failover.engine.plan import Plan
from routing.gateway.deciding.pools import Pool
from routing.gateway.deciding.snapshot import RuleSpec
from routing.gateway.deciding.strategies import STRATEGIES
from routing.gateway.deciding.table import Table
from routing.gateway.errors import unknown_model

CLOSE_NAMES = 3
COMPARED_NAMES = 200
CHAIN_LIMIT = 32
NAME_LIMIT = 512  # no provider/model that can be stored is longer; to look for "/" takes its square


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


def resolve(table: Table, requested: str, close_to: frozenset[str] | None = None) -> Resolution:
    """
    The resolution of `requested`. Raises Refused (404) with close names if nothing is meant.

    `close_to` limits the names that an error may propose to those that the key may use.
    """
    known = table.resolutions.get(requested)
    if known is not None:
        return known
    if len(requested) > NAME_LIMIT * CHAIN_LIMIT:
        raise unknown_model(requested, [])
    group = resolve_name(table, requested)
    if group is not None:
        resolution = _with_rule(table, requested, (group,), group.resolved_by, ())
        if group.is_known:
            table.resolutions[requested] = resolution
        return resolution
    if "," in requested:
        return _resolve_chain(table, requested, close_to)
    raise unknown_model(requested, _close(table, requested, close_to))


def resolve_name(table: Table, name: str, stage: str = "request") -> Group | None:
    """One name, without rules and chains."""
    if len(name) > NAME_LIMIT:
        return None
    for resolved_by, pool_of in (
        ("pool", table.pool),
        ("alias", table.alias),
        ("provider_model", table.direct),
        ("inventory", table.listed),
    ):
        pool = pool_of(name)
        if pool is not None:
            return Group(requested=name, pool=pool, resolved_by=resolved_by, stage=stage)
    return None


def _resolve_chain(table: Table, requested: str, close_to: frozenset[str] | None) -> Resolution:
    names = list(dict.fromkeys(part.strip() for part in requested.split(",") if part.strip()))
    groups: list[Group] = []
    warnings: list[str] = []
    for name in names[:CHAIN_LIMIT]:
        group = resolve_name(table, name, "chain" if groups else "request")
        if group is None:
            warnings.append(f"unknown model in the chain: {name[:100]}")
        else:
            groups.append(group)
    if not groups:
        raise unknown_model(requested, _close(table, names[0] if names else "", close_to))
    return _with_rule(table, requested, tuple(groups), "chain", tuple(warnings))


def _with_rule(
    table: Table,
    requested: str,
    groups: tuple[Group, ...],
    resolved_by: str,
    warnings: tuple[str, ...],
) -> Resolution:
    """Append the one failover rule that applies: one hop, its targets in order."""
    rule = _rule_for(table, requested, groups[0]) if table.failover_enabled else None
    targets = []
    for target in rule.fallbacks if rule else ():
        group = resolve_name(table, target, "rule")
        if group is not None:
            targets.append(group)
        else:
            warnings = (*warnings, f"the failover rule names an unknown model: {target[:100]}")
    return Resolution(
        requested=requested,
        groups=(*groups, *targets),
        rule=rule,
        resolved_by=resolved_by,
        warnings=warnings,
    )


def _rule_for(table: Table, requested: str, first: Group) -> RuleSpec | None:
    primary = first.pool.primary
    for name in (
        requested,
        first.requested,
        first.pool.name,
        primary.name if primary else "",
    ):
        rule = table.rules.get(name)
        if rule is not None:
            return rule
    return None


def _close(table: Table, name: str, close_to: frozenset[str] | None) -> list[str]:
    """Up to three names like `name`. Comparing is slow, so few are compared."""
    names = (n for n in (*table.pools, *table.aliases) if close_to is None or n in close_to)
    similar = sorted(names, key=lambda n: (n[:3] != name[:3], n))[:COMPARED_NAMES]
    return difflib.get_close_matches(name[:100], similar, n=CLOSE_NAMES, cutoff=0.5)
