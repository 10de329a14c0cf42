"""
After a great many calls of every kind, the transport holds nothing that it did not hold before.

TRANSPORT_LEAK_CALLS=100000 makes as many calls on each event loop; the suite makes fewer.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import struct
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from providers.errors import ConnectionReset, UpstreamTimedOut
from providers.transport import Endpoint, Response, Transport
from providers.transport.connection import Connection
from tests.providers.transport.conftest import soon
from tests.providers.transport.servers import OK, request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

CALLS = int(os.environ.get("TRANSPORT_LEAK_CALLS", "2000"))
CALLERS = 32
BODY = b"{}"
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SAYS = {
    "kept": OK,
    "closed": HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nok",
    "until_close": HEAD + b"\r\nok",
    "chunked": CHUNKED + b"1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
    "reset": b"",
    "reset_in_body": CHUNKED + b"2\r\nok\r\n",
    "silent": b"",
    "silent_in_body": CHUNKED + b"2\r\nok\r\n",
}
# Of 100 calls.
MIX = (
    ("kept", 55), ("chunked", 15), ("closed", 8), ("until_close", 4), ("reset", 4),
    ("reset_in_body", 4), ("cancelled", 3), ("cancelled_in_body", 3), ("cancelled_at_once", 1),
    ("left", 1), ("timed_out", 1), ("timed_out_in_body", 1),
)  # fmt: skip


class Server(asyncio.Protocol):
    """One connection: what it says to a request, and whether it goes then, is the target."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        self._running.open += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._running.open -= 1
        self._running.closed.set()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._received.endswith(b"\r\n\r\n" + BODY):
            return
        kind, _, number = self._received.split(b" ", 2)[1].decode()[1:].partition("/")
        self._received = b""
        self._transport.write(SAYS[kind])
        if kind in {"closed", "until_close"}:
            self._transport.close()
        elif kind.startswith("reset"):
            raw = self._transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        elif kind.startswith("silent"):
            self._running.silent.pop(number).set()


class Running:
    def __init__(self) -> None:
        self.open = 0
        self.closed = asyncio.Event()
        self.silent: dict[str, asyncio.Event] = {}

    async def until_open(self, count: int) -> None:
        async with asyncio.timeout(10):
            while self.open != count:
                self.closed.clear()
                await self.closed.wait()


class Caller:
    """Makes calls of every kind, and knows how each of them ends."""

    def __init__(self, transport: Transport, endpoint: Endpoint, running: Running) -> None:
        self._transport = transport
        self._endpoint = endpoint
        self._running = running

    def _send(self, target: str, wait_s: float = 10) -> Awaitable[Response]:
        head = request(BODY, f"/{target}")
        deadline = soon(wait_s)
        return self._transport.send(self._endpoint, head, BODY, connect_s=5, deadline=deadline)

    def _silent(self, kind: str, number: int) -> tuple[str, asyncio.Event]:
        """A target, and the event that its request has arrived."""
        arrived = self._running.silent[str(number)] = asyncio.Event()
        return f"{kind}/{number}", arrived

    async def call(self, kind: str, number: int) -> str:
        """How it ended."""
        if kind in SAYS:
            try:
                answer = await self._send(kind)
                return (await answer.read_all(soon(10))).decode()
            except ConnectionReset:
                return "reset"
        if kind == "left":
            (await self._send(self._silent("silent_in_body", number)[0])).close()
            return "left"
        how: Callable[[int], Awaitable[str]] = getattr(self, f"_{kind}")
        return await how(number)

    async def _cancelled(self, number: int) -> str:
        target, arrived = self._silent("silent", number)
        task = asyncio.ensure_future(self._send(target))
        async with asyncio.timeout(10):
            await arrived.wait()
        return await _cancel(task)

    async def _cancelled_in_body(self, number: int) -> str:
        answer = await self._send(self._silent("silent_in_body", number)[0])
        assert await answer.read(soon(10)) == b"ok"
        reading = asyncio.ensure_future(answer.read(soon(10)))
        await asyncio.sleep(0)
        try:
            return await _cancel(reading)
        finally:
            answer.close()

    async def _cancelled_at_once(self, _number: int) -> str:
        task = asyncio.ensure_future(self._send("kept"))
        await asyncio.sleep(0)
        return await _cancel(task)

    async def _timed_out(self, number: int) -> str:
        try:
            await self._send(self._silent("silent", number)[0], wait_s=0.02)
        except UpstreamTimedOut:
            return "timed out"
        return "answered"

    async def _timed_out_in_body(self, number: int) -> str:
        answer = await self._send(self._silent("silent_in_body", number)[0])
        try:
            assert await answer.read(soon(10)) == b"ok"
            await answer.read(soon(0.001))
        except UpstreamTimedOut:
            return "timed out"
        finally:
            answer.close()
        return "answered"


async def _cancel(task: asyncio.Future[Any]) -> str:
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return "cancelled"
    return "answered"


ENDS = {
    "kept": "ok", "chunked": "ok", "closed": "ok", "until_close": "ok", "reset": "reset",
    "reset_in_body": "reset", "cancelled": "cancelled", "cancelled_in_body": "cancelled",
    "cancelled_at_once": "cancelled", "left": "left", "timed_out": "timed out",
    "timed_out_in_body": "timed out",
}  # fmt: skip


def held() -> dict[str, int]:
    """What a leak would leave: open files, sockets among them, tasks, and the transport's own."""
    gc.collect()
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            links.append(entry.readlink().name)
        except OSError:
            continue  # the folder itself, which was open while we looked
    ours = Counter(type(each) for each in gc.get_objects())
    return {
        "files": len(links),
        "sockets": sum(link.startswith("socket:") for link in links),
        "tasks": len(asyncio.all_tasks()),
        "connections": ours[Connection],
        "replies": ours[Response],
    }


async def make_calls(caller: Caller, count: int) -> Counter[tuple[str, str]]:
    """`count` calls in the proportions of MIX, by CALLERS callers; how many ended how."""
    kinds = [kind for kind, share in MIX for _ in range(share)]
    found: Counter[tuple[str, str]] = Counter()
    # A step without a common factor with 100 deals the kinds out evenly.
    turns = iter([kinds[number * 37 % 100] for number in range(count)])
    numbers = iter(range(count))

    async def work() -> None:
        for kind in turns:
            found[kind, await caller.call(kind, next(numbers))] += 1

    await asyncio.gather(*(work() for _ in range(CALLERS)))
    return found


async def serve_and_call(count: int) -> None:
    """A server, a transport, `count` calls, and the end of all of them."""
    running = Running()
    loop = asyncio.get_running_loop()
    before = held()
    server = await loop.create_server(lambda: Server(running), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    transport = Transport()
    caller = Caller(transport, Endpoint(scheme="http", host=host, port=port), running)

    found = await make_calls(caller, count)

    idle = transport.idle_connections
    assert found == {(kind, ENDS[kind]): count * share // 100 for kind, share in MIX}
    await running.until_open(transport.open_connections)
    assert transport.open_connections == idle <= CALLERS
    at_rest = held()
    assert at_rest["connections"] == idle
    assert at_rest["tasks"] == before["tasks"]
    # Both ends of each are in this process, and so is the listening one.
    assert at_rest["sockets"] == before["sockets"] + 2 * idle + 1

    await transport.aclose()
    await running.until_open(0)
    server.close()
    await server.wait_closed()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted in /proc")
async def test_a_great_many_calls_of_every_kind_leave_nothing_behind() -> None:
    await serve_and_call(100)  # what the event loop opens once, and keeps
    before = held()

    await serve_and_call(CALLS)

    assert held() == before
