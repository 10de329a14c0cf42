"""
Names to addresses without blocking the loop.

Lookups run in the loop's thread pool, one at a time per name. An answer serves for 30 s; then a
new one is waited for, but for long only by those who have none: while the resolver fails or is
slow, the last good one serves for 10 min more.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

from providers.errors import ConnectFailed

FRESH_S = 30
LAST_GOOD_S = 600
LOOKUP_S = 2
REFRESH_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketAddress:
    """One address of a host: the family, and what socket.connect() takes."""

    family: int
    target: tuple[str | int | bytes, ...]


class Resolver:
    """Resolve host names; the answers come in the order in which to try them."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, int], tuple[float, list[SocketAddress]]] = {}
        self._lookups: dict[tuple[str, int], asyncio.Task[list[SocketAddress]]] = {}

    async def resolve(self, host: str, port: int) -> list[SocketAddress]:
        """Return at least one address, or raise ConnectFailed."""
        literal = _literal(host, port)
        if literal is not None:
            return [literal]
        key = (host, port)
        loop = asyncio.get_running_loop()
        known = self._answers.get(key)
        if known is not None and loop.time() - known[0] < FRESH_S:
            return known[1]
        lookup = self._lookups.get(key)
        if lookup is None:
            lookup = self._lookups[key] = loop.create_task(self._look_up(key))
            lookup.add_done_callback(lambda done: self._forget(key, done))
        last_good = known[1] if known and loop.time() - known[0] < LAST_GOOD_S else None
        try:
            # Shielded: it goes on past our patience, and its answer serves the next call.
            async with asyncio.timeout(LOOKUP_S if last_good is None else REFRESH_S):
                return await asyncio.shield(lookup)
        except (OSError, UnicodeError) as error:  # TimeoutError is an OSError
            if last_good is not None:
                return last_good
            raise ConnectFailed(f"the host name {host[:100]} does not resolve") from error

    async def _look_up(self, key: tuple[str, int]) -> list[SocketAddress]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(*key, type=socket.SOCK_STREAM)
        addresses = alternate(
            [SocketAddress(family=family, target=target) for family, _, _, _, target in found]
        )
        if not addresses:
            raise OSError("no address")
        self._answers[key] = (loop.time(), addresses)
        return addresses

    def _forget(self, key: tuple[str, int], done: asyncio.Task[list[SocketAddress]]) -> None:
        self._lookups.pop(key, None)
        if not done.cancelled():
            done.exception()  # seen, also when everybody who waited has gone

    def close(self) -> None:
        """Stop waiting for lookups; their threads end by themselves."""
        for lookup in self._lookups.values():
            lookup.cancel()


def alternate(addresses: list[SocketAddress]) -> list[SocketAddress]:
    """
    Put the families in turns, the resolver's first choice first.

    Source: RFC 8305 section 4: a dead family must not be tried address by address.
    """
    if not addresses:
        return []
    preferred = addresses[0].family
    first = [address for address in addresses if address.family == preferred]
    other = [address for address in addresses if address.family != preferred]
    turns: list[SocketAddress] = []
    for index in range(max(len(first), len(other))):
        turns += first[index : index + 1] + other[index : index + 1]
    return turns


def _literal(host: str, port: int) -> SocketAddress | None:
    """Return the address if the host is one already: no thread needed."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, UnicodeError, ValueError):
            continue  # not an address of this family
        return SocketAddress(family=family, target=(host, port))
    return None
