"""
Where a provider's secrets go: to which origin, and by which proxy of its own.

A secret is bound to the destination that it was entered for. What a kind's usual address becomes
in a later version is another destination, too: a release that moves one has to say so.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit, urlunsplit

from providers.adapters.address import address_of, completed
from providers.adapters.registry import ADAPTERS

NOWHERE: Final = ""  # nothing is called
_PORTS: Final = {"http": 80, "https": 443}


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
