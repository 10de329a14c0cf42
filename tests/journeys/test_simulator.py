"""The simulator's faults, each against a well one: a chain proved without a real provider."""

from __future__ import annotations

from typing import Any

import pytest
from openai import APIError

from tests.journeys.stage import HELLO, Stage, candidate

BEFORE_CONTENT = [
    "status:503", "status:429:retry_after=7", "stall", "empty", "error_event", "cut:0",
    "clean_cut:0",
]  # fmt: skip
AFTER_CONTENT = ["cut:3", "clean_cut:3", "error_event:3"]
ALL = [*BEFORE_CONTENT, *AFTER_CONTENT, "slow:ttft_ms=20:gap_ms=1", "flaky:0.3"]


@pytest.fixture(scope="module", autouse=True)
def config(whole_session_stage: Stage) -> None:
    providers: dict[str, Any] = {"sim-well": {"kind": "simulator"}}
    pools: dict[str, Any] = {}
    for fault in ALL:
        for way in ("plain", "stream"):
            name = slug(fault, way)
            providers[name] = {
                "kind": "simulator",
                "fault": fault,
                "bench": {"failures": 1000},
                "timeouts": {"first_token_s": 0.3, "total_s": 0.3} if fault == "stall" else {},
            }
            pools[name] = {"candidates": [candidate(name, "m"), candidate("sim-well", "m")]}
    whole_session_stage.add(providers=providers, pools=pools)


def slug(fault: str, way: str) -> str:
    return f"sim-{way}-{fault}".translate(str.maketrans(":=._", "----"))


@pytest.mark.parametrize("fault", [*BEFORE_CONTENT, *AFTER_CONTENT])
def test_a_plain_caller_gets_the_well_ones_answer(stage: Stage, fault: str) -> None:
    reply = stage.client().chat.completions.with_raw_response.create(
        model=slug(fault, "plain"), messages=HELLO
    )

    assert "provider sim-well answered" in (reply.parse().choices[0].message.content or "")
    assert reply.http_response.headers["x-switchyard-failover"] == "true"


@pytest.mark.parametrize("fault", BEFORE_CONTENT)
def test_a_streaming_caller_gets_the_well_ones_answer(stage: Stage, fault: str) -> None:
    reply = stage.client().chat.completions.with_raw_response.create(
        model=slug(fault, "stream"), messages=HELLO, stream=True
    )

    text = "".join(chunk.choices[0].delta.content or "" for chunk in reply.parse())
    assert "provider sim-well answered" in text
    assert reply.http_response.headers["x-switchyard-failover"] == "true"


@pytest.mark.parametrize("fault", AFTER_CONTENT)
def test_a_fault_after_three_chunks_ends_the_stream_with_an_error(stage: Stage, fault: str) -> None:
    words: list[str] = []

    with pytest.raises(APIError) as broken:  # noqa: PT012 - the loop is what raises
        for chunk in stage.client().chat.completions.create(
            model=slug(fault, "stream"), messages=HELLO, stream=True
        ):
            words.append(chunk.choices[0].delta.content or "")  # noqa: PERF401 - as above

    assert "".join(words) == "Hello from Switchyard's "
    assert broken.value.code == "stream_interrupted"


def test_a_slow_one_is_waited_for(stage: Stage) -> None:
    fault = "slow:ttft_ms=20:gap_ms=1"
    for way in ("plain", "stream"):
        reply = stage.gateway.chat(slug(fault, way), stream=way == "stream")

        assert reply.headers["x-switchyard-provider"] == slug(fault, way)
        assert reply.headers["x-switchyard-failover"] == "false"


def test_a_flaky_one_costs_no_caller_its_answer(stage: Stage) -> None:
    name = slug("flaky:0.3", "plain")

    replies = [stage.gateway.chat(name) for _ in range(60)]

    assert {reply.status for reply in replies} == {200}
    assert {reply.headers["x-switchyard-provider"] for reply in replies} == {name, "sim-well"}


def test_the_simulator_speaks_completions_and_embeddings(stage: Stage) -> None:
    client = stage.client()

    completion = client.completions.create(model="sim-well/m", prompt="Hello")
    vectors = client.embeddings.create(model="sim-well/m", input=["a", "b", "a"], dimensions=4)

    assert "sim-well" in completion.choices[0].text
    first, other, again = (item.embedding for item in vectors.data)
    assert len(first) == 4
    assert first == again != other
