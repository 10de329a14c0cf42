"""
Which addresses may be called for somebody who is not an operator of this host's file.

Refused is what stands for this machine, its network or its cloud, however it is written. A name
says nothing: it is judged by what it resolves to, at the moment of connecting
(`Transport(guard=refusal_of)`), so that no second answer of a resolver can get past.

Sources: IANA's special-purpose address registries for IPv4 and IPv6, checked 2026-11; 168.63.129.16
is Azure's platform address, which lies among public ones.
"""

from __future__ import annotations

import socket
import unicodedata
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

_V4: Final = tuple(
    (ip_network(network), words)
    for network, words in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by a carrier's customers"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "a cloud's own"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "for documentation"),
        ("192.88.99.0/24", "a relay's"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "for benchmarks"),
        ("198.51.100.0/24", "for documentation"),
        ("203.0.113.0/24", "for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
# Only 2000::/3 is given out at all; the rest is named for the words.
_V6: Final = tuple(
    (ip_network(network), words)
    for network, words in (
        ("::/128", "this network"),
        ("::1/128", "loopback"),
        ("::ffff:0:0/96", "an IPv4 address in IPv6's clothes"),
        ("::/96", "an IPv4 address in IPv6's clothes"),
        ("64:ff9b::/96", "translated to IPv4"),
        ("64:ff9b:1::/48", "translated to IPv4"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "for documentation"),
        ("2002::/16", "a tunnel to IPv4"),
        ("3fff::/20", "for documentation"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private"),
        ("ff00::/8", "multicast"),
    )
)
_GIVEN_OUT: Final = ip_network("2000::/3")
_LOCAL_NAMES: Final = ("localhost", "localdomain")


def refusal_of(address: str) -> str:
    """Why the IP address may not be called, in words; "" if it may."""
    try:
        found = ip_address(address)
    except ValueError:
        return f"{address[:100]} is no IP address"
    words = _words(found)
    return f"{found} is {words}" if words else ""


def host_refusal(host: str) -> str:
    """
    The same for a host as it is written in an address, without asking a resolver.

    Numbers count as resolvers read them: 127.1, 0x7f.1, 2130706433, and digits of other scripts.
    """
    name = unicodedata.normalize("NFKC", host).replace("\u3002", ".").strip("[]").rstrip(".")
    name = name.lower()
    if any(name == local or name.endswith(f".{local}") for local in _LOCAL_NAMES):
        return f"{name} is this machine"
    try:
        name = str(ip_address(name))
    except ValueError:
        try:
            name = socket.inet_ntoa(socket.inet_aton(name))
        except (OSError, ValueError):
            return ""
    return refusal_of(name)


def _words(address: IPv4Address | IPv6Address) -> str:
    networks = _V4 if isinstance(address, IPv4Address) else _V6
    found = next((words for network, words in networks if address in network), "")
    if not found and isinstance(address, IPv6Address) and address not in _GIVEN_OUT:
        return "reserved"
    return found
