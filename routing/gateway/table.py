"""
The routing table: a snapshot compiled for lookups, built once per worker and generation.

A request takes the table once and keeps it; a new one replaces it by one assignment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from failover.engine.plan import Candidate, Rejected, Times
from failover.engine.policy import FailoverPolicy
from providers.adapters.registry import ADAPTERS
from providers.adapters.spec import ProviderSpec, Timeouts
from providers.adapters.upstream import Upstream, compile_upstream
from routing.gateway.auth import Key
from routing.gateway.snapshot import (
    AliasSpec,
    CandidateSpec,
    Content,
    PoolSpec,
    RuleSpec,
    Snapshot,
)
from routing.gateway.strategies import STRATEGIES

if TYPE_CHECKING:
    from routing.gateway.resolver import Resolution

ALIAS_DEPTH = 16  # a cycle cannot be saved; this bounds one that came by another way

Tiers = tuple[tuple[Candidate, ...], ...]


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Everything that resolving and planning look up. Keys of `keys` are SHA-256 digests."""

    generation: int
    checksum: str
    created_at: float
    pools: Mapping[str, Pool]
    aliases: Mapping[str, AliasSpec]
    alias_pools: Mapping[str, Pool]
    direct: Mapping[str, Pool]
    inventory: Mapping[str, Pool]
    upstreams: Mapping[str, Upstream]
    providers: Mapping[str, ProviderSpec]
    rules: Mapping[str, RuleSpec]
    keys: Mapping[bytes, Key]
    disabled_models: frozenset[str]
    failover_enabled: bool
    inventory_is_allowlist: bool
    compiler: Compiler = field(repr=False)
    resolutions: dict[str, Resolution] = field(default_factory=dict, repr=False)

    def pool_of(self, name: str) -> Pool | None:
        """The pool behind a canonical model's or an alias's name."""
        for _ in range(ALIAS_DEPTH):
            pool = self.pools.get(name) or self.alias_pools.get(name)
            alias = self.aliases.get(name)
            if pool is not None or alias is None:
                return pool
            name = alias.target
        return None


class Compiler:
    """Turns the specs of one snapshot into candidates and pools."""

    def __init__(self, content: Content, upstreams: Mapping[str, Upstream]) -> None:
        self._content = content
        self._upstreams = upstreams
        self._providers = {spec.name: spec for spec in content.providers}

    def pool(self, spec: PoolSpec) -> Pool:
        defaults = self._content.defaults
        return self._pool(
            spec.name,
            spec.strategy or defaults.strategy,
            [self.candidate(entry, spec.timeouts) for entry in spec.candidates],
            policy=spec.failover or defaults.failover,
            is_enabled=spec.enabled,
        )

    def alias_pool(self, spec: AliasSpec) -> Pool:
        strategy = spec.strategy or self._content.defaults.strategy
        candidates = [self.candidate(entry, Timeouts()) for entry in spec.targets]
        return self._pool(spec.name, strategy, candidates, is_enabled=spec.enabled)

    def single(self, name: str, candidates: Iterable[Candidate]) -> Pool:
        """A pool that nobody configured: one provider/model, or an inventory's bare id."""
        return self._pool(name, "priority_failover", list(candidates))

    def candidate(self, spec: CandidateSpec, timeouts: Timeouts) -> Candidate:
        return self._candidate(f"{spec.provider}/{spec.model}", spec, timeouts, is_known=True)

    def direct(self, provider: str, model: str, *, is_known: bool) -> Candidate:
        spec = CandidateSpec(provider=provider, model=model)
        return self._candidate(f"{provider}/{model}", spec, Timeouts(), is_known=is_known)

    def _candidate(
        self, name: str, spec: CandidateSpec, timeouts: Timeouts, *, is_known: bool
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
            name=name,
            provider=spec.provider,
            model=spec.model,
            upstream=self._upstreams.get(spec.provider),
            times=Times(**stated),
            bench_policy=content.provider_bench.get(spec.provider, content.bench),
            context_window=provider.context_windows.get(spec.model) if provider else None,
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


def compile_table(
    snapshot: Snapshot, *, decrypt: Callable[[str], str], environ: Mapping[str, str]
) -> Table:
    """
    The table of `snapshot`. `environ` gives the proxy variables.

    Raises ValueError naming the provider whose settings or secrets cannot be used.
    """
    content = snapshot.content
    upstreams = {
        spec.name: compile_upstream(spec, decrypt, environ)
        for spec in content.providers
        if spec.kind in ADAPTERS
    }
    compiler = Compiler(content, upstreams)
    pools = {spec.name: compiler.pool(spec) for spec in content.pools}
    aliases = {spec.name: spec for spec in content.aliases if spec.enabled}
    alias_pools = {
        name: compiler.alias_pool(spec) for name, spec in aliases.items() if spec.targets
    }
    inventory: dict[str, list[Candidate]] = {}
    direct: dict[str, Candidate] = {}
    for provider in content.providers:
        for model in provider.models:
            candidate = compiler.candidate(
                CandidateSpec(provider=provider.name, model=model), Timeouts()
            )
            inventory.setdefault(model, []).append(candidate)
            direct[candidate.name] = candidate
    providers = {spec.name: spec for spec in content.providers}
    named = [(c.provider, c.model) for pool in pools.values() for c in pool.candidates]
    named += [(c.provider, c.model) for pool in alias_pools.values() for c in pool.candidates]
    named += [
        pair
        for rule in content.rules
        for name in (rule.primary, *rule.fallbacks)
        if (pair := split_provider(name, providers)) is not None
    ]
    for provider_name, model in named:
        name = f"{provider_name}/{model}"
        if name not in direct:
            direct[name] = compiler.direct(provider_name, model, is_known=True)
    return Table(
        generation=snapshot.generation,
        checksum=snapshot.checksum,
        created_at=snapshot.created_at,
        pools=pools,
        aliases=aliases,
        alias_pools=alias_pools,
        direct={name: compiler.single(name, [entry]) for name, entry in direct.items()},
        inventory={model: compiler.single(model, found) for model, found in inventory.items()},
        upstreams=upstreams,
        providers=providers,
        rules={rule.primary: rule for rule in content.rules if rule.enabled},
        keys={spec.digest: Key.compile(spec) for spec in content.keys},
        disabled_models=frozenset(content.disabled_models),
        failover_enabled=content.failover_enabled,
        inventory_is_allowlist=content.inventory_mode == "allowlist",
        compiler=compiler,
    )


def split_provider(name: str, providers: Mapping[str, object]) -> tuple[str, str] | None:
    """(provider, model) of a "provider/model" name; the longest provider name that fits wins."""
    cut = name.rfind("/")
    while cut > 0:
        if name[:cut] in providers and cut + 1 < len(name):
            return name[:cut], name[cut + 1 :]
        cut = name.rfind("/", 0, cut)
    return None


def _unsupported(candidate: Candidate, protocol: str) -> str | None:
    upstream = candidate.upstream
    if upstream is None or not upstream.speaks(protocol):
        return "unsupported:endpoint"
    if upstream.needs_credential and not upstream.credentials:
        return "no_credential"
    return None
