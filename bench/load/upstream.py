"""
The provider behind every gateway that is measured: fixed answers, as cheap as Python can be.

`python -m bench.load.upstream` prints its ports on one line and serves until it is killed. A path
that begins with /refuse answers 503; the model "held" gets one chunk and then nothing;
`"stream": true` gets CHUNKS events, each written in an event-loop turn of its own (PACE_S apart
where "paced" stands somewhere in the body); the rest a plain answer.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import uvloop

from bench.scene import CHUNKS, PACE_S, PROVIDERS

HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length:"


def _plain(status: bytes, document: dict[str, Any]) -> bytes:
    body = json.dumps(document).encode()
    head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % (status, len(body)) + body


def _event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    chunk = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "fixed",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    return _framed(b"data: %b\n\n" % json.dumps(chunk, separators=(",", ":")).encode())


def _framed(event: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(event), event)


ANSWER = _plain(
    b"200 OK",
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "fixed",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Measure twice, then cut."},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 21, "completion_tokens": 6, "total_tokens": 27},
    },
)
REFUSAL = _plain(b"503 Service Unavailable", {"error": {"message": "down", "type": "server_error"}})
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
EVENTS = (
    _event({"role": "assistant", "content": "a"}),
    *(_event({"content": f" word{number}"}) for number in range(2, CHUNKS)),
    _event({}, "stop"),
)
STREAM_END = _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"


class Provider(asyncio.Protocol):
    """One connection. Requests are framed by Content-Length, and never pipelined."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._event = 0
        self._is_paced = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        end = received.find(HEAD_END)
        if end < 0:
            return
        head = received[:end].lower()
        at = head.find(LENGTH)
        size = int(head[at + len(LENGTH) :].split(b"\r", 1)[0]) if at >= 0 else 0
        if len(received) < end + 4 + size:
            return
        self._received = bytearray()
        self._answer(head, received[end + 4 :])

    def _answer(self, head: bytearray, body: bytearray) -> None:
        transport = cast("asyncio.Transport", self._transport)
        if head.startswith(b"post /refuse"):
            transport.write(REFUSAL)
        elif b'"held"' in body:
            transport.write(STREAM_HEAD + EVENTS[0])
        elif b'"stream": true' in body or b'"stream":true' in body:
            self._event = 0
            self._is_paced = b'"paced"' in body
            transport.write(STREAM_HEAD)
            self._go_on()
        else:
            transport.write(ANSWER)

    def _next(self) -> None:
        """One event a turn: the loop writes out between turns, so each is a write of its own."""
        if self._transport is None:
            return
        if self._event == CHUNKS:
            self._transport.write(STREAM_END)
            return
        self._transport.write(EVENTS[self._event])
        self._event += 1
        self._go_on()

    def _go_on(self) -> None:
        if self._is_paced:
            self._loop.call_later(PACE_S, self._next)
        else:
            self._loop.call_soon(self._next)


async def serve() -> None:
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(Provider, "127.0.0.1", 0, backlog=2048) for _ in range(PROVIDERS)
    ]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve())
