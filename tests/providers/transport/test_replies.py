from __future__ import annotations

import asyncio

import pytest

from providers.errors import BadFraming, ConnectionReset, UpstreamTimedOut
from providers.transport import Transport, TransportLimits
from tests.providers.transport.conftest import call, soon
from tests.providers.transport.servers import OK, Peer, always, then_close, upstream

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


async def test_a_reply_with_a_length_is_read_whole(transport):
    async with upstream(always(OK)) as server:
        response = await call(transport, server.endpoint)
        assert response.status == 200
        assert await response.read_all(soon()) == b"ok"
        assert await response.read(soon()) == b""


async def test_header_names_are_lower_case_and_the_first_of_several_is_found(transport):
    reply = HEAD + b"X-A: One\r\nX-Empty:\r\nx-a: Two\r\nContent-Length: 0\r\n\r\n"
    async with upstream(always(reply)) as server:
        response = await call(transport, server.endpoint)
        assert response.headers == [
            (b"x-a", b"One"), (b"x-empty", b""), (b"x-a", b"Two"), (b"content-length", b"0")
        ]  # fmt: skip
        assert response.header(b"x-a") == b"One"
        assert response.header(b"x-b") is None
        response.close()


async def test_a_content_coding_is_left_to_the_caller(transport):
    reply = HEAD + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08"
    async with upstream(always(reply)) as server:
        response = await call(transport, server.endpoint)
        assert response.header(b"content-encoding") == b"gzip"
        assert await response.read_all(soon()) == b"\x1f\x8b\x08"


async def test_a_reply_that_comes_byte_by_byte_is_the_same_reply(transport):
    reply = CHUNKED + b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: t\r\n\r\n"

    async def drip(peer: Peer) -> None:
        await peer.request()
        for index in range(len(reply)):
            await peer.say(reply[index : index + 1])
            await asyncio.sleep(0)
        await peer.request()
        await peer.say(OK)

    async with upstream(drip) as server:
        response = await call(transport, server.endpoint)
        assert await response.read_all(soon()) == b"abcde"
        again = await call(transport, server.endpoint)
        assert again.headers == [(b"content-length", b"2")]
        again.close()
        assert server.accepted == 1


async def test_pieces_that_have_arrived_are_returned_at_once_as_one(transport):
    async with upstream(always(CHUNKED + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")) as server:
        response = await call(transport, server.endpoint)
        assert await response.read(soon()) == b"abcde"
        assert await response.read(soon()) == b""


async def test_each_piece_is_given_out_as_it_comes(transport):
    more = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED + b"3\r\nabc\r\n")
        await more.wait()
        await peer.say(b"2\r\nde\r\n0\r\n\r\n")

    async with upstream(script) as server:
        response = await call(transport, server.endpoint)
        assert await response.read(soon()) == b"abc"
        more.set()
        assert await response.read(soon()) == b"de"
        assert await response.read(soon()) == b""


@pytest.mark.parametrize("head", [HEAD, b"HTTP/1.0 200 OK\r\n"])
async def test_a_body_without_a_length_ends_with_the_connection(transport, head):
    async with upstream(then_close(head + b"\r\nall of it")) as server:
        response = await call(transport, server.endpoint)
        assert await response.read_all(soon()) == b"all of it"
        await server.until_open(0)
    assert transport.idle_connections == 0


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_a_status_without_a_body_is_whole_at_once(transport, status):
    async with upstream(always(b"HTTP/1.1 " + status + b"\r\n\r\n")) as server:
        response = await call(transport, server.endpoint)
        assert await response.read_all(soon()) == b""
        assert transport.idle_connections == 1


@pytest.mark.parametrize(
    "reply",
    [HEAD + b"Content-Length: 9\r\n\r\nabc", CHUNKED + b"3\r\nabc\r\n", CHUNKED + b"9\r\nabc"],
)
async def test_a_cut_body_is_a_reset_after_what_has_come(transport, reply):
    async with upstream(then_close(reply)) as server:
        response = await call(transport, server.endpoint)
        assert await response.read(soon()) == b"abc"
        with pytest.raises(ConnectionReset):
            await response.read(soon())
        response.close()


async def test_a_reset_in_the_body_is_reported(transport):
    said = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED + b"3\r\nabc\r\n")
        await said.wait()
        peer.reset()

    async with upstream(script) as server:
        response = await call(transport, server.endpoint)
        assert await response.read(soon()) == b"abc"
        said.set()
        with pytest.raises(ConnectionReset):
            await response.read(soon())
        response.close()


BROKEN = {
    "both lengths": b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both, other order": b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
    "a list of lengths": b"Content-Length: 2, 3\r\n\r\nok",
    "a signed length": b"Content-Length: +2\r\n\r\nok",
    "an unknown coding": b"Transfer-Encoding: gzip\r\n\r\nok",
    "chunked is not last": b"Transfer-Encoding: chunked, identity\r\n\r\nok",
    "two codings": b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded field": b"X-A: 1\r\n  2\r\nContent-Length: 0\r\n\r\n",
    "a space before the colon": b"X-A : 1\r\nContent-Length: 0\r\n\r\n",
    "a NUL": b"X-A: \x00\r\nContent-Length: 0\r\n\r\n",
    "a bare line feed": b"X-A: 1\nContent-Length: 0\r\n\r\n",
    "too many fields": b"X-A: 1\r\n" * 101 + b"\r\n",
    "too large a field": b"X-A: " + b"a" * 70_000 + b"\r\n\r\n",
    "too large in one read": b"X-A: " + b"a" * 70_000 + b"\r\nContent-Length: 2\r\n\r\nok",
}
REPLIES = {name: HEAD + rest for name, rest in BROKEN.items()} | {
    "no HTTP": b"SSH-2.0-OpenSSH_9.9\r\n",
    "a page": b"<html>no",
    "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\n\r\n",
    "HTTP/1.0 with chunks": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "status 000": b"HTTP/1.1 000 Nothing\r\nContent-Length: 0\r\n\r\n",
    "status of four digits": b"HTTP/1.1 1000 Much\r\nContent-Length: 0\r\n\r\n",
    "a change of protocol": b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "eleven informational": b"HTTP/1.1 103 Early\r\n\r\n" * 11 + OK,
}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES.keys())
async def test_a_reply_that_is_not_sound_is_refused_and_its_connection_closed(transport, reply):
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(reply)
        await peer.closed()

    async with upstream(script) as server:
        with pytest.raises(BadFraming):
            await call(transport, server.endpoint)
        await server.until_open(0)
        assert transport.idle_connections == 0


@pytest.mark.parametrize("rest", [b"zz\r\nabc", b"fffffffffffffffffff\r\nabc"])
async def test_a_broken_chunk_size_ends_the_body_as_bad_framing(transport, rest):
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED + b"1\r\na\r\n" + rest)
        await peer.closed()

    async with upstream(script) as server:
        response = await call(transport, server.endpoint)
        with pytest.raises(BadFraming):
            await response.read_all(soon())
        response.close()


@pytest.mark.parametrize("status", [1, 42, 99, 600, 999])
async def test_a_status_that_is_none_is_an_answer_and_nothing_to_wait_behind(transport, status):
    nonsense = b"HTTP/1.1 %03d Odd\r\nContent-Length: 2\r\n\r\nno" % status
    async with upstream(always(nonsense)) as server:
        response = await call(transport, server.endpoint)
        assert (response.status, await response.read_all(soon())) == (status, b"no")
        response.close()


async def test_ten_informational_responses_are_passed_over(transport):
    async with upstream(always(b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" * 10 + OK)) as server:
        response = await call(transport, server.endpoint)
        assert response.headers == [(b"content-length", b"2")]
        assert await response.read_all(soon()) == b"ok"


async def test_an_endless_trailer_is_cut_off(transport):
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED + b"1\r\na\r\n0\r\nX-T: ")
        for _ in range(64):
            await peer.say(b"t" * 65536)

    async with upstream(script) as server:
        response = await call(transport, server.endpoint)
        with pytest.raises(BadFraming):
            await response.read_all(soon())
        response.close()


async def test_chunk_sizes_that_come_alone_do_not_add_up_to_a_flood():
    """A peer may write size, data and line end apart; a long stream is no header flood."""
    transport = Transport(limits=TransportLimits(header_bytes=200))

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED)
        for _ in range(100):
            for part in (b"3\r\n", b"abc", b"\r\n"):
                await peer.say(part)
                await asyncio.sleep(0)
        await peer.say(b"0\r\n\r\n")

    async with upstream(script) as server:
        response = await call(transport, server.endpoint)
        assert await response.read_all(soon()) == b"abc" * 100
    await transport.aclose()


@pytest.mark.parametrize(
    "reply", [HEAD + b"Content-Length: 1001\r\n\r\n" + b"a" * 1001, HEAD + b"\r\n" + b"a" * 1001]
)
async def test_a_body_above_the_bound_is_refused(reply):
    transport = Transport(limits=TransportLimits(body_bytes=1000))
    async with upstream(then_close(reply)) as server:
        response = await call(transport, server.endpoint)
        with pytest.raises(BadFraming):
            await response.read_all(soon())
        await server.until_open(0)
    await transport.aclose()


async def test_headers_that_never_come_time_out_and_the_socket_is_closed(transport):
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.closed()

    async with upstream(script) as server:
        with pytest.raises(UpstreamTimedOut):
            await call(transport, server.endpoint, wait_s=0.05)
        await server.until_open(0)


async def test_headers_that_drip_do_not_move_the_deadline(transport):
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(HEAD + b"X-A: ")
        while True:
            await peer.say(b"a")
            await asyncio.sleep(0.005)

    async with upstream(script) as server:
        with pytest.raises(UpstreamTimedOut):
            await call(transport, server.endpoint, wait_s=0.1)
        await server.until_open(0)


async def test_a_read_that_timed_out_may_be_tried_again(transport):
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED)
        await go_on.wait()
        await peer.say(b"1\r\na\r\n0\r\n\r\n")
        await peer.closed()

    async with upstream(script) as server:
        response = await call(transport, server.endpoint)
        for _ in range(2):
            with pytest.raises(UpstreamTimedOut):
                await response.read(soon(0.02))
        go_on.set()
        assert await response.read_all(soon()) == b"a"


async def test_a_nearer_deadline_is_kept_though_a_farther_one_was_armed(transport):
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await peer.request()
        await peer.closed()

    async with upstream(script) as server:
        response = await call(transport, server.endpoint, wait_s=600)
        await response.read_all(soon(600))
        with pytest.raises(UpstreamTimedOut):
            await call(transport, server.endpoint, wait_s=0.05)


async def test_a_slow_reader_stops_the_sender(transport):
    size = 32 * 1024 * 1024
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.say(HEAD + b"Content-Length: %d\r\n\r\n" % size)
        for _ in range(size // 65536):
            await peer.say(b"a" * 65536)
            sent += 65536

    async with upstream(script) as server:
        response = await call(transport, server.endpoint)
        before = -1
        while before != sent:  # until the sender has stood still for a while
            before = sent
            await asyncio.sleep(0.1)
        assert sent < size
        # One read may pass the bound: uvloop and asyncio read at most 256 KiB at once.
        assert len(await response.read(soon())) <= 512 * 1024
        assert len(await response.read_all(soon(20))) > size - 512 * 1024 - 1
