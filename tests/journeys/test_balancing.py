"""How requests are spread: shares, sessions, latency, prices, limits and capabilities."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.journeys.stage import HELLO, Stage, candidate

if TYPE_CHECKING:
    from tests.support.gateways import Reply

ONCE = {"same_candidate_retries": 0}
KNOWN = [
    {
        "id": "dear",
        "metadata": {"pricing": {"input_per_mtok": 9, "output_per_mtok": 9}, "context_window": 50},
    },
    {"id": "cheap", "metadata": {"pricing": {"input_per_mtok": 1, "output_per_mtok": 2}}},
    {"id": "no-tools", "metadata": {"capabilities": {"tools": False}}},
]


@pytest.fixture(scope="module", autouse=True)
def config(whole_session_stage: Stage) -> None:
    stage = whole_session_stage
    simulators = [candidate(name, "m") for name in ("ba-1", "ba-2", "ba-3")]
    two = [candidate("ba-first", "m"), candidate("ba-second", "m")]
    stage.add(
        providers={
            **{name: {"kind": "simulator"} for name in ("ba-1", "ba-2", "ba-3", "ba-4")},
            "ba-slow": {"kind": "simulator", "fault": "slow:ttft_ms=150:gap_ms=1"},
            "ba-known": {"kind": "simulator", "models": KNOWN},
            "ba-first": stage.first.provider(bench={"failures": 1000}),
            "ba-second": stage.second.provider(),
        },
        pools={
            "ba-shares": {
                "strategy": "weighted_round_robin",
                "candidates": [candidate("ba-1", "three", weight=3), candidate("ba-2", "one")],
            },
            "ba-sessions": {"strategy": "weighted_random", "candidates": simulators},
            "ba-moves": {"strategy": "round_robin", "candidates": two, "failover": ONCE},
            "ba-stays": {"stay_after_failover": True, "candidates": two, "failover": ONCE},
            "ba-quick": {
                "strategy": "lowest_latency",
                "candidates": [candidate("ba-slow", "m"), candidate("ba-4", "m")],
            },
            "ba-cheap": {
                "strategy": "lowest_cost",
                "candidates": [candidate("ba-known", "dear"), candidate("ba-known", "cheap")],
            },
            "ba-tools": {
                "candidates": [candidate("ba-known", "no-tools"), candidate("ba-1", "tools")]
            },
            "ba-size": {"candidates": [candidate("ba-known", "dear"), candidate("ba-1", "large")]},
            "ba-limited": {
                "candidates": [candidate("ba-1", "limited", rpm=2), candidate("ba-2", "spare")]
            },
            "ba-all-limited": {"candidates": [candidate("ba-3", "limited", rpm=1)]},
        },
    )


def chat(stage: Stage, model: str, session: str = "", **fields: Any) -> Reply:
    headers = {"x-switchyard-session": session} if session else {}
    return stage.gateway.request(
        "/v1/chat/completions", {"model": model, "messages": HELLO, **fields}, headers=headers
    )


def provider_of(reply: Reply) -> str:
    assert reply.status == 200, reply.body
    return str(reply.headers["x-switchyard-provider"])


def model_of(reply: Reply) -> str:
    assert reply.status == 200, reply.body
    return str(reply.headers["x-switchyard-provider-model"])


def test_forty_requests_on_three_to_one_are_thirty_and_ten_across_an_unrelated_edit(
    stage: Stage,
) -> None:
    served = Counter[str]()
    for number in range(40):
        if number in (7, 22):
            stage.add(pools={f"ba-edit-{number}": {"candidates": [candidate("ba-3", "edit")]}})
        assert stage.gateway.request("/v1/models").status == 200
        served[provider_of(chat(stage, "ba-shares"))] += 1

    assert served == {"ba-1": 30, "ba-2": 10}


def test_a_session_stays_with_one_provider_and_sessions_spread(stage: Stage) -> None:
    homes = {}
    for number in range(12):
        session = f"session {number}"
        found = {provider_of(chat(stage, "ba-sessions", session)) for _ in range(3)}
        found.add(provider_of(chat(stage, "ba-sessions", user=session)))
        (homes[session],) = found

    assert set(homes.values()) == {"ba-1", "ba-2", "ba-3"}


def test_a_session_that_had_to_move_stays_moved(stage: Stage) -> None:
    session = next(
        name
        for name in map(str, range(100))
        if provider_of(chat(stage, "ba-moves", name)) == "ba-first"
    )
    stage.first.set("status:503", times=1)
    moved = chat(stage, "ba-moves", session)
    after = chat(stage, "ba-moves", session)

    assert (provider_of(moved), moved.headers["x-switchyard-failover"]) == ("ba-second", "true")
    assert (provider_of(after), after.headers["x-switchyard-failover"]) == ("ba-second", "false")
    assert after.headers["x-switchyard-attempts"] == "1"


def test_a_pool_stays_after_a_failover_where_it_is_told_to(stage: Stage) -> None:
    assert provider_of(chat(stage, "ba-stays")) == "ba-first"
    stage.first.set("status:503", times=1)
    assert provider_of(chat(stage, "ba-stays")) == "ba-second"
    assert {provider_of(chat(stage, "ba-stays")) for _ in range(3)} == {"ba-second"}
    stage.second.set("status:503", times=1)
    assert provider_of(chat(stage, "ba-stays")) == "ba-first"
    assert provider_of(chat(stage, "ba-stays")) == "ba-first"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_the_quicker_one_serves_once_both_were_measured(stage: Stage, stream: bool) -> None:
    for _ in range(2):
        assert chat(stage, "ba-quick", stream=stream).status == 200

    served = {
        chat(stage, "ba-quick", stream=stream).headers["x-switchyard-provider"] for _ in range(5)
    }
    assert served == {"ba-4"}


def test_the_cheaper_one_serves(stage: Stage) -> None:
    assert model_of(chat(stage, "ba-cheap")) == "cheap"


def test_a_model_that_cannot_do_what_is_asked_is_passed_over(stage: Stage) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}

    assert model_of(chat(stage, "ba-tools")) == "no-tools"
    assert model_of(chat(stage, "ba-tools", tools=[tool])) == "tools"
    assert model_of(chat(stage, "ba-size", max_tokens=10)) == "dear"
    assert model_of(chat(stage, "ba-size", max_tokens=60)) == "large"


def test_a_candidate_takes_no_more_than_its_own_limit(stage: Stage) -> None:
    served = Counter(model_of(chat(stage, "ba-limited")) for _ in range(5))
    assert served == {"limited": 2, "spare": 3}

    assert chat(stage, "ba-all-limited").status == 200
    refused = chat(stage, "ba-all-limited")
    assert refused.status == 429
    assert 1 <= int(refused.headers["retry-after"] or 0) <= 60
    assert refused.json()["error"]["rejected"][0]["reason"] == "saturated"
