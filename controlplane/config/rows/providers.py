"""Writes providers, their credentials and their inventories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from controlplane.config.rows.part import (
    Fields,
    Part,
    kept_or_new,
    parts_of,
    sync,
)
from providers.destinations import destination_of
from providers.models import Credential, Provider, ProviderModel
from providers.secrets.encryption import CannotDecrypt
from providers.secrets.fields import EncryptedText, EncryptedTexts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controlplane.config.schema import ProviderBlock


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
            "headers": _headers(part, name, block, stored.get(name)),
            "timeouts": block.timeouts.given(),
            "health": block.health.given(),
            "failure_domain": block.failure_domain,
            "proxy": _proxy(part, name, block, stored.get(name)),
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
    listed = parts_of(ids, ProviderModel, provider__managed_source=part.source)
    return moved | sync(ProviderModel, listed, inventory, "provider_id", "model_id")


def _headers(
    part: Part, name: str, block: ProviderBlock, stored: Provider | None
) -> EncryptedTexts:
    headers: dict[str, EncryptedText | str] = {}
    known = stored.headers if stored is not None else {}
    to = destination_of(block.kind, block.base_url, _proxy_text(part, name, block, stored))
    for header, text in block.headers.items():
        if not part.is_kept("providers", name, "headers", header):
            headers[header] = kept_or_new(known.get(header), text, to)
        elif header in known:
            headers[header] = known[header]
        else:
            part.nothing_to_keep("providers", name, "headers", header)
    return EncryptedTexts.of(headers)


def _proxy(
    part: Part, name: str, block: ProviderBlock, stored: Provider | None
) -> EncryptedText | str:
    if not part.is_kept("providers", name, "proxy"):
        return kept_or_new(stored.proxy if stored is not None else None, block.proxy, "")
    if stored is None or not stored.proxy:
        part.nothing_to_keep("providers", name, "proxy")
        return EncryptedText("")
    return stored.proxy  # type: ignore[no-any-return]


def _proxy_text(part: Part, name: str, block: ProviderBlock, stored: Provider | None) -> str:
    if not part.is_kept("providers", name, "proxy"):
        return block.proxy
    try:
        return stored.proxy.reveal() if stored is not None else ""
    except CannotDecrypt:
        return ""


def _write_credentials(part: Part, ids: Mapping[str, int]) -> bool:
    rows = parts_of(ids, Credential, provider__managed_source=part.source)
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
