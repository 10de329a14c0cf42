"""One request of the soak over a real socket, and whether its answer was right."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bench.soak.world import BROKEN, ERROR, WHOLE, Kind, chat_body, is_beginning, is_whole

PATIENCE_S: Final = 30.0
LEFT, WRONG, KILLED = "left", "wrong", "killed"


@dataclass(slots=True)
class Answer:
    """
    `verdict` is whole, broken, error, left, killed, or wrong with its `reason`.

    `is_cut` where the connection ended too soon; `is_unanswered` where it was one used before and
    ended without a byte of the answer. `port` is the caller's, of a connection `opened_at`.
    """

    verdict: str
    status: int = 0
    reason: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    is_cut: bool = False
    is_unanswered: bool = False
    port: int = 0
    opened_at: float = 0.0
    ended_at: float = 0.0


class Malformed(Exception):
    """The answer is not HTTP as it should be."""


class Connection:
    """`is_spent`: no more requests on it. `answered` counts the heads that came."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.port = int(writer.get_extra_info("sockname")[1])
        self.opened_at = time.monotonic()
        self.is_spent = False
        self.answered = 0

    def reset(self) -> None:
        """Away, as a killed client goes."""
        raw = self.writer.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        self.is_spent = True

    async def head(self) -> tuple[int, dict[str, str]]:
        raw = await self.reader.readuntil(b"\r\n\r\n")
        self.answered += 1
        first, *lines = raw.decode("latin-1").split("\r\n")[:-2]
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        if headers.get("connection", "").lower() == "close":
            self.is_spent = True
        return int(first.split(" ", 2)[1]), headers

    async def piece(self, headers: Mapping[str, str]) -> bytes:
        """The next chunk; nothing at the end of a chunked body."""
        if "content-length" in headers:
            raise Malformed("a stream with a length")
        line = await self.reader.readline()
        if not line.endswith(b"\n"):
            raise EOFError("a stream without its last chunk")
        size = int(line.split(b";")[0], 16)
        data = await self.reader.readexactly(size + 2)
        if data[-2:] != b"\r\n":
            raise Malformed("a chunk without its end")
        return data[:-2]

    async def body(self, headers: Mapping[str, str]) -> bytes:
        if "content-length" in headers:
            return await self.reader.readexactly(int(headers["content-length"]))
        parts = []
        while part := await self.piece(headers):
            parts.append(part)
        return b"".join(parts)


class Callers:
    """Callers of one gateway: they share connections that are kept alive."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._free: list[Connection] = []

    async def _connect(self) -> Connection:
        while self._free:
            connection = self._free.pop()
            if not (connection.is_spent or connection.reader.at_eof()):
                return connection
            connection.writer.close()
        return Connection(*await asyncio.open_connection(*self._address, limit=1 << 20))

    def _give_back(self, connection: Connection, *, is_reusable: bool) -> None:
        if is_reusable and not connection.is_spent and len(self._free) < 16:
            self._free.append(connection)
        else:
            connection.writer.close()

    async def ask(self, kind: Kind, request_id: str) -> Answer:
        """Never raises: whatever is wrong with the answer is its verdict."""
        try:
            connection = await self._connect()
        except OSError as error:
            return Answer(WRONG, reason=f"cannot connect: {error}")
        is_done = False
        answered = connection.answered
        try:
            async with asyncio.timeout(PATIENCE_S):
                answer = await self._ask(connection, kind, request_id)
            is_done = not kind.leaves
        except TimeoutError:
            answer = Answer(WRONG, reason=f"no whole answer in {PATIENCE_S:g} s")
        except (OSError, EOFError) as error:
            answer = Answer(WRONG, reason=f"cut: {type(error).__name__}: {error}"[:300])
            answer.is_cut = True
            nothing = getattr(error, "partial", b"") == b"" and connection.answered == answered
            answer.is_unanswered = nothing and answered > 0
        except (ValueError, LookupError, Malformed) as error:
            answer = Answer(WRONG, reason=f"malformed: {type(error).__name__}: {error}"[:300])
        answer.port, answer.opened_at = connection.port, connection.opened_at
        answer.ended_at = time.monotonic()
        self._give_back(connection, is_reusable=is_done)
        return answer

    async def _ask(self, connection: Connection, kind: Kind, request_id: str) -> Answer:
        body = chat_body(kind.model, stream=kind.stream) if kind.body is None else kind.body
        head = (
            f"{kind.method} {kind.path} HTTP/1.1\r\n"
            f"host: localhost\r\nx-request-id: {request_id}\r\n"
            + (f"authorization: Bearer {kind.key}\r\n" if kind.key else "")
            + f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        ).encode()
        if kind.leaves in {"head", "body"}:
            connection.writer.write(head[:60] if kind.leaves == "head" else head + body[:20])
            await connection.writer.drain()
            await asyncio.sleep(0.02)
            connection.reset()
            return Answer(LEFT)
        connection.writer.write(head + body)
        await connection.writer.drain()
        if kind.leaves in {"sent", "soon"}:
            await asyncio.sleep(0.2 if kind.leaves == "soon" else 0)
            connection.reset()
            return Answer(LEFT)
        status, headers = await connection.head()
        is_ours = headers.get("x-request-id") == request_id
        if not is_ours:
            return Answer(WRONG, status, f"another's x-request-id: {headers}", headers)
        if status == 200 and kind.stream:
            if not headers.get("content-type", "").startswith("text/event-stream"):
                return Answer(WRONG, status, f"no event stream: {headers}", headers)
            return await self._stream(connection, kind, headers)
        raw = await connection.body(headers)
        if status != 200:
            return _error(kind, status, headers, raw)
        choice = json.loads(raw)["choices"][0]
        text = choice["message"]["content"]
        if choice["finish_reason"] != "stop" or not is_whole(text, headers):
            return Answer(WRONG, status, f"not the whole answer: {raw[:300]!r}", headers)
        return Answer(WHOLE, status, headers=headers)

    async def _stream(
        self, connection: Connection, kind: Kind, headers: Mapping[str, str]
    ) -> Answer:
        rest, text, finish, error, done = b"", "", None, None, False
        while piece := await connection.piece(headers):
            *events, rest = (rest + piece).split(b"\n\n")
            for event in events:
                if not event.strip():
                    continue
                if done or error is not None:
                    return Answer(WRONG, 200, f"an event after the end: {event[:200]!r}", headers)
                if event == b"data: [DONE]":
                    done = True
                    continue
                found: dict[str, Any] = json.loads(event.removeprefix(b"data: "))
                if "error" in found:
                    error = found["error"]
                    continue
                for choice in found.get("choices", ()):
                    text += choice["delta"].get("content") or ""
                    finish = choice["finish_reason"] or finish
            if kind.leaves == "content" and text:
                connection.reset()
                return Answer(LEFT, 200, headers=headers)
        if rest.strip():
            return Answer(WRONG, 200, f"half an event at the end: {rest[:200]!r}", headers)
        if done and finish == "stop" and is_whole(text, headers):
            return Answer(WHOLE, 200, headers=headers)
        if error is None or done:
            reason = f"done={done} finish={finish} text={text[:200]!r}"
            return Answer(WRONG, 200, f"a silent cut, or not the whole: {reason}", headers)
        if not (error.get("message") and is_beginning(text, headers)):
            return Answer(WRONG, 200, f"broken, and mixed or mute: {error} {text[:200]!r}", headers)
        return Answer(BROKEN, 200, headers=headers)

    def close(self) -> None:
        for connection in self._free:
            connection.writer.close()


def _error(kind: Kind, status: int, headers: Mapping[str, str], raw: bytes) -> Answer:
    with contextlib.suppress(ValueError, LookupError, TypeError):
        error = json.loads(raw)["error"]
        if error["message"] and "type" in error and (not kind.statuses or status in kind.statuses):
            return Answer(ERROR, status, str(error["message"])[:200], headers)
    return Answer(WRONG, status, f"no honest error: {status} {raw[:300]!r}", headers)
