"""Pools and candidates: the specs of a snapshot, compiled when a request first needs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from failover.engine.plan import Candidate, Rejected, Times
from failover.engine.policy import FailoverPolicy
from providers.adapters.spec import NO_FACTS, ProviderSpec, Timeouts
from providers.adapters.upstream import Upstream
from routing.gateway.snapshot import AliasSpec, CandidateSpec, Content, PoolSpec
from routing.gateway.strategies import STRATEGIES

Tiers = tuple[tuple[Candidate, ...], ...]
NO_TIMEOUTS = Timeouts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Static:
    """What one protocol leaves of a pool before any live state: tiers, and the rejected."""

    tiers: Tiers
    rejected: tuple[Rejected, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """Candidates under one name: a canonical model, an alias with targets, or a single model."""

    name: str
    candidates: tuple[Candidate, ...]
    strategy: str
    policy: FailoverPolicy
    is_enabled: bool = True
    warnings: tuple[str, ...] = ()
    _static: dict[str, Static] = field(default_factory=dict, repr=False)

    @cached_property
    def primary(self) -> Candidate | None:
        """The first of the best tier, as configured."""
        return min(self.candidates, key=lambda c: c.priority, default=None)

    def static(self, protocol: str) -> Static:
        """Who operators and the endpoint leave in. Computed once per protocol."""
        known = self._static.get(protocol)
        if known is None:
            known = self._static[protocol] = self._split(protocol)
        return known

    def operators_reason(self, candidate: Candidate) -> str | None:
        """Which switch of an operator leaves `candidate` out, if one does."""
        if not candidate.is_provider_enabled:
            return "provider_disabled"
        if not self.is_enabled:
            return "canonical_model_disabled"
        return None if candidate.is_enabled else "candidate_disabled"

    def _split(self, protocol: str) -> Static:
        tiers: dict[int, list[Candidate]] = {}
        rejected = []
        for candidate in self.candidates:
            reason = self.operators_reason(candidate) or _unsupported(candidate, protocol)
            if reason is None:
                tiers.setdefault(candidate.priority, []).append(candidate)
            else:
                rejected.append(Rejected(candidate=candidate, reason=reason))
        return Static(
            tiers=tuple(tuple(tiers[priority]) for priority in sorted(tiers)),
            rejected=tuple(rejected),
        )


class Compiler:
    """Turns the specs of one snapshot into candidates and pools."""

    def __init__(
        self,
        content: Content,
        providers: Mapping[str, ProviderSpec],
        upstreams: Mapping[str, Upstream],
    ) -> None:
        self._content = content
        self._providers = providers
        self._upstreams = upstreams

    def pool(self, spec: PoolSpec) -> Pool:
        defaults = self._content.defaults
        return self._pool(
            spec.name,
            spec.strategy or defaults.strategy,
            [self._candidate(entry, spec.timeouts) for entry in spec.candidates],
            policy=spec.failover or defaults.failover,
            is_enabled=spec.enabled,
        )

    def alias_pool(self, spec: AliasSpec) -> Pool:
        strategy = spec.strategy or self._content.defaults.strategy
        candidates = [self._candidate(entry, NO_TIMEOUTS) for entry in spec.targets]
        return self._pool(spec.name, strategy, candidates)

    def unconfigured(self, name: str, *pairs: tuple[str, str], is_known: bool = True) -> Pool:
        """The pool behind a provider/model or a bare id: (provider, model) pairs in order."""
        candidates = [
            self._candidate(
                CandidateSpec(provider=provider, model=model), NO_TIMEOUTS, is_known=is_known
            )
            for provider, model in pairs
        ]
        return self._pool(name, "priority_failover", candidates)

    def _candidate(
        self, spec: CandidateSpec, timeouts: Timeouts, *, is_known: bool = True
    ) -> Candidate:
        content = self._content
        provider = self._providers.get(spec.provider)
        times = spec.timeouts.over(timeouts)
        if provider is not None:
            times = times.over(provider.timeouts)
        stated = {
            field_name: value
            for field_name in times.__struct_fields__
            if (value := getattr(times, field_name)) is not None
        }
        return Candidate(
            name=f"{spec.provider}/{spec.model}",
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
        )

    def _pool(
        self,
        name: str,
        strategy: str,
        candidates: list[Candidate],
        *,
        policy: FailoverPolicy | None = None,
        is_enabled: bool = True,
    ) -> Pool:
        warnings: tuple[str, ...] = ()
        if strategy not in STRATEGIES:
            warnings = (f"strategy {strategy} is not available yet; priority order is used",)
            strategy = "priority_failover"
        if strategy == "fill_first":  # one list across all tiers
            candidates = sorted(candidates, key=lambda c: c.priority)
        return Pool(
            name=name,
            candidates=tuple(candidates),
            strategy=strategy,
            policy=policy or self._content.defaults.failover,
            is_enabled=is_enabled,
            warnings=warnings,
        )


def _unsupported(candidate: Candidate, protocol: str) -> str | None:
    upstream = candidate.upstream
    if upstream is None or not upstream.speaks(protocol):
        return "unsupported:endpoint"
    if upstream.needs_credential and not upstream.credentials:
        return "no_credential"
    return None
