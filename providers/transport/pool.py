"""The connections of one endpoint: the idle ones, how many are open, and who waits for one."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from providers.errors import ConnectFailed, ConnectionReset, PoolFull, UpstreamTimedOut

if TYPE_CHECKING:
    import asyncio

    from providers.transport.connection import Connection
    from providers.transport.dialing import Dialer
    from providers.transport.endpoint import Endpoint, TransportLimits


class ConnectionPool:
    """
    Hand out connections, last used first.

    `open` counts sockets until they are really closed, and those being connected. Whoever waits
    gets either a connection that has become free, or None: a slot to connect in.
    """

    __slots__ = ("_dialer", "_loop", "_sweep", "_waiters", "connections", "endpoint", "idle",
                 "is_closed", "limits", "open")  # fmt: skip

    def __init__(
        self,
        endpoint: Endpoint,
        limits: TransportLimits,
        dialer: Dialer,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.endpoint = endpoint
        self.limits = limits
        self.open = 0
        self.idle: list[Connection] = []
        self.connections: set[Connection] = set()
        self.is_closed = False
        self._dialer = dialer
        self._loop = loop
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._sweep: asyncio.TimerHandle | None = None

    def take(self) -> Connection | None:
        """Return the idle connection that was used last, if its socket still looks open."""
        idle = self.idle
        while idle:
            connection = idle.pop()
            if connection.is_open():
                return connection
        return None

    async def connect(self, connect_s: float, deadline: float) -> Connection:
        """Return a fresh connection, in a free slot or after waiting for one."""
        while True:
            if self.is_closed:
                raise ConnectFailed("the transport is closed")
            if self.open < self.limits.connections_per_endpoint:
                return await self._dial(connect_s, deadline)
            if self.idle:
                # Only after a stale one: what else is idle is as old, and must make room.
                self.idle.pop(0).abort()
            freed = await self._wait_for_free(deadline)
            if freed is not None and freed.is_open():
                return freed

    async def _dial(self, connect_s: float, deadline: float) -> Connection:
        self.open += 1
        try:
            connection = await self._dialer.dial(self.endpoint, connect_s, deadline)
        except BaseException:
            self._free_slot()
            raise
        if connection.is_lost:
            self._free_slot()
            raise ConnectionReset("the connection closed before the request")
        self.connections.add(connection)
        connection.on_idle = self._put
        connection.on_lost = self._forget
        if self.is_closed:
            connection.abort()
        return connection

    async def _wait_for_free(self, deadline: float) -> Connection | None:
        waiter: asyncio.Future[Connection | None] = self._loop.create_future()
        now = self._loop.time()
        until = min(now + self.limits.pool_wait_s, deadline)
        timer = self._loop.call_at(until, _give_up, waiter, deadline <= until)
        self._waiters.append(waiter)
        try:
            return await waiter
        except BaseException:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            # Cancelled in the moment it was served: pass on what it got.
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                freed = waiter.result()
                if freed is not None:
                    self._put(freed)
                else:
                    self._serve_next(None)
            raise
        finally:
            timer.cancel()

    def _serve_next(self, connection: Connection | None) -> bool:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False

    def _put(self, connection: Connection) -> None:
        if self.is_closed or len(self.idle) >= self.limits.idle_per_endpoint:
            connection.abort()
            return
        if self._waiters and self._serve_next(connection):
            return
        connection.idle_since = self._loop.time()
        self.idle.append(connection)
        if self._sweep is None:
            self._sweep = self._loop.call_later(self.limits.idle_s, self._drop_old)

    def _drop_old(self) -> None:
        self._sweep = None
        now = self._loop.time()
        # Last used first leaves the oldest at the front.
        while self.idle and self.idle[0].idle_since + self.limits.idle_s <= now:
            self.idle.pop(0).abort()
        if self.idle:
            at = self.idle[0].idle_since + self.limits.idle_s
            self._sweep = self._loop.call_at(at, self._drop_old)

    def _forget(self, connection: Connection) -> None:
        self.connections.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)
        self._free_slot()

    def _free_slot(self) -> None:
        self.open -= 1
        if self._waiters:
            self._serve_next(None)

    def close(self) -> None:
        """Abort every connection and refuse all that wait."""
        self.is_closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        self.idle.clear()
        for connection in self.connections:
            connection.abort()
        while self._serve_next(None):
            pass


def _give_up(waiter: asyncio.Future[Connection | None], is_deadline: bool) -> None:
    if waiter.done():
        return
    if is_deadline:
        waiter.set_exception(UpstreamTimedOut("no free connection before the deadline"))
    else:
        waiter.set_exception(PoolFull("all connections to this endpoint are in use"))
