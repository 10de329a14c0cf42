"""Which addresses may be called by whoever is not the operator of this host's file."""

from __future__ import annotations

import asyncio
import socket

import pytest

from providers.errors import ConnectFailed
from providers.transport import Endpoint, Transport
from providers.transport.guard import host_refusal, refusal_of

REFUSED = [
    "127.0.0.1", "127.1", "127.0.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001",
    "0177.0.0.1", "127.0.0.1.", "127.255.255.254", "0", "0.0.0.0",
    "localhost", "LOCALHOST", "localhost.", "a.localhost", "localhost.localdomain",
    "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "\u2460\u2461\u2466.0.0.1",
    "\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54",
    "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "100.64.0.1", "100.127.255.255", "100.100.100.200", "169.254.169.254", "169.254.0.1",
    "0xa9fea9fe", "2852039166", "168.63.129.16", "192.0.0.192", "192.0.2.1", "192.88.99.1",
    "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255",
    "::1", "[::1]", "::", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "[::ffff:127.0.0.1]",
    "::ffff:8.8.8.8", "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::8.8.8.8",
    "64:ff9b:1::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254",
    "fd20:ce::254", "ff02::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "5f00::1",
    "100::1",
]  # fmt: skip
ALLOWED = [
    "8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.15.255.255", "172.32.0.1",
    "192.167.255.255", "192.169.0.1", "169.253.0.1", "11.0.0.1", "223.255.255.255",
    "2606:4700:4700::1111", "2a00:1450:4001::1", "2001:200::1",
    "hooks.slack.com", "ops.example.com", "localhost.example.com", "notlocalhost",
]  # fmt: skip


@pytest.mark.parametrize("host", REFUSED)
def test_what_stands_for_this_machine_or_its_network_is_refused_however_it_is_written(
    host: str,
) -> None:
    assert host_refusal(host)


@pytest.mark.parametrize("host", ALLOWED)
def test_what_is_public_or_only_a_name_is_not(host: str) -> None:
    assert host_refusal(host) == ""


def test_what_is_no_ip_address_is_refused_where_one_is_connected_to() -> None:
    assert refusal_of("localhost")
    assert refusal_of("8.8.8.8") == ""


@pytest.mark.parametrize("host", ["localhost", "127.1", "127.0.0.1"])
def test_a_guarded_transport_connects_to_nothing_that_a_name_resolves_to_and_that_is_refused(
    host: str,
) -> None:
    async def send(port: int) -> None:
        transport = Transport(guard=refusal_of)
        endpoint = Endpoint(scheme="http", host=host, port=port)
        deadline = asyncio.get_running_loop().time() + 5
        try:
            await transport.send(endpoint, b"", b"", connect_s=5, deadline=deadline)
        finally:
            await transport.aclose()

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        with pytest.raises(ConnectFailed, match=r"refused: .* is loopback"):
            asyncio.run(send(server.getsockname()[1]))
        with pytest.raises(BlockingIOError):  # nobody has come
            server.accept()
