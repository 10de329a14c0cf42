"""
The worker's HTTP server: accepts, looks after every connection, and leaves without a loss.

It takes uvicorn's protocol but not its server, whose end closes connections that are in use,
has no time in which it still accepts, and cuts streams off without a word.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import resource
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from email.utils import formatdate
from typing import Any, cast

import uvicorn

from routing.gateway.errors import GatewayError
from routing.gateway.limits import GatewayLimits
from routing.gateway.serving.connections import CallerConnection, Phase, ServingState

ASGI = Callable[[Any, Any, Any], Awaitable[None]]

BACKLOG = 2048
TICK_S, LEAVING_TICK_S = 1.0, 0.05
FAREWELL_S = 1.0  # for the last bytes of what was cut off
FILES = 1 << 16

logger = logging.getLogger("switchyard.server")


def shutting_down() -> GatewayError:
    return GatewayError(
        503,
        "This gateway is shutting down; try again in 1s.",
        type="server_error",
        code="shutting_down",
        returns_in_s=1,
        should_retry=True,
    )


def allow_many_files() -> None:
    """Raise the soft limit of open files: two a request is what a worker may need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(hard, FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError) as error:  # macOS allows less than it says
        logger.warning("the limit of %d open files cannot be raised: %s", soft, error)


class Server:
    """
    Serves `app` on a listening socket until told to leave.

    `cut` ends the requests that run when the time is up, with an error that the caller can read.
    """

    def __init__(
        self, app: ASGI, limits: GatewayLimits, *, cut: Callable[[GatewayError], None]
    ) -> None:
        self._config = uvicorn.Config(
            app,
            loop="none",
            http=CallerConnection,
            ws="none",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
        )
        self._config.load()
        self._limits = limits
        self._cut = cut
        self._state = ServingState()
        self._loop = asyncio.get_running_loop()
        self._listener: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._woken = asyncio.Event()
        self._accept_until = self._end_at = math.inf
        self._quiet_s = math.inf

    async def start(self, listener: socket.socket) -> None:
        """Accept from now on."""
        self._date()
        if sys.platform == "linux":
            # The kernel knows which bytes the reader has taken; we see only our own buffer, which
            # a slow reader's may hold up for minutes. Accepted sockets inherit it.
            stall_ms = int(self._limits.stall_s * 1000)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, stall_ms)
        self._listener = listener
        self._server = await self._loop.create_server(
            self._connection, sock=listener, backlog=BACKLOG
        )

    def _connection(self) -> CallerConnection:
        return CallerConnection(config=self._config, server_state=self._state, app_state={})

    def leave(self, *, grace_s: float, drain_s: float, quiet_s: float) -> None:
        """
        Begin to end: accept for `grace_s` more, then let what runs finish for `drain_s`.

        Every answer from now on is the last on its connection, and says so if its head is not
        out yet. Connections without a request are kept meanwhile, and until none has come for
        `quiet_s`: a request may be on its way on them. Called again it can only shorten.
        """
        now = self._loop.time()
        self._state.is_leaving = True
        for connection in self._connections():
            connection.make_last()
        self._accept_until = min(self._accept_until, now + grace_s)
        self._end_at = min(self._end_at, now + grace_s + drain_s)
        self._quiet_s = min(self._quiet_s, quiet_s)
        self._woken.set()

    async def run(self) -> None:
        """Look after the connections until told to leave and the last one is closed."""
        tick_s = min(TICK_S, self._limits.head_s / 4, self._limits.body_s / 4)
        while not self._state.is_leaving:
            self._look_after_all()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), tick_s)
        while (now := self._loop.time()) < self._end_at:
            self._look_after_all()
            if now >= self._accept_until:
                self._stop_accepting()
                for connection in self._connections():
                    connection.close_if_quiet(self._quiet_s, now)
                if not self._state.connections:
                    break
            await asyncio.sleep(LEAVING_TICK_S)
        self._stop_accepting()
        await self._cut_off()

    def _look_after_all(self) -> None:
        self._date()
        now = self._loop.time()
        for connection in self._connections():
            connection.enforce(self._limits, now)

    def _date(self) -> None:
        self._state.date = b"date: %b\r\n" % formatdate(time.time(), usegmt=True).encode()

    def _connections(self) -> Iterable[CallerConnection]:
        """A copy: closing one takes it out of the set."""
        return cast("list[CallerConnection]", list(self._state.connections))

    def _stop_accepting(self) -> None:
        if self._server is None or self._listener is None:
            return
        self._server.close()
        self._listener.close()
        self._server = None

    def _is_busy(self) -> bool:
        return bool(self._state.connections or self._state.tasks)

    async def _cut_off(self) -> None:
        """End what still runs: with a word if the caller is there, and by force after that."""
        if self._state.connections:
            logger.warning("%d connections are cut off", len(self._state.connections))
            self._cut(shutting_down())
            for connection in self._connections():
                if connection.look(self._loop.time())[0] in {Phase.HEAD, Phase.BODY}:
                    connection.refuse(shutting_down())
        until = self._loop.time() + FAREWELL_S
        while self._is_busy() and self._loop.time() < until:  # noqa: ASYNC110 - sets tell nobody
            await asyncio.sleep(LEAVING_TICK_S)
        for task in self._state.tasks:
            task.cancel()
        for connection in self._connections():
            connection.transport.abort()
        if self._state.tasks:
            await asyncio.wait(self._state.tasks, timeout=FAREWELL_S)
