"""A slow provider and a quick one: the caller waits for neither longer than it has to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.journeys.stage import Stage, benched, calls, candidate
from tests.support.callers import chat_request, connect
from tests.support.processes import wait_for
from tests.support.promtext import read

if TYPE_CHECKING:
    from collections.abc import Mapping

HEDGED = {"hedge_after_ms": 60}
FAILOVER: dict[str, Any] = {"hedge-quick": {"hedge_after_ms": 30_000}, "hedge-off": {}}
FOREVER = "stall"
SLOW = "slow:ttft_ms=700:gap_ms=1"


@pytest.fixture(scope="module", autouse=True)
def config(whole_session_stage: Stage) -> None:
    stage = whole_session_stage
    pools: dict[str, Any] = {
        "hedge-stall": (FOREVER, ""),
        "hedge-pings": ("stall_after:0", ""),
        "hedge-slower": (SLOW, FOREVER),
        "hedge-both": (FOREVER, FOREVER),
        "hedge-quick": ("", ""),
        "hedge-off": (SLOW, ""),
    }
    sessions = {
        "strategy": "round_robin",
        "failover": HEDGED,
        "candidates": [
            candidate("hedge-1", f"hedge-session-1~{FOREVER}", priority=1),
            candidate("hedge-2", "hedge-session-2", priority=2),
        ],
    }
    stage.add(
        providers={
            "hedge-1": stage.first.provider(bench={"failures": 1}),
            "hedge-2": stage.second.provider(bench={"failures": 1}),
        },
        pools={
            name: {
                "candidates": [
                    candidate("hedge-1", f"{name}-1~{modes[0] or 'ok'}"),
                    candidate("hedge-2", f"{name}-2~{modes[1] or 'ok'}"),
                ],
                "failover": FAILOVER.get(name, HEDGED),
            }
            for name, modes in pools.items()
        }
        | {"hedge-session": sessions},
    )


def record(stage: Stage, request_id: str | None) -> Mapping[str, Any]:
    def look() -> dict[str, Any] | None:
        reply = stage.gateway.request(f"/api/requests/{request_id}")
        found: dict[str, Any] | None = reply.json() if reply.status == 200 else None
        return found

    return wait_for(look, what="the record")


def hung_up(stage: Stage, pool: str) -> bool:
    """Whether the first provider's one call of `pool` was given up by the gateway."""
    model = stage.config["routing"]["model_pools"][pool]["candidates"][0]["model"]
    [call] = calls(stage.first, model)
    return call["hung_up_at"] is not None


def hedges(stage: Stage, model: str, outcome: str) -> float:
    text = stage.gateway.request("/metrics").body.decode()
    return read(text).value("switchyard_hedges_total", model=model, outcome=outcome)


@pytest.mark.parametrize(("pool", "stream"), [("hedge-stall", False), ("hedge-pings", True)])
def test_the_second_answers_for_a_slow_first_whose_connection_is_closed(
    stage: Stage, pool: str, stream: bool
) -> None:
    reply = stage.gateway.chat(pool, stream=stream)

    assert reply.status == 200
    assert b"second" in reply.body
    assert reply.headers["x-switchyard-provider"] == "hedge-2"
    assert reply.headers["x-switchyard-attempts"] == "2"
    assert reply.headers["x-switchyard-failover"] == "true"
    wait_for(lambda: hung_up(stage, pool), what="the first provider to be left")
    found = record(stage, reply.headers["x-request-id"])
    assert [(a["fault"], a["is_hedge"]) for a in found["attempts"]] == [
        ("hedged", False),
        ("", True),
    ]
    assert found["first_content_ms"] == found["attempts"][1]["content_ms"]
    wait_for(lambda: hedges(stage, pool, "won") == 1, what="the hedge to be counted")
    assert not any(name.startswith("hedge-") for name in benched(stage.gateway))


def test_the_first_may_answer_after_all_and_the_second_is_left(stage: Stage) -> None:
    reply = stage.gateway.chat("hedge-slower")

    assert reply.headers["x-switchyard-provider"] == "hedge-1"
    assert reply.headers["x-switchyard-attempts"] == "2"
    assert reply.headers["x-switchyard-failover"] == "false"
    wait_for(
        lambda: calls(stage.second, f"hedge-slower-2~{FOREVER}")[0]["hung_up_at"] is not None,
        what="the second provider to be left",
    )
    found = record(stage, reply.headers["x-request-id"])
    assert [a["fault"] for a in found["attempts"]] == ["", "hedged"]
    wait_for(lambda: hedges(stage, "hedge-slower", "lost") == 1, what="the hedge to be counted")


def test_a_quick_first_is_alone(stage: Stage) -> None:
    reply = stage.gateway.chat("hedge-quick")

    assert reply.headers["x-switchyard-attempts"] == "1"
    assert calls(stage.second, "hedge-quick-2~ok") == []


def test_without_the_setting_or_without_failover_the_first_is_waited_for(stage: Stage) -> None:
    off = stage.gateway.chat("hedge-off")
    alone = stage.gateway.request(
        "/v1/chat/completions",
        {"model": "hedge-slower", "messages": [{"role": "user", "content": "x"}]},
        headers={"x-switchyard-no-failover": "true"},
    )

    for reply in (off, alone):
        assert reply.headers["x-switchyard-provider"] == "hedge-1"
        assert reply.headers["x-switchyard-attempts"] == "1"
    assert calls(stage.second, "hedge-off-2~ok") == []


def test_a_session_stays_with_the_second_that_answered(stage: Stage) -> None:
    body = {"model": "hedge-session", "messages": [{"role": "user", "content": "x"}]}
    replies = [
        stage.gateway.request(
            "/v1/chat/completions", body, headers={"x-switchyard-session": "someone"}
        )
        for _ in range(2)
    ]

    assert [r.headers["x-switchyard-provider"] for r in replies] == ["hedge-2", "hedge-2"]
    assert [r.headers["x-switchyard-attempts"] for r in replies] == ["2", "1"]


async def test_a_caller_who_hangs_up_ends_both_calls(stage: Stage) -> None:
    models = [f"hedge-both-{n}~{FOREVER}" for n in (1, 2)]
    servers = [stage.first, stage.second]
    _reader, writer = await connect(stage.gateway)
    writer.write(chat_request(stage.gateway, "hedge-both"))
    await writer.drain()
    wait_for(
        lambda: all(calls(s, m) for s, m in zip(servers, models, strict=True)), what="both calls"
    )
    writer.close()
    await writer.wait_closed()

    wait_for(
        lambda: all(
            calls(s, m)[0]["hung_up_at"] is not None for s, m in zip(servers, models, strict=True)
        ),
        what="both providers to be left",
    )
    assert not any(name.startswith("hedge-") for name in benched(stage.gateway))
