"""One plan in the making: who is asked, in which order, and what was read for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import inf
from types import MappingProxyType
from typing import Final

from failover.engine.plan import (
    Affinity,
    Candidate,
    Inputs,
    Nobody,
    Plan,
    Rejected,
    Standing,
    Why,
)
from providers.protocols import PROTOCOLS
from routing.gateway.deciding.affinity import WHOLE_POOL, by_session, home_of
from routing.gateway.deciding.features import Features
from routing.gateway.deciding.keys import Key
from routing.gateway.deciding.pools import Pool
from routing.gateway.deciding.resolution import Group, Resolution
from routing.gateway.deciding.state import State
from routing.gateway.deciding.strategies import STRATEGIES, Dice, Ranking
from routing.gateway.deciding.table import Table
from routing.gateway.deciding.wording import words_of

NO_MISFITS: Final[Mapping[str, str]] = MappingProxyType({})


class Planning:
    """
    One plan in the making.

    `steps` are those who may be tried, `resting` those who sit out for a while, both in order;
    `standing` are the last ones who are tried all the same. `natural` is the choice without
    benches, health and pins, and `home` the one without operators' switches, too.
    """

    __slots__ = (
        "affinity",
        "barred",
        "counters",
        "disturbed",
        "features",
        "home",
        "misfits",
        "natural",
        "now",
        "pin",
        "preferred",
        "rejected",
        "resting",
        "rotation",
        "standing",
        "standings",
        "state",
        "steps",
        "tokens",
        "turn",
    )

    def __init__(
        self,
        features: Features,
        state: State,
        now: float,
        rng: Dice,
        misfits: Mapping[str, str] = NO_MISFITS,
    ) -> None:
        self.features = features
        self.misfits = misfits
        self.state = state
        self.now = now
        self.tokens = features.input_tokens + (features.max_output_tokens or 0)
        self.disturbed = state.disturbed(now)
        self.standings: dict[str, Standing] = {}
        self.turn = Ranking(self.standings, rng, features.input_tokens, features.max_output_tokens)
        self.counters: dict[str, dict[str, int]] = {}
        self.pin = ""
        self.steps: list[Candidate] = []
        self.resting: list[tuple[Candidate, Standing, Pool]] = []
        self.rejected: list[Rejected] = []
        self.standing: tuple[Candidate, ...] = ()
        self.natural: Candidate | None = None
        self.home: Candidate | None = None
        self.preferred: Candidate | None = None
        self.rotation: tuple[Pool, Sequence[Candidate]] | None = None
        self.affinity: Affinity | None = None
        self.barred: frozenset[str] = frozenset()

    def plan(self, table: Table, resolution: Resolution) -> Plan | Nobody:
        features, first = self.features, resolution.groups[0]
        groups = resolution.groups
        protocol = PROTOCOLS.get(features.protocol)
        if protocol is not None and not protocol.is_comparable:  # of a record it may be gone
            groups = groups[:1]
        last = groups[-1]
        for group in groups:
            self.walk(group, is_own=group is first, is_last=group is last)
        last_standing = not self.steps
        if last_standing:
            self.let_stand()
            if not self.steps:
                return self.nobody(len(groups))
        self.preferred = self.preferred or self.natural
        warnings = resolution.warnings
        if features.preferred_provider and (warning := self.prefer(groups)):
            warnings = (*warnings, warning)
        policy = first.pool.policy
        for group in resolution.groups[len(groups) :]:
            self.rejected += [
                Rejected(candidate=c, reason="unsupported:embeddings")
                for c in group.pool.candidates
            ]
        is_single = resolution.is_single(table.disabled_models, self.steps[0])
        if policy.max_attempts == 1 or features.no_failover or is_single:
            head = self.only(self.steps)
            self.rejected += [
                Rejected(candidate=c, reason="failover_disabled")
                for c in self.steps
                if c is not head
            ]
            self.steps = [head]
        commit = None
        if self.rotation is not None and self.steps[0] in self.rotation[1]:
            commit = self.move(*self.rotation, self.steps[0])
        return Plan(
            steps=tuple(self.steps),
            rejected=self.all_rejected(len(resolution.groups)),
            preferred=self.preferred,
            policy=policy,
            strategy=first.pool.strategy,
            last_standing=last_standing,
            commit=commit,
            warnings=warnings,
            inputs=self.inputs(),
            affinity=self.affinity,
        )

    # One group

    def walk(self, group: Group, *, is_own: bool, is_last: bool) -> None:
        """Put one group's candidates where they belong: in order, resting, or rejected."""
        pool, features, turn = group.pool, self.features, self.turn
        static = pool.static(features.protocol, features.needs)
        self.rejected += static.rejected
        if static.barred:
            self.barred |= static.barred
        key = features.key
        is_allowed = key.pattern is None or key.allows(group.requested, pool.name)
        is_sifted = (
            not (is_own and is_allowed)
            or bool(self.misfits)
            or (pool.smallest_window is not None and self.tokens > pool.smallest_window)
        )
        is_asked = bool(self.disturbed) or pool.is_measured
        strategy = STRATEGIES[pool.strategy]
        session = features.session if pool.takes_sessions else None
        if strategy.rotates and session is None:
            turn.counters = self.counters[pool.name] = self.state.counters(pool.name)
        steps: list[Candidate] = []
        for tier in static.tiers:
            members: Sequence[Candidate] = tier
            if is_sifted:
                members = self.sift(tier, key=None if is_allowed else key)
                if not members:
                    continue
            free = self.ask(members, pool) if is_asked else members
            if not free and self.natural is not None:
                continue
            if session is not None:
                ordered = by_session(members, session, is_weighted=strategy.is_weighted)
            else:
                ordered = strategy.order(members, turn)
            if self.natural is None:
                self.natural = ordered[0]
            if len(free) < len(members):
                if session is not None or ordered[0] in free:
                    ordered = [c for c in ordered if c in free]
                else:  # who rests has no turn
                    ordered = strategy.order(free, turn) if free else []
            if strategy.rotates and session is None and not (self.steps or steps) and free:
                self.rotation = (pool, free)
            steps += ordered
        if is_own and self.natural is not None and (session is not None or pool.stays):
            if static.home_tiers is not None:
                self.home = home_of(static.home_tiers, self.tokens, session, strategy)
            self.heed_pin(pool, WHOLE_POOL if session is None else session, steps)
        if not pool.policy.enabled and len(steps) > 1:
            wished = self.wished(steps, [group]) or steps
            head = self.only(wished) if is_last else wished[0]
            self.rejected += [
                Rejected(candidate=c, reason="failover_disabled") for c in steps if c is not head
            ]
            steps = [head]
        self.steps += steps

    def sift(self, tier: Sequence[Candidate], key: Key | None) -> list[Candidate]:
        """
        Those of `tier` who may be tried as far as rights, size and fitness go, and are not placed
        yet.

        With a `key` each of them has to be allowed on its own name. Whom an operator switched off
        under an earlier name does not come back under a later one.
        """
        tokens = self.tokens
        sifted = []
        for candidate in tier:
            window = candidate.facts.context_window
            if candidate.name in self.barred or self.is_placed(candidate.name):
                continue
            if key is not None and not key.allows(candidate.name):
                self.rejected.append(Rejected(candidate=candidate, reason="key_not_allowed"))
            elif window is not None and tokens > window:
                self.rejected.append(Rejected(candidate=candidate, reason="context_too_small"))
            elif (what := self.misfits.get(candidate.name)) is not None:
                reason = f"unsupported:{what}"
                self.rejected.append(Rejected(candidate=candidate, reason=reason))
            else:
                sifted.append(candidate)
        return sifted

    def is_placed(self, name: str) -> bool:
        """Whether an earlier group has brought `name`; nobody is in a plan twice."""
        return any(c.name == name for c in self.steps) or any(
            c.name == name for c, _, _ in self.resting
        )

    def ask(self, members: Sequence[Candidate], pool: Pool) -> list[Candidate]:
        """Those of `members` who do not sit out now; the others are put aside."""
        state, disturbed, standings = self.state, self.disturbed, self.standings
        free = []
        for candidate in members:
            if not candidate.subjects.isdisjoint(disturbed):
                standing = state.standing(candidate, self.tokens, self.now)
            elif candidate.is_measured:
                standing = state.busy(candidate, self.tokens, self.now)
            else:
                free.append(candidate)
                continue
            if standing is not None:
                standings[candidate.name] = standing
                if standing.reason:
                    self.resting.append((candidate, standing, pool))
                    continue
            free.append(candidate)
        return free

    def heed_pin(self, pool: Pool, session: int, steps: list[Candidate]) -> None:
        """Who moved stays where it is, unless that one sits out."""
        natural = self.natural
        if natural is None:
            return
        self.pin = pin = self.state.pinned(pool.name, session, self.now)
        # A request that is not for the pinned one, by its size or needs, is no reason to unpin it.
        passed_over = pin if pin in self.standings else ""
        if pin:
            for place, candidate in enumerate(steps):
                if candidate.name == pin:
                    self.preferred = candidate
                    steps.insert(0, steps.pop(place))
                    passed_over = pin
                    break
        self.affinity = Affinity(
            pool=pool.name,
            session=session,
            natural=(self.home or natural).name,
            pinned=passed_over,
            ttl_s=pool.pin_ttl_s,
            members=pool.names,
        )

    # All groups

    def let_stand(self) -> None:
        """Let those try who sit out, because nobody else is left: soonest to return first."""
        able = [
            (inf if standing.returns_in_s is None else standing.returns_in_s, place)
            for place, (_, standing, _) in enumerate(self.resting)
            if standing.yields
        ]
        spent = set()
        for _, place in sorted(able):
            candidate, _, pool = self.resting[place]
            if pool.name not in spent:
                self.steps.append(candidate)
            if not pool.policy.enabled:
                spent.add(pool.name)
        self.standing = tuple(self.steps)

    def only(self, steps: Sequence[Candidate]) -> Candidate:
        """Who is tried if only one may be: nobody half-open, while another is well."""
        standings = self.standings
        for candidate in steps:
            standing = standings.get(candidate.name)
            if standing is None or not standing.half_open:
                return candidate
        return steps[0]

    def prefer(self, groups: Sequence[Group]) -> str:
        """The provider's candidates first, the others after them. A warning if it has none."""
        wished = self.wished(self.steps, groups)
        if not wished:
            provider = self.features.preferred_provider[:100]
            out = {e.candidate: e.reason for e in self.all_rejected(len(groups))}
            for candidate in self.wished([*out], groups):
                return f"provider {provider} may not be tried: {words_of(out[candidate])}"
            return f"provider {provider} does not offer this model"
        if wished[0] is not self.steps[0]:
            self.rotation = None  # a wish costs nobody a turn
        self.steps = [*wished, *(c for c in self.steps if c not in wished)]
        self.preferred = wished[0]
        self.affinity = None  # who serves was wished for, so that it says nothing about moving
        return ""

    def wished(self, candidates: Sequence[Candidate], groups: Sequence[Group]) -> list[Candidate]:
        """Those of the provider that the request prefers; a rule's targets are another model."""
        provider = self.features.preferred_provider
        offered = [group.pool.names for group in groups if group.stage != "rule"]
        return [
            c for c in candidates if c.provider == provider and any(c.name in o for o in offered)
        ]

    def all_rejected(self, groups: int) -> tuple[Rejected, ...]:
        """
        One reason for each: the first that was found.

        What one name of a chain or rule refuses, another may allow: then that counts.
        """
        resting = [
            Rejected(candidate=c, reason=standing.reason, returns_in_s=standing.returns_in_s)
            for c, standing, _ in self.resting
            if c not in self.standing
        ]
        if groups == 1:
            return (*self.rejected, *resting)
        placed = {c.name for c in (*self.steps, *(entry.candidate for entry in resting))}
        kept = []
        for entry in self.rejected:
            if entry.candidate.name not in placed:
                placed.add(entry.candidate.name)
                kept.append(entry)
        return (*kept, *resting)

    def move(
        self, pool: Pool, members: Sequence[Candidate], chosen: Candidate
    ) -> Callable[[], None]:
        """What commits the pick of a rotation: those whose turn it could have been took part."""
        ramped = self.turn.ramped
        is_weighted = STRATEGIES[pool.strategy].is_weighted
        weights = [(c.name, ramped(c, c.weight if is_weighted else 1)) for c in members]
        return partial(self.state.commit, pool.name, weights, chosen.name)

    def nobody(self, groups: int) -> Nobody:
        rejected = self.all_rejected(groups)
        why = Why.NOBODY
        if rejected and all(entry.reason == "key_not_allowed" for entry in rejected):
            why = Why.ONLY_THE_KEY
        elif self.resting and all(standing.is_limited for _, standing, _ in self.resting):
            why = Why.ALL_LIMITED
        elif self.misfits and not self.resting:  # no time mends that
            why = Why.UNFIT
        returns = [e.returns_in_s for e in rejected if e.returns_in_s is not None]
        return Nobody(
            why=why,
            rejected=rejected,
            returns_in_s=min(returns) if returns else None,
            inputs=self.inputs(),
        )

    def inputs(self) -> Inputs | None:
        draws = self.turn.draws
        if not (self.standings or self.counters or draws or self.pin or self.misfits):
            return None
        return Inputs(
            standings=self.standings,
            counters=self.counters,
            draws=tuple(draws),
            pin=self.pin,
            misfits=dict(self.misfits),
        )
