"""Providers that go and come back, connections that went stale, and many callers at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from openai import AsyncOpenAI

from tests.journeys.stage import HELLO, Stage, calls, candidate
from tests.support.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.upstreams import Upstream


@pytest.fixture(scope="module", autouse=True)
def config(whole_session_stage: Stage) -> None:
    stage = whole_session_stage
    spare = candidate("reliable", "reliable-1")
    stage.add(
        providers={
            "crowded": stage.first.provider(bench={"failures": 10_000}),
            "reliable": stage.second.provider(),
        },
        pools={
            "crowd": {"candidates": [candidate("crowded", "c~status:503"), spare]},
            "lone-one": {"candidates": [candidate("crowded", "lone-1")]},
            "stale": {"candidates": [candidate("crowded", "s~stale"), spare]},
        },
    )


def test_a_kept_connection_that_went_stale_costs_no_attempt(stage: Stage) -> None:
    answers = [stage.gateway.chat("stale") for _ in range(4)]

    assert {reply.headers["x-switchyard-provider"] for reply in answers} == {"crowded"}
    assert {reply.headers["x-switchyard-attempts"] for reply in answers} == {"1"}
    assert len(calls(stage.first, "s~stale")) >= 4


@pytest.mark.parametrize("failure", ["status:503", "status:429:retry-after=1"])
def test_whoever_is_alone_is_asked_again_after_a_moment(stage: Stage, failure: str) -> None:
    """litellm #3646: a short wait beats an error at once."""
    stage.first.set(failure, times=1)

    reply = stage.gateway.chat("lone-one")

    assert reply.status == 200, reply.body
    assert reply.headers["x-switchyard-attempts"] == "2"
    assert reply.headers["x-switchyard-failover"] == "false"


def test_a_provider_that_closes_its_port_is_left_alone_and_found_again(
    stage: Stage, upstream: Callable[..., Upstream]
) -> None:
    leaving = upstream("leaving")
    short = {"cooldown_s": 1, "max_cooldown_s": 1}
    stage.add(
        providers={"leaving": leaving.provider(bench=short)},
        pools={
            "leaving": {
                "candidates": [candidate("leaving", "x"), candidate("reliable", "reliable-1")]
            }
        },
    )

    def server() -> str | None:
        reply = stage.gateway.chat("leaving")
        assert reply.status == 200, reply.body
        return reply.headers["x-switchyard-provider"]

    assert server() == "leaving"
    leaving.refuse()
    assert {server() for _ in range(5)} == {"reliable"}
    leaving.accept()

    wait_for(lambda: server() == "leaving", what="the provider to be found again")


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_hundred_callers_at_once_all_get_the_second_providers_answer(
    stage: Stage, stream: bool
) -> None:
    async def ask(client: AsyncOpenAI) -> str:
        if not stream:
            reply = await client.chat.completions.create(model="crowd", messages=HELLO)
            return reply.choices[0].message.content or ""
        chunks = await client.chat.completions.create(model="crowd", messages=HELLO, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])

    async with AsyncOpenAI(
        base_url=stage.gateway.base_url, api_key=stage.gateway.key, max_retries=0
    ) as client:
        answers = await asyncio.gather(*(ask(client) for _ in range(100)))

    assert {answer.strip() for answer in answers} == {"Hello from second , which is well today ."}
