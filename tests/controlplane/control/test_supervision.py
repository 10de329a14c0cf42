"""Workers that die, drain, and are replaced, under callers who do not stop."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.callers import Crowd, ask, callers_of, chat_request, connect, read_answer
from tests.support.gateways import is_refused
from tests.support.processes import up_limit_s, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.gateways import GatewayProcess
    from tests.support.upstreams import Upstream

    StartGateway = Callable[..., GatewayProcess]
    StartUpstream = Callable[..., Upstream]

STREAMS = 100
STARTED = b"data: "


def pool_over(server: Upstream) -> dict[str, Any]:
    return {
        "providers": {"up": server.provider(bench={"failures": 10_000})},
        "routing": {"model_pools": {"chat": {"candidates": [{"provider": "up", "model": "m"}]}}},
    }


async def soon(look: Callable[[], Any], what: str) -> Any:
    """As wait_for, without holding up the callers."""
    return await asyncio.to_thread(wait_for, look, what=what, limit_s=30)


async def open_stream(gateway: GatewayProcess) -> asyncio.StreamReader:
    """A stream whose first chunk is here."""
    reader, writer = await connect(gateway)
    reader.writer = writer  # type: ignore[attr-defined]  # held as long as the reader
    writer.write(chat_request(gateway, "chat", stream=True))
    async with asyncio.timeout(60):
        assert await reader.readuntil(b"\r\n") == b"HTTP/1.1 200 OK\r\n"
        while not (await reader.readuntil(b"\n")).startswith(STARTED):
            pass
    return reader


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    rest = await asyncio.wait_for(reader.read(), 60)
    reader.writer.close()  # type: ignore[attr-defined]
    return rest


async def test_a_killed_worker_breaks_its_own_requests_alone_and_another_serves_in_two_seconds(
    gateway_process: StartGateway, upstream: StartUpstream
) -> None:
    gateway = gateway_process(
        pool_over(upstream("up", "slow:ttft_ms=20")), "--plane", "inference", "--workers", "2"
    )

    def is_replaced() -> bool:
        """Whether a new worker has taken callers: those who were broken come again."""
        return any(callers_of(pid) for pid in set(gateway.workers()) - before)

    async with Crowd(gateway, "chat", 24) as crowd:
        before = set(gateway.workers())
        victim = max(before, key=lambda pid: len(callers_of(pid)))
        at_risk = callers_of(victim)
        os.kill(victim, signal.SIGKILL)
        killed_at = time.monotonic()
        await soon(is_replaced, "another worker with callers")
        up_s = time.monotonic() - killed_at
        await crowd.make_progress()

    assert crowd.broken
    assert set(crowd.broken) <= at_risk
    assert crowd.statuses == {200}
    assert gateway.process.poll() is None
    # The promise: two seconds (docs/operations.md), and in proportion on a machine that is busy.
    assert up_s < up_limit_s()


async def test_an_end_cuts_no_stream_inside_the_drain_time(
    gateway_process: StartGateway, upstream: StartUpstream
) -> None:
    """And what is held back fails over, as ever."""
    server = upstream("up", "ok:chunks=6:gate=2")
    config = pool_over(server)
    models = ["first~reset_after:4:gate=2", "m"]
    config["routing"]["model_pools"]["held"] = {
        "candidates": [{"provider": "up", "model": model} for model in models],
        "failover": {"gate": "whole_answer"},
    }
    gateway = gateway_process(config, "--plane", "inference", "--workers", "2", "--grace", "0.5")
    streams = await asyncio.gather(*[open_stream(gateway) for _ in range(STREAMS)])
    held = asyncio.create_task(ask(gateway, chat_request(gateway, "held", stream=True)))
    await soon(lambda: sum(e["chunks"] == 2 for e in server.requests) > STREAMS, "its two chunks")

    gateway.process.send_signal(signal.SIGTERM)
    await soon(lambda: is_refused(gateway), "the refusal of new callers")
    server.set("ok")
    answers = await asyncio.gather(*[rest_of(stream) for stream in streams])

    assert [answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n") for answer in answers] == (
        [True] * STREAMS
    )
    status, head, body = await held
    assert (status, body.endswith(b"data: [DONE]\n\n")) == (200, True)
    assert "\r\nx-switchyard-failover: true\r\n" in head
    assert await asyncio.to_thread(gateway.process.wait, 30) == 0


async def test_until_the_grace_is_over_readiness_is_off_and_callers_are_served(
    gateway_process: StartGateway, upstream: StartUpstream
) -> None:
    gateway = gateway_process(
        pool_over(upstream("up")), "--plane", "inference", "--grace", "600"
    )  # fmt: skip
    reader, writer = await connect(gateway)
    request = chat_request(gateway, "chat")
    writer.write(request)
    await read_answer(reader)

    gateway.process.send_signal(signal.SIGTERM)
    await soon(lambda: gateway.request("/readyz").status == 503, "readiness to be off")

    assert gateway.request("/readyz").json()["draining"] is True
    assert gateway.chat("chat").status == 200
    writer.write(request)
    status, head, _body = await read_answer(reader)
    assert (status, await reader.read()) == (200, b"")
    assert "\r\nconnection: close" in head
    writer.close()
    gateway.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(gateway.process.wait, 30) == 0


async def test_what_the_drain_does_not_wait_for_is_told_so(
    gateway_process: StartGateway, upstream: StartUpstream
) -> None:
    server = upstream("up", "stall_after:2")
    gateway = gateway_process(pool_over(server), "--plane", "inference", "--drain", "0.5")
    stream = await open_stream(gateway)
    server.set("stall")
    plain = asyncio.create_task(ask(gateway, chat_request(gateway, "chat")))
    await soon(lambda: len(server.requests) == 2, "both requests upstream")

    gateway.process.send_signal(signal.SIGTERM)
    told = await rest_of(stream)
    status, head, body = await plain

    assert b'"code":"shutting_down"' in told
    assert b"[DONE]" not in told
    assert told.endswith(b"\r\n0\r\n\r\n")
    assert status == 503
    assert b'"code":"shutting_down"' in body
    assert "\r\nretry-after: 1\r\nx-should-retry: true\r\n" in head
    assert await asyncio.to_thread(gateway.process.wait, 30) == 0


@pytest.mark.parametrize("more", [1, 2])
async def test_more_signals_make_it_end_sooner(
    gateway_process: StartGateway, upstream: StartUpstream, more: int
) -> None:
    server = upstream("up", "stall_after:2")
    gateway = gateway_process(pool_over(server), "--plane", "inference", "--drain", "600")
    stream = await open_stream(gateway)
    gateway.process.send_signal(signal.SIGTERM)
    await soon(lambda: is_refused(gateway), "the refusal of new callers")

    for _ in range(more):
        gateway.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.1)  # one signal, not two at once
    ending = asyncio.create_task(asyncio.to_thread(gateway.process.wait, 60))
    was_told = True
    try:
        was_told = b"shutting_down" in await rest_of(stream)
    except ConnectionError:
        was_told = False

    assert await ending == 0
    assert was_told is (more == 1)


async def test_replacing_the_workers_loses_no_request(
    gateway_process: StartGateway, upstream: StartUpstream
) -> None:
    server = upstream("up", "ok:chunks=6:gate=2")
    gateway = gateway_process(pool_over(server), "--plane", "inference", "--workers", "2")
    streams = await asyncio.gather(*[open_stream(gateway) for _ in range(10)])
    before, control = set(gateway.workers()), gateway.control()
    config = pool_over(server)
    config["routing"]["model_pools"]["demo"] = {
        "candidates": [{"provider": "lab", "model": "slow:ttft_ms=20"}]
    }
    config["providers"]["lab"] = {"kind": "simulator"}
    gateway.write_config(config)
    await soon(lambda: gateway.chat("demo").status == 200, "the pool of the crowd")

    async with Crowd(gateway, "demo", 24) as crowd:
        gateway.process.send_signal(signal.SIGHUP)
        await soon(
            lambda: gateway.logs().count("takes the place of") == 2, "two workers to be replaced"
        )
        await soon(lambda: gateway.control() not in {control, None}, "another control child")
        await crowd.make_progress(20)
        now = set(gateway.workers())
        server.set("ok")
        answers = await asyncio.gather(*[rest_of(stream) for stream in streams])
        await soon(lambda: not before & set(gateway.workers()), "the old workers to end")

    assert len(now - before) == 2
    assert crowd.broken == []
    assert crowd.statuses == {200}
    assert [b"data: [DONE]" in answer for answer in answers] == [True] * 10
    assert len(gateway.workers()) == 2


async def test_a_worker_that_cannot_start_replaces_nobody(
    gateway_process: StartGateway, upstream: StartUpstream
) -> None:
    gateway = gateway_process(pool_over(upstream("up")), "--plane", "inference")
    before = set(gateway.workers())
    keys = gateway.data_dir / "encryption_keys"
    assert keys.exists()
    keys.write_text("no key at all")

    gateway.process.send_signal(signal.SIGHUP)
    await soon(lambda: "does not get ready; the workers stay" in gateway.logs(), "the refusal")

    assert set(gateway.workers()) == before
    assert gateway.chat("chat").status == 200


def test_a_worker_may_open_as_many_files_as_the_system_allows(
    gateway_process: StartGateway,
) -> None:
    gateway = gateway_process(None, "--plane", "inference", wait=False)
    [worker] = wait_for(lambda: list(gateway.workers()), what="the worker")

    def limits() -> list[str] | None:
        for line in Path(f"/proc/{worker}/limits").read_text().splitlines():
            if line.startswith("Max open files"):
                soft, hard = line.split()[3:5]
                return [soft] if int(soft) == min(int(hard), 65_536) else None
        return None

    assert wait_for(limits, what="the limit to be raised")
