"""More callers than a worker takes, and callers who do not read: what each of them meets."""

from __future__ import annotations

import asyncio
import resource
from typing import TYPE_CHECKING, Any

from tests.support.callers import ask, chat_request, connect, read_answer
from tests.support.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.gateways import GatewayProcess
    from tests.support.upstreams import Upstream

    StartGateway = Callable[..., GatewayProcess]
    StartUpstream = Callable[..., Upstream]

ALL_COUNT = ("--limit", "streams=0")  # a stream keeps its place, too
SMALL = ("--limit", "in_flight=2", "--limit", "waiting=1", "--limit", "wait_s=0.2", *ALL_COUNT)


def pool_over(server: Upstream) -> dict[str, Any]:
    return {
        "providers": {"up": server.provider()},
        "routing": {"model_pools": {"chat": {"candidates": [{"provider": "up", "model": "m"}]}}},
    }


async def soon(look: Callable[[], Any], what: str) -> Any:
    return await asyncio.to_thread(wait_for, look, what=what)


async def fill(gateway: GatewayProcess, server: Upstream) -> list[asyncio.Task[Any]]:
    """Two plain requests that get no answer until `server.set`."""
    server.set("ok:gate=1")
    stream = chat_request(gateway, "chat", stream=True)
    running = [asyncio.create_task(ask(gateway, stream)) for _ in range(2)]
    await soon(lambda: sum(e["chunks"] for e in server.requests) == 2, "two running requests")
    return running


async def test_a_request_beyond_the_limits_is_shed_before_its_body_is_read(
    gateway_process: StartGateway, upstream: StartUpstream
) -> None:
    server = upstream("up")
    gateway = gateway_process(pool_over(server), "--plane", "inference", *SMALL)
    running = await fill(gateway, server)
    reader, writer = await connect(gateway)
    head, body = chat_request(gateway, "chat").split(b"\r\n\r\n", 1)

    writer.write(head + b"\r\n\r\n")
    status, answer, error = await asyncio.wait_for(read_answer(reader), 30)

    assert status == 503
    assert "\r\nretry-after: 1\r\nx-should-retry: true\r\n" in answer
    assert b'"code":"server_is_overloaded"' in error
    assert len(server.requests) == 2
    server.set("ok")
    assert [status for status, _head, _body in await asyncio.gather(*running)] == [200, 200]
    # The connection is sound: the body that was not read may still come, and then the next.
    writer.write(body + chat_request(gateway, "chat"))
    assert (await asyncio.wait_for(read_answer(reader), 30))[0] == 200
    writer.close()


async def test_who_waits_a_moment_is_served_when_another_is_done(
    gateway_process: StartGateway, upstream: StartUpstream
) -> None:
    server = upstream("up")
    limits = ("--limit", "in_flight=2", "--limit", "waiting=1", "--limit", "wait_s=30", *ALL_COUNT)
    gateway = gateway_process(pool_over(server), "--plane", "inference", *limits)
    running = await fill(gateway, server)
    plain = chat_request(gateway, "chat")

    third = asyncio.create_task(ask(gateway, plain))
    fourth = asyncio.create_task(ask(gateway, plain))
    done, waiting = await asyncio.wait({third, fourth}, return_when=asyncio.FIRST_COMPLETED)
    server.set("ok")

    assert [task.result()[0] for task in done] == [503]
    assert [(await task)[0] for task in waiting] == [200]
    assert [status for status, _head, _body in await asyncio.gather(*running)] == [200, 200]


async def test_readiness_and_refusals_need_no_place(
    gateway_process: StartGateway, upstream: StartUpstream
) -> None:
    server = upstream("up")
    gateway = gateway_process(pool_over(server), "--plane", "inference", *SMALL)
    running = await fill(gateway, server)

    stranger = chat_request(gateway, "chat").replace(gateway.key.encode(), b"nobody")

    assert (await ask(gateway, stranger))[0] == 401
    assert await asyncio.to_thread(gateway.ready)
    server.set("ok")
    await asyncio.gather(*running)


async def test_a_caller_who_never_reads_costs_no_upstream(
    gateway_process: StartGateway, upstream: StartUpstream
) -> None:
    server = upstream("up", "ok:chunks=4000:chunk_bytes=10000")
    gateway = gateway_process(
        pool_over(server), "--plane", "inference", "--limit", "stall_s=1"
    )  # fmt: skip
    _reader, writer = await connect(gateway)
    writer.transport.pause_reading()
    writer.write(chat_request(gateway, "chat", stream=True))

    [entry] = await soon(
        lambda: [e for e in server.requests if e["hung_up_at"]], "the upstream to be let go"
    )
    writer.close()

    assert entry["answered_at"] is None
    assert gateway.chat("chat", stream=True).status == 200


async def test_without_a_file_descriptor_to_spare_running_streams_live_on(
    gateway_process: StartGateway, upstream: StartUpstream
) -> None:
    server = upstream("up")
    gateway = gateway_process(pool_over(server), "--plane", "inference")
    running = await fill(gateway, server)
    [worker] = gateway.workers()
    _soft, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (40, hard))

    crowd = await asyncio.gather(*[connect(gateway) for _ in range(60)])
    ends = [asyncio.create_task(reader.read(1)) for reader, _writer in crowd]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED, timeout=30)
    for end in ends:
        end.cancel()
    for _reader, writer in crowd:
        writer.close()
    server.set("ok")

    assert [status for status, _head, _body in await asyncio.gather(*running)] == [200, 200]
    assert await soon(lambda: is_served(gateway), "new callers to be served")
    assert set(gateway.workers()) == {worker}


def is_served(gateway: GatewayProcess) -> bool:
    try:
        return gateway.chat("chat").status == 200
    except OSError:
        return False
