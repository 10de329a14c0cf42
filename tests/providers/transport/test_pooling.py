from __future__ import annotations

import asyncio
import gc

import pytest

from providers.errors import ConnectFailed, ConnectionReset, PoolFull, UpstreamTimedOut
from providers.transport import Transport, TransportLimits
from tests.providers.transport.conftest import call, soon, whole
from tests.providers.transport.servers import OK, Peer, always, then_close, upstream

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_a_connection_is_used_again(transport):
    async with upstream(always(OK)) as server:
        for _ in range(3):
            assert await whole(transport, server) == b"ok"
        assert server.accepted == 1
        assert (transport.open_connections, transport.idle_connections) == (1, 1)


async def test_the_connection_used_last_is_used_first(transport):
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % peer.number)

    async with upstream(script) as server:
        responses = [await call(transport, server.endpoint) for _ in range(3)]
        for index in (0, 2, 1):
            await responses[index].read_all(soon())
        assert await whole(transport, server) == b"1"


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK + b"surplus",
        OK + b"H",
        OK + OK,
        b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
    ],
    ids=["close", "HTTP/1.0", "junk after", "a byte after", "a second reply", "body of a 204"],
)
async def test_a_connection_that_is_not_clean_is_not_used_again(transport, reply):
    async with upstream(always(reply)) as server:
        for expected in (1, 2):
            response = await call(transport, server.endpoint)
            assert await response.read_all(soon()) in {b"ok", b""}
            assert server.accepted == expected
            assert transport.idle_connections == 0


async def test_http_1_0_with_keep_alive_is_used_again(transport):
    reply = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"
    async with upstream(always(reply)) as server:
        assert await whole(transport, server) + await whole(transport, server) == b"okok"
        assert server.accepted == 1


@pytest.mark.parametrize("last_words", [b"", b"HTTP/1.1 408 Too Slow\r\n\r\n"])
async def test_an_idle_connection_that_ends_or_speaks_is_dropped(transport, last_words):
    speak = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        if peer.number == 0:
            await speak.wait()
            await peer.say(last_words)
            if not last_words:
                return
        await peer.closed()

    async with upstream(script) as server:
        await whole(transport, server)
        assert transport.idle_connections == 1
        speak.set()
        await server.until_open(0)
        await asyncio.sleep(0.01)  # the server counts down first, our socket a turn later
        assert (transport.open_connections, transport.idle_connections) == (0, 0)
        assert await whole(transport, server) == b"ok"


async def test_a_stale_connection_is_replaced_once_without_the_caller_knowing(transport):
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await peer.request()
        if peer.number == 0:
            peer.reset()
            return
        await peer.say(OK)

    async with upstream(script) as server:
        await whole(transport, server)
        assert await whole(transport, server) == b"ok"
        assert server.accepted == 2


async def test_after_a_stale_connection_a_fresh_one_is_made_though_others_are_idle(transport):
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        if peer.number < 2:
            await peer.request()
            return
        await peer.closed()

    async with upstream(script) as server:
        responses = [await call(transport, server.endpoint) for _ in range(2)]
        for response in responses:
            await response.read_all(soon())
        assert await whole(transport, server) == b"ok"
        assert server.accepted == 3


async def test_a_stale_connection_in_a_full_pool_is_replaced_too():
    transport = Transport(limits=TransportLimits(connections_per_endpoint=1))

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        if peer.number == 0:
            await peer.request()
            return
        await peer.closed()

    async with upstream(script) as server:
        await whole(transport, server)
        assert await whole(transport, server) == b"ok"
        assert server.accepted == 2
    await transport.aclose()


async def test_when_the_fresh_connection_dies_too_it_is_a_reset(transport):
    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.number == 0:
            await peer.say(OK)
            await peer.request()

    async with upstream(script) as server:
        await whole(transport, server)
        with pytest.raises(ConnectionReset):
            await call(transport, server.endpoint)
        assert server.accepted == 2


@pytest.mark.parametrize("hard", [True, False], ids=["reset", "close"])
async def test_a_fresh_connection_that_dies_is_not_tried_again(transport, hard):
    async def script(peer: Peer) -> None:
        await peer.request()
        if hard:
            peer.reset()

    async with upstream(script) as server:
        with pytest.raises(ConnectionReset):
            await call(transport, server.endpoint)
        assert server.accepted == 1


async def test_a_reused_connection_that_dies_after_a_byte_is_not_tried_again(transport):
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await peer.request()
        await peer.say(b"H")

    async with upstream(script) as server:
        await whole(transport, server)
        with pytest.raises(ConnectionReset):
            await call(transport, server.endpoint)
        assert server.accepted == 1


async def test_no_more_than_the_bound_stay_idle():
    transport = Transport(limits=TransportLimits(idle_per_endpoint=2))
    async with upstream(always(OK)) as server:
        responses = [await call(transport, server.endpoint) for _ in range(5)]
        for response in responses:
            await response.read_all(soon())
        assert transport.idle_connections == 2
        await server.until_open(2)
    await transport.aclose()


async def test_an_idle_connection_is_closed_after_its_time():
    transport = Transport(limits=TransportLimits(idle_s=0.05))
    async with upstream(always(OK)) as server:
        await whole(transport, server)
        await server.until_open(0)
        assert transport.open_connections == 0
    await transport.aclose()


async def test_without_a_free_connection_the_wait_is_bounded():
    transport = Transport(limits=TransportLimits(connections_per_endpoint=1, pool_wait_s=0.05))
    async with upstream(always(OK)) as server:
        held = await call(transport, server.endpoint)
        with pytest.raises(PoolFull):
            await call(transport, server.endpoint)
        with pytest.raises(UpstreamTimedOut):
            await call(transport, server.endpoint, wait_s=0.01)
        assert server.accepted == 1
        held.close()
        assert await whole(transport, server) == b"ok"
    await transport.aclose()


@pytest.mark.parametrize("is_whole", [True, False], ids=["given back", "aborted"])
async def test_who_waits_gets_what_becomes_free(is_whole):
    transport = Transport(limits=TransportLimits(connections_per_endpoint=1))
    first = OK if is_whole else CHUNKED + b"1\r\na\r\n"

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK if peer.number else first)
        await peer.request()
        await peer.say(OK)

    async with upstream(script) as server:
        held = await call(transport, server.endpoint)
        waiting = asyncio.ensure_future(whole(transport, server))
        await asyncio.sleep(0.01)
        held.close()
        assert await waiting == b"ok"
        assert server.accepted == (1 if is_whole else 2)
    await transport.aclose()


async def test_a_cancelled_waiter_loses_no_slot():
    transport = Transport(limits=TransportLimits(connections_per_endpoint=1))
    async with upstream(always(OK)) as server:
        held = await call(transport, server.endpoint)
        waiting = asyncio.ensure_future(whole(transport, server))
        await asyncio.sleep(0.01)
        held.close()  # the waiter is served in this turn of the loop, and cancelled in it too
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert waiting.cancelled()
        assert await whole(transport, server) == b"ok"
        assert server.accepted == 1
    await transport.aclose()


async def test_cancelling_a_call_closes_its_socket(transport):
    arrived = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        arrived.set()
        await peer.closed()

    async with upstream(script) as server:
        calling = asyncio.ensure_future(call(transport, server.endpoint))
        await arrived.wait()
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        assert calling.cancelled()
        await server.until_open(0)
        assert transport.open_connections == 0


async def test_cancelling_a_read_closes_its_socket(transport):
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED)
        await peer.closed()

    async with upstream(script) as server:
        response = await call(transport, server.endpoint)
        reading = asyncio.ensure_future(response.read(soon()))
        await asyncio.sleep(0.01)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        assert reading.cancelled()
        await server.until_open(0)
        assert transport.open_connections == 0


async def test_closing_an_unfinished_reply_closes_its_socket_at_once(transport):
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED + b"1\r\na\r\n")
        await peer.closed()

    async with upstream(script) as server:
        response = await call(transport, server.endpoint)
        response.close()
        response.close()
        await server.until_open(0)
        with pytest.raises(ConnectionReset):
            await response.read(soon())


async def test_closing_twice_does_not_touch_the_next_exchange(transport):
    async with upstream(always(OK)) as server:
        first = await call(transport, server.endpoint)
        await first.read_all(soon())
        second = await call(transport, server.endpoint)
        first.close()
        assert await second.read_all(soon()) == b"ok"
        assert server.accepted == 1


async def test_bytes_after_the_end_that_come_before_the_body_is_read_spoil_the_connection(
    transport,
):
    said = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await said.wait()
        await peer.say(b"\r\n")
        await peer.closed()

    async with upstream(script) as server:
        response = await call(transport, server.endpoint)
        said.set()
        await server.until_open(0)
        assert await response.read_all(soon()) == b"ok"
        assert transport.idle_connections == 0


async def test_a_stale_call_is_repeated_on_a_fresh_connection_even_if_it_must_wait_for_one():
    """Another call takes the slot of the stale connection; what it gives back is not fresh."""
    transport = Transport(limits=TransportLimits(connections_per_endpoint=1))

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await peer.request()
        if peer.number == 0:
            peer.reset()
            return
        await peer.say(OK)

    async with upstream(script) as server:
        await whole(transport, server)
        stale = asyncio.ensure_future(whole(transport, server))
        # Turn by turn, to be there in the very turn in which its death has freed the slot.
        while transport.open_connections:  # noqa: ASYNC110 - no event tells that turn
            await asyncio.sleep(0)
        assert await whole(transport, server) == b"ok"
        assert await stale == b"ok"
        assert server.accepted == 3
    await transport.aclose()


async def test_closing_the_transport_ends_what_runs_and_refuses_what_comes():
    transport = Transport(limits=TransportLimits(connections_per_endpoint=1))

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED)
        await peer.closed()

    async with upstream(script) as server:
        response = await call(transport, server.endpoint)
        reading = asyncio.ensure_future(response.read(soon()))
        waiting = asyncio.ensure_future(call(transport, server.endpoint))
        await asyncio.sleep(0.01)
        await transport.aclose()
        with pytest.raises(ConnectionReset):
            await reading
        with pytest.raises(ConnectFailed):
            await waiting
        with pytest.raises(ConnectFailed):
            await call(transport, server.endpoint)
        assert transport.open_connections == 0
        await server.until_open(0)


async def test_two_thousand_calls_leave_nothing_behind():
    tasks = len(asyncio.all_tasks())
    async with upstream(always(OK)) as server, upstream(then_close(CHUNKED)) as broken:
        transport = Transport()

        async def work() -> None:
            for _ in range(60):
                await whole(transport, server)
            for _ in range(3):
                with pytest.raises(ConnectionReset):
                    await whole(transport, broken)

        await asyncio.gather(*(work() for _ in range(32)))
        assert server.accepted <= 32
        assert transport.open_connections == transport.idle_connections == server.open
        await transport.aclose()
        assert transport.open_connections == 0
        await server.until_open(0)
    assert len(asyncio.all_tasks()) == tasks
    gc.collect()  # an unclosed socket or transport would warn here, and warnings are errors
