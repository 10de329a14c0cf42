"""Streams that flow, many more than the requests that a worker takes on at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.support.callers import ask, chat_request
from tests.support.processes import wait_for
from tests.support.promtext import read

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.gateways import GatewayProcess
    from tests.support.upstreams import Upstream

    StartGateway = Callable[..., GatewayProcess]
    StartUpstream = Callable[..., Upstream]

STREAMS = 8
WHOLE = b"data: [DONE]\n\n"


def pool_over(server: Upstream) -> dict[str, Any]:
    return {
        "providers": {"up": server.provider()},
        "routing": {"model_pools": {"chat": {"candidates": [{"provider": "up", "model": "m"}]}}},
    }


async def open_streams(
    gateway: GatewayProcess, server: Upstream, count: int, opened: int = 0
) -> list[asyncio.Task[Any]]:
    """Streams that have had their first chunk, one after the other, and wait for the gate."""
    request = chat_request(gateway, "chat", stream=True)
    streams = []
    for number in range(opened + 1, opened + count + 1):
        streams.append(asyncio.create_task(ask(gateway, request)))
        await asyncio.to_thread(
            wait_for,
            lambda so_many=number: gauge(gateway, "streams_open") == so_many,
            what=f"{number} streams that flow",
        )
    return streams


def gauge(gateway: GatewayProcess, name: str) -> float:
    return read(gateway.request("/metrics").body.decode()).value(f"switchyard_{name}")


async def test_streams_that_flow_keep_no_place_from_new_requests(
    gateway_process: StartGateway, upstream: StartUpstream
) -> None:
    server = upstream("up", "ok:gate=1")
    limits = ("--limit", "in_flight=2", "--limit", "waiting=0")
    gateway = gateway_process(pool_over(server), "--plane", "inference", *limits)

    streams = await open_streams(gateway, server, STREAMS)

    assert gauge(gateway, "requests_in_flight") == STREAMS
    assert gauge(gateway, "requests_shed_total") == 0
    server.set("ok")
    assert (await ask(gateway, chat_request(gateway, "chat")))[0] == 200
    answers = await asyncio.gather(*streams)
    assert [(status, body.endswith(WHOLE)) for status, _head, body in answers] == (
        [(200, True)] * STREAMS
    )


async def test_beyond_the_bound_of_streams_new_requests_are_shed_and_no_stream_is_cut(
    gateway_process: StartGateway, upstream: StartUpstream
) -> None:
    server = upstream("up", "ok:gate=1")
    limits = ("--limit", "in_flight=2", "--limit", "waiting=0", "--limit", "streams=3")
    gateway = gateway_process(pool_over(server), "--plane", "inference", *limits)
    streams = await open_streams(gateway, server, 3)
    request = chat_request(gateway, "chat", stream=True)

    streams += [asyncio.create_task(ask(gateway, request)) for _ in range(2)]
    await asyncio.to_thread(
        wait_for, lambda: gauge(gateway, "requests_in_flight") == 5, what="both places to be taken"
    )
    turned_away = await ask(gateway, request)

    assert turned_away[0] == 503
    assert gauge(gateway, "streams_open") == 3
    server.set("ok")
    answers = await asyncio.gather(*streams)
    assert [(status, body.endswith(WHOLE)) for status, _head, body in answers] == [(200, True)] * 5
    await asyncio.to_thread(
        wait_for, lambda: gauge(gateway, "requests_in_flight") == 0, what="all places to be free"
    )
