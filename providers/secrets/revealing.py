"""What of a provider's specification is secret, in clear, once its owner has been proved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.secrets.binding import credential_owner, header_owner, is_token, proxy_owner
from providers.secrets.encryption import opened

if TYPE_CHECKING:
    from collections.abc import Callable

    from providers.adapters.spec import CredentialSpec, ProviderSpec


def revealed_secret(
    spec: ProviderSpec, entry: CredentialSpec, decrypt: Callable[[str], str]
) -> str:
    owner = credential_owner(spec.source, spec.name, entry.label)
    return opened(entry.secret, owner, decrypt).strip()


def revealed_headers(spec: ProviderSpec, decrypt: Callable[[str], str]) -> dict[str, str]:
    return {
        name: opened(value, header_owner(spec.source, spec.name, name), decrypt)
        if is_token(value)
        else value
        for name, value in spec.headers.items()
    }


def revealed_proxy(spec: ProviderSpec, decrypt: Callable[[str], str]) -> str:
    if not is_token(spec.proxy):
        return spec.proxy
    return opened(spec.proxy, proxy_owner(spec.source, spec.name), decrypt)
