"""A listener on the wire: what goes to a server, byte for byte, as it passes."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass
from typing import Self

from tests.support.upstream import Caller


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A request as it was sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Tee:
    """`with Tee(port) as tee`: who calls `tee.url` is connected with `port` of this machine."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._said: list[bytearray] = []  # by each caller's connection
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        ).result(10)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def heard(self) -> list[Heard]:
        """All that has been sent so far, and is whole; connection by connection."""
        return asyncio.run_coroutine_threadsafe(self._parse(), self._loop).result(10)

    async def _end(self) -> None:
        self._server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _parse(self) -> list[Heard]:
        found: list[Heard] = []
        for said in self._said:
            reader = asyncio.StreamReader(limit=1 << 26)
            reader.feed_data(bytes(said))
            reader.feed_eof()
            caller = Caller(reader, None)  # type: ignore[arg-type]
            with contextlib.suppress(asyncio.IncompleteReadError):
                while (request := await caller.request()) is not None:
                    method, path, headers, body = request
                    by_name = {name.lower(): value for name, value in headers}
                    found.append(Heard(method=method, path=path, headers=by_name, body=body))
        return found

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._to)
        said = bytearray()
        self._said.append(said)
        with contextlib.suppress(asyncio.CancelledError):  # the end of us, while an agent waits
            await asyncio.gather(
                _pump(reader, there_writer, said), _pump(there_reader, writer, bytearray())
            )


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, copy: bytearray
) -> None:
    try:
        while data := await reader.read(1 << 16):
            copy += data
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        with contextlib.suppress(ConnectionError):
            writer.close()
