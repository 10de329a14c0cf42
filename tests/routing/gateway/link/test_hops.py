"""A provider whose address leads back to a gateway that the request has come by; real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import pytest

from providers.adapters.spec import CredentialSpec
from routing.gateway.limits import GatewayLimits
from routing.gateway.link.hops import MAX_HOPS, hop_of
from routing.gateway.serving.server import Server
from tests.support.asking import MASTER, Asked
from tests.support.builders import content, pool, provider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.support.upstreams import Upstream


def made_up(number: int) -> str:
    return f"1.1 switchyard-{number:012x}"


FIRST, SECOND = made_up(0xA).encode(), made_up(0xB).encode()


class Served(Asked):
    """A gateway that listens; `asked` are the heads of the requests that came."""

    def __init__(self, hop: bytes, listener: socket.socket, **providers: str) -> None:
        secret = {"credentials": (CredentialSpec(label="main", secret=MASTER),)}
        made = [provider(n, base_url=url, **secret) for n, url in providers.items()]
        candidates = [f"{name}/m" for name in providers]
        super().__init__(content(pool("m", *candidates), providers=tuple(made)), hop=hop)
        self.listener = listener
        self.asked: list[list[tuple[bytes, bytes]]] = []

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append(scope["headers"])
        await self.gateway(scope, receive, send)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[Served]:
        async with self:
            server = Server(self.app, GatewayLimits(), cut=lambda _error: None)
            await server.start(self.listener)
            running = asyncio.create_task(server.run())
            try:
                yield self
            finally:
                server.leave(grace_s=0, drain_s=0, quiet_s=0)
                await running

    def benched(self) -> list[Any]:
        return self.gateway.benches.entries(self.gateway.clock())


def listener() -> tuple[socket.socket, str]:
    made = socket.create_server(("127.0.0.1", 0))
    return made, f"http://127.0.0.1:{made.getsockname()[1]}/v1"


async def test_a_provider_that_is_this_gateway_is_asked_once_and_benched_never() -> None:
    heard, url = listener()
    async with Served(FIRST, heard, own=url).listening() as gateway:
        for _ in range(4):
            told = await gateway.chat()
            assert told.status == 508
            assert told.headers["x-should-retry"] == "false"
            assert "come back to this gateway" in told.json()["error"]["message"]
        assert len(gateway.asked) == 4
        assert gateway.benched() == []


async def test_the_next_candidate_answers_where_the_first_is_a_loop(
    upstream: Callable[..., Upstream],
) -> None:
    heard, url = listener()
    vendor = upstream()
    gateway = Served(FIRST, heard, own=url, vendor=vendor.base_url)
    async with gateway.listening():
        told = await gateway.chat()
        assert (told.status, told.headers["x-switchyard-provider"]) == (200, "vendor")
    sent = [value for name, value in vendor.requests[0]["headers"] if name == "via"]
    assert sent == [FIRST.decode()]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_a_loop_by_another_gateway_ends_at_the_first_one_in_any_protocol(path: str) -> None:
    (one, at_one), (other, at_other) = listener(), listener()
    first = Served(FIRST, one, other=at_other)
    second = Served(SECOND, other, one=at_one)
    async with first.listening(), second.listening():
        body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
        told = await first.post(path, body)
        assert told.status == 508
        assert "come back to this gateway" in told.body.decode()
        assert (len(first.asked), len(second.asked)) == (1, 1)
        said = [value for name, value in first.asked[0] if name == b"via"]
        assert sorted(said) == [FIRST, SECOND]


async def test_a_request_that_has_come_by_too_many_gateways_is_refused() -> None:
    heard, url = listener()
    many = ", ".join(made_up(number) for number in range(MAX_HOPS))
    async with Served(FIRST, heard, own=url).listening() as gateway:
        headers = [("via", f"1.0 fred, {many}, 1.1 nginx")]
        chat = await gateway.chat(headers=headers)
        assert (chat.status, chat.json()["error"]["code"]) == (508, "loop_detected")
        assert chat.headers["x-should-retry"] == "false"
        body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
        messages = await gateway.post("/v1/messages", body, headers=headers)
        assert (messages.status, messages.json()["type"]) == (508, "error")


async def test_what_other_proxies_say_means_nothing_and_stays_here(
    upstream: Callable[..., Upstream],
) -> None:
    vendor = upstream()
    heard, _url = listener()
    others = [("via", ", ".join(["1.1 nginx", "1.1 varnish (cache)"] * 9)), ("via", made_up(1))]
    async with Served(FIRST, heard, vendor=vendor.base_url).listening() as gateway:
        assert (await gateway.chat(headers=others)).status == 200
    sent = [value for name, value in vendor.requests[0]["headers"] if name == "via"]
    assert sorted(sent) == sorted([FIRST.decode(), made_up(1)])


async def test_nobody_can_have_a_provider_benched_by_hops_that_he_makes_up(
    upstream: Callable[..., Upstream],
) -> None:
    vendor = upstream("looped", "status:508")
    heard, _url = listener()
    async with Served(FIRST, heard, vendor=vendor.base_url).listening() as gateway:
        for _ in range(5):
            assert (await gateway.chat(headers=[("via", made_up(7))])).status == 508
        assert gateway.benched() == []


def test_a_host_has_one_id_and_keeps_it(tmp_path: Path) -> None:
    assert hop_of(tmp_path / "a") == hop_of(tmp_path / "a") != hop_of(tmp_path / "b")
