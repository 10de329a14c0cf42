"""What is known of models, as callers meet it: who is chosen, who is left out, what it cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.journeys.stage import HELLO, Stage, candidate
from tests.support.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping

PICTURE = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
        ],
    }
]
PRICED = {"pricing": {"input_per_mtok": 3, "output_per_mtok": 15, "cached_input_per_mtok": 0.3}}


@pytest.fixture(scope="module", autouse=True)
def config(whole_session_stage: Stage) -> None:
    stage = whole_session_stage
    models = [
        {"id": "facts-priced", "metadata": PRICED},
        {"id": "facts-half-priced", "metadata": {"pricing": {"input_per_mtok": 3}}},
        {"id": "facts-blind", "metadata": {"capabilities": {"vision": False}}},
        {"id": "facts-like-gpt-4o", "metadata": {"catalog": "openai/gpt-4o"}},
        "facts-unknown",
    ]
    stage.add(
        providers={"facts-1": stage.first.provider(models=models)},
        pools={
            name: {"candidates": [candidate("facts-1", name)]}
            for name in (
                "facts-priced",
                "facts-half-priced",
                "facts-like-gpt-4o",
                "facts-unknown",
            )
        }
        | {
            "facts-pictures": {
                "candidates": [
                    candidate("facts-1", "facts-blind"),
                    candidate("facts-1", "facts-unknown"),
                ]
            }
        },
    )


def ask(stage: Stage, name: str, model: str, **more: Any) -> Mapping[str, Any]:
    """The record of one request."""
    body = {"model": model, "messages": HELLO, **more}
    reply = stage.gateway.request(
        "/v1/chat/completions", body, headers={"x-request-id": f"facts-{name}"}
    )
    assert reply.status == 200, reply.body

    def kept() -> list[dict[str, Any]]:
        found = stage.gateway.request(f"/api/requests?id=facts-{name}").json()
        results: list[dict[str, Any]] = found["results"]
        return results

    return wait_for(kept, what="the record")[0]


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_with_known_prices_has_its_cost(whole_session_stage: Stage, stream: bool) -> None:
    more = {"stream_options": {"include_usage": True}} if stream else {}
    record = ask(whole_session_stage, f"priced-{stream}", "facts-priced", stream=stream, **more)
    counted = record["input_tokens"] * 3 + record["output_tokens"] * 15
    assert record["input_tokens"] > 0 < record["output_tokens"]
    assert not record["cached_tokens"]
    assert float(record["cost_usd"]) == pytest.approx(counted / 1_000_000)


def test_a_model_that_is_said_to_be_another_has_that_ones_prices(
    whole_session_stage: Stage,
) -> None:
    record = ask(whole_session_stage, "like", "facts-like-gpt-4o")
    assert float(record["cost_usd"]) > 0


@pytest.mark.parametrize("model", ["facts-half-priced", "facts-unknown"])
def test_an_unknown_price_is_no_cost_rather_than_none_at_all(
    whole_session_stage: Stage, model: str
) -> None:
    record = ask(whole_session_stage, model, model)
    assert record["output_tokens"] > 0
    assert record["cost_usd"] is None


def test_a_picture_goes_past_a_model_that_is_known_to_take_none(
    whole_session_stage: Stage,
) -> None:
    assert ask(whole_session_stage, "words", "facts-pictures")["model"] == "facts-blind"
    record = ask(whole_session_stage, "picture", "facts-pictures", messages=PICTURE)
    assert record["model"] == "facts-unknown"
