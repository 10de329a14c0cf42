"""
Where a provider's secrets go: to which origin, and by which proxy of its own.

A secret is bound to the destination that it was entered for. What a kind's usual address becomes
in a later version is another destination, too: a release that moves one has to say so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit, urlunsplit

from django.db import transaction

from providers.adapters.address import address_of, completed
from providers.adapters.registry import ADAPTERS

if TYPE_CHECKING:
    from collections.abc import Sequence

NOWHERE: Final = ""  # nothing is called
# Why it cannot be called, as a part of a sentence.
UNCONFIRMED: Final = (
    "its key or headers were entered for another address or proxy, and have to be confirmed"
)
_PORTS: Final = {"http": 80, "https": 443}


class Owner(Protocol):
    """A provider's row (providers.models.Provider, which looks here)."""

    headers: Any
    credentials: Any

    @property
    def destination(self) -> str: ...
    @property
    def unconfirmed_headers(self) -> Sequence[str]: ...
    def save(self) -> None: ...


def destination_of(kind: str, base_url: str, proxy: str) -> str:
    """
    `https://host`, with a port that is not the scheme's own, and ` by PROXY`.

    NOWHERE for a simulator and where there is no address, which then gets no call either.
    """
    adapter = ADAPTERS.get(kind)
    if adapter is not None and adapter.is_simulated:
        return NOWHERE
    address = completed(base_url, adapter.default_base_url if adapter is not None else "")
    if not address:
        return NOWHERE
    by = f" by {origin_of(proxy)}" if proxy else ""
    return origin_of(address) + by


def origin_of(url: str) -> str:
    """Scheme, host and port of an address; the address itself if it is none."""
    try:
        to = address_of(url, proxy="", trust_env_proxy=False, environ={}).endpoint
    except ValueError:
        # With a user, as proxies have it.
        parts = urlsplit(url)
        if "@" not in parts.netloc:
            return url
        return origin_of(urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])))
    host = f"[{to.host}]" if ":" in to.host else to.host
    port = "" if to.port == _PORTS[to.scheme] else f":{to.port}"
    return f"{to.scheme}://{host}{port}".lower()


def is_withheld(row: Owner) -> bool:
    """Whether no call goes out, because what it needs is unconfirmed."""
    keys = [c for c in row.credentials.all() if c.enabled and c.secret]
    has_only_old = bool(keys) and not any(c.is_confirmed for c in keys)
    return has_only_old or bool(row.unconfirmed_headers)


def unconfirmed(row: Owner) -> list[str]:
    """
    Which of its secrets were entered for another destination than its present one, as sentences.

    They are sent nowhere until somebody who may change credentials enters or confirms them.
    """
    entered_for = {
        f"Key {credential.label}": credential.confirmed_for
        for credential in row.credentials.all()
        if not credential.is_confirmed
    }
    for name in row.unconfirmed_headers:
        bound = row.headers[name].bound
        entered_for[f"Header {name}"] = bound.destination if bound is not None else ""
    return [
        f"{what} was entered for {bound or 'no address'} and is not sent to"
        f" {row.destination or 'no address'}: enter it again, or confirm it."
        for what, bound in entered_for.items()
    ]


@transaction.atomic
def confirm(row: Owner, destination: str | None = None) -> None:
    """
    Let its keys and headers go where it is now.

    Raises ValueError with words if that is not `destination`, or if one cannot be decrypted.
    """
    if destination is not None and destination != row.destination:
        raise ValueError(f"its address is {row.destination} now, so nothing was confirmed")
    if names := row.unconfirmed_headers:
        anew = {name: row.headers[name].bound_anew() for name in names}
        row.headers = {**row.headers, **anew}
        row.save()
    for credential in row.credentials.all():
        if not credential.is_confirmed:
            credential.secret = credential.secret.bound_anew()
            credential.save()
