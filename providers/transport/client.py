"""The transport: one `send` for every upstream call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from providers.errors import ConnectFailed
from providers.transport.dialing import Dialer
from providers.transport.endpoint import Endpoint, TransportLimits
from providers.transport.pool import ConnectionPool
from providers.transport.proxy import forwarded_head

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from providers.transport.response import Response


DEFAULT_LIMITS = TransportLimits()


class Transport:
    """
    HTTP/1.1 to upstreams over one event loop, with a pool of connections per endpoint.

    TLS is verified against the system's store (SSL_CERT_FILE and SSL_CERT_DIR count), or as
    `ssl_context` says; ALPN is set to http/1.1 on either. With a `guard`
    (providers.transport.guard) it connects to no IP address that this refuses, by no name.
    """

    def __init__(
        self,
        *,
        limits: TransportLimits = DEFAULT_LIMITS,
        ssl_context: ssl.SSLContext | None = None,
        guard: Callable[[str], str] | None = None,
    ) -> None:
        self._limits = limits
        self._dialer = Dialer(limits=limits, ssl_context=ssl_context, guard=guard)
        self._pools: dict[Endpoint, ConnectionPool] = {}
        self._is_closed = False

    @property
    def open_connections(self) -> int:
        """Sockets open or being connected."""
        return sum(pool.open for pool in self._pools.values())

    @property
    def idle_connections(self) -> int:
        """Open sockets that serve nobody."""
        return sum(len(pool.idle) for pool in self._pools.values())

    async def send(
        self, endpoint: Endpoint, head: bytes, body: bytes, *, connect_s: float, deadline: float
    ) -> Response:
        """
        Send one request and return its reply, whose head has come; the caller closes it.

        `head` is the complete header block with its final empty line, of a method whose reply has
        a body (not HEAD). `deadline` is the loop.time() for the reply's head. Raises the errors of
        providers.errors; cancelling closes the socket. A reused connection that dies before any
        byte of the reply is replaced by a fresh one, once.
        """
        pool = self._pools.get(endpoint)
        if pool is None:
            pool = self._pool_for(endpoint)
        if endpoint.proxy and endpoint.scheme == "http":
            head = forwarded_head(head, endpoint)
        connection = pool.take()
        if connection is None:
            connection = await pool.connect(connect_s, deadline)
        response = await connection.exchange(head, body, deadline)
        while response is None:
            # Stale. With every slot taken, `connect` may hand over one that another call has just
            # given back; it is aborted there rather than tried, so this ends with a fresh one.
            connection = await pool.connect(connect_s, deadline)
            if connection.is_reused:
                connection.abort()
                continue
            response = await connection.exchange(head, body, deadline)
        if response.status == 407 and endpoint.proxy:
            response.close()
            raise ConnectFailed("the proxy refused its credentials")
        return response

    def _pool_for(self, endpoint: Endpoint) -> ConnectionPool:
        if self._is_closed:
            raise ConnectFailed("the transport is closed")
        loop = asyncio.get_running_loop()
        pool = self._pools[endpoint] = ConnectionPool(endpoint, self._limits, self._dialer, loop)
        return pool

    async def aclose(self) -> None:
        """Close every connection; replies still being read end with ConnectionReset."""
        self._is_closed = True
        self._dialer.close()
        pools = list(self._pools.values())
        for pool in pools:
            pool.close()
        # An aborted socket is closed in one of the loop's next turns (the third inside a tunnel).
        for _turn in range(8):
            if not any(pool.connections for pool in pools):
                return
            await asyncio.sleep(0)
