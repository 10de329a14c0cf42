"""
The database as one numbered snapshot: read, compared, written where the workers look.

Level-triggered: `publish` may be called at any time, by any host, and does only what is missing.
"""

from __future__ import annotations

import os
import secrets
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from django.db import IntegrityError, transaction
from django.utils import timezone

from controlplane import revisions, snapshots
from controlplane.config_settings import effective_settings
from controlplane.models import ApiKey, ConfigSource, EditCounter, PublishedSnapshot, Settings
from controlplane.published_facts import facts_of, named_models
from failover.engine.policy import Backoff, BenchPolicy, FailoverPolicy
from failover.models import FailoverRule
from providers.adapters.spec import CredentialSpec, ProviderSpec, Timeouts
from providers.catalog_rows import lookup
from providers.fields import keyring
from providers.models import Credential, Provider, ProviderModel
from providers.redaction import known
from routing.gateway.snapshot import (
    AliasSpec,
    CandidateSpec,
    Content,
    KeySpec,
    PoolSpec,
    RoutingDefaults,
    RuleSpec,
    Snapshot,
    SwitchSpec,
    checksum,
    decode,
    encode,
)
from routing.gateway.table import compile_table
from routing.models import Alias, AliasTarget, Candidate, CanonicalModel, RoutingState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from providers.managed import ManagedModel

SNAPSHOT_FILE: Final = "snapshot.msgpack"
ATTEMPTS: Final = 5
NO_TIMEOUTS: Final = Timeouts()

Managed = TypeVar("Managed", bound="ManagedModel")
Value = TypeVar("Value")


def publish(data_dir: Path) -> Snapshot:
    """
    The snapshot of what the database says now, numbered, and on disk under `data_dir`.

    Raises what the database or the disk raises, and ValueError if a row holds what no snapshot
    can or what no worker could load; the file is then the one before.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            snapshot = _numbered(data_dir)
            break
        except IntegrityError:
            # Another host took the number in the meantime: look again at what it published.
            if attempt == ATTEMPTS:
                raise
    _write(data_dir, snapshot)
    revisions.record_published(snapshot.generation)
    return snapshot


def _numbered(data_dir: Path) -> Snapshot:
    content = _settled_content()
    digest = checksum(content)
    latest = PublishedSnapshot.objects.order_by("-generation").first()
    on_disk = _on_disk(data_dir)
    if on_disk.checksum != digest:
        _prove(content, digest)
    if latest is None or latest.checksum != digest:
        # A new database goes on from the file, so that no worker sees a number come back.
        known = max(latest.generation if latest else 0, on_disk.generation)
        with transaction.atomic():
            latest = PublishedSnapshot.objects.create(generation=known + 1, checksum=digest)
            snapshots.keep(latest, content)
            snapshots.prune()
    return Snapshot(
        generation=latest.generation,
        created_at=latest.created_at.timestamp(),
        checksum=digest,
        content=content,
    )


def _settled_content() -> Content:
    """The content as no edit has cut through it: built again if one came while it was read."""
    for _attempt in range(ATTEMPTS):
        before = _edits()
        content = build_content()
        if _edits() == before:
            break
    return content  # under constant edits the last one; the next round comes soon


def _edits() -> int:
    return EditCounter.objects.filter(pk=1).values_list("value", flat=True).first() or 0


def _on_disk(data_dir: Path) -> Snapshot:
    try:
        return decode((data_dir / SNAPSHOT_FILE).read_bytes())
    except (OSError, ValueError):  # none, or none of ours
        return Snapshot(generation=0, created_at=0, checksum="", content=Content())


def _prove(content: Content, digest: str) -> None:
    """Compile as the workers will: what they would refuse must not replace what they serve."""
    trial = Snapshot(generation=0, created_at=0, checksum=digest, content=content)
    table = compile_table(trial, decrypt=keyring().decrypt, environ=os.environ)
    known.digests = table.keys


def _write(data_dir: Path, snapshot: Snapshot) -> None:
    """Put the snapshot on disk, whole or not at all, unless it is there already."""
    path = data_dir / SNAPSHOT_FILE
    raw = encode(snapshot)
    try:
        if path.read_bytes() == raw:
            return
    except FileNotFoundError:
        pass  # the first one
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    directory = os.open(data_dir, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def build_content() -> Content:
    """What routing depends on, by a fixed number of queries. Raises ValueError for a bad row."""
    values: Mapping[str, Any] = (
        ConfigSource.objects.filter(pk=1).values_list("values", flat=True).first() or {}
    )
    row = Settings.objects.filter(pk=1).first() or Settings()
    settings = effective_settings(row, values)
    defaults = _defaults(settings)
    bench = _converted(
        {
            name.removeprefix("bench_"): value
            for name, value in settings.items()
            if name.startswith("bench_")
        },
        BenchPolicy,
        "the settings' bench",
    )
    providers = _effective(Provider)
    pools, aliases = _pools(defaults.failover), _aliases()
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
        providers=_providers(providers, named),
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
            provider.name: _converted(
                {**msgspec.structs.asdict(bench), **provider.bench},
                BenchPolicy,
                f"bench of provider {provider.name}",
            )
            for provider in providers
            if provider.bench
        },
        switches=_switches(),
    )


def _effective(model: type[Managed]) -> list[Managed]:
    """The rows that count, by name: the configuration's, and those that it does not shadow."""
    # Sorted here, not by the database: collations differ, the snapshot's bytes must not.
    found: dict[str, Managed] = {}
    for row in model._default_manager.all():  # noqa: SLF001 - Django documents it
        name = getattr(row, model.identity)
        if row.is_managed_by_config or name not in found:
            found[name] = row
    return [found[name] for name in sorted(found)]


def _converted(value: Any, kind: type[Value], what: str) -> Value:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"{what} cannot be published: {error}") from error


def _timeouts(block: Mapping[str, Any], what: str) -> Timeouts:
    return _converted(block, Timeouts, f"timeouts of {what}") if block else NO_TIMEOUTS


def _defaults(settings: Mapping[str, Any]) -> RoutingDefaults:
    policy = {name: settings[name] for name in FailoverPolicy.__struct_fields__ if name in settings}
    policy["enabled"] = settings["failover_in_pools"]
    policy["backoff"] = {name: settings[f"backoff_{name}"] for name in Backoff.__struct_fields__}
    own = {name: settings[name] for name in RoutingDefaults.__struct_fields__ if name in settings}
    return _converted({**own, "failover": policy}, RoutingDefaults, "the settings")


def _providers(
    rows: list[Provider], named: Mapping[str, Iterable[str]]
) -> tuple[ProviderSpec, ...]:
    credentials: defaultdict[int, list[CredentialSpec]] = defaultdict(list)
    for credential in Credential.objects.filter(enabled=True).order_by("position", "pk"):
        if credential.secret:
            credentials[credential.provider_id].append(
                CredentialSpec(label=credential.label, secret=credential.secret.token)
            )
    inventory: defaultdict[int, dict[str, Any]] = defaultdict(dict)
    for provider_id, model_id, metadata in ProviderModel.objects.order_by(
        "position", "pk"
    ).values_list("provider_id", "model_id", "metadata"):
        inventory[provider_id][model_id] = metadata
    catalogs = lookup(timezone.now())
    return tuple(
        ProviderSpec(
            name=row.name,
            kind=row.kind,
            base_url=row.base_url,
            auth=row.auth,
            enabled=row.enabled,
            credentials=tuple(credentials[row.pk]),
            models=tuple(inventory[row.pk]),
            facts=facts_of(row, inventory[row.pk], named.get(row.name, ()), catalogs),
            protocols=tuple(row.protocols),
            headers=row.headers,
            timeouts=_timeouts(row.timeouts, f"provider {row.name}"),
            proxy=row.proxy,
            trust_env_proxy=row.trust_env_proxy,
            fault=row.fault,
        )
        for row in rows
    )


def _pools(policy: FailoverPolicy) -> tuple[PoolSpec, ...]:
    candidates: defaultdict[int, list[CandidateSpec]] = defaultdict(list)
    # Tuples instead of rows: there may be tens of thousands.
    for owner, provider, model, priority, weight, rpm, tpm, most, enabled, timeouts in (
        Candidate.objects.order_by("position", "pk").values_list(
            "canonical_model_id", "provider_name", "model", "priority", "weight",
            "rpm", "tpm", "max_parallel", "enabled", "timeouts",
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
                timeouts=_timeouts(timeouts, f"candidate {provider}/{model}"),
            )
        )
    return tuple(
        PoolSpec(
            name=row.name,
            candidates=tuple(candidates[row.pk]),
            enabled=row.enabled,
            strategy=row.strategy or None,
            session_affinity=row.session_affinity,
            session_affinity_ttl_s=row.session_affinity_ttl_s,
            affinity_key=row.affinity_key or None,
            stay_after_failover=row.stay_after_failover,
            native_first=row.native_first,
            params=row.params or None,
            timeouts=_timeouts(row.timeouts, f"pool {row.name}"),
            failover=_policy(policy, row.failover, row.name) if row.failover else None,
            source=row.managed_source,
        )
        for row in _effective(CanonicalModel)
    )


def _policy(base: FailoverPolicy, own: Mapping[str, Any], pool: str) -> FailoverPolicy:
    """The general policy with what the pool says of it."""
    merged = {**msgspec.to_builtins(base), **own}
    backoff = own.get("backoff", {})
    if isinstance(backoff, dict):
        merged["backoff"] = {**msgspec.structs.asdict(base.backoff), **backoff}
    # to_builtins leaves out defaults; convert puts the same ones back.
    return _converted(merged, FailoverPolicy, f"failover of pool {pool}")


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
        )
        for _name, row in sorted(found.items())
        if row.enabled
    )
