"""
A provider made for tests: a real HTTP server in a process of its own that fails as it is told.

It speaks /v1/chat/completions, /v1/completions, /v1/embeddings (OpenAI's shapes) and /v1/models,
whatever stands before those paths, over keep-alive connections. How one request is answered is
its mode, taken from the first of

1. the model id after a `~`:              {"model": "gpt~status:503", ...}
2. the bearer key after a `~`:            Authorization: Bearer secret~reset
3. what the test set last, `set("stall")`, for all requests or the next `times` ones.

A mode is a name, then options, all joined by colons. Names:

    ok                   answers, naming the server: "Hello from NAME"; streams one chunk a word
    ok:chunks=60         so many content chunks; with chunk_bytes=N each that long
    slow:ttft_ms=N:gap_ms=N   waits before the headers, and between chunks
    ok:done=0            a stream without [DONE]
    (any stream):gate=N  goes on after N content chunks when the test next sets anything
    status:CODE          an error in OpenAI's shape; other options are response headers
                         (status:429:retry-after=7), but body=TEXT replaces the body,
                         code=, type= and message= fill the error object, and
                         content-type= counts for body= (a body without colons; else use `set`)
    reset                TCP reset when the request is in, before any byte
    close                clean close at that place
    stall                never a byte, until the caller hangs up
    html                 200 with a web page
    empty                200 with an empty body
    truncated            200 with JSON that ends early, its content-length right
    cut                  200 whose body is shorter than its content-length, then a close
    error_object         200 with {"error": ...} instead of an answer
    no_choices           200 with "choices": []
    empty_stream         200, an event stream that ends cleanly without an event
    done_only            200, an event stream of [DONE] alone
    role_only            200, role delta and [DONE], no content
    error_first          200, an event stream whose first event is an error
    reset_after:N        a stream that is reset after N content chunks
    stall_after:N        ... that says nothing more, until the caller hangs up
    error_after:N        ... that sends an error event and ends
    garbage_after:N      ... that sends an event that is no JSON, and ends
    cut_after:N          ... that ends cleanly without finish reason and [DONE]
    stale                answers, but drops the connection unanswered when its next request comes

The `..._after` modes do the same to a plain request after half of its body; modes that make a
stream answer a plain request with an empty body. `refuse()` closes the port and what is open.

A second port, that never fails, takes the test's orders: POST /_set, GET /_log, POST /_clear,
POST /_refuse, POST /_accept; `Upstream` wraps them. Every request is logged when its head and
body are in: `id`, `at`, `connection` (a number), `method`, `path`, `headers` (list of pairs, as
sent), `body` (text), `mode`, `chunks` (content chunks sent so far), `answered_at` (the last byte
was handed to the kernel) and `hung_up_at` (the caller closed before that). Times are
time.monotonic(), which all processes of a machine share. `connections` counts the open ones.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
import time
from typing import Any

from tests.support.replies import (
    ERROR,
    PAGE,
    Mode,
    chunk,
    contents,
    dump,
    error_status,
    event,
    piece_of,
    reply,
    usage,
    whole,
)

STREAM_ONLY = {"empty_stream", "done_only", "role_only", "error_first"}


class HungUp(Exception):
    """The caller closed its connection."""


class Script:
    """What the test has ordered, and what has been seen."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.mode = Mode("ok")
        self.times: int | None = None
        self.log: list[dict[str, Any]] = []
        self.connections = 0
        self.seen_connections = 0

    def order(self, order: dict[str, Any]) -> None:
        self.mode = Mode(order["mode"], body=order.get("body"))
        self.times = order.get("times")

    def mode_for(self, headers: dict[str, str], body: dict[str, Any]) -> Mode:
        for text in (str(body.get("model", "")), headers.get("authorization", "")):
            if "~" in text:
                return Mode(text.split("~", 1)[1])
        if self.times is None:
            return self.mode
        if self.times == 0:
            return Mode("ok")
        self.times -= 1
        return self.mode


class Caller:
    """One connection; reading goes on while answering, so that a hang-up is seen at once."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def request(self) -> tuple[str, str, list[tuple[str, str]], bytes] | None:
        """The next request whole; None at a clean end."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        method, path, _version = first.split(" ")
        headers = [tuple(line.split(": ", 1)) for line in lines]
        by_name = {name.lower(): value for name, value in headers}
        if by_name.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while size := int(await self.reader.readline(), 16):
                body += await self.reader.readexactly(size)
                await self.reader.readline()
            await self.reader.readline()
        else:
            body = await self.reader.readexactly(int(by_name.get("content-length", 0)))
        return method, path, headers, body

    async def send(self, data: bytes) -> None:
        if self.reader.at_eof() or self.writer.is_closing():
            raise HungUp
        self.writer.write(data)
        try:
            await self.writer.drain()
        except ConnectionError as error:
            raise HungUp from error

    async def pause(self, seconds: float | None) -> None:
        """Wait, but not beyond the caller's hang-up. None waits for just that."""
        try:
            early = await asyncio.wait_for(self.reader.read(1), seconds)
        except TimeoutError:
            return
        except ConnectionError as error:
            raise HungUp from error
        if not early:
            raise HungUp
        raise AssertionError("the gateway sent a request before the answer to the last")

    def reset(self) -> None:
        """Close with a TCP reset: linger 0 drops what is unsent and sends RST."""
        connection = self.writer.get_extra_info("socket")
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


async def serve_caller(script: Script, caller: Caller) -> None:
    """All requests of one connection."""
    script.connections += 1
    script.seen_connections += 1
    number = script.seen_connections
    try:
        while True:
            request = await caller.request()
            if request is None:
                return
            entry, mode, body = note(script, number, *request)
            try:
                keep = await answer(script, caller, mode, entry, body)
            except HungUp:
                entry["hung_up_at"] = time.monotonic()
                return
            entry["answered_at"] = time.monotonic()
            if not keep or ["connection", "close"] in [[n.lower(), v] for n, v in request[2]]:
                return
            if mode.name == "stale":
                await caller.request()
                caller.reset()
                return
    finally:
        script.connections -= 1
        caller.writer.close()


def note(
    script: Script,
    number: int,
    method: str,
    path: str,
    headers: list[tuple[str, str]],
    raw: bytes,
) -> tuple[dict[str, Any], Mode, dict[str, Any]]:
    try:
        body = json.loads(raw)
    except ValueError:
        body = {}
    by_name = {name.lower(): value for name, value in headers}
    mode = script.mode_for(by_name, body if isinstance(body, dict) else {})
    entry = {
        "id": len(script.log) + 1, "at": time.monotonic(), "connection": number,
        "method": method, "path": path, "headers": headers,
        "body": raw.decode(errors="replace"), "mode": mode.text, "chunks": 0,
        "answered_at": None, "hung_up_at": None,
    }  # fmt: skip
    script.log.append(entry)
    return entry, mode, body if isinstance(body, dict) else {}


async def answer(
    script: Script, caller: Caller, mode: Mode, entry: dict[str, Any], body: dict[str, Any]
) -> bool:
    """One answer; whether the connection may go on."""
    name = mode.name
    if name == "status":
        await caller.send(error_status(mode))
    elif name == "reset":
        caller.reset()
        return False
    elif name == "close":
        return False
    elif name == "stall":
        await caller.pause(None)
    elif name == "html":
        await caller.send(whole(PAGE, "text/html; charset=utf-8"))
    elif name == "empty":
        await caller.send(whole(b""))
    elif name == "error_object":
        await caller.send(whole(dump(ERROR)))
    elif name == "no_choices":
        await caller.send(whole(dump({**reply(script.name, entry, body), "choices": []})))
    elif name == "truncated":
        text = dump(reply(script.name, entry, body))
        await caller.send(whole(text[: len(text) // 2]))
    elif name == "cut":
        await send_half(caller, dump(reply(script.name, entry, body)))
        return False
    elif body.get("stream"):
        return await stream(script, caller, mode, entry, body)
    else:
        return await plain(script, caller, mode, entry, body)
    return True


async def plain(
    script: Script, caller: Caller, mode: Mode, entry: dict[str, Any], body: dict[str, Any]
) -> bool:
    if mode.name in STREAM_ONLY:
        await caller.send(whole(b""))
        return True
    text = dump(reply(script.name, entry, body))
    if not mode.name.endswith("_after"):
        if wait_ms := mode.option("ttft_ms", 0):
            await caller.pause(wait_ms / 1000)
        await caller.send(whole(text))
        return True
    await send_half(caller, text)
    if mode.name == "reset_after":
        await asyncio.sleep(0.05)  # a reset drops what the kernel has not delivered yet
        caller.reset()
    elif mode.name == "stall_after":
        await caller.pause(None)
    return False


async def send_half(caller: Caller, text: bytes) -> None:
    head = whole(text)[: -len(text)]
    await caller.send(head + text[: len(text) // 2])


async def stream(
    script: Script, caller: Caller, mode: Mode, entry: dict[str, Any], body: dict[str, Any]
) -> bool:
    name = mode.name
    held = script.mode
    if wait_ms := mode.option("ttft_ms", 0):
        await caller.pause(wait_ms / 1000)
    await caller.send(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    is_chat = entry["path"].endswith("/chat/completions")
    if name in {"error_first", "empty_stream", "done_only"}:
        piece = {"error_first": event(ERROR), "done_only": b"data: [DONE]\n\n"}.get(name, b"")
        await caller.send(chunk(piece) + chunk(b"", last=True))
        return True
    if is_chat:
        await caller.send(chunk(event(piece_of(body, is_chat, {"role": "assistant"}))))
    pieces = contents(script.name, mode)
    limit = mode.number if name.endswith("_after") else len(pieces)
    if name == "role_only":
        limit = 0
    for text in pieces[:limit]:
        if gap_ms := mode.option("gap_ms", 0):
            await caller.pause(gap_ms / 1000)
        await caller.send(chunk(event(piece_of(body, is_chat, {"content": text}))))
        entry["chunks"] += 1
        # One write to the wire each, as a provider does; without this, many would be one.
        await asyncio.sleep(0)
        while entry["chunks"] == mode.option("gate", 0) and script.mode is held:
            await caller.pause(0.01)
    if name.endswith("_after"):
        return await break_off(caller, name)
    if name != "role_only":
        await caller.send(chunk(event(piece_of(body, is_chat, {}, finish="stop"))))
        if (body.get("stream_options") or {}).get("include_usage"):
            last = {**piece_of(body, is_chat, {}), "choices": [], "usage": usage(limit)}
            await caller.send(chunk(event(last)))
    done = b"data: [DONE]\n\n" * mode.option("done", 1)
    await caller.send((chunk(done) if done else b"") + chunk(b"", last=True))
    return True


async def break_off(caller: Caller, name: str) -> bool:
    if name == "reset_after":
        await asyncio.sleep(0.05)  # a reset drops what the kernel has not delivered yet
        caller.reset()
        return False
    if name == "stall_after":
        await caller.pause(None)
    broken = {"error_after": event(ERROR), "garbage_after": b"data: {\xff not JSON\n\n"}
    await caller.send(chunk(broken.get(name, b"")) + chunk(b"", last=True))
    return True


class Ports:
    """The failing port, that can be closed and opened again, and the control port."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def accept(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(
                self._serve, "127.0.0.1", self.port, reuse_address=True
            )
            self.port = self._server.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()

    async def control(self) -> int:
        server = await asyncio.start_server(self._obey, "127.0.0.1", 0)
        return int(server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await serve_caller(self._script, Caller(reader, writer))
        finally:
            self._writers.discard(writer)

    async def _obey(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        caller = Caller(reader, writer)
        while request := await caller.request():
            _method, path, _headers, body = request
            if path == "/_set":
                self._script.order(json.loads(body))
            elif path == "/_clear":
                self._script.log.clear()
            elif path == "/_refuse":
                self.refuse()
            elif path == "/_accept":
                await self.accept()
            seen = {"requests": self._script.log, "connections": self._script.connections}
            await caller.send(whole(dump(seen)))
        writer.close()


async def main(name: str) -> None:
    """Serve until standard input ends: whoever holds its other end is gone then."""
    ports = Ports(Script(name))
    await ports.accept()
    control = await ports.control()
    print(ports.port, control, flush=True)
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), lambda: sys.stdin.buffer.read1(1) or gone.set())
    await gone.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
