"""
Who really asks, and by which scheme, where a proxy that the settings trust stands before us.

The last address of `X-Forwarded-For` that is no trusted proxy's counts: what stands further left,
anybody can have written. Without TRUSTED_PROXIES the headers mean nothing.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from routing.gateway.ingress import Scope

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


def as_forwarded(scope: Scope, headers: Mapping[bytes, bytes], trusted: Sequence[Network]) -> Scope:
    """`scope` with the client and the scheme that trusted proxies name."""
    client = scope.get("client")
    if not trusted or client is None or not _is_trusted(client[0], trusted):
        return scope
    address = client[0]
    given = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
    for text in reversed(given.decode("latin-1").split(",")):
        hop = _address(text)
        if not hop:
            break  # whatever stands further left was told by somebody whom we cannot name
        address = hop
        if not _is_trusted(hop, trusted):
            break
    scheme = headers.get(b"x-forwarded-proto", b"").split(b",")[-1].strip().lower()
    more = {"scheme": scheme.decode()} if scheme in (b"http", b"https") else {}
    return {**scope, "client": (address, 0), **more}


def _address(text: str) -> str:
    """An address as proxies write it: perhaps with a port, or in brackets; "" for nonsense."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def _is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in trusted)
