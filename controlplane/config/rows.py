"""
A Document's objects as rows: those of a Part become exactly what it says.

A row is written only if it differs, so history and `updated_at` move only when something has
changed, and a secret keeps its token as long as its text stays the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.db import models
from simple_history.utils import bulk_create_with_history

from controlplane.config.yaml import Mistake
from controlplane.edits.kinds import KINDS
from controlplane.hosts.holding import kept_or_new
from controlplane.models import ApiKey, Team, digest_of
from failover.models import FailoverRule
from providers.destinations import destination_of
from providers.managed.models import ManagedModel
from providers.models import Credential, Provider, ProviderModel
from providers.secrets.fields import EncryptedText, EncryptedTexts
from routing.models import Alias, AliasTarget, Candidate, CanonicalModel
from routing.validation import POOL_SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from controlplane.config.document import Document
    from controlplane.config.schema import AliasTargetBlock, CandidateBlock, ProviderBlock

BATCH: Final = 500

Fields = dict[str, Any]
Row = TypeVar("Row", bound=models.Model)
Owner = TypeVar("Owner", bound=ManagedModel)


def _everything(_kind: str, _name: str) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """
    The rows that are made equal to `document`: those of `source` that `has(kind, name)` names.

    What is wrong is added to `mistakes`; whoever finds some there must roll back.
    """

    document: Document
    source: str
    has: Callable[[str, str], bool] = _everything
    mistakes: list[Mistake] = field(default_factory=list)

    def rows(self, kind: str, model: type[Owner]) -> list[Owner]:
        """Those of one kind that are there now."""
        found = model._default_manager.filter(managed_source=self.source)  # noqa: SLF001 - Django documents it
        return [row for row in found if self.has(kind, getattr(row, model.identity))]

    def ids(self, kind: str, model: type[Provider | CanonicalModel | Alias]) -> dict[str, int]:
        rows = model._default_manager.filter(managed_source=self.source)  # noqa: SLF001 - Django documents it
        pairs = rows.values_list("name", "pk")
        return {name: pk for name, pk in pairs if self.has(kind, name)}

    def of(self, kind: str, blocks: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        return ((name, block) for name, block in blocks.items() if self.has(kind, name))

    def is_kept(self, *path: str | int) -> bool:
        return path in self.document.tree.kept

    def nothing_to_keep(self, *path: str | int) -> None:
        words = "nothing is stored that could be kept, allowed: a value, or a variable that is set"
        self.mistakes.append(self.document.tree.mistake(path, words))


def differing(row: models.Model, fields: Fields) -> list[str]:
    return [name for name, value in fields.items() if getattr(row, name) != value]


def sync(
    model: type[Row], rows: Iterable[Row], desired: Mapping[Any, Fields], *key_fields: str
) -> bool:
    """
    Make `rows` of `model` equal to `desired`, which is keyed by the values of `key_fields`.

    With one key field the key is its value, with more their tuple. Whether anything was written.
    """
    current: dict[Any, Row] = {}
    for row in rows:
        parts = tuple(getattr(row, name) for name in key_fields)
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
        elif changed := differing(current[key], fields):
            for name in changed:
                setattr(current[key], name, fields[name])
            current[key].save()
            moved = True
    if new:
        bulk_create_with_history(new, model, batch_size=BATCH)
    return moved or bool(new)


def write_objects(part: Part) -> bool:
    """The rows of every kind; whether anything was written."""
    moved = False
    for kind in KINDS.values():
        moved |= kind.sync(part)
    return moved


def write_providers(part: Part) -> bool:
    blocks = part.document.blocks.providers
    stored = {row.name: row for row in part.rows("provider", Provider)}
    desired: dict[str, Fields] = {
        name: {
            "managed_source": part.source,
            "kind": block.kind,
            "base_url": block.base_url,
            "auth": block.auth,
            "enabled": block.enabled,
            **_secrets(part, name, block, stored.get(name)),
            "timeouts": block.timeouts.given(),
            "health": block.health.given(),
            "failure_domain": block.failure_domain,
            "trust_env_proxy": block.trust_env_proxy,
            "protocols": block.protocols,
            "bench": block.bench.given(),
            "fault": block.fault,
        }
        for name, block in part.of("provider", blocks)
    }
    moved = sync(Provider, stored.values(), desired, "name")
    ids = part.ids("provider", Provider)
    moved |= _write_credentials(part, ids)
    inventory: dict[tuple[int, str], Fields] = {
        (ids[name], entry.id): {"metadata": entry.metadata.given(), "position": position}
        for name, block in part.of("provider", blocks)
        for position, entry in enumerate(block.models)
    }
    listed = _parts_of(ids, ProviderModel, provider__managed_source=part.source)
    return moved | sync(ProviderModel, listed, inventory, "provider_id", "model_id")


def _secrets(part: Part, name: str, block: ProviderBlock, stored: Provider | None) -> Fields:
    """Proxy and headers, which are bound to where the provider is with this proxy."""
    path = ("providers", name)
    had = stored.proxy if stored is not None else EncryptedText("")
    proxy: EncryptedText | str = had
    if not part.is_kept(*path, "proxy"):
        proxy = kept_or_new(had, block.proxy, "")
    elif not had:
        part.nothing_to_keep(*path, "proxy")
    proxy_text = proxy if isinstance(proxy, str) else proxy.told()
    to = destination_of(block.kind, block.base_url, proxy_text)
    known = stored.headers if stored is not None else {}
    headers: dict[str, EncryptedText | str] = {}
    for header, text in block.headers.items():
        if not part.is_kept(*path, "headers", header):
            headers[header] = kept_or_new(known.get(header), text, to)
        elif header in known:
            headers[header] = known[header]
        else:
            part.nothing_to_keep(*path, "headers", header)
    return {"proxy": proxy, "headers": EncryptedTexts.of(headers)}


def _parts_of(ids: Mapping[str, int], model: type[Row], **source: str) -> list[Row]:
    """The rows of `model` that belong to one of `ids`."""
    owner = next(iter(source)).removesuffix("__managed_source") + "_id"
    known = set(ids.values())
    rows = model._default_manager.filter(**source)  # noqa: SLF001 - Django documents it
    return [row for row in rows if getattr(row, owner) in known]


def _write_credentials(part: Part, ids: Mapping[str, int]) -> bool:
    rows = _parts_of(ids, Credential, provider__managed_source=part.source)
    owners = {row.pk: row for row in part.rows("provider", Provider)}
    for row in rows:
        row.provider = owners[row.provider_id]  # asking for each would be a query for each
    tokens = {(row.provider_id, row.label): row.secret for row in rows}
    desired: dict[tuple[int, str], Fields] = {}
    for name, block in part.of("provider", part.document.blocks.providers):
        for position, found in enumerate(_labelled_keys(part, name, block)):
            key = (ids[name], found.label)
            token = tokens.get(key)
            if found.is_kept and token is None:
                part.nothing_to_keep(*found.path)
                continue
            owner = owners[ids[name]]
            secret = token if found.is_kept else kept_or_new(token, found.text, owner.destination)
            if isinstance(secret, str):
                row = Credential(provider=owner, label=found.label, secret=secret)
                secret = row.secret.stored()
            desired[key] = {
                "secret": secret,
                "enabled": found.enabled,
                "position": position,
            }
    return sync(Credential, rows, desired, "provider_id", "label")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    label: str
    text: str
    enabled: bool
    path: tuple[str | int, ...]
    is_kept: bool


def _labelled_keys(part: Part, name: str, block: ProviderBlock) -> list[_Key]:
    """
    The provider's keys with their labels, without empty ones and repetitions.

    A label goes by the place in the list, so that an unset variable renames no other key.
    """
    path: tuple[str | int, ...] = ("providers", name, "api_key")
    if block.api_key:
        only = part.is_kept(*path)
        return [_Key(label="key-1", text=block.api_key, enabled=True, path=path, is_kept=only)]
    found: dict[str, _Key] = {}
    for index, entry in enumerate(block.api_keys):
        path = ("providers", name, "api_keys", index)
        if entry.key:
            key = _Key(
                label=entry.label or f"key-{index + 1}",
                text=entry.key,
                enabled=entry.enabled,
                path=path,
                is_kept=part.is_kept(*path) or part.is_kept(*path, "key"),
            )
            found.setdefault(key.text, key)
    return list(found.values())


def write_pools(part: Part) -> bool:
    pools = part.document.blocks.routing.model_pools
    desired: dict[str, Fields] = {
        name: {
            "managed_source": part.source,
            "enabled": pool.enabled,
            **{field: getattr(pool, key) for key, field in POOL_SETTINGS.items()},
            "affinity_key": pool.affinity_key,
            "timeouts": pool.timeouts.given(),
            "failover": pool.failover.given(),
            "capture": pool.capture.given(),
        }
        for name, pool in part.of("pool", pools)
    }
    moved = sync(CanonicalModel, part.rows("pool", CanonicalModel), desired, "name")
    ids = part.ids("pool", CanonicalModel)
    candidates: dict[tuple[int, str, str], Fields] = {
        (ids[name], candidate.provider, candidate.model): {
            **_target_fields(candidate, position),
            "rpm": candidate.rpm,
            "tpm": candidate.tpm,
            "max_parallel": candidate.max_parallel,
            "enabled": candidate.enabled,
            "timeouts": candidate.timeouts.given(),
        }
        for name, pool in part.of("pool", pools)
        for position, candidate in enumerate(pool.candidates)
    }
    rows = _parts_of(ids, Candidate, canonical_model__managed_source=part.source)
    return moved | sync(Candidate, rows, candidates, "canonical_model_id", "provider_name", "model")


def _target_fields(target: CandidateBlock | AliasTargetBlock, position: int) -> Fields:
    return {"priority": target.priority, "weight": target.weight, "position": position}


def write_aliases(part: Part) -> bool:
    blocks = part.document.blocks
    source = {"managed_source": part.source}
    desired: dict[str, Fields] = {
        name: {
            **source,
            "target": alias.target,
            "strategy": alias.strategy,
            "enabled": alias.enabled,
        }
        for name, alias in part.of("alias", blocks.aliases)
    }
    for pool_name, pool in blocks.routing.model_pools.items():
        for name in pool.aliases:
            if part.has("alias", name):
                desired[name] = {**source, "target": pool_name, "strategy": "", "enabled": True}
    moved = sync(Alias, part.rows("alias", Alias), desired, "name")
    ids = part.ids("alias", Alias)
    targets: dict[tuple[int, str, str], Fields] = {
        (ids[name], target.provider, target.model): _target_fields(target, position)
        for name, alias in part.of("alias", blocks.aliases)
        for position, target in enumerate(alias.targets)
    }
    rows = _parts_of(ids, AliasTarget, alias__managed_source=part.source)
    return moved | sync(AliasTarget, rows, targets, "alias_id", "provider_name", "model")


def write_rules(part: Part) -> bool:
    off = set(part.document.blocks.failover.disabled_rules)
    desired: dict[str, Fields] = {
        primary: {
            "managed_source": part.source,
            "fallback_models": list(targets),
            "enabled": primary not in off,
        }
        for primary, targets in part.of("rule", part.document.rules)
    }
    return sync(FailoverRule, part.rows("rule", FailoverRule), desired, "primary_model")


def write_keys(part: Part) -> bool:
    listed = [
        (index, block)
        for index, block in enumerate(part.document.blocks.keys)
        if block.key and part.has("key", block.name)
    ]
    rows = part.rows("key", ApiKey)
    stored = {row.name: row for row in rows}
    teams: dict[str, int] = dict(Team.objects.values_list("name", "pk"))
    for name in {block.team for _index, block in listed if block.team} - teams.keys():
        teams[name] = Team.objects.create(name=name).pk
    desired: dict[str, Fields] = {}
    for index, block in listed:
        shown = ApiKey()
        if part.is_kept("keys", index, "key"):
            if block.name not in stored:
                part.nothing_to_keep("keys", index, "key")
                continue
            shown = stored[block.name]
        else:
            shown.set_key(block.key)
        desired[block.name] = {
            "managed_source": part.source,
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
            "expires_at": block.expires_at,
            "capture": block.capture.given(),
        }
    # Digests are unique: where entries trade keys, each must let go before another takes.
    for row in rows:
        if row.name in desired and desired[row.name]["digest"] != row.digest:
            ApiKey.objects.filter(pk=row.pk).update(digest=f"moving {row.pk}")
    return sync(ApiKey, rows, desired, "name")


def refuse_shared_keys(part: Part) -> None:
    """Note each key that a row has already that will stay: it would be two principals."""
    place_of = {
        digest_of(block.key): index
        for index, block in enumerate(part.document.blocks.keys)
        if block.key and part.has("key", block.name) and not part.is_kept("keys", index, "key")
    }
    kept = {
        block.name
        for index, block in enumerate(part.document.blocks.keys)
        if part.is_kept("keys", index, "key")
    }
    going = {row.pk for row in part.rows("key", ApiKey) if row.name not in kept}
    for row in ApiKey.objects.filter(digest__in=list(place_of)).order_by("name"):
        if row.pk not in going:
            where = "the configuration" if row.is_managed_by_config else "admin"
            part.mistakes.append(
                Mistake(
                    file=part.document.filename,
                    line=part.document.tree.line(("keys", place_of[row.digest], "key")),
                    path=f"keys[{place_of[row.digest]}].key",
                    text=f'the same key as "{row.name}" in {where}, allowed: another key',
                )
            )
