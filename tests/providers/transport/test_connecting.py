from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from dataclasses import replace

import pytest

from providers.errors import ConnectFailed, ConnectionReset, UpstreamTimedOut
from providers.transport import Endpoint, Transport
from providers.transport.dialing import first_to_connect
from providers.transport.resolving import Resolver, SocketAddress, alternate
from tests.providers.transport.conftest import call, soon
from tests.providers.transport.servers import OK, Peer, always, then_close, upstream


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture
def black_hole():
    """A port that never answers SYN: its queue of pending connections is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        yield listener.getsockname()[1]
        for filler in fillers:
            filler.close()


async def test_a_refused_connection_fails_at_once(transport):
    endpoint = Endpoint(scheme="http", host="127.0.0.1", port=free_port())
    with pytest.raises(ConnectFailed):
        await call(transport, endpoint)
    assert transport.open_connections == 0


async def test_a_host_that_does_not_resolve_is_a_failed_connection(transport):
    endpoint = Endpoint(scheme="http", host="nobody.invalid", port=80)
    with pytest.raises(ConnectFailed, match=r"nobody\.invalid"):
        await call(transport, endpoint)


async def test_a_host_that_is_no_name_is_a_failed_connection(transport):
    with pytest.raises(ConnectFailed):
        await call(transport, Endpoint(scheme="http", host="a" * 70 + ".invalid", port=80))


async def test_a_black_hole_fails_after_the_connect_time(transport, black_hole):
    endpoint = Endpoint(scheme="http", host="127.0.0.1", port=black_hole)
    with pytest.raises(ConnectFailed):
        await call(transport, endpoint, connect_s=0.05)
    with pytest.raises(UpstreamTimedOut):
        await call(transport, endpoint, wait_s=0.05)
    assert transport.open_connections == 0


async def test_cancelling_while_connecting_leaves_nothing(transport, black_hole):
    endpoint = Endpoint(scheme="http", host="127.0.0.1", port=black_hole)
    calling = asyncio.ensure_future(call(transport, endpoint))
    await asyncio.sleep(0.02)
    assert transport.open_connections == 1
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    assert calling.cancelled()
    assert transport.open_connections == 0


async def test_localhost_is_found(transport):
    async with upstream(always(OK)) as server:
        response = await call(transport, replace(server.endpoint, host="localhost"))
        assert await response.read_all(soon()) == b"ok"


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")
async def test_an_ipv6_address_is_reached(transport):
    async with upstream(always(OK), host="::1") as server:
        response = await call(transport, server.endpoint)
        assert await response.read_all(soon()) == b"ok"
        assert server.endpoint.authority.startswith("[::1]:")


async def test_a_dead_first_address_does_not_keep_us_from_the_second(black_hole):
    async with upstream(always(OK)) as server:
        addresses = [
            SocketAddress(family=socket.AF_INET, target=("127.0.0.1", black_hole)),
            SocketAddress(family=socket.AF_INET, target=("127.0.0.1", server.endpoint.port)),
        ]
        async with asyncio.timeout(2):
            sock = await first_to_connect(addresses)
        assert sock.getpeername()[1] == server.endpoint.port
        sock.close()


async def test_when_every_address_refuses_the_first_one_s_error_is_told():
    addresses = [
        SocketAddress(family=socket.AF_INET, target=("127.0.0.1", free_port())) for _ in range(3)
    ]
    with pytest.raises(ConnectionRefusedError):
        await first_to_connect(addresses)


def test_address_families_take_turns():
    four = [SocketAddress(family=socket.AF_INET, target=(f"10.0.0.{n}", 1)) for n in range(3)]
    six = [SocketAddress(family=socket.AF_INET6, target=("::1", 1))]
    assert alternate([*six, *four]) == [six[0], *four]
    assert alternate([*four, *six]) == [four[0], six[0], four[1], four[2]]
    assert alternate([]) == []


async def test_the_last_good_addresses_serve_while_the_resolver_fails(monkeypatch):
    resolver = Resolver()
    loop = asyncio.get_running_loop()
    key = ("nobody.invalid", 80)
    known = [SocketAddress(family=socket.AF_INET, target=("127.0.0.1", 80))]
    resolver._answers[key] = (loop.time() - 31, known)
    assert await resolver.resolve(*key) == known
    resolver._answers[key] = (loop.time() - 601, known)
    with pytest.raises(ConnectFailed):
        await resolver.resolve(*key)


async def test_a_verified_certificate_is_accepted_and_http_1_1_agreed(authority):
    transport = Transport(ssl_context=authority.client())
    agreed: list[str | None] = []

    async def script(peer: Peer) -> None:
        agreed.append(peer.writer.get_extra_info("ssl_object").selected_alpn_protocol())
        while True:
            await peer.request()
            await peer.say(OK)

    for host in ("127.0.0.1", "localhost"):
        tls = authority.server("localhost", "127.0.0.1")
        async with upstream(script, tls=tls, name=host) as server:
            for _ in range(2):
                response = await call(transport, server.endpoint)
                assert await response.read_all(soon()) == b"ok"
            assert server.accepted == 1
    assert agreed == ["http/1.1", "http/1.1"]
    await transport.aclose()
    assert transport.open_connections == 0


@pytest.mark.parametrize("fault", ["expired", "wrong host", "unknown authority"])
async def test_a_certificate_that_does_not_verify_is_refused(authority, fault):
    context = ssl.create_default_context() if fault == "unknown authority" else authority.client()
    transport = Transport(ssl_context=context)
    tls = authority.server(
        "elsewhere.test" if fault == "wrong host" else "localhost",
        days=-1 if fault == "expired" else 1,
    )
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        seen.append((await peer.request())[0])

    async with upstream(script, tls=tls, name="localhost") as server:
        with pytest.raises(ConnectFailed, match="TLS"):
            await call(transport, server.endpoint)
    assert seen == []
    await transport.aclose()


async def test_tls_to_a_port_that_speaks_plain_http_fails(transport):
    async def script(peer: Peer) -> None:
        await peer.reader.read(10)
        await peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with upstream(script) as server:
        with pytest.raises(ConnectFailed):
            await call(transport, replace(server.endpoint, scheme="https"))


async def test_a_tls_handshake_that_hangs_is_bounded_by_the_connect_time(transport):
    async def script(peer: Peer) -> None:
        await peer.closed()

    async with upstream(script) as server:
        with pytest.raises(ConnectFailed):
            await call(transport, replace(server.endpoint, scheme="https"), connect_s=0.1)
        await server.until_open(0)


@pytest.mark.parametrize("is_clean", [True, False], ids=["close_notify", "bare FIN"])
async def test_a_body_until_close_in_tls_ends_only_with_close_notify(authority, is_clean):
    """A FIN alone may be anybody's: taken for the end, it would hide a cut."""
    transport = Transport(ssl_context=authority.client())
    listener = socket.create_server(("127.0.0.1", 0))
    tls = authority.server("127.0.0.1")

    def serve() -> None:
        raw, _ = listener.accept()
        with tls.wrap_socket(raw, server_side=True, suppress_ragged_eofs=True) as sock:
            while b"\r\n\r\n{}" not in sock.recv(65536):
                pass
            sock.sendall(b"HTTP/1.1 200 OK\r\n\r\nbody")
            if is_clean:
                sock.unwrap()

    endpoint = Endpoint(scheme="https", host="127.0.0.1", port=listener.getsockname()[1])
    serving = asyncio.get_running_loop().run_in_executor(None, serve)
    response = await call(transport, endpoint)
    if is_clean:
        assert await response.read_all(soon()) == b"body"
    else:
        assert await response.read(soon()) == b"body"
        with pytest.raises(ConnectionReset):
            await response.read(soon())
    response.close()
    await transport.aclose()
    await asyncio.gather(serving, return_exceptions=True)
    listener.close()


def proxy_script(target: Endpoint, seen: list[bytes]):
    """Return the script of a CONNECT proxy to one origin."""

    async def script(peer: Peer) -> None:
        seen.append(await peer.reader.readuntil(b"\r\n\r\n"))
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        await peer.say(b"HTTP/1.1 200 Connection established\r\n\r\n")

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            try:
                while piece := await source.read(65536):
                    sink.write(piece)
            finally:
                sink.close()

        await asyncio.gather(pump(peer.reader, writer), pump(reader, peer.writer))

    return script


@pytest.mark.parametrize("proxy_scheme", ["http", "https"])
async def test_https_goes_through_a_proxy_in_a_tunnel(authority, proxy_scheme):
    transport = Transport(ssl_context=authority.client())
    tls = authority.server("127.0.0.1")
    seen: list[bytes] = []
    proxy_tls = tls if proxy_scheme == "https" else None
    async with (
        upstream(always(OK), tls=tls) as origin,
        upstream(proxy_script(origin.endpoint, seen), tls=proxy_tls) as proxy,
    ):
        url = f"{proxy_scheme}://us%40er:pa%3Ass@127.0.0.1:{proxy.endpoint.port}"
        endpoint = replace(origin.endpoint, proxy=url)
        for _ in range(2):
            response = await call(transport, endpoint)
            assert await response.read_all(soon()) == b"ok"
        await transport.aclose()
        assert transport.open_connections == 0
    token = base64.b64encode(b"us@er:pa:ss")
    assert len(seen) == 1
    assert seen[0].startswith(f"CONNECT {origin.endpoint.authority} HTTP/1.1\r\n".encode())
    assert b"Proxy-Authorization: Basic " + token + b"\r\n" in seen[0]


async def test_http_goes_through_a_proxy_in_absolute_form(transport):
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            heads.append((await peer.request())[0])
            await peer.say(OK)

    async with upstream(script) as proxy:
        url = f"http://user:secret@127.0.0.1:{proxy.endpoint.port}/"
        endpoint = Endpoint(scheme="http", host="origin.test", port=81, proxy=url)
        response = await call(transport, endpoint)
        assert await response.read_all(soon()) == b"ok"
    token = base64.b64encode(b"user:secret")
    assert heads == [
        b"POST http://origin.test:81/v1/x HTTP/1.1\r\nProxy-Authorization: Basic " + token
        + b"\r\nHost: test\r\nContent-Length: 2\r\n\r\n"
    ]  # fmt: skip


REFUSALS = [
    b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
    b"junk\r\n\r\n",
    b"a" * 20_000,
    b"HTTP/1.1 200 OK\r\n\r\nsurplus",
    b"",
]


@pytest.mark.parametrize("reply", REFUSALS, ids=["407", "502", "junk", "long", "early", "close"])
async def test_a_proxy_that_refuses_the_tunnel_is_a_failed_connection(transport, reply):
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.say(reply)

    async with upstream(script) as proxy:
        url = f"http://user:secret@127.0.0.1:{proxy.endpoint.port}"
        endpoint = Endpoint(scheme="https", host="origin.test", port=443, proxy=url)
        with pytest.raises(ConnectFailed) as failure:
            await call(transport, endpoint)
        await proxy.until_open(0)
    assert "secret" not in repr(failure.value) + repr(endpoint)
    assert transport.open_connections == 0


async def test_a_407_to_a_forwarded_request_is_a_failed_connection(transport):
    async with upstream(then_close(REFUSALS[0])) as proxy:
        url = f"http://127.0.0.1:{proxy.endpoint.port}"
        endpoint = Endpoint(scheme="http", host="origin.test", port=80, proxy=url)
        with pytest.raises(ConnectFailed):
            await call(transport, endpoint)


@pytest.mark.parametrize("url", ["socks5://u:secret@h:1", "http://", "http://u:secret@h:port"])
async def test_a_proxy_url_that_is_no_http_url_is_refused_without_its_secrets(transport, url):
    with pytest.raises(ConnectFailed) as failure:
        await call(transport, Endpoint(scheme="http", host="origin.test", port=80, proxy=url))
    assert "secret" not in repr(failure.value)
