"""
A Document as rows: `managed_source="config"` rows become exactly what it says.

A row is written only if it differs, so history and `updated_at` move only when something has
changed, and a secret keeps its token as long as its text stays the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.db import models, transaction
from django.utils import timezone
from simple_history.utils import bulk_create_with_history

from controlplane.config_document import ConfigErrors
from controlplane.config_yaml import Mistake
from controlplane.models import ApiKey, ConfigSource, Team, digest_of
from failover.models import FailoverRule
from providers.encryption import CannotDecrypt
from providers.managed import ManagedSource
from providers.models import Credential, Provider, ProviderModel
from routing.models import Alias, AliasTarget, Candidate, CanonicalModel
from routing.validation import alias_cycle

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from controlplane.config_document import Document
    from controlplane.config_schema import AliasTargetBlock, CandidateBlock, ProviderBlock

BATCH: Final = 500
CONFIG: Final = {"managed_source": ManagedSource.CONFIG}

Fields = dict[str, Any]
Row = TypeVar("Row", bound=models.Model)


def mirror(document: Document) -> bool:
    """
    Make the configuration's rows equal to `document`; whether anything had to be written.

    All or nothing, in one transaction. Raises ConfigErrors if the document contradicts what
    admin holds; then nothing was written.
    """
    ConfigSource.load()
    with transaction.atomic():
        # The row is also the lock: two hosts that share a database mirror one after the other.
        source = ConfigSource.objects.select_for_update().get(pk=1)
        _refuse_shared_keys(document)
        moved = _mirror_providers(document)
        moved |= _mirror_pools(document)
        moved |= _mirror_aliases(document)
        if moved:
            _refuse_cycles(document)
        moved |= _mirror_rules(document)
        moved |= _mirror_keys(document)
        return _note_applied(source, document, moved=moved)


def refuse(filename: str, errors: Sequence[str]) -> None:
    """Note that the configuration was refused, and why. Nothing else changes."""
    ConfigSource.load()
    with transaction.atomic():
        source = ConfigSource.objects.select_for_update().get(pk=1)
        if source.refused_errors == list(errors) and source.refused_at:
            return
        source.refused_at = timezone.now()
        source.refused_errors = list(errors)
        source.path = source.path or filename[:1000]
        source.save()


def _note_applied(source: ConfigSource, document: Document, *, moved: bool) -> bool:
    says: Fields = {
        "path": document.filename[:1000],
        "checksum": document.checksum,
        "values": document.values,
        "warnings": list(document.warnings),
        "refused_at": None,
        "refused_errors": [],
    }
    if not moved and source.applied_at and not _differing(source, says):
        return False
    for field, value in says.items():
        setattr(source, field, value)
    source.applied_at = timezone.now()
    source.save()
    return True


def _differing(row: models.Model, fields: Fields) -> list[str]:
    return [field for field, value in fields.items() if getattr(row, field) != value]


def _sync(
    model: type[Row], rows: Iterable[Row], desired: Mapping[Any, Fields], *key_fields: str
) -> bool:
    """
    Make `rows` of `model` equal to `desired`, which is keyed by the values of `key_fields`.

    With one key field the key is its value, with more their tuple. Whether anything was written.
    """
    current: dict[Any, Row] = {}
    for row in rows:
        parts = tuple(getattr(row, field) for field in key_fields)
        current[parts if len(parts) > 1 else parts[0]] = row
    gone = [row.pk for key, row in current.items() if key not in desired]
    for start in range(0, len(gone), BATCH):
        model._default_manager.filter(pk__in=gone[start : start + BATCH]).delete()  # noqa: SLF001 - Django documents it
    moved = bool(gone)
    new: list[Row] = []
    for key, fields in desired.items():
        if key not in current:
            parts = key if isinstance(key, tuple) else (key,)
            new.append(model(**dict(zip(key_fields, parts, strict=True)), **fields))
        elif changed := _differing(current[key], fields):
            for field in changed:
                setattr(current[key], field, fields[field])
            current[key].save()
            moved = True
    if new:
        bulk_create_with_history(new, model, batch_size=BATCH)
    return moved or bool(new)


def _ids(model: type[Provider | CanonicalModel | Alias]) -> dict[str, int]:
    return dict(model._default_manager.filter(**CONFIG).values_list("name", "pk"))  # noqa: SLF001 - Django documents it


def _mirror_providers(document: Document) -> bool:
    blocks = document.blocks.providers
    desired: dict[str, Fields] = {
        name: {
            **CONFIG,
            "kind": block.kind,
            "base_url": block.base_url,
            "auth": block.auth,
            "enabled": block.enabled,
            "headers": block.headers,
            "timeouts": block.timeouts.given(),
            "health": block.health.given(),
            "failure_domain": block.failure_domain,
            "proxy": block.proxy,
            "trust_env_proxy": block.trust_env_proxy,
            "protocols": block.protocols,
            "bench": block.bench.given(),
            "fault": block.fault,
        }
        for name, block in blocks.items()
    }
    moved = _sync(Provider, Provider.objects.filter(**CONFIG), desired, "name")
    ids = _ids(Provider)
    moved |= _mirror_credentials(blocks, ids)
    inventory: dict[tuple[int, str], Fields] = {
        (ids[name], entry.id): {"metadata": entry.metadata.given(), "position": position}
        for name, block in blocks.items()
        for position, entry in enumerate(block.models)
    }
    listed = ProviderModel.objects.filter(provider__managed_source=ManagedSource.CONFIG)
    return moved | _sync(ProviderModel, listed, inventory, "provider_id", "model_id")


def _mirror_credentials(blocks: Mapping[str, ProviderBlock], ids: Mapping[str, int]) -> bool:
    rows = list(Credential.objects.filter(provider__managed_source=ManagedSource.CONFIG))
    tokens = {(row.provider_id, row.label): row.secret for row in rows}
    desired: dict[tuple[int, str], Fields] = {}
    for name, block in blocks.items():
        for position, (label, text) in enumerate(_labelled_keys(block)):
            key = (ids[name], label)
            token = tokens.get(key)
            desired[key] = {
                "secret": token if token is not None and _holds(token, text) else text,
                "enabled": True,
                "position": position,
            }
    return _sync(Credential, rows, desired, "provider_id", "label")


def _labelled_keys(block: ProviderBlock) -> list[tuple[str, str]]:
    """
    The provider's keys with their labels, without empty ones and repetitions.

    A label goes by the place in the list, so that an unset variable renames no other key.
    """
    found: dict[str, str] = {}
    for number, text in enumerate([block.api_key] if block.api_key else block.api_keys, start=1):
        if text:
            found.setdefault(text, f"key-{number}")
    return [(label, text) for text, label in found.items()]


def _holds(token: Any, text: str) -> bool:
    try:
        return bool(token.reveal() == text)
    except CannotDecrypt:
        return False  # made with a key that is lost: encrypt the text anew


def _mirror_pools(document: Document) -> bool:
    pools = document.blocks.routing.model_pools
    desired: dict[str, Fields] = {
        name: {
            **CONFIG,
            "enabled": pool.enabled,
            "strategy": pool.strategy,
            "session_affinity": pool.session_affinity,
            "session_affinity_ttl_s": pool.session_affinity_ttl,
            "affinity_key": pool.affinity_key,
            "stay_after_failover": pool.stay_after_failover,
            "native_first": pool.native_first,
            "params": pool.params,
            "timeouts": pool.timeouts.given(),
            "failover": pool.failover.given(),
            "capture": pool.capture.given(),
        }
        for name, pool in pools.items()
    }
    moved = _sync(CanonicalModel, CanonicalModel.objects.filter(**CONFIG), desired, "name")
    ids = _ids(CanonicalModel)
    candidates: dict[tuple[int, str, str], Fields] = {
        (ids[name], candidate.provider, candidate.model): {
            **_target_fields(candidate, position),
            "rpm": candidate.rpm,
            "tpm": candidate.tpm,
            "max_parallel": candidate.max_parallel,
            "enabled": candidate.enabled,
            "timeouts": candidate.timeouts.given(),
        }
        for name, pool in pools.items()
        for position, candidate in enumerate(pool.candidates)
    }
    rows = Candidate.objects.filter(canonical_model__managed_source=ManagedSource.CONFIG)
    return moved | _sync(
        Candidate, rows, candidates, "canonical_model_id", "provider_name", "model"
    )


def _target_fields(target: CandidateBlock | AliasTargetBlock, position: int) -> Fields:
    return {"priority": target.priority, "weight": target.weight, "position": position}


def _mirror_aliases(document: Document) -> bool:
    desired: dict[str, Fields] = {
        name: {
            **CONFIG,
            "target": alias.target,
            "strategy": alias.strategy,
            "enabled": alias.enabled,
        }
        for name, alias in document.blocks.aliases.items()
    }
    for pool_name, pool in document.blocks.routing.model_pools.items():
        for name in pool.aliases:
            desired[name] = {**CONFIG, "target": pool_name, "strategy": "", "enabled": True}
    moved = _sync(Alias, Alias.objects.filter(**CONFIG), desired, "name")
    ids = _ids(Alias)
    targets: dict[tuple[int, str, str], Fields] = {
        (ids[name], target.provider, target.model): _target_fields(target, position)
        for name, alias in document.blocks.aliases.items()
        for position, target in enumerate(alias.targets)
    }
    rows = AliasTarget.objects.filter(alias__managed_source=ManagedSource.CONFIG)
    return moved | _sync(AliasTarget, rows, targets, "alias_id", "provider_name", "model")


def _refuse_cycles(document: Document) -> None:
    """Aliases of the file and of admin must not lead round in a circle together."""
    pools = set(CanonicalModel.objects.values_list("name", flat=True))
    target_of = {alias.name: alias.target for alias in Alias.effective() if alias.name not in pools}
    mistakes: dict[frozenset[str], Mistake] = {}
    for name in sorted(target_of):
        if way := alias_cycle(name, target_of):
            # Told once, by a name that the file has, if it has one.
            own = next((n for n in way if n in document.blocks.aliases), name)
            mistakes.setdefault(
                frozenset(way),
                Mistake(
                    file=document.filename,
                    line=0,
                    path=f"aliases.{own}",
                    text=f"a cycle of aliases with admin's ({' -> '.join(way)}), allowed: an end",
                ),
            )
    if mistakes:
        raise ConfigErrors(list(mistakes.values()))


def _mirror_rules(document: Document) -> bool:
    desired: dict[str, Fields] = {
        primary: {**CONFIG, "fallback_models": list(targets), "enabled": True}
        for primary, targets in document.rules.items()
    }
    return _sync(FailoverRule, FailoverRule.objects.filter(**CONFIG), desired, "primary_model")


def _refuse_shared_keys(document: Document) -> None:
    """A key of the file that admin knows already would be two principals: refuse the file."""
    place_of = {
        digest_of(block.key): index for index, block in enumerate(document.blocks.keys) if block.key
    }
    taken = ApiKey.objects.filter(
        managed_source=ManagedSource.DASHBOARD, digest__in=list(place_of)
    ).order_by("name")
    if mistakes := [
        Mistake(
            file=document.filename,
            line=0,
            path=f"keys[{place_of[row.digest]}].key",
            text=f'the same key as "{row.name}" in admin, allowed: another key',
        )
        for row in taken
    ]:
        raise ConfigErrors(mistakes)


def _mirror_keys(document: Document) -> bool:
    blocks = [block for block in document.blocks.keys if block.key]
    teams: dict[str, int] = dict(Team.objects.values_list("name", "pk"))
    for name in {block.team for block in blocks if block.team} - teams.keys():
        teams[name] = Team.objects.create(name=name).pk
    desired: dict[str, Fields] = {}
    for block in blocks:
        shown = ApiKey()
        shown.set_key(block.key)
        desired[block.name] = {
            **CONFIG,
            "digest": shown.digest,
            "prefix": shown.prefix,
            "last4": shown.last4,
            "team_id": teams[block.team] if block.team else None,
            "models": block.models,
            "user_path": block.user_path,
            "scopes": block.scopes,
            "rpm": block.rpm,
            "tpm": block.tpm,
            "max_parallel": block.max_parallel,
            "enabled": block.enabled,
            "expires_at": None,
            "capture": block.capture.given(),
        }
    rows = list(ApiKey.objects.filter(**CONFIG))
    # Digests are unique: where entries trade keys, each must let go before another takes.
    for row in rows:
        if row.name in desired and desired[row.name]["digest"] != row.digest:
            ApiKey.objects.filter(pk=row.pk).update(digest=f"moving {row.pk}")
    return _sync(ApiKey, rows, desired, "name")
