"""A body that is handed on as it comes, instead of being asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from providers.errors import BadFraming, ConnectionReset, UpstreamTimedOut
from providers.transport import Response, Transport
from tests.providers.transport.conftest import call, soon
from tests.providers.transport.servers import Peer, always, then_close, upstream

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


async def flow(
    response: Response, to: Callable[[bytes], bool], idle_s: float = 5, whole_s: float = 5
) -> None:
    await response.flow(to, idle_s, soon(whole_s))


class Sink:
    """Takes what comes, and says after each piece that it wants more, until `enough` of them."""

    def __init__(self, enough: int = 10**6) -> None:
        self.pieces: list[bytes] = []
        self.enough = enough
        self.came = asyncio.Event()

    def __call__(self, piece: bytes) -> bool:
        self.pieces.append(piece)
        self.came.set()
        return len(self.pieces) < self.enough


def in_steps(*steps: bytes) -> tuple[Callable[[Peer], object], asyncio.Event]:
    """Says the first of `steps` at once, and each other one when the event is set."""
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED)
        for step in steps:
            await peer.say(step)
            await go_on.wait()
            go_on.clear()
        await peer.closed()

    return script, go_on


async def test_each_piece_is_handed_on_as_it_comes(transport: Transport) -> None:
    script, go_on = in_steps(chunk(b"abc"), chunk(b"de"), END)
    sink = Sink()
    async with upstream(script) as server:
        response = await call(transport, server.endpoint)
        flowing = asyncio.create_task(flow(response, sink))
        for said in ([b"abc"], [b"abc", b"de"]):
            await sink.came.wait()
            sink.came.clear()
            assert sink.pieces == said
            assert not flowing.done()
            go_on.set()
        await flowing
        assert await response.read(soon()) == b""
        assert transport.idle_connections == 1


async def test_what_is_here_already_is_handed_on_first(transport: Transport) -> None:
    sink = Sink()
    async with upstream(always(CHUNKED + chunk(b"abc") + chunk(b"de") + END)) as server:
        response = await call(transport, server.endpoint)
        await flow(response, sink)
        assert sink.pieces == [b"abcde"]
        await flow(response, sink)  # there is no more, and nobody waits for it
        assert sink.pieces == [b"abcde"]


async def test_who_wants_no_more_gets_no_more_until_it_asks_again(transport: Transport) -> None:
    script, go_on = in_steps(chunk(b"a"), chunk(b"b"), chunk(b"c") + END)
    sink = Sink(enough=1)
    async with upstream(script) as server:
        response = await call(transport, server.endpoint)
        await flow(response, sink)
        go_on.set()
        await asyncio.sleep(0.05)
        assert sink.pieces == [b"a"]
        sink.enough = 2
        await flow(response, sink)
        assert sink.pieces == [b"a", b"b"]
        go_on.set()
        assert await response.read_all(soon()) == b"c"


@pytest.mark.parametrize(("idle_s", "whole_s"), [(0.05, 5), (5, 0.05)])
async def test_a_body_that_stands_still_times_out_and_may_go_on(
    transport: Transport, idle_s: float, whole_s: float
) -> None:
    script, go_on = in_steps(chunk(b"a"), chunk(b"b") + END)
    sink = Sink()
    async with upstream(script) as server:
        response = await call(transport, server.endpoint)
        with pytest.raises(UpstreamTimedOut):
            await flow(response, sink, idle_s, whole_s)
        assert sink.pieces == [b"a"]
        go_on.set()
        await flow(response, sink)
        assert sink.pieces == [b"a", b"b"]


async def test_a_body_that_drips_is_not_idle_but_ends_by_its_time(transport: Transport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED)
        while True:
            await peer.say(chunk(b"a"))
            await asyncio.sleep(0.02)

    sink = Sink()
    async with upstream(script) as server:
        response = await call(transport, server.endpoint)
        with pytest.raises(UpstreamTimedOut):
            await flow(response, sink, idle_s=0.3, whole_s=0.9)
        assert len(sink.pieces) > 15  # three times as long as the idle time, at least
        response.close()


@pytest.mark.parametrize(
    ("ending", "error"),
    [(b"", ConnectionReset), (b"zz\r\n", BadFraming), (b"5\r\nab", ConnectionReset)],
)
async def test_a_body_that_breaks_is_told_after_what_has_come(
    transport: Transport, ending: bytes, error: type[Exception]
) -> None:
    sink = Sink()
    async with upstream(then_close(CHUNKED + chunk(b"abc") + ending)) as server:
        response = await call(transport, server.endpoint)
        with pytest.raises(error):
            await flow(response, sink)
        assert b"".join(sink.pieces).startswith(b"abc")
        response.close()


async def test_what_the_taker_raises_is_its_callers(transport: Transport) -> None:
    script, go_on = in_steps(chunk(b"a"), chunk(b"b"), chunk(b"c") + END)
    pieces: list[bytes] = []

    def take(piece: bytes) -> bool:
        pieces.append(piece)
        if piece == b"b":
            raise LookupError("not today")
        go_on.set()
        return True

    async with upstream(script) as server:
        response = await call(transport, server.endpoint)
        with pytest.raises(LookupError):
            await flow(response, take)
        go_on.set()
        assert await response.read_all(soon()) == b"c"
        assert pieces == [b"a", b"b"]


async def test_a_flow_that_is_called_off_closes_its_connection(transport: Transport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED + chunk(b"a"))
        await peer.closed()

    sink = Sink()
    async with upstream(script) as server:
        response = await call(transport, server.endpoint)
        flowing = asyncio.create_task(flow(response, sink))
        await sink.came.wait()
        flowing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flowing
        await server.until_open(0)


async def test_a_reply_that_was_given_up_does_not_flow(transport: Transport) -> None:
    script, _ = in_steps(chunk(b"a"))
    async with upstream(script) as server:
        response = await call(transport, server.endpoint)
        response.close()
        with pytest.raises(ConnectionReset):
            await flow(response, Sink())
