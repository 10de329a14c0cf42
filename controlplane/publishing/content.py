"""
What the database says, as the content of a snapshot.

A `Builder` keeps the pools that it has built: there may be ten thousand, and an edit is mostly of
one. Edits note what they are about (controlplane.edits); what sent no signal is found by building
the whole.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import msgspec
from django.db.models import Max, TextField
from django.db.models.functions import Cast

from controlplane.config.general import effective_settings
from controlplane.edits.kinds import ANY
from controlplane.edits.models import Edit
from controlplane.models import ApiKey, ConfigSource, Settings
from controlplane.publishing.facts import named_models
from controlplane.publishing.providers import (
    NO_TIMEOUTS,
    converted,
    provider_specs,
    timeouts_of,
)
from failover.engine.policy import Backoff, BenchPolicy, FailoverPolicy, RetryFirst
from failover.models import FailoverRule
from providers.managed.models import counting
from providers.models import Provider
from routing.gateway.deciding.snapshot import (
    AliasSpec,
    CandidateSpec,
    CaptureSpec,
    Content,
    KeySpec,
    PoolSpec,
    RoutingDefaults,
    RuleSpec,
    SwitchSpec,
)
from routing.models import Alias, AliasTarget, Candidate, CanonicalModel, RoutingState
from routing.validation import POOL_SETTINGS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from providers.managed.models import ManagedModel

AT_ONCE: Final = 200  # more pools than that are read with all the others
POOL: Final = "pool"
CAPTURE: Final = "capture."

Managed = TypeVar("Managed", bound="ManagedModel")


class Builder:
    """Builds content again and again."""

    def __init__(self) -> None:
        self._pools = _Pools()

    def build(self, *, whole: bool = True) -> Content:
        """
        What routing depends on; unless `whole`, of pools only what edits were about is read.

        Raises ValueError for a bad row.
        """
        return _content(self._pools, whole=whole)


def _content(kept: _Pools, *, whole: bool) -> Content:
    values: Mapping[str, Any] = (
        ConfigSource.objects.filter(pk=1).values_list("values", flat=True).first() or {}
    )
    row = Settings.objects.filter(pk=1).first() or Settings()
    settings = effective_settings(row, values)
    defaults = _defaults(settings)
    bench = converted(
        {
            name.removeprefix("bench_"): value
            for name, value in settings.items()
            if name.startswith("bench_")
        },
        BenchPolicy,
        "the settings' bench",
    )
    providers = _effective(Provider)
    pools, aliases = kept.specs(defaults.failover, whole=whole), _aliases()
    rules = tuple(
        RuleSpec(
            primary=rule.primary_model,
            fallbacks=tuple(rule.fallback_models),
            enabled=rule.enabled,
            source=rule.managed_source,
        )
        for rule in _effective(FailoverRule)
    )
    named = named_models({provider.name for provider in providers}, pools, aliases, rules)
    return Content(
        providers=provider_specs(providers, named, settings["inventory_mode"]),
        pools=pools,
        aliases=aliases,
        rules=rules,
        keys=_keys(),
        defaults=defaults,
        failover_enabled=settings["failover_enabled"],
        disabled_models=tuple(sorted(set(settings["disabled_models"]))),
        inventory_mode=settings["inventory_mode"],
        bench=bench,
        provider_bench={
            provider.name: converted(
                {**msgspec.structs.asdict(bench), **provider.bench},
                BenchPolicy,
                f"bench of provider {provider.name}",
            )
            for provider in providers
            if provider.bench
        },
        switches=_switches(),
        capture=_capture(
            {
                name.removeprefix(CAPTURE): entry["value"]
                for name, entry in values.items()
                if name.startswith(CAPTURE)
            },
            "the configuration",
        ),
    )


def _effective(model: type[Managed]) -> list[Managed]:
    """The rows that count, by name: the configuration's, and those that it does not shadow."""
    # Sorted here, not by the database: collations differ, the snapshot's bytes must not.
    rows = model.rows()
    found = counting((getattr(row, model.identity), row.managed_source, row) for row in rows)
    return [found[name] for name in sorted(found)]


def _capture(block: Mapping[str, Any], what: str) -> CaptureSpec | None:
    return converted(block, CaptureSpec, f"capture of {what}") if block else None


def _defaults(settings: Mapping[str, Any]) -> RoutingDefaults:
    policy = {name: settings[name] for name in FailoverPolicy.__struct_fields__ if name in settings}
    policy["enabled"] = settings["failover_in_pools"]
    for part, kind in (("backoff", Backoff), ("retry_first", RetryFirst)):
        policy[part] = {name: settings[f"{part}_{name}"] for name in kind.__struct_fields__}
    own = {name: settings[name] for name in RoutingDefaults.__struct_fields__ if name in settings}
    return converted({**own, "failover": policy}, RoutingDefaults, "the settings")


class _Kept(NamedTuple):
    name: str
    source: str
    spec: PoolSpec


class _Pools:
    """Every pool's spec, by its row; `_edit` is the newest edit that they go by."""

    def __init__(self) -> None:
        self._kept: dict[int, _Kept] = {}
        self._policy: FailoverPolicy | None = None
        self._edit = 0
        self._specs: tuple[PoolSpec, ...] = ()

    def specs(self, policy: FailoverPolicy, *, whole: bool) -> tuple[PoolSpec, ...]:
        """The pools that count, by name. `policy` is what holds where they say nothing."""
        # Read before the rows: an edit that comes in between is met again the next time.
        edit = Edit.objects.aggregate(newest=Max("pk"))["newest"] or 0
        names = None if whole or policy != self._policy else self._edited(edit)
        if names is None:
            self._policy = None  # until all of them could be read
            self._kept = _read_pools(policy)
        elif names:
            found = _read_pools(policy, names)
            # By their rows too: a pool may have another name now.
            self._kept = {
                pk: kept
                for pk, kept in self._kept.items()
                if pk not in found and kept.name not in names
            } | found
        if names is None or names:
            those = counting(self._kept.values())
            # Sorted here, not by the database: collations differ, the snapshot's bytes must not.
            self._specs = tuple(those[name] for name in sorted(those))
        self._policy, self._edit = policy, edit
        return self._specs

    def _edited(self, edit: int) -> set[str] | None:
        """The names of pools that edits up to `edit` were about; None if they may be any."""
        if edit < self._edit:
            return None  # another database
        edits = Edit.objects.filter(pk__gt=self._edit, pk__lte=edit, kind__in=[POOL, ANY])
        found = list(edits.values_list("kind", "name")[: AT_ONCE + 1])
        if len(found) > AT_ONCE or any(kind == ANY for kind, _name in found):
            return None
        return {name for _kind, name in found}


def _read_pools(policy: FailoverPolicy, names: Collection[str] | None = None) -> dict[int, _Kept]:
    """The pools of these names, or all of them, by the ids of their rows."""
    pools, members = CanonicalModel.objects.all(), Candidate.objects.all()
    if names is not None:
        pools = pools.filter(name__in=names)
        members = members.filter(canonical_model__name__in=names)
    candidates: defaultdict[int, list[CandidateSpec]] = defaultdict(list)
    # Tuples instead of rows, JSON as text: there may be tens of thousands, and most say nothing.
    for owner, provider, model, priority, weight, rpm, tpm, most, enabled, timeouts in (
        members.order_by("position", "pk").values_list(
            "canonical_model_id", "provider_name", "model", "priority", "weight",
            "rpm", "tpm", "max_parallel", "enabled", Cast("timeouts", TextField()),
        )
    ):  # fmt: skip
        candidates[owner].append(
            CandidateSpec(
                provider=provider,
                model=model,
                priority=priority,
                weight=weight,
                rpm=rpm,
                tpm=tpm,
                max_parallel=most,
                enabled=enabled,
                timeouts=NO_TIMEOUTS
                if timeouts == "{}"
                else timeouts_of(json.loads(timeouts), f"candidate {provider}/{model}"),
            )
        )
    found: dict[int, _Kept] = {}
    settings = tuple(POOL_SETTINGS.values())
    for (
        pk, name, source, enabled, affinity_key, timeouts, failover, capture, *own
    ) in pools.values_list(
        "pk", "name", "managed_source", "enabled", "affinity_key",
        Cast("timeouts", TextField()), Cast("failover", TextField()),
        Cast("capture", TextField()), *settings,
    ):  # fmt: skip
        spec = PoolSpec(
            name=name,
            candidates=tuple(candidates[pk]),
            enabled=enabled,
            affinity_key=affinity_key or None,
            **{
                field: None if value == "" else value
                for field, value in zip(settings, own, strict=True)
            },
            timeouts=NO_TIMEOUTS
            if timeouts == "{}"
            else timeouts_of(json.loads(timeouts), f"pool {name}"),
            failover=None if failover == "{}" else _policy(policy, json.loads(failover), name),
            source=source,
            capture=None if capture == "{}" else _capture(json.loads(capture), f"pool {name}"),
        )
        found[pk] = _Kept(name, source, spec)
    return found


def _policy(base: FailoverPolicy, own: Mapping[str, Any], pool: str) -> FailoverPolicy | None:
    """The general policy with what the pool says of it; None if it says nothing."""
    if not own:
        return None
    merged = {**msgspec.to_builtins(base), **own}
    backoff = own.get("backoff", {})
    if isinstance(backoff, dict):
        merged["backoff"] = {**msgspec.structs.asdict(base.backoff), **backoff}
    if isinstance(first := own.get("retry_first"), dict):
        merged["retry_first"] = {**msgspec.structs.asdict(base.retry_first), "times": 1, **first}
    # to_builtins leaves out defaults; convert puts the same ones back.
    return converted(merged, FailoverPolicy, f"failover of pool {pool}")


def _aliases() -> tuple[AliasSpec, ...]:
    targets: defaultdict[int, list[CandidateSpec]] = defaultdict(list)
    for target in AliasTarget.objects.order_by("position", "pk"):
        targets[target.alias_id].append(
            CandidateSpec(
                provider=target.provider_name,
                model=target.model,
                priority=target.priority,
                weight=target.weight,
            )
        )
    return tuple(
        AliasSpec(
            name=row.name,
            target=row.target,
            strategy=row.strategy or None,
            targets=tuple(targets[row.pk]),
            enabled=row.enabled,
            source=row.managed_source,
        )
        for row in _effective(Alias)
    )


def _switches() -> tuple[SwitchSpec, ...]:
    """What is switched off. Those whose time is over are deleted, not left out here: one clock."""
    return tuple(
        SwitchSpec(
            kind=row.kind,
            provider=row.provider_name,
            canonical_model=row.canonical_model,
            model=row.model,
            reason=row.reason,
            until=row.until.timestamp() if row.until else None,
        )
        for row in sorted(
            RoutingState.objects.filter(enabled=False), key=lambda row: tuple(row.identity.values())
        )
    )


def _keys() -> tuple[KeySpec, ...]:
    found: dict[str, ApiKey] = {}
    for row in ApiKey.objects.select_related("team"):
        if row.is_managed_by_config or row.name not in found:
            found[row.name] = row
    return tuple(
        KeySpec(
            name=row.name,
            digest=bytes.fromhex(row.digest),
            team=row.team.name if row.team else "",
            user_path=row.user_path,
            models=tuple(row.models),
            scopes=tuple(row.scopes),
            rpm=row.rpm,
            tpm=row.tpm,
            max_parallel=row.max_parallel,
            expires_at=row.expires_at.timestamp() if row.expires_at else None,
            former_digest=bytes.fromhex(row.former_digest) if row.former_until else b"",
            former_until=row.former_until.timestamp() if row.former_until else None,
            capture=_capture(row.capture, f"key {row.name}"),
        )
        for _name, row in sorted(found.items())
        if row.enabled
    )
