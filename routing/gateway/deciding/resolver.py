"""
From a name in a request to groups of candidates: pool, alias, provider/model, bare id, or chain.

Pure: a lookup in the table. Single names are remembered in the table; chains are not, because
callers make them up.
"""

from __future__ import annotations

import difflib

from routing.gateway.deciding.resolution import Group, Resolution, Unknown
from routing.gateway.deciding.snapshot import RuleSpec
from routing.gateway.deciding.table import Table

CLOSE_NAMES = 3
COMPARED_NAMES = 200
CHAIN_LIMIT = 32
NAME_LIMIT = 512  # no provider/model that can be stored is longer; to look for "/" takes its square


def resolve(
    table: Table, requested: str, close_to: frozenset[str] | None = None
) -> Resolution | Unknown:
    """
    What `requested` means.

    `close_to` limits the names that may be proposed for an unknown one.
    """
    known = table.resolutions.get(requested)
    if known is not None:
        return known
    if len(requested) > NAME_LIMIT * CHAIN_LIMIT:
        return Unknown(requested=requested)
    group = resolve_name(table, requested)
    if group is not None:
        resolution = _with_rule(table, requested, (group,), group.resolved_by, ())
        if group.is_known:
            table.resolutions[requested] = resolution
        return resolution
    if "," in requested:
        return _resolve_chain(table, requested, close_to)
    return Unknown(requested=requested, close=_close(table, requested, close_to))


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


def _resolve_chain(
    table: Table, requested: str, close_to: frozenset[str] | None
) -> Resolution | Unknown:
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
        close = _close(table, names[0] if names else "", close_to)
        return Unknown(requested=requested, close=close)
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
    if not first.pool.is_enabled:
        return None  # who is switched off is off by every name
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


def _close(table: Table, name: str, close_to: frozenset[str] | None) -> tuple[str, ...]:
    """Up to three names like `name`. Comparing is slow, so few are compared."""
    names = (n for n in (*table.pools, *table.aliases) if close_to is None or n in close_to)
    similar = sorted(names, key=lambda n: (n[:3] != name[:3], n))[:COMPARED_NAMES]
    return tuple(difflib.get_close_matches(name[:100], similar, n=CLOSE_NAMES, cutoff=0.5))
