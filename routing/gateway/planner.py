"""
The one decision: who is tried, in which order, and why the others are not.

`plan` is pure: no clock, no dice of its own, no I/O. It only reads `live`; the counter move that
its choice costs comes back in the plan, and the engine commits it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from types import MappingProxyType

from msgspec import Struct

from failover.engine.availability import Block, blocked, is_half_open
from failover.engine.benches import Benches
from failover.engine.plan import Candidate, Plan, Rejected
from routing.gateway.auth import Key
from routing.gateway.errors import NoCandidate, no_candidate
from routing.gateway.resolver import Group, Resolution
from routing.gateway.strategies import SETTLED_STRATEGIES, STRATEGIES, Move, Rotation, move_on
from routing.gateway.table import Table

EMBEDDINGS = "openai_embeddings"
_AT_REST: Rotation = MappingProxyType({})


@dataclass(slots=True, kw_only=True)
class Live:
    """What changes from request to request, and outlives every table."""

    benches: Benches
    rotations: dict[str, dict[str, int]] = field(default_factory=dict)

    def commit(self, pool: str, move: Move) -> None:
        move_on(self.rotations.setdefault(pool, {}), move)

    def prune(self, table: Table) -> None:
        """Forget counters of pools that are gone."""
        for name in self.rotations.keys() - table.pools.keys() - table.aliases.keys():
            del self.rotations[name]


class Features(Struct, frozen=True, kw_only=True, gc=False):
    """What a request asks of routing. `preferred_provider` is a wish, not a condition."""

    protocol: str
    key: Key
    preferred_provider: str = ""
    no_failover: bool = False


@dataclass(slots=True)
class _Draft:
    """A plan in the making: one walk over the groups fills it."""

    steps: list[Candidate] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    resting: list[tuple[Candidate, Block]] = field(default_factory=list)
    preferred: Candidate | None = None
    commit: Callable[[], None] | None = None
    seen: set[str] = field(default_factory=set)


def plan(
    table: Table, resolution: Resolution, features: Features, live: Live, now: float, rng: Random
) -> Plan:
    """
    The plan for one request. Raises NoCandidate if nobody may be tried.

    `now` is monotonic seconds.
    """
    # Nothing but the table bears on a request whose key may use everything, while nobody is
    # benched and no counter or dice choose: its plan is made once.
    is_settled = (
        live.benches.is_empty and features.key.pattern is None and not features.preferred_provider
    )
    settled = (features.protocol, features.no_failover)
    if is_settled and settled in resolution.plans:
        return resolution.plans[settled]
    made = _plan(table, resolution, features, live, now, rng)
    if is_settled and all(g.pool.strategy in SETTLED_STRATEGIES for g in resolution.groups):
        resolution.plans[settled] = made
    return made


def _plan(
    table: Table, resolution: Resolution, features: Features, live: Live, now: float, rng: Random
) -> Plan:
    first = resolution.groups[0]
    draft = _Draft()
    for group in _groups(resolution, features):
        _walk(group, features, live, now, rng, draft)
    steps, last_standing = draft.steps, False
    if not steps:
        steps = _last_standing(draft)
        last_standing = bool(steps)
        if not steps:
            raise _nobody(draft)
    draft.rejected += (
        Rejected(candidate=c, reason=block.reason, returns_in_s=block.returns_in_s)
        for c, block in draft.resting
        if not last_standing or c not in steps
    )
    warnings = resolution.warnings
    if features.preferred_provider:
        steps, preferred, found = _prefer(features.preferred_provider, steps, draft.preferred)
        draft.preferred = preferred
        if not found:
            warnings = (
                *warnings,
                f"provider {features.preferred_provider[:100]} does not offer this model",
            )
    policy = first.pool.policy
    if features.protocol == EMBEDDINGS and first.resolved_by not in ("pool", "alias"):
        model = steps[0].model
        steps = _cut(draft, steps, lambda c: c.model == model, "unsupported:embeddings")
    if policy.max_attempts == 1 or _stays(table, resolution, features, steps[0]):
        steps.sort(key=lambda c: is_half_open(c, live.benches, now))
        head = steps[0]
        steps = _cut(draft, steps, lambda c: c is head, "failover_disabled")
    return Plan(
        steps=tuple(steps),
        rejected=tuple(draft.rejected),
        preferred=draft.preferred,
        policy=policy,
        strategy=first.pool.strategy,
        last_standing=last_standing,
        commit=draft.commit,
        warnings=warnings,
    )


def _groups(resolution: Resolution, features: Features) -> Sequence[Group]:
    """Embeddings stay with the first name: another model's vectors cannot be compared."""
    if features.protocol == EMBEDDINGS:
        return resolution.groups[:1]
    return resolution.groups


def _walk(
    group: Group, features: Features, live: Live, now: float, rng: Random, draft: _Draft
) -> None:
    """Put one group's candidates into the draft: in order, resting, or rejected."""
    pool = group.pool
    static = pool.static(features.protocol)
    draft.rejected += (r for r in static.rejected if r.candidate.name not in draft.seen)
    draft.seen.update(r.candidate.name for r in static.rejected)
    key = features.key
    group_allowed = key.allows(group.requested, pool.name)
    strategy = STRATEGIES[pool.strategy]
    rotation = live.rotations.get(pool.name, _AT_REST)
    room = None if pool.policy.enabled else 1
    for tier in static.tiers:
        allowed = []
        for candidate in tier:
            if candidate.name in draft.seen:
                continue
            draft.seen.add(candidate.name)
            if group_allowed or key.allows(candidate.name):
                allowed.append(candidate)
            else:
                draft.rejected.append(Rejected(candidate=candidate, reason="key_not_allowed"))
        free = allowed
        if not live.benches.is_empty:
            free = []
            for candidate in allowed:
                block = blocked(candidate, live.benches, now)
                if block is None:
                    free.append(candidate)
                else:
                    draft.resting.append((candidate, block))
        if not allowed or (not free and draft.preferred is not None):
            continue
        ordered, move = strategy(allowed, rotation, rng)
        if draft.preferred is None:
            draft.preferred = ordered[0]
        if not free:
            continue
        if len(free) < len(allowed):
            if move is None:
                ordered = [c for c in ordered if c in free]
            else:  # who rests has no turn
                ordered, move = strategy(free, rotation, rng)
        if move is not None and not draft.steps:
            draft.commit = partial(live.commit, pool.name, move)
        draft.steps += ordered[:room]
        if room is not None:
            draft.rejected += (
                Rejected(candidate=c, reason="failover_disabled") for c in ordered[room:]
            )
            room = 0


def _last_standing(draft: _Draft) -> list[Candidate]:
    """Benched ones that may be tried because nobody else is left, soonest to return first."""
    able = [(block.returns_in_s, i) for i, (_, block) in enumerate(draft.resting) if block.yields]
    return [draft.resting[i][0] for _, i in sorted(able)]


def _prefer(
    provider: str, steps: list[Candidate], preferred: Candidate | None
) -> tuple[list[Candidate], Candidate | None, bool]:
    """The provider's candidates first, the others after them in their order."""
    wished = [c for c in steps if c.provider == provider]
    if not wished:
        return steps, preferred, False
    return [*wished, *(c for c in steps if c.provider != provider)], wished[0], True


def _stays(table: Table, resolution: Resolution, features: Features, first: Candidate) -> bool:
    """True where no second candidate may be called after a failure."""
    disabled = table.disabled_models
    return features.no_failover or bool(
        disabled
        and (
            resolution.requested in disabled
            or resolution.canonical_model in disabled
            or first.name in disabled
        )
    )


def _cut(
    draft: _Draft, steps: list[Candidate], keep: Callable[[Candidate], bool], reason: str
) -> list[Candidate]:
    draft.rejected += (Rejected(candidate=c, reason=reason) for c in steps if not keep(c))
    return [c for c in steps if keep(c)]


def _nobody(draft: _Draft) -> NoCandidate:
    resting = [
        Rejected(candidate=c, reason=block.reason, returns_in_s=block.returns_in_s)
        for c, block in draft.resting
    ]
    limited = bool(resting) and all(block.is_stated for _, block in draft.resting)
    return no_candidate([*draft.rejected, *resting], everyone_limited=limited)
