"""`x-switchyard-simulate`: a chain of real providers proved without breaking anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from openai import APIError

from tests.journeys.stage import HELLO, Stage, benched, calls, candidate
from tests.support.processes import wait_for

if TYPE_CHECKING:
    from tests.support.gateways import Reply

CALLER_KEY = "sy_key-of-a-caller-who-is-no-admin-0123456789"
SIMULATE = "x-switchyard-simulate"


@pytest.fixture(scope="module", autouse=True)
def config(whole_session_stage: Stage) -> None:
    stage = whole_session_stage
    two = [candidate("real-1", "sim-one"), candidate("real-2", "sim-two")]
    turns = [candidate("real-1", "turn-one"), candidate("real-2", "turn-two")]
    stage.add(
        providers={
            "real-1": stage.first.provider(bench={"failures": 1}),
            "real-2": stage.second.provider(bench={"failures": 1}),
        },
        pools={
            "simulated": {"candidates": two, "failover": {"same_candidate_retries": 0}},
            "sim-turns": {
                "candidates": turns, "strategy": "round_robin", "session_affinity": False,
            },
            "sim-pinned": {
                "candidates": [candidate("real-1", "pin-one"), candidate("real-2", "pin-two")],
                "strategy": "round_robin",
            },
        },
        keys=[{"name": "sim-caller", "key": CALLER_KEY}],
    )  # fmt: skip


def ask(stage: Stage, faults: str, *, model: str = "simulated", **headers: str) -> Reply:
    return stage.gateway.request(
        "/v1/chat/completions",
        {"model": model, "messages": HELLO},
        headers={SIMULATE: faults} | {n.replace("_", "-"): v for n, v in headers.items()},
    )


@pytest.mark.parametrize("fault", ["status:503", "status:429:retry_after=7", "empty", "status:401"])
def test_a_chain_is_proved_and_nobody_is_benched(stage: Stage, fault: str) -> None:
    before = len(calls(stage.first, "sim-one"))

    for _ in range(3):
        reply = ask(stage, f"real-1={fault}")
        assert reply.status == 200
        assert reply.headers["x-switchyard-provider"] == "real-2"
        assert reply.headers["x-switchyard-failover"] == "true"
        assert reply.headers["x-switchyard-attempts"] == "2"

    assert len(calls(stage.first, "sim-one")) == before
    assert not any(name.startswith("real-") for name in benched(stage.gateway))
    assert stage.gateway.chat("simulated").headers["x-switchyard-provider"] == "real-1"


def test_an_error_and_the_record_say_what_was_simulated(stage: Stage) -> None:
    reply = ask(stage, "real-1=status:503,real-2=empty")

    assert reply.status == 502
    told = reply.json()["error"]["attempts"]
    assert [(a["provider"], a["simulated"]) for a in told] == [
        ("real-1", "status:503"),
        ("real-2", "empty"),
    ]
    assert not any(name.startswith("real-") for name in benched(stage.gateway))

    def record() -> Any:
        found = stage.gateway.request(f"/api/requests/{reply.headers['x-request-id']}")
        return found.json() if found.status == 200 else None

    kept = wait_for(record, what="the record")
    assert [a["simulated"] for a in kept["attempts"]] == ["status:503", "empty"]


def test_a_real_stream_is_cut_after_so_many_chunks(stage: Stage) -> None:
    words: list[str] = []

    with pytest.raises(APIError) as broken:  # noqa: PT012 - the loop is what raises
        for chunk in stage.client().chat.completions.create(
            model="simulated", messages=HELLO, stream=True, extra_headers={SIMULATE: "real-1=cut:2"}
        ):
            words.append(chunk.choices[0].delta.content or "")  # noqa: PERF401 - as above

    whole = stage.client().chat.completions.create(model="simulated", messages=HELLO, stream=True)
    said = [chunk.choices[0].delta.content for chunk in whole if chunk.choices]
    assert [word for word in words if word] == [word for word in said if word][:2]
    assert broken.value.code == "stream_interrupted"
    assert not any(name.startswith("real-") for name in benched(stage.gateway))


def test_a_slow_answer_is_the_providers_own(stage: Stage) -> None:
    before = len(calls(stage.first, "sim-one"))
    reply = ask(stage, "real-1=slow:ttft_ms=20")

    assert "first" in reply.json()["choices"][0]["message"]["content"]
    assert len(calls(stage.first, "sim-one")) == before + 1


def test_it_takes_its_turn_of_a_rotation_and_moves_no_session(stage: Stage) -> None:
    for _ in range(2):  # one turn each, though the first of them answers neither
        assert ask(stage, "real-1=status:503", model="sim-turns").status == 200
    asked = [stage.gateway.chat("sim-turns").headers["x-switchyard-provider"] for _ in range(2)]
    assert asked == ["real-1", "real-2"]

    home = _served(stage)
    moved = ask(stage, f"{home}=status:503", model="sim-pinned", x_switchyard_session="someone")
    assert moved.headers["x-switchyard-provider"] != home
    assert _served(stage) == home


def _served(stage: Stage) -> str | None:
    reply = stage.gateway.request(
        "/v1/chat/completions",
        {"model": "sim-pinned", "messages": HELLO},
        headers={"x-switchyard-session": "someone"},
    )
    return reply.headers["x-switchyard-provider"]


def test_only_admins_may_ask_for_faults(stage: Stage) -> None:
    reply = ask(stage, "real-1=status:503", authorization=f"Bearer {CALLER_KEY}")

    assert reply.status == 403
    assert reply.json()["error"]["code"] == "scope_missing"


@pytest.mark.parametrize("faults", ["real-1=explode", "nobody-there=stall"])
def test_nonsense_is_refused_before_anybody_is_called(stage: Stage, faults: str) -> None:
    before = len(calls(stage.first, "sim-one"))
    reply = ask(stage, faults)

    assert reply.status == 400
    assert faults in reply.json()["error"]["message"]
    assert len(calls(stage.first, "sim-one")) == before
