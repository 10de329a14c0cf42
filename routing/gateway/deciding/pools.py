"""Pools and candidates: the specs of a snapshot, compiled when a request first needs them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from failover.engine.plan import Candidate, CandidateLimits, Rejected, Times
from failover.engine.policy import STRICT, FailoverPolicy
from providers.adapters.spec import CAPABILITIES, NO_FACTS, ProviderSpec, Timeouts
from providers.adapters.upstream import Upstream
from providers.protocols import NO_NEEDS, PROTOCOLS
from routing.gateway.deciding.snapshot import (
    AliasSpec,
    CandidateSpec,
    CaptureSpec,
    Content,
    PoolSpec,
    RoutingDefaults,
)
from routing.gateway.deciding.strategies import strategy_named
from routing.gateway.deciding.switches import Switches

Tiers = tuple[tuple[Candidate, ...], ...]
NO_TIMEOUTS = Timeouts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Static:
    """
    What a protocol and needs leave of a pool before any live state: tiers, and the rejected.

    `barred` are the names of those that an operator switched off in this pool. `home_tiers` are
    the tiers as they would be without operators' switches; None if those take nobody out.
    """

    tiers: Tiers
    rejected: tuple[Rejected, ...]
    barred: frozenset[str]
    home_tiers: Tiers | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """
    Candidates under one name: a canonical model, an alias with targets, or a single model.

    `takes_sessions`: session affinity acts on it. `stays`: after a failover the whole pool stays
    where it is. `pin_ttl_s`: so long an idle pin holds. `native_first`: who speaks a request's
    protocol comes before those who have to be told in another. `is_strict`: who cannot take every
    member of a request is left out. `capture` is what the pool says of it.
    """

    name: str
    candidates: tuple[Candidate, ...]
    strategy: str
    policy: FailoverPolicy
    is_enabled: bool = True
    takes_sessions: bool = False
    affinity_key: str = ""
    stays: bool = False
    pin_ttl_s: float = 0.0
    native_first: bool = False
    is_strict: bool = False
    capture: CaptureSpec | None = None
    _static: dict[tuple[str, frozenset[str]], Static] = field(default_factory=dict, repr=False)

    @cached_property
    def primary(self) -> Candidate | None:
        """The first of the best tier, as configured."""
        return min(self.candidates, key=lambda c: c.priority, default=None)

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset(candidate.name for candidate in self.candidates)

    @cached_property
    def is_measured(self) -> bool:
        return any(candidate.is_measured for candidate in self.candidates)

    @cached_property
    def smallest_window(self) -> int | None:
        """Of those whose context window is known: up to it nobody is left out for its size."""
        windows = [c.facts.context_window for c in self.candidates]
        return min((window for window in windows if window is not None), default=None)

    @cached_property
    def lacking(self) -> frozenset[str]:
        """What at least one candidate is known not to be capable of."""
        return frozenset(
            what
            for c in self.candidates
            for what, is_able in c.facts.capabilities.items()
            if not is_able
        )

    def static(self, protocol: str, needs: frozenset[str] = NO_NEEDS) -> Static:
        """Whom operators, the endpoint and `needs` leave in. Computed once for each."""
        if needs:
            needs &= self.lacking
        known = self._static.get((protocol, needs))
        if known is None:
            known = self._static[protocol, needs] = self._split(protocol, needs)
        return known

    def operators_reason(self, candidate: Candidate) -> str | None:
        """Which switch of an operator leaves `candidate` out, if one does."""
        if not candidate.is_provider_enabled:
            return "provider_disabled"
        if not self.is_enabled:
            return "canonical_model_disabled"
        return None if candidate.is_enabled else "candidate_disabled"

    def _split(self, protocol: str, needs: frozenset[str]) -> Static:
        tiers: dict[tuple[bool, int], list[Candidate]] = {}
        homes: dict[tuple[bool, int], list[Candidate]] = {}
        rejected = []
        seen = set()
        for candidate in self.candidates:
            if candidate.name in seen:
                continue
            seen.add(candidate.name)
            unsupported = _unsupported(candidate, protocol, needs)
            reason = self.operators_reason(candidate) or unsupported
            tier = (self.native_first and translates(candidate, protocol), candidate.priority)
            if reason is None:
                tiers.setdefault(tier, []).append(candidate)
            else:
                rejected.append(Rejected(candidate=candidate, reason=reason))
            if unsupported is None and (reason is None or candidate.is_switched_off):
                homes.setdefault(tier, []).append(candidate)
        return Static(
            tiers=_sorted(tiers),
            rejected=tuple(rejected),
            barred=frozenset(c.name for c in self.candidates if not c.is_enabled),
            home_tiers=_sorted(homes) if homes != tiers else None,
        )


class Compiler:
    """Turns the specs of one snapshot into candidates and pools."""

    def __init__(
        self,
        content: Content,
        providers: Mapping[str, ProviderSpec],
        upstreams: Mapping[str, Upstream],
        measured: frozenset[str] = frozenset(),
        switches: Switches | None = None,
    ) -> None:
        self._switches = switches
        self._content = content
        self._providers = providers
        self._upstreams = upstreams
        self._measured = measured

    def pool(self, spec: PoolSpec) -> Pool:
        return self._pool(
            spec,
            [self._candidate(entry, spec.timeouts, pool=spec.name) for entry in spec.candidates],
        )

    def alias_pool(self, spec: AliasSpec) -> Pool:
        targets = [self._candidate(entry, NO_TIMEOUTS) for entry in spec.targets]
        own = PoolSpec(name=spec.name, candidates=(), strategy=spec.strategy)
        return self._pool(own, targets)

    def unconfigured(self, name: str, *pairs: tuple[str, str], is_known: bool = True) -> Pool:
        """The pool behind a provider/model or a bare id: (provider, model) pairs in order."""
        candidates = [
            self._candidate(
                CandidateSpec(provider=provider, model=model), NO_TIMEOUTS, is_known=is_known
            )
            for provider, model in pairs
        ]
        own = PoolSpec(
            name=name, candidates=(), strategy="priority_failover", stay_after_failover=False
        )
        return self._pool(own, candidates)

    def _candidate(
        self, spec: CandidateSpec, timeouts: Timeouts, *, is_known: bool = True, pool: str = ""
    ) -> Candidate:
        content = self._content
        provider = self._providers.get(spec.provider)
        times = spec.timeouts.over(timeouts)
        if provider is not None:
            times = times.over(provider.timeouts)
        times = times.over(content.defaults.timeouts)
        stated = {
            field_name: value
            for field_name in times.__struct_fields__
            if (value := getattr(times, field_name)) is not None
        }
        name = f"{spec.provider}/{spec.model}"
        limits = None
        if spec.rpm is not None or spec.tpm is not None or spec.max_parallel is not None:
            limits = CandidateLimits(rpm=spec.rpm, tpm=spec.tpm, max_parallel=spec.max_parallel)
        return Candidate(
            name=name,
            provider=spec.provider,
            model=spec.model,
            upstream=self._upstreams.get(spec.provider),
            times=Times(**stated),
            bench_policy=content.provider_bench.get(spec.provider, content.bench),
            facts=provider.facts.get(spec.model, NO_FACTS) if provider else NO_FACTS,
            priority=spec.priority,
            weight=spec.weight,
            is_enabled=spec.enabled,
            is_provider_enabled=provider is not None and provider.enabled,
            is_known=is_known,
            is_switched_off=self._switches is not None
            and self._switches.of_candidate(pool, spec.provider, spec.model) is not None,
            limits=limits,
            is_measured=name in self._measured,
        )

    def _pool(self, spec: PoolSpec, candidates: list[Candidate]) -> Pool:
        """A pool of `candidates`, with what `spec` says of it over the defaults."""
        defaults = self._content.defaults
        name = spec.strategy or defaults.strategy
        strategy = strategy_named(name)
        return Pool(
            name=spec.name,
            candidates=tuple(candidates),
            strategy=name,
            policy=spec.failover or defaults.failover,
            is_enabled=spec.enabled,
            takes_sessions=strategy.takes_sessions
            and _given(spec.session_affinity, defaults.session_affinity),
            affinity_key=spec.affinity_key or "",
            stays=name == "priority_failover"
            and _given(spec.stay_after_failover, defaults.stay_after_failover),
            pin_ttl_s=_given(spec.session_affinity_ttl_s, defaults.session_affinity_ttl_s),
            native_first=_given(spec.native_first, defaults.native_first),
            is_strict=_given(spec.params, defaults.params) == STRICT,
            capture=spec.capture,
        )


def _sorted(tiers: Mapping[tuple[bool, int], list[Candidate]]) -> Tiers:
    return tuple(tuple(tiers[tier]) for tier in sorted(tiers))


Value = TypeVar("Value")


def _given(own: Value | None, default: Value) -> Value:
    return default if own is None else own


def measured_names(
    owners: Iterable[PoolSpec | AliasSpec], defaults: RoutingDefaults
) -> Iterator[str]:
    """The provider/model names that somebody goes by the load of, in any of these."""
    for owner in owners:
        members = owner.candidates if isinstance(owner, PoolSpec) else owner.targets
        is_by_load = strategy_named(owner.strategy or defaults.strategy).goes_by_load
        for c in members:
            # There may be tens of thousands.
            if is_by_load or not (c.rpm is c.tpm is c.max_parallel is None):
                yield f"{c.provider}/{c.model}"


def translates(candidate: Candidate, protocol: str) -> bool:
    """Whether `candidate` has to be told in another protocol than `protocol`."""
    return candidate.upstream is not None and protocol not in candidate.spoken


def _unsupported(candidate: Candidate, protocol: str, needs: frozenset[str]) -> str | None:
    upstream = candidate.upstream
    if upstream is None or not upstream.spoken(protocol):
        return "unsupported:endpoint"
    capabilities, always = candidate.facts.capabilities, PROTOCOLS[protocol].needs
    for what in CAPABILITIES:
        if (what in needs or what in always) and capabilities.get(what) is False:
            return f"unsupported:{what}"
    if upstream.needs_credential and not upstream.credentials:
        return "no_credential"
    return None
