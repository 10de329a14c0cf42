"""What callers put into headers and bodies says nothing of a provider; a strict one on a socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from typing import TYPE_CHECKING, Any

import pytest

from routing.gateway.ingress import FORWARDED_BYTES, FORWARDED_FIELDS, USUAL_BODY
from tests.support.asking import Asked, key
from tests.support.builders import content, pool, provider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ANSWER = {
    "id": "x",
    "object": "chat.completion",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    ],
}
LINGER = struct.pack("ii", 1, 0)


class Strict:
    """A provider that resets what is over its limits, and has no tolerance for one word."""

    head_bytes, body_bytes = 4096, 1 << 20

    def __init__(self) -> None:
        self.asked = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await self.answer(reader, writer)
        writer.close()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        if len(head) > self.head_bytes or length > self.body_bytes:
            self.reset(writer)
        body = await reader.readexactly(length)
        if b"poison" in body:
            self.reset(writer)
        told = json.dumps(ANSWER).encode()
        said = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
        writer.write(said % (len(told), told))
        await writer.drain()

    @staticmethod
    def reset(writer: asyncio.StreamWriter) -> None:
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
        writer.transport.abort()
        raise ConnectionResetError


@pytest.fixture
async def strict() -> AsyncIterator[tuple[Strict, Asked]]:
    served = Strict()
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0, limit=1 << 20)
    port = server.sockets[0].getsockname()[1]
    made = content(
        pool("m", "up/x"),
        providers=(provider("up", base_url=f"http://127.0.0.1:{port}/v1"),),
        keys=(key("greedy"), key("good")),
    )
    async with Asked(made) as gateway:
        yield served, gateway
    server.close()
    await server.wait_closed()


async def is_well(gateway: Asked) -> bool:
    told = await gateway.chat(key="good")
    return told.status == 200 and not gateway.gateway.benches.entries(gateway.gateway.clock())


def long_headers(count: int, size: int) -> list[tuple[str, str]]:
    return [(f"openai-x{number}", "a" * size) for number in range(count)]


async def test_long_headers_bench_nobody_at_a_strict_provider(
    strict: tuple[Strict, Asked],
) -> None:
    served, gateway = strict
    for _ in range(6):
        told = await gateway.chat(key="greedy", headers=long_headers(10, 500))
        assert told.status == 502
    assert served.asked >= 6
    assert await is_well(gateway)


async def test_a_body_that_a_provider_resets_for_its_size_benches_nobody(
    strict: tuple[Strict, Asked],
) -> None:
    _served, gateway = strict
    for _ in range(4):
        assert (await gateway.chat(key="greedy", user="a" * USUAL_BODY)).status == 502
    assert await is_well(gateway)


async def test_a_request_of_usual_size_that_only_one_key_sends_benches_nobody_beside_others(
    strict: tuple[Strict, Asked],
) -> None:
    _served, gateway = strict
    for _ in range(6):
        assert (await gateway.chat(key="greedy", user="poison")).status == 502
        assert await is_well(gateway)


@pytest.mark.parametrize(
    ("count", "size"), [(FORWARDED_FIELDS + 1, 1), (10, FORWARDED_BYTES // 10 + 1)]
)
async def test_more_headers_than_may_go_upstream_are_a_431_that_says_how_many(
    strict: tuple[Strict, Asked], count: int, size: int
) -> None:
    served, gateway = strict
    told: Any = await gateway.chat(headers=long_headers(count, size))

    assert told.status == 431
    assert str(FORWARDED_BYTES) in told.json()["error"]["message"]
    assert served.asked == 0
    assert (await gateway.chat(headers=[("x-other", "a" * 9000)])).status == 200
