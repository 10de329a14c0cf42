"""
Secrets that an older version stored, made what they are now: encrypted, and bound.

They count as entered for where their provider is. Idempotent; what cannot be decrypted with this
host's keys stays as it is, for a host that can.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.destinations import destination_of
from providers.secrets.binding import (
    Binding,
    binding_of,
    credential_owner,
    header_owner,
    is_token,
    proxy_owner,
)
from providers.secrets.encryption import CannotDecrypt
from providers.secrets.fields import EncryptedText, EncryptedTexts, keyring

if TYPE_CHECKING:
    from django.db.models import Model


def bind_stored(provider: type[Model], credential: type[Model]) -> None:
    """Every row of the two models, which may be those of a migration."""
    keys: dict[int, list[tuple[int, str, EncryptedText]]] = {}
    for pk, owner, label, secret in _rows(credential, "provider_id", "label", "secret"):
        if secret and binding_of(secret.token) is None:
            keys.setdefault(owner, []).append((pk, label, secret))
    for pk, source, name, kind, base_url, headers, proxy in _rows(
        provider, "managed_source", "name", "kind", "base_url", "headers", "proxy"
    ):
        is_done = binding_of(proxy.token) is not None or not proxy.token
        is_done = is_done and all(binding_of(t.token) or not t.token for t in headers.values())
        if is_done and pk not in keys:
            continue
        proxy_text = _text(proxy)
        if proxy_text is None:
            continue  # where its secrets go cannot be known
        to = destination_of(kind, base_url, proxy_text)
        provider._default_manager.filter(pk=pk).update(  # noqa: SLF001 - Django documents it
            proxy=_bound(proxy, Binding(proxy_owner(source, name))),
            headers=EncryptedTexts(
                {
                    header: _bound(text, Binding(header_owner(source, name, header), to))
                    for header, text in headers.items()
                }
            ),
        )
        for key, label, secret in keys.get(pk, ()):
            bound = _bound(secret, Binding(credential_owner(source, name, label), to))
            credential._default_manager.filter(pk=key).update(secret=bound)  # noqa: SLF001 - as above


def _rows(model: type[Model], *fields: str) -> list[tuple[Any, ...]]:
    return list(model._default_manager.order_by("pk").values_list("pk", *fields))  # noqa: SLF001 - as above


def _text(stored: EncryptedText) -> str | None:
    """Its text, which an older version kept in clear; None if it cannot be decrypted."""
    if not is_token(stored.token):
        return stored.token
    try:
        return keyring().decrypt(stored.token)
    except CannotDecrypt:
        return None


def _bound(stored: EncryptedText, binding: Binding) -> EncryptedText:
    text = _text(stored)
    if not text or binding_of(stored.token) is not None:
        return stored
    return EncryptedText(keyring().encrypt(text, binding))
