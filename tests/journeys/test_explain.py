"""What explain says is what the next request meets, and asking changes nothing of it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.journeys.stage import candidate
from tests.support.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.journeys.stage import Stage
    from tests.support.gateways import Reply

SECRET = "sy_explained-key-of-the-journeys"


@pytest.fixture(scope="module", autouse=True)
def pools(whole_session_stage: Stage) -> None:
    def members(pool: str) -> list[dict[str, Any]]:
        weights = {"ex_one": 3, "ex_two": 1, "ex_three": 2}
        return [candidate(name, f"{pool}-{name}", weight=w) for name, w in weights.items()]

    strategies = ["weighted_round_robin", "round_robin", "weighted_random", "least_busy"]
    whole_session_stage.add(
        providers={
            **{name: {"kind": "simulator"} for name in ("ex_one", "ex_two", "ex_three")},
            "ex_ill": {"kind": "simulator", "fault": "status:503"},
        },
        pools={
            **{
                f"ex-{strategy}": {"strategy": strategy, "candidates": members(strategy)}
                for strategy in strategies
            },
            "ex-3-1": {
                "strategy": "weighted_round_robin",
                "candidates": [
                    candidate("ex_one", "three", weight=3),
                    candidate("ex_two", "one", weight=1),
                ],
            },
            "ex-ill": {"candidates": [candidate("ex_ill", "x"), candidate("ex_two", "spare")]},
        },
        keys=[{"name": "ex-key", "key": SECRET, "models": ["ex-3-1"]}],
    )


def explain(stage: Stage, **body: Any) -> Any:
    reply = stage.gateway.request("/api/explain", body)
    assert reply.status == 200, reply.body
    return reply.json()


def first_of(explanation: Any) -> tuple[str, str]:
    first = explanation["candidates"][0]
    return first["provider_name"], first["model"]


def served_by(reply: Reply) -> tuple[str, str]:
    assert reply.status == 200, reply.body
    headers = reply.headers
    return headers["x-switchyard-provider"], headers["x-switchyard-provider-model"]


def until_recorded(stage: Stage, request_id: str) -> Any:
    def look() -> Any:
        reply = stage.gateway.request(f"/api/requests/{request_id}")
        return reply.json() if reply.status == 200 else None

    return wait_for(look, what="the record")


@pytest.mark.parametrize(
    "strategy", ["weighted_round_robin", "round_robin", "weighted_random", "least_busy"]
)
def test_explain_names_who_serves_the_next_request(stage: Stage, strategy: str):
    model = f"ex-{strategy}"
    for _ in range(8):
        expected = first_of(explain(stage, model=model))
        assert served_by(stage.gateway.chat(model)) == expected


def test_explain_names_who_serves_a_session(stage: Stage):
    model = "ex-weighted_round_robin"
    seen = set()
    for number in range(12):
        session = f"session {number}"
        expected = first_of(explain(stage, model=model, session=session))
        assert served_by(stage.gateway.chat(model, user=session)) == expected
        seen.add(expected)
    assert len(seen) > 1


def test_shares_are_exact_with_every_kind_of_reading_in_between(stage: Stage):
    """3:1 over 40 requests is 30 and 10."""
    looks: list[Callable[[], Any]] = [
        lambda: explain(stage, model="ex-3-1"),
        lambda: stage.gateway.request("/api/routing/model-pools"),
        lambda: stage.gateway.request("/v1/models"),
        lambda: explain(stage, model="ex-3-1,ex-ill", session="s"),
    ]
    served = Counter()
    for number in range(40):
        assert looks[number % len(looks)]()
        served[served_by(stage.gateway.chat("ex-3-1"))[0]] += 1
    assert served == {"ex_one": 30, "ex_two": 10}


def test_a_request_of_the_past_is_decided_again_as_it_was(stage: Stage):
    ids = [stage.gateway.chat("ex-weighted_random").headers["x-request-id"] for _ in range(5)]
    for request_id in ids:
        record = until_recorded(stage, request_id)
        told = explain(stage, request=request_id)["recorded"]
        assert (told["is_same"], told["problem"]) == (True, "")
        again = [f"{c['provider_name']}/{c['model']}" for c in told["again"]["candidates"]]
        assert again == record["decision"]["planned"]


def test_a_bench_is_seen_in_explain_in_the_pools_and_in_what_was_decided(stage: Stage):
    replies = [stage.gateway.chat("ex-ill") for _ in range(4)]
    assert {served_by(reply)[0] for reply in replies} == {"ex_two"}
    told = explain(stage, model="ex-ill")
    assert first_of(told) == ("ex_two", "spare")
    assert [(r["model"], r["reason"]) for r in told["rejected"]] == [("x", "benched")]
    assert told["rejected"][0]["cause"].startswith("status 503: simulated status 503")
    assert told["preferred"] == "ex_ill/x"
    (pool,) = stage.gateway.request("/api/routing/model-pools?canonical_model=ex-ill").json()
    assert (pool["status"], pool["effective_candidate"]) == ("degraded", "ex_two/spare")
    ill, well = pool["candidates"]
    assert (ill["runtime_status"], ill["blocked_reason"]) == ("unhealthy", "benched")
    assert ill["bench"]["status"] == 503
    assert well["is_effective_candidate"] is True

    last = replies[-1].headers["x-request-id"]
    until_recorded(stage, last)
    then = explain(stage, request=last)["recorded"]
    assert then["is_same"] is True


def test_the_rights_of_a_key_are_those_that_its_requests_meet(stage: Stage):
    assert explain(stage, model="ex-3-1", key="ex-key")["refusal"] is None
    refused = explain(stage, model="ex-ill", key=SECRET)
    bearer = {"authorization": f"Bearer {SECRET}"}
    body = {"model": "ex-ill", "messages": [{"role": "user", "content": "Hello"}]}
    reply = stage.gateway.request("/v1/chat/completions", body, headers=bearer)
    assert (reply.status, reply.json()["error"]["code"]) == (
        refused["refusal"]["status"],
        refused["refusal"]["code"],
    )
