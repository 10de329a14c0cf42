"""What callers ask of routing by header, and operators by a pool's settings."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.journeys.stage import HELLO, Stage, calls, candidate

if TYPE_CHECKING:
    from tests.support.gateways import Reply

ONCE = {"same_candidate_retries": 0}


@pytest.fixture(scope="module", autouse=True)
def config(whole_session_stage: Stage) -> None:
    stage = whole_session_stage
    windows = {"small~": 2000, "smaller": 1000, "larger": 9000}
    models = [
        {"id": name + mode, "metadata": {"context_window": windows[name]}}
        for name, mode in (
            ("small~", "status:400:code=context_length_exceeded"),
            ("smaller", ""),
            ("larger", ""),
        )
    ]
    two = [candidate("wish-1", "one"), candidate("wish-2", "two")]
    ill = [candidate("wish-1", "ill~status:503"), candidate("wish-2", "fit")]
    stage.add(
        providers={
            "wish-1": stage.first.provider(models=models, bench={"failures": 1000}),
            "wish-2": stage.second.provider(models=models),
        },
        pools={
            "either": {"candidates": two},
            "firm": {"candidates": ill, "failover": ONCE},
            "own-off": {"candidates": ill, "failover": {**ONCE, "enabled": False}},
            "only-429": {"candidates": ill, "failover": {**ONCE, "retry_on_statuses": [429]}},
            "listed-400": {
                "candidates": [candidate("wish-1", "m~status:400"), candidate("wish-2", "fit")],
                "failover": {"retry_on_statuses": [400]},
            },
            "no-timeouts": {
                "candidates": [
                    candidate("wish-1", "m~stall", timeouts={"first_token_s": 0.3, "total_s": 0.3}),
                    candidate("wish-2", "fit"),
                ],
                "failover": {**ONCE, "retry_on_timeouts": False},
            },
            "windows": {
                "candidates": [
                    candidate("wish-1", "small~status:400:code=context_length_exceeded"),
                    candidate("wish-2", "smaller"),
                    candidate("wish-2", "larger"),
                ]
            },
            "shares": {
                "strategy": "weighted_round_robin",
                "session_affinity": False,
                "candidates": [
                    candidate("wish-1", "three", weight=3),
                    candidate("wish-2", "quarter", weight=1),
                ],
            },
            "tiers": {
                "candidates": [
                    candidate("wish-1", "spare-tier", priority=2),
                    candidate("wish-2", "best-tier", priority=1),
                ]
            },
        },
    )


def chat(stage: Stage, model: str, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return stage.gateway.request(
        "/v1/chat/completions", {"model": model, "messages": HELLO}, headers=named
    )


def test_a_preferred_provider_is_tried_first(stage: Stage) -> None:
    reply = chat(stage, "either", x_switchyard_provider="wish-2")

    assert reply.headers["x-switchyard-provider"] == "wish-2"
    assert reply.headers["x-switchyard-failover"] == "false"
    assert reply.headers["x-switchyard-warning"] is None


def test_a_preferred_provider_that_fails_is_failed_over_from(stage: Stage) -> None:
    reply = chat(stage, "firm", x_switchyard_provider="wish-1")

    assert reply.headers["x-switchyard-provider"] == "wish-2"
    assert reply.headers["x-switchyard-attempts"] == "2"


def test_a_preferred_provider_without_the_model_is_named_in_a_warning(stage: Stage) -> None:
    reply = chat(stage, "either", x_switchyard_provider="no-such")

    assert reply.status == 200
    assert reply.headers["x-switchyard-provider"] == "wish-1"
    assert "no-such" in (reply.headers["x-switchyard-warning"] or "")


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_caller_may_refuse_failover_streaming_or_not(stage: Stage, stream: bool) -> None:
    """litellm #38610: the opt-out counts for streams too."""
    reply = stage.gateway.request(
        "/v1/chat/completions",
        {"model": "firm", "messages": HELLO, "stream": stream},
        headers={"x-switchyard-no-failover": "true"},
    )

    assert reply.status == 502
    assert [a["provider"] for a in reply.json()["error"]["attempts"]] == ["wish-1"]


@pytest.mark.parametrize("pool", ["own-off", "only-429", "no-timeouts"])
def test_a_pool_that_excludes_a_failure_stays_with_its_first_candidate(
    stage: Stage, pool: str
) -> None:
    """agentgateway #1500, apisix #13852: what triggers failover is the operator's to say."""
    reply = chat(stage, pool)

    assert reply.status in (502, 504)
    assert [a["provider"] for a in reply.json()["error"]["attempts"]] == ["wish-1"]


def test_a_status_that_a_pool_lists_fails_over_whatever_it_is(stage: Stage) -> None:
    """GoModel #605: some providers say 400 where they mean that they failed."""
    reply = chat(stage, "listed-400")

    assert reply.headers["x-switchyard-provider"] == "wish-2"


def test_what_is_too_long_goes_to_a_larger_window_only(stage: Stage) -> None:
    """litellm #31557, #10793: a smaller context would only fail again."""
    reply = chat(stage, "windows")

    assert reply.headers["x-switchyard-provider-model"] == "larger"
    assert reply.headers["x-switchyard-attempts"] == "2"
    assert calls(stage.second, "smaller") == []


def test_weights_are_exact_shares(stage: Stage) -> None:
    served = Counter(chat(stage, "shares").headers["x-switchyard-provider"] for _ in range(16))

    assert served == {"wish-1": 12, "wish-2": 4}


def test_a_lower_priority_number_comes_first_whatever_the_position(stage: Stage) -> None:
    assert chat(stage, "tiers").headers["x-switchyard-provider-model"] == "best-tier"
