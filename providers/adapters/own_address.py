"""Whether a provider's address is this gateway's own, which would ask itself."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final
from urllib.parse import urlsplit

LISTENS: Final = "SWITCHYARD_LISTENS"  # `serve` says to its children where, as http://host:port
_PORTS: Final = {"http": 80, "https": 443}
_Address = IPv4Address | IPv6Address


def is_own(base_url: str, environ: Mapping[str, str]) -> bool:
    """
    Whether calls to `base_url` come here, as far as that can be seen without asking a resolver.

    So they do at an address that this host listens on, and by a name that it is called by from
    outside (ALLOWED_HOSTS).
    """
    try:
        called, listens = urlsplit(base_url), urlsplit(environ.get(LISTENS, ""))
        port = called.port or _PORTS.get(called.scheme)
    except ValueError:
        return False
    host = (called.hostname or "").rstrip(".")
    if not host or not listens.hostname:
        return False
    if _is_outer_name(host, environ.get("ALLOWED_HOSTS", "")):
        return True
    return port == listens.port and _reaches(host, listens.hostname)


def _is_outer_name(host: str, allowed: str) -> bool:
    names = {name.strip().lower() for name in allowed.split(",")}
    return host in names and host != "localhost" and _address(host) is None


def _reaches(host: str, listening: str) -> bool:
    address, bound = _address(host), _address(listening)
    if bound is not None and bound.is_unspecified:
        if address is None:
            return host in ("localhost", socket.gethostname().lower(), socket.getfqdn().lower())
        return address.is_loopback or address.is_unspecified or _is_here(address)
    if address is None:
        return host == listening or (
            host == "localhost" and bound is not None and bound.is_loopback
        )
    return address == bound or (address.is_unspecified and bound is not None and bound.is_loopback)


def _address(host: str) -> _Address | None:
    try:
        found = ip_address(host)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _is_here(address: _Address) -> bool:
    """Whether an interface of this machine has `address`: only then may a socket be bound to it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
