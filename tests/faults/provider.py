"""
A provider made of bytes, in a thread of the test process: it does exactly what a script says.

The first segment of the path names the script, so that one port serves every case. A script is a
tuple of steps: bytes are sent, a number is a pause in seconds, a Flood is repeated until the
caller has gone, GATE waits until the test opens the gate, RESET closes with RST, HANG waits until
the caller hangs up, KEEP keeps the connection for its next request. Without KEEP the connection is
closed at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from tests.providers.transport.servers import Peer, upstream


class Act(Enum):
    RESET = auto()
    HANG = auto()
    KEEP = auto()
    GATE = auto()


RESET, HANG, KEEP, GATE = Act.RESET, Act.HANG, Act.KEEP, Act.GATE


@dataclass(frozen=True, slots=True)
class Flood:
    """Bytes again and again, `pause_s` between; `limit` times if the caller stays so long."""

    data: bytes
    pause_s: float = 0
    limit: int = 1_000_000


Step = bytes | float | Flood | Act
Script = Sequence[Step]


@dataclass(slots=True, kw_only=True)
class Call:
    """One request as the provider saw it. `gone_at`: the caller hung up before the script ended."""

    provider: str
    head: bytes
    body: bytes
    connection: int
    at: float = field(default_factory=time.monotonic)
    gone_at: float | None = None
    is_over: bool = False


class ScriptedProvider:
    """
    Runs from its making until `stop`. `calls` are all requests so far, in order; several providers
    may share the list.
    """

    def __init__(self, calls: list[Call] | None = None) -> None:
        self.calls: list[Call] = [] if calls is None else calls
        self.port = 0
        self.scripts: dict[str, Script] = {}
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._gate = asyncio.Event()
        self._peers: set[Peer] = set()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="provider")
        self._thread.start()
        assert ready.wait(10)

    def base_url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}/v1"

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._peers)

    def open_gate(self) -> None:
        self._loop.call_soon_threadsafe(self._gate.set)

    def close_gate(self) -> None:
        self._loop.call_soon_threadsafe(self._gate.clear)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _run(self, ready: threading.Event) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._serve(ready))

    async def _serve(self, ready: threading.Event) -> None:
        async with upstream(self._answer) as running:
            self.port = running.endpoint.port
            ready.set()
            await self._end.wait()

    async def _answer(self, peer: Peer) -> None:
        self._peers.add(peer)
        try:
            while True:
                head, body = await peer.request()
                name = head.split(b" ", 2)[1].split(b"/")[1].decode()
                call = Call(provider=name, head=head, body=body, connection=peer.number)
                self.calls.append(call)
                if not await self._play(peer, call):
                    return
        finally:
            self._peers.discard(peer)

    async def _play(self, peer: Peer, call: Call) -> bool:
        """Whether the connection goes on."""
        try:
            for step in self.scripts[call.provider]:
                if step is RESET:
                    await asyncio.sleep(0.02)  # a reset drops what the kernel still holds
                    peer.reset()
                elif step is GATE:
                    await self._gate.wait()
                elif step is HANG:
                    await peer.closed()
                    call.gone_at = time.monotonic()
                elif isinstance(step, Flood):
                    await self._flood(peer, step)
                elif isinstance(step, bytes):
                    await peer.say(step)
                elif isinstance(step, (int, float)):
                    await asyncio.sleep(step)
            return KEEP in self.scripts[call.provider]
        except ConnectionError:
            call.gone_at = time.monotonic()
            return False
        finally:
            call.is_over = True

    async def _flood(self, peer: Peer, flood: Flood) -> None:
        for _turn in range(flood.limit):
            if peer.reader.at_eof() or peer.writer.is_closing():
                raise ConnectionResetError("the caller has gone")
            await peer.say(flood.data)
            await asyncio.sleep(flood.pause_s)


def closed_port() -> socket.socket:
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))  # bound, so that nobody else takes it, and not listening
    return closed


CLOSED = closed_port()
REFUSED = f"http://127.0.0.1:{CLOSED.getsockname()[1]}/v1"
