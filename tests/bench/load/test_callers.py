"""What the harness's own callers count."""

from __future__ import annotations

import asyncio

from bench import scene
from bench.load.callers import Target, closed, rate
from tests.bench.asking import chat_url


async def server(answer):
    """A server that gives every connection `answer` and closes it."""

    async def handle(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    started = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = started.sockets[0].getsockname()[1]
    return started, Target(host="127.0.0.1", port=port, path="/")


async def test_callers_count_whole_answers(ports):
    target = Target.of(chat_url(ports), [])

    result = await closed(target, scene.body(scene.CHAT), connections=2, seconds=60, limit=10)

    assert (result.requests, result.errors) in {(10, 0), (11, 0)}
    assert 0 < result.p50_ms <= result.p99_ms


async def test_callers_count_a_refusal_as_an_error(ports):
    target = Target.of(chat_url(ports, "/refuse"), [])

    result = await closed(target, scene.body(scene.CHAT), connections=1, seconds=60, limit=3)

    assert (result.requests, result.errors) == (0, 3)


async def test_callers_count_streams_only_if_they_end_with_done(ports):
    body = scene.body("fixed", stream=True)
    whole = await closed(Target.of(chat_url(ports), []), body, connections=1, seconds=60, limit=3)
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    started, target = await server(head + b"a\r\ndata: {}\n\n\r\n0\r\n\r\n")
    async with started:
        cut = await closed(target, body, connections=1, seconds=60, limit=3)

    assert (whole.requests, whole.errors) == (3, 0)
    assert (cut.requests, cut.errors) == (0, 3)


async def test_a_connection_that_ends_early_is_an_error_and_dialled_again():
    started, target = await server(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort")
    async with started:
        result = await closed(target, b"{}", connections=1, seconds=60, limit=3)

    assert (result.requests, result.errors) == (0, 3)


async def test_a_rate_sends_all_its_requests_at_each_address(ports):
    targets = [Target.of(chat_url(ports), []), Target.of(chat_url(ports, "/refuse"), [])]

    well, refused = await rate(targets, scene.body(scene.CHAT), per_second=100, seconds=0.2)

    assert (well.requests, well.errors) == (20, 0)
    assert (refused.requests, refused.errors) == (0, 20)
