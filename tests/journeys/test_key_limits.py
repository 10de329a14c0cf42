"""Keys with limits, on real gateways: how many get in, and what the others are told."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.support.callers import ask, chat_request, connect
from tests.support.databases import valkey
from tests.support.gateways import GatewayProcess
from tests.support.processes import wait_for
from tests.support.promtext import read
from tests.support.upstreams import Upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    StartGateway = Callable[..., GatewayProcess]
    StartUpstream = Callable[..., Upstream]

TWO = ("--plane", "inference", "--workers", "2")
LIMITS: dict[str, dict[str, int]] = {
    "ten": {"rpm": 10},
    "one": {"rpm": 1},
    "shown": {"rpm": 2, "tpm": 50_000, "max_parallel": 7},
    "reserved": {"tpm": 1000},
    "unserved": {"tpm": 1000},
    "hung-up": {"max_parallel": 3},
    "killed": {"max_parallel": 2},
    "shared": {"rpm": 15},
    "orphaned": {"rpm": 60, "max_parallel": 40},
}


def limited(server: Upstream) -> dict[str, Any]:
    """One pool, and the keys of LIMITS for it."""
    return {
        "providers": {"up": server.provider()},
        "routing": {"model_pools": {"chat": {"candidates": [{"provider": "up", "model": "m"}]}}},
        "keys": [{"name": n, "key": secret(n), **limits} for n, limits in LIMITS.items()],
    }


def secret(name: str) -> str:
    return f"sy_key-of-{name}"


class Host:
    """Two workers without Redis, and the provider behind them."""

    def __init__(self, gateway: GatewayProcess, server: Upstream) -> None:
        self.gateway = gateway
        self.server = server


@pytest.fixture(scope="module")
def whole_module_host(
    tmp_path_factory: pytest.TempPathFactory, migrated_data_dir: Path
) -> Iterator[Host]:
    server = Upstream("up")
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("limits"),
        template=migrated_data_dir,
        config=limited(server),
        arguments=TWO,
        env={},
    )
    gateway.wait_until_ready()
    yield Host(gateway, server)
    gateway.stop()
    server.stop()
    assert "Traceback" not in gateway.logs(), gateway.logs()


@pytest.fixture
def host(whole_module_host: Host) -> Host:
    whole_module_host.server.set("ok")
    whole_module_host.server.clear()
    return whole_module_host


def client(gateway: GatewayProcess, name: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=gateway.base_url, api_key=secret(name), max_retries=0)


def say(gateway: GatewayProcess, name: str, **more: Any) -> Any:
    """The raw answer to one chat request with the key of that name."""
    with client(gateway, name) as caller:
        return caller.chat.completions.with_raw_response.create(
            model="chat", messages=[{"role": "user", "content": "Hello"}], **more
        )


def request_of(gateway: GatewayProcess, name: str, **more: Any) -> bytes:
    plain = chat_request(gateway, "chat", **more)
    return plain.replace(gateway.key.encode(), secret(name).encode())


async def statuses(name: str, *gateways: GatewayProcess, each: int) -> Counter[int]:
    """What comes of `each` requests to every gateway, all at once."""
    answers = await asyncio.gather(
        *(ask(one, request_of(one, name)) for one in gateways for _ in range(each))
    )
    return Counter(status for status, _head, _body in answers)


async def soon(look: Callable[[], Any], what: str) -> Any:
    return await asyncio.to_thread(wait_for, look, what=what)


def refusals(gateway: GatewayProcess) -> float:
    found = read(gateway.request("/metrics").body.decode())
    return found.value("switchyard_key_limited_total", limit="requests")


def is_shared(gateway: GatewayProcess) -> bool:
    """Whether all workers that answer have Redis."""
    return all((gateway.ready() or {}).get("redis_error") == "" for _ in range(6))


async def test_two_workers_admit_exactly_the_limit(host: Host) -> None:
    assert await statuses("ten", host.gateway, each=30) == {200: 10, 429: 20}
    assert len(host.server.requests) == 10


async def test_a_limit_below_the_number_of_workers_is_kept(host: Host) -> None:
    assert await statuses("one", host.gateway, each=10) == {200: 1, 429: 9}


def test_the_official_client_can_read_what_it_may_and_when(host: Host) -> None:
    gateway = host.gateway

    answer = say(gateway, "shown")
    shown = {n: v for n, v in answer.headers.items() if n.startswith("x-ratelimit-")}
    used = 50_000 - int(shown.pop("x-ratelimit-remaining-tokens"))
    assert shown == {
        "x-ratelimit-limit-requests": "2",
        "x-ratelimit-remaining-requests": "1",
        "x-ratelimit-reset-requests": "1m0s",
        "x-ratelimit-limit-tokens": "50000",
        "x-ratelimit-reset-tokens": "1m0s",
        "x-ratelimit-limit-parallel": "7",
        "x-ratelimit-remaining-parallel": "6",
    }
    assert 0 < used < 100
    with client(gateway, "shown") as caller:
        stream = caller.chat.completions.with_raw_response.create(
            model="chat", messages=[{"role": "user", "content": "Hello"}], stream=True
        )
        assert stream.headers["x-ratelimit-remaining-requests"] == "0"
        assert list(stream.parse())
    with pytest.raises(openai.RateLimitError) as caught:
        say(gateway, "shown")
    error = caught.value
    wait_s = int(error.response.headers["retry-after"])
    assert 50 < wait_s <= 60
    assert error.code == "rate_limit_exceeded"
    assert error.type == "rate_limit_error"
    assert "2 requests per minute (rpm)" in error.message
    assert f"try again in {wait_s}s" in error.message
    assert error.response.headers["x-ratelimit-remaining-requests"] == "0"
    assert "x-should-retry" not in error.response.headers
    wait_for(lambda: refusals(gateway), what="the refusal to be counted")


def test_tokens_are_reserved_and_then_counted_as_they_were(host: Host) -> None:
    gateway = host.gateway

    for _ in range(3):  # each reserves nearly all, and gives nearly all back
        assert say(gateway, "reserved", max_tokens=900).status_code == 200
    with pytest.raises(openai.RateLimitError) as caught:
        say(gateway, "reserved", max_tokens=1001)
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert "retry-after" not in caught.value.response.headers
    left = int(caught.value.response.headers["x-ratelimit-remaining-tokens"])
    assert 700 < left < 1000
    with pytest.raises(openai.RateLimitError, match="1000 tokens per minute"):
        say(gateway, "reserved", max_tokens=left)
    assert say(gateway, "reserved").status_code == 200


def test_what_no_provider_served_costs_no_tokens(host: Host) -> None:
    gateway, server = host.gateway, host.server

    server.set("status:400")
    for _ in range(3):
        with pytest.raises(openai.BadRequestError):
            say(gateway, "unserved", max_tokens=900)
    server.set("ok")
    answer = say(gateway, "unserved", max_tokens=900)
    assert answer.status_code == 200


async def test_requests_at_once_are_free_again_whatever_became_of_them(host: Host) -> None:
    gateway, server = host.gateway, host.server
    server.set("ok:gate=1")
    connections = [await connect(gateway) for _ in range(3)]
    for _reader, writer in connections:
        writer.write(request_of(gateway, "hung-up", stream=True))
    await soon(lambda: sum(e["chunks"] for e in server.requests) == 3, "three running streams")

    status, head, body = await ask(gateway, request_of(gateway, "hung-up"))
    assert status == 429
    assert "\r\nretry-after: 1\r\n" in head
    assert b"3 requests at once (max_parallel)" in body
    for _reader, writer in connections:  # they hang up
        writer.close()
    server.set("ok")
    await soon(lambda: gateway_says(gateway, "hung-up", 3), "the places of those who hung up")
    # Plain, streamed, failed and refused requests leave nothing behind either.
    for mode, expected in (("ok", 200), ("status:400", 400), ("reset_after:1", 200), ("ok", 200)):
        server.set(mode)
        for stream in (True, False):
            if not (mode == "reset_after:1" and not stream):
                status, head, _body = await ask(
                    gateway, request_of(gateway, "hung-up", stream=stream)
                )
                assert status == expected
                assert "\r\nx-ratelimit-remaining-parallel: 2\r\n" in head


def gateway_says(gateway: GatewayProcess, name: str, places: int) -> bool:
    """Whether so many places are free when one asks."""
    try:
        answer = say(gateway, name)
    except openai.RateLimitError:
        return False
    return bool(answer.headers["x-ratelimit-remaining-parallel"] == str(places - 1))


async def test_a_killed_worker_gives_back_what_it_held(host: Host) -> None:
    gateway, server = host.gateway, host.server
    server.set("ok:gate=1")
    connections = [await connect(gateway) for _ in range(2)]
    for _reader, writer in connections:
        writer.write(request_of(gateway, "killed", stream=True))
    await soon(lambda: sum(e["chunks"] for e in server.requests) == 2, "two running streams")
    assert not await asyncio.to_thread(gateway_says, gateway, "killed", 2)

    for pid in gateway.workers():
        os.kill(pid, signal.SIGKILL)
    server.set("ok")

    def look() -> bool:
        try:
            return gateway_says(gateway, "killed", 2)
        except openai.APIConnectionError:
            return False

    await soon(look, "both places")
    for _reader, writer in connections:
        writer.close()


async def test_two_hosts_share_a_limit_exactly_through_valkey(
    gateway_process: StartGateway, upstream: StartUpstream, valkey_url: str
) -> None:
    config = limited(upstream("up"))
    hosts = [gateway_process(config, *TWO, env={"REDIS_URL": valkey_url}) for _ in range(2)]
    for host in hosts:
        await soon(lambda host=host: is_shared(host), "Redis")  # type: ignore[misc]

    assert await statuses("shared", *hosts, each=20) == {200: 15, 429: 25}


async def test_a_valkey_that_dies_under_load_fails_no_request_and_lets_nobody_past_the_limit(
    gateway_process: StartGateway, upstream: StartUpstream
) -> None:
    with valkey() as url:
        config = limited(upstream("up"))
        gateway = gateway_process(config, *TWO, env={"REDIS_URL": url})
        await soon(lambda: is_shared(gateway), "Redis")
        before = await statuses("orphaned", gateway, each=20)
        load = asyncio.create_task(statuses("orphaned", gateway, each=20))
        await asyncio.sleep(0)
    during = await load
    after = await statuses("orphaned", gateway, each=30)

    assert set(before + during + after) == {200, 429}
    assert (before + during)[200] == 40
    # The host has counted all the time what it let in.
    assert after == {200: 20, 429: 10}
    assert not is_shared(gateway)
    assert "this host counts for itself" in gateway.logs()
