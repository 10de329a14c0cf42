from __future__ import annotations

import asyncio
import socket
import struct
import threading

import pytest

from providers.errors import ConnectionReset, UpstreamTimedOut
from providers.transport import Endpoint, TransportLimits
from providers.transport.dialing import Dialer
from tests.providers.transport.conftest import call, soon, whole
from tests.providers.transport.servers import OK, Peer, request, upstream


async def test_a_large_request_arrives_whole_though_the_peer_reads_slowly(transport):
    body = bytes(range(256)) * 64 * 1024
    seen = b""

    async def script(peer: Peer) -> None:
        nonlocal seen
        await asyncio.sleep(0.05)
        seen = (await peer.request())[1]
        await peer.say(OK)

    async with upstream(script) as server:
        assert await whole(transport, server, body=body, wait_s=20) == b"ok"
        assert seen == body


@pytest.mark.parametrize("repeat", range(5))
async def test_an_answer_before_the_whole_request_is_the_answer(transport, repeat):
    """A 413 whose sender reads nothing more and closes: not a broken pipe."""

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.writer.transport.pause_reading()
        await peer.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await asyncio.sleep(0.002 * repeat)
        peer.writer.transport.abort()

    async with upstream(script) as server:
        response = await call(transport, server.endpoint, b"a" * 16 * 1024 * 1024)
        assert response.status == 413
        assert await response.read_all(soon()) == b"big"
        assert transport.idle_connections == 0


async def test_a_request_that_nobody_takes_times_out(transport):
    over = asyncio.Event()

    async def script(peer: Peer) -> None:
        peer.writer.transport.pause_reading()
        await over.wait()

    async with upstream(script) as server:
        with pytest.raises(UpstreamTimedOut):
            await call(transport, server.endpoint, b"a" * 16 * 1024 * 1024, wait_s=0.1)
        assert server.accepted == 1
        over.set()


async def test_a_connection_reset_in_the_middle_of_the_request_is_a_reset(transport):
    async def script(peer: Peer) -> None:
        await peer.reader.readexactly(100_000)
        peer.reset()

    async with upstream(script) as server:
        with pytest.raises(ConnectionReset):
            await call(transport, server.endpoint, b"a" * 16 * 1024 * 1024)


async def test_an_answer_that_a_failed_write_finds_unread_is_the_answer():
    """The peer has answered and reset before our loop could read: the write fails first."""
    listener = socket.create_server(("127.0.0.1", 0))
    is_connected = threading.Event()
    is_over = threading.Event()

    def answer_and_reset() -> None:
        sock, _ = listener.accept()
        is_connected.wait(5)
        sock.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        is_over.set()

    thread = threading.Thread(target=answer_and_reset)
    thread.start()
    endpoint = Endpoint(scheme="http", host="127.0.0.1", port=listener.getsockname()[1])
    connection = await Dialer(limits=TransportLimits(), ssl_context=None).dial(endpoint, 5, soon())
    is_connected.set()
    is_over.wait(5)  # blocks the loop on purpose
    body = b"a" * 1_000_000
    response = await connection.exchange(request(body), body, soon())
    assert response.status == 413
    assert await response.read_all(soon()) == b"big"
    assert not connection.is_open()
    thread.join()
    listener.close()


async def test_a_whole_answer_before_the_whole_request_does_not_wait_for_the_rest(transport):
    over = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.writer.transport.pause_reading()
        await peer.say(OK)
        await over.wait()

    async with upstream(script) as server:
        assert await whole(transport, server, body=b"a" * 16 * 1024 * 1024) == b"ok"
        assert transport.idle_connections == 0
        over.set()


async def test_a_connection_with_unsent_bytes_of_its_request_is_not_used_again():
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    is_over = threading.Event()

    def answer_early() -> None:
        sock, _ = listener.accept()
        sock.recv(10)
        sock.sendall(OK)
        is_over.wait(5)
        sock.close()

    thread = threading.Thread(target=answer_early)
    thread.start()
    endpoint = Endpoint(scheme="http", host="127.0.0.1", port=listener.getsockname()[1])
    connection = await Dialer(limits=TransportLimits(), ssl_context=None).dial(endpoint, 5, soon())
    own = connection._transport.get_extra_info("socket")
    own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1024)
    body = b"a" * 64_000
    response = await connection.exchange(request(body), body, soon())
    assert connection._transport.get_write_buffer_size() > 0
    assert await response.read_all(soon()) == b"ok"
    assert not connection.is_open()
    is_over.set()
    thread.join()
    listener.close()
