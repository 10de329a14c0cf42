"""Callers who keep a gateway busy, with one kept connection each, and who note every break."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from tests.support.gateways import GatewayProcess

LIMIT_S = 60.0


def chat_request(gateway: GatewayProcess, model: str, **more: Any) -> bytes:
    """The bytes of a chat request."""
    messages = [{"role": "user", "content": "Hello"}]
    body = json.dumps({"model": model, "messages": messages, **more}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {gateway.key}"
        f"\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def connect(gateway: GatewayProcess) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = gateway.url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, str, bytes]:
    """(status, head, body). Raises OSError or IncompleteReadError where it breaks."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = re.search(r"\r\ncontent-length: (\d+)", head)
    if length is not None:
        body = await reader.readexactly(int(length[1]))
    else:
        body = b""
        while size := int(await reader.readline() or b"!", 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
    return int(head[9:12]), head, body


async def ask(gateway: GatewayProcess, request: bytes) -> tuple[int, str, bytes]:
    """One request on a connection of its own."""
    reader, writer = await connect(gateway)
    try:
        writer.write(request)
        return await asyncio.wait_for(read_answer(reader), LIMIT_S)
    finally:
        writer.close()


class Caller:
    """Asks again and again. `broken` holds the local port of every connection that broke."""

    def __init__(self, gateway: GatewayProcess, model: str) -> None:
        self._gateway = gateway
        self._request = chat_request(gateway, model)
        self.statuses: list[int] = []
        self.broken: list[int] = []
        self.port = 0

    async def ask_until(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            reader, writer = await connect(self._gateway)
            self.port = writer.get_extra_info("sockname")[1]
            try:
                await self._ask_on(reader, writer, stopping)
            except (OSError, asyncio.IncompleteReadError, ValueError):
                self.broken.append(self.port)
            finally:
                writer.close()

    async def _ask_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stopping: asyncio.Event
    ) -> None:
        """As long as the connection may be used."""
        while not stopping.is_set():
            writer.write(self._request)
            status, head, _body = await asyncio.wait_for(read_answer(reader), LIMIT_S)
            self.statuses.append(status)
            if "\r\nconnection: close" in head:
                return


class Crowd:
    """`async with Crowd(gateway, "model", 8) as crowd`: that many callers until the end."""

    def __init__(self, gateway: GatewayProcess, model: str, count: int) -> None:
        self.callers = [Caller(gateway, model) for _ in range(count)]
        self._stopping = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(caller.ask_until(self._stopping)) for caller in self.callers
        ]
        await self.make_progress()
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._stopping.set()
        await asyncio.gather(*self._tasks)

    async def make_progress(self, answers: int = 3) -> None:
        """Until every caller has got so many more answers."""
        wanted = [len(caller.statuses) + answers for caller in self.callers]
        async with asyncio.timeout(LIMIT_S):
            for caller, count in zip(self.callers, wanted, strict=True):
                while len(caller.statuses) < count:  # noqa: ASYNC110 - it counts for itself alone
                    await asyncio.sleep(0.01)

    @property
    def broken(self) -> list[int]:
        return [port for caller in self.callers for port in caller.broken]

    @property
    def statuses(self) -> set[int]:
        return {status for caller in self.callers for status in caller.statuses}


def callers_of(pid: int) -> set[int]:
    """The remote ports of the TCP connections that a process has (Linux, IPv4)."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(entry.readlink().name)
        except OSError:
            continue  # closed while we looked
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if f"socket:[{fields[9]}]" in inodes:
            found.add(int(fields[2].rsplit(":", 1)[1], 16))
    return found
