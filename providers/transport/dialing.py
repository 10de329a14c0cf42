"""
New connections: resolve, connect to the first address that answers, proxy, TLS.

The race between addresses is our own: uvloop 0.23 has no `happy_eyeballs_delay`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
from typing import TYPE_CHECKING

from providers.errors import ConnectFailed, UpstreamTimedOut
from providers.transport.connection import Connection
from providers.transport.proxy import open_tunnel, parse_proxy
from providers.transport.resolving import Resolver

if TYPE_CHECKING:
    from collections.abc import Callable

    from providers.transport.endpoint import Endpoint, TransportLimits
    from providers.transport.resolving import SocketAddress

# RFC 8305 section 5 recommends 250 ms between two attempts.
NEXT_ADDRESS_S = 0.25

# A reasoning model may be silent for minutes, and gateways on the way forget silent connections.
KEEPALIVE_S = 60


class Dialer:
    """
    Make connections that are ready for a request.

    `guard` says of an IP address why it may not be connected to, "" if it may.
    """

    def __init__(
        self,
        *,
        limits: TransportLimits,
        ssl_context: ssl.SSLContext | None,
        guard: Callable[[str], str] | None = None,
    ) -> None:
        self._limits = limits
        self._guard = guard
        self._resolver = Resolver()
        self._ssl_context = ssl_context or _default_context()
        self._ssl_context.set_alpn_protocols(["http/1.1"])

    async def dial(self, endpoint: Endpoint, connect_s: float, deadline: float) -> Connection:
        """
        Return a fresh connection within `connect_s` and before the deadline.

        ConnectFailed, or UpstreamTimedOut if the deadline was the nearer end.
        """
        now = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(min(now + connect_s, deadline)) as timer:
                return await self._dial(endpoint)
        except TimeoutError as error:
            if not timer.expired():  # ETIMEDOUT, the kernel's own
                raise ConnectFailed("the connection timed out") from error
            if deadline <= now + connect_s:
                raise UpstreamTimedOut("no connection before the deadline") from error
            raise ConnectFailed(f"no connection within {connect_s:g} s") from error
        except ssl.SSLCertVerificationError as error:
            raise ConnectFailed(f"TLS: {error.verify_message}") from error
        except ssl.SSLError as error:
            raise ConnectFailed(f"TLS: {error.reason or 'handshake failed'}") from error
        except OSError as error:
            raise ConnectFailed(error.strerror or "the connection failed") from error

    async def _dial(self, endpoint: Endpoint) -> Connection:
        loop = asyncio.get_running_loop()
        connection = Connection(loop, self._limits)
        tls = self._ssl_context if endpoint.scheme == "https" else None
        server_hostname = endpoint.host if tls else None
        if not endpoint.proxy:
            sock = await self._connect(endpoint.host, endpoint.port)
            await _attach(loop, connection, sock, tls, server_hostname)
            return connection
        proxy = parse_proxy(endpoint.proxy)
        sock = await self._connect(proxy.host, proxy.port)
        proxy_tls = self._ssl_context if proxy.scheme == "https" else None
        if tls is None:
            await _attach(loop, connection, sock, proxy_tls, proxy.host if proxy_tls else None)
            return connection
        tunnel = await open_tunnel(loop, sock, proxy, endpoint.authority, proxy_tls)
        try:
            transport = await loop.start_tls(
                tunnel, connection, tls, server_hostname=server_hostname
            )
        except BaseException:
            tunnel.abort()
            raise
        if transport is None:
            raise ConnectFailed("the connection closed during the TLS handshake")
        connection.connection_made(transport)  # start_tls leaves that to us
        return connection

    async def _connect(self, host: str, port: int) -> socket.socket:
        addresses = await self._resolver.resolve(host, port)
        if self._guard is not None:
            # One of them that is refused is enough: who names it among others means it.
            for address in addresses:
                if refusal := self._guard(str(address.target[0])):
                    raise ConnectFailed(f"the address is refused: {refusal}")
        if len(addresses) == 1:
            return await _open_socket(addresses[0])
        return await first_to_connect(addresses)

    def close(self) -> None:
        """Stop lookups that nobody waits for any more."""
        self._resolver.close()


async def first_to_connect(addresses: list[SocketAddress]) -> socket.socket:
    """
    Connect to the addresses in turn, 250 ms apart or as soon as one has failed.

    Returns the first socket that connects; the others are closed. If none does, the first
    address's error is raised.
    """
    attempts: list[asyncio.Task[socket.socket]] = []
    winner: socket.socket | None = None
    try:
        for address in addresses:
            attempts.append(asyncio.ensure_future(_open_socket(address)))
            is_last = len(attempts) == len(addresses)
            running = [attempt for attempt in attempts if not attempt.done()]
            while winner is None and running:
                done, _ = await asyncio.wait(
                    running,
                    timeout=None if is_last else NEXT_ADDRESS_S,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                winner = next((each.result() for each in done if not each.exception()), None)
                running = [attempt for attempt in running if attempt not in done]
                if not is_last:
                    break
            if winner is not None:
                return winner
        return attempts[0].result()  # raises: every attempt has failed
    finally:
        for attempt in attempts:
            attempt.cancel()
        for ended in await asyncio.gather(*attempts, return_exceptions=True):
            if isinstance(ended, socket.socket) and ended is not winner:
                ended.close()


async def _open_socket(address: SocketAddress) -> socket.socket:
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        with contextlib.suppress(AttributeError, OSError):  # not named so on every system
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_S)
        await asyncio.get_running_loop().sock_connect(sock, address.target)
    except BaseException:
        sock.close()
        raise
    return sock


async def _attach(
    loop: asyncio.AbstractEventLoop,
    connection: Connection,
    sock: socket.socket,
    tls: ssl.SSLContext | None,
    server_hostname: str | None,
) -> None:
    try:
        await loop.create_connection(
            lambda: connection, sock=sock, ssl=tls, server_hostname=server_hostname
        )
    except BaseException:
        sock.close()
        raise


@functools.cache
def _default_context() -> ssl.SSLContext:
    # Once per process: reading Debian's store took 31 to 47 ms.
    return ssl.create_default_context()
