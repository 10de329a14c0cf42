"""Bodies that do not come, or are large: whom they cost a place, and what they are told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from tests.support.callers import ask, chat_request, connect, read_answer
from tests.support.processes import wait_for
from tests.support.promtext import read

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.gateways import GatewayProcess
    from tests.support.upstreams import Upstream

    StartGateway = Callable[..., GatewayProcess]
    StartUpstream = Callable[..., Upstream]

ONE, OTHER, TOKENS = "sy_key-of-one", "sy_key-of-another", "sy_key-with-tokens"
LIMITS = (
    "--plane", "inference", "--limit", "in_flight=20", "--limit", "waiting=1", "--limit",
    "wait_s=0.2", "--limit", "bodies_mib=4", "--limit", "key_bodies_mib=2",
)  # fmt: skip
UNFINISHED = 600
VERY_LONG = 17 << 20


def config(server: Upstream) -> dict[str, Any]:
    return {
        "providers": {"up": server.provider()},
        "routing": {"model_pools": {"chat": {"candidates": [{"provider": "up", "model": "m"}]}}},
        "keys": [
            {"name": "one", "key": ONE, "max_parallel": 1},
            {"name": "other", "key": OTHER},
            {"name": "tokens", "key": TOKENS, "tpm": 1000, "rpm": 50},
        ],
    }


def request_of(gateway: GatewayProcess, key: str, size: int = 0) -> tuple[bytes, bytes]:
    """The head and the body of a request with a prompt of `size` bytes."""
    messages = [{"role": "user", "content": "x" * size}]
    request = chat_request(gateway, "chat", messages=messages)
    head, body = request.replace(gateway.key.encode(), key.encode()).split(b"\r\n\r\n", 1)
    return head + b"\r\n\r\n", body


class Held:
    """Requests of a key whose bodies do not come; `answers` are those that came all the same."""

    def __init__(self, gateway: GatewayProcess, key: str, count: int, size: int) -> None:
        self._gateway = gateway
        self._head, self.body = request_of(gateway, key, size)
        self._count = count
        self.connections: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.answers: list[tuple[int, str, bytes]] = []

    async def __aenter__(self) -> Self:
        for _ in range(self._count):
            reader, writer = await connect(self._gateway)
            writer.write(self._head + self.body[:10])
            self.connections.append((reader, writer))
            self._tasks = getattr(self, "_tasks", [])
            self._tasks.append(asyncio.create_task(self._read(reader)))
        return self

    async def _read(self, reader: asyncio.StreamReader) -> None:
        self.answers.append(await read_answer(reader))

    async def are_answered(self, count: int) -> None:
        async with asyncio.timeout(30):
            while len(self.answers) < count:  # noqa: ASYNC110 - every task counts for itself
                await asyncio.sleep(0.01)

    async def __aexit__(self, *_error: object) -> None:
        for task in self._tasks:
            task.cancel()
        for _reader, writer in self.connections:
            writer.close()


async def whole(gateway: GatewayProcess, key: str, size: int = 0) -> tuple[int, str, bytes]:
    return await ask(gateway, b"".join(request_of(gateway, key, size)))


def metric(gateway: GatewayProcess, name: str, **labels: str) -> float:
    return read(gateway.request("/metrics").body.decode()).value(f"switchyard_{name}", **labels)


async def test_what_a_body_may_hold_before_it_is_here(
    gateway_process: StartGateway, upstream: StartUpstream
) -> None:
    server = upstream("up")
    gateway = gateway_process(config(server), *LIMITS)
    await asyncio.to_thread(gateway.wait_until_ready)

    await a_key_may_have_as_many_unfinished_bodies_as_requests(gateway)
    await unfinished_bodies_are_no_requests_in_flight(gateway)
    await the_bytes_of_a_key_have_a_bound_of_its_own(gateway)
    await the_bytes_of_all_keys_have_a_bound_too(gateway)
    await a_late_body_counts_its_tokens_once_it_is_here(gateway)

    assert "Traceback" not in gateway.logs()


async def a_key_may_have_as_many_unfinished_bodies_as_requests(gateway: GatewayProcess) -> None:
    async with Held(gateway, ONE, UNFINISHED, 100) as held:
        await held.are_answered(UNFINISHED - 1)

        assert {status for status, _head, _body in held.answers} == {429}
        assert all("\r\nretry-after: 1\r\n" in head for _status, head, _body in held.answers)
        assert b"1 request at once (max_parallel)" in held.answers[0][2]
        assert (await whole(gateway, OTHER))[0] == 200
    await soon(lambda: whole_now(gateway, ONE), "the place to be free again")


async def unfinished_bodies_are_no_requests_in_flight(gateway: GatewayProcess) -> None:
    async with Held(gateway, OTHER, 50, 100) as held:  # more than twice what may be in flight
        await soon(lambda: arriving(gateway, 50), "50 unfinished bodies")

        assert (await whole(gateway, gateway.key))[0] == 200
        assert (await whole(gateway, OTHER))[0] == 200
        assert held.answers == []
        reader, writer = held.connections[0]
        writer.write(held.body[10:])
        await held.are_answered(1)
        assert held.answers[0][0] == 200
        del reader


async def the_bytes_of_a_key_have_a_bound_of_its_own(gateway: GatewayProcess) -> None:
    await soon(lambda: arriving(gateway, 0), "the bodies before to be gone")
    async with Held(gateway, OTHER, 3, 900 << 10) as held:
        await held.are_answered(1)

        status, head, body = held.answers[0]
        assert status == 429
        assert "\r\nretry-after: 1\r\n" in head
        assert b"2 MiB of request bodies at once (key_bodies_mib)" in body
        assert (await whole(gateway, gateway.key, 900 << 10))[0] == 200
        await soon(
            lambda: metric(gateway, "key_limited_total", limit="bodies") == 1, "one that is counted"
        )


async def the_bytes_of_all_keys_have_a_bound_too(gateway: GatewayProcess) -> None:
    await soon(lambda: arriving(gateway, 0), "the bodies before to be gone")
    async with Held(gateway, OTHER, 2, 900 << 10), Held(gateway, gateway.key, 2, 900 << 10):
        await soon(lambda: arriving(gateway, 4), "four unfinished bodies")
        status, head, body = await whole(gateway, TOKENS, 900 << 10)

        assert status == 503
        assert "\r\nretry-after: 1\r\nx-should-retry: true\r\n" in head
        assert b"4 MiB of request bodies" in body
        assert b'"code":"server_is_overloaded"' in body
        await soon(lambda: metric(gateway, "requests_shed_total") == 1, "one that is counted")
        assert await asyncio.to_thread(metric, gateway, "request_body_bytes") > 3.5 * (900 << 10)
        assert (await whole(gateway, gateway.key))[0] == 200  # a small one holds nothing
    await soon(lambda: arriving(gateway, 0), "the bodies to be gone")
    await soon(lambda: metric(gateway, "request_body_bytes") == 0, "all bytes to be given back")


async def a_late_body_counts_its_tokens_once_it_is_here(gateway: GatewayProcess) -> None:
    for size, wanted in ((100, 200), (100_000, 429)):
        async with Held(gateway, TOKENS, 1, size) as held:
            _reader, writer = held.connections[0]
            await soon(lambda: arriving(gateway, 1), "an unfinished body")
            writer.write(held.body[10:])
            await held.are_answered(1)

            status, head, body = held.answers[0]
            assert status == wanted, body
            assert "\r\nx-ratelimit-limit-tokens: 1000\r\n" in head
    assert b"tokens per minute (tpm)" in body
    status, head, _body = await whole(gateway, TOKENS)
    assert status == 200
    assert "\r\nx-ratelimit-remaining-requests: 47\r\n" in head


async def test_of_long_bodies_so_much_of_a_key_is_at_its_providers_at_a_time(
    gateway_process: StartGateway, upstream: StartUpstream
) -> None:
    server = upstream("up")
    gateway = gateway_process(config(server), "--plane", "inference")
    await asyncio.to_thread(gateway.wait_until_ready)
    server.set("stall", times=1)
    async with Held(gateway, OTHER, 1, VERY_LONG) as held:
        held.connections[0][1].write(held.body[10:])
        await soon(lambda: len(server.requests) == 1, "the first one to be at the provider")
        second = asyncio.create_task(whole(gateway, OTHER, VERY_LONG))
        await soon(
            lambda: metric(gateway, "request_body_bytes") > 2 * VERY_LONG, "the second one's bytes"
        )

        assert (await whole(gateway, gateway.key, VERY_LONG))[0] == 200  # another key's
        assert (await whole(gateway, OTHER, 1 << 20))[0] == 200  # a shorter one
        assert not second.done()
        assert len(server.requests) == 3
    assert (await second)[0] == 200  # since the first caller has gone


def whole_now(gateway: GatewayProcess, key: str) -> bool:
    head, body = request_of(gateway, key)
    del head
    headers = {"authorization": f"Bearer {key}"}
    return gateway.request("/v1/chat/completions", body, headers=headers).status == 200


def arriving(gateway: GatewayProcess, count: int) -> bool:
    return metric(gateway, "requests_arriving") == count


async def soon(look: Callable[[], Any], what: str) -> Any:
    return await asyncio.to_thread(wait_for, look, what=what)
