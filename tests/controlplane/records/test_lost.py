"""Requests whose worker is killed: each has one record, whatever it was at."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any

from tests.support.callers import chat_request, connect, read_answer
from tests.support.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.gateways import GatewayProcess
    from tests.support.upstreams import Upstream


async def test_what_a_killed_worker_was_at_is_recorded_as_lost_and_what_it_had_done_as_done(
    gateway_process: Callable[..., GatewayProcess], upstream: Callable[..., Upstream]
) -> None:
    server = upstream()
    stalled = {"provider": "up", "model": "m~stall"}
    broken = {"provider": "up", "model": "m~stall_after:2"}
    gateway = gateway_process(
        {
            "providers": {"up": server.provider()},
            "routing": {
                "model_pools": {
                    "chat": {"candidates": [{"provider": "up", "model": "m"}]},
                    "stalls": {"candidates": [stalled]},
                    "streams": {"candidates": [broken]},
                }
            },
        },
    )
    before = await asyncio.to_thread(gateway.chat, "chat")
    assert before.status == 200
    await asyncio.to_thread(
        wait_for, lambda: gateway.request("/api/requests").json()["results"], what="its record"
    )
    _reader, writer = await connect(gateway)
    writer.write(chat_request(gateway, "stalls"))
    stream, other = await connect(gateway)
    other.write(chat_request(gateway, "streams", stream=True))
    assert await stream.readuntil(b"\r\n") == b"HTTP/1.1 200 OK\r\n"
    await asyncio.to_thread(
        wait_for, lambda: len(server.requests) == 3, what="all requests upstream"
    )
    # It ended less than a flush ago, most likely: its record is in the worker's memory alone.
    third, last = await connect(gateway)
    last.write(chat_request(gateway, "chat"))
    status, _head, _body = await read_answer(third)
    [worker] = gateway.workers()
    os.kill(worker, signal.SIGKILL)
    assert status == 200

    def rows() -> list[dict[str, Any]] | None:
        try:
            reply = gateway.request("/api/requests")
        except OSError:
            return None  # the next worker is on its way
        found: list[dict[str, Any]] = reply.json()["results"] if reply.status == 200 else []
        return found if len(found) >= 4 else None

    found = await asyncio.to_thread(wait_for, rows, what="four records", limit_s=40)
    by_pool = {row["canonical_model"]: row for row in found}
    assert len(found) == 4
    assert by_pool["stalls"]["outcome"] == by_pool["streams"]["outcome"] == "lost"
    assert by_pool["streams"]["stream"] is True
    assert by_pool["stalls"]["key"] == "master"
    done = [row["outcome"] for row in found if row["canonical_model"] == "chat"]
    assert sorted(done) in (["answered", "answered"], ["answered", "lost"])
    text = (await asyncio.to_thread(gateway.request, "/metrics")).body.decode()
    assert 'model="stalls",outcome="lost"} 1' in text
    for one in (writer, other, last):
        one.close()
