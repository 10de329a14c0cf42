"""Who sits out, who comes back by itself, and who can never bench anybody."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.journeys.stage import (
    HELLO,
    Stage,
    asked,
    benched,
    calls,
    candidate,
    starting_config,
)
from tests.support.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.gateways import GatewayProcess, Reply
    from tests.support.upstreams import Upstream

LONG = {"cooldown_s": 300}
SHORT = {"cooldown_s": 1, "max_cooldown_s": 1, "auth_cooldown_s": 1}


@pytest.fixture(scope="module", autouse=True)
def config(whole_session_stage: Stage) -> None:
    stage = whole_session_stage
    long = stage.first.provider(bench=LONG)
    two_keys = {**long, "api_keys": ["bad~status:401", "good"]}
    del two_keys["api_key"]
    stage.add(
        providers={
            "sits-out": long,
            "returns": stage.first.provider(bench=SHORT),
            "stays-ill": stage.first.provider(bench=SHORT),
            "pestered": long,
            "by-hand": long,
            "rotated": two_keys,
            "alone-in-limit": long,
            "lone": stage.first.provider(bench=LONG),
            "stand-in": stage.second.provider(),
        },
        pools={
            "sits-out": pool("sits-out", "benched"),
            "returns": pool("returns", "returning"),
            "stays-ill": pool("stays-ill", "ill"),
            "pestered": pool("pestered", "pestered"),
            "by-hand": pool("by-hand", "by-hand"),
            "rotated": pool("rotated", "rotated"),
            "alone-in-limit": {
                "candidates": [candidate("alone-in-limit", "m~status:429:retry-after=30")]
            },
            "lone": {"candidates": [candidate("lone", "lone")]},
        },
    )


def pool(provider: str, model: str) -> dict[str, Any]:
    return {"candidates": [candidate(provider, model), candidate("stand-in", "spare")]}


def served_by(reply: Reply) -> tuple[str | None, str | None, str | None]:
    """(provider, attempts, failover) of an answer."""
    assert reply.status == 200, reply.body
    names = ("x-switchyard-provider", "x-switchyard-attempts", "x-switchyard-failover")
    provider, attempts, failover = (reply.headers[name] for name in names)
    return provider, attempts, failover


def test_after_three_failures_a_candidate_is_skipped(stage: Stage) -> None:
    """new-api #2899, one-api #1257: no call is spent on who is known to be out."""
    stage.first.set("status:503")

    answers = [served_by(stage.gateway.chat("sits-out")) for _ in range(6)]

    assert answers[:3] == [("stand-in", "2", "true")] * 3
    assert answers[3:] == [("stand-in", "1", "true")] * 3
    assert len(calls(stage.first, "benched")) == 3
    wait_for(
        lambda: "sits-out/benched" in benched(stage.gateway), what="the bench on the bench board"
    )


def test_a_candidate_that_is_well_again_comes_back_by_itself(stage: Stage) -> None:
    """new-api #5420, CLIProxyAPI #4724: no restart and no human is needed."""
    stage.first.set("status:503")
    for _ in range(3):
        assert served_by(stage.gateway.chat("returns"))[0] == "stand-in"
    stage.first.set("ok")

    wait_for(
        lambda: served_by(stage.gateway.chat("returns"))[0] == "returns",
        what="the first provider to serve again",
    )

    assert {served_by(stage.gateway.chat("returns")) for _ in range(5)} == {
        ("returns", "1", "false")
    }
    wait_for(lambda: "returns/returning" not in benched(stage.gateway), what="the bench to be gone")


def test_a_probe_that_fails_benches_again_and_costs_no_caller_its_answer(stage: Stage) -> None:
    stage.first.set("status:503")

    def enough_probes() -> bool:
        assert served_by(stage.gateway.chat("stays-ill"))[0] == "stand-in"
        return len(calls(stage.first, "ill")) >= 5

    wait_for(enough_probes, what="two probes after the three failures", limit_s=30)


def test_a_thousand_malformed_requests_bench_nobody(stage: Stage) -> None:
    messages = json.dumps(HELLO)
    refused_here = [
        b"{",
        b"[]",
        b'{"messages":[]}',
        b'{"model":"pestered"}',
        b'{"model":"pestered","messages":"x"}',
        b'{"model":"pestered","stream":1,"messages":%b}' % messages.encode(),
        b'{"model":"","messages":%b}' % messages.encode(),
        b'{"model":"no-such-model","messages":%b}' % messages.encode(),
    ]
    refused_there = b'{"model":"pestered","temperature":"hot","messages":%b}' % messages.encode()
    connection = http.client.HTTPConnection(stage.gateway.url.removeprefix("http://"))
    headers = {"authorization": f"Bearer {stage.gateway.key}"}

    def statuses(bodies: list[bytes]) -> set[int]:
        found = set()
        for body in bodies:
            connection.request("POST", "/v1/chat/completions", body, headers)
            reply = connection.getresponse()
            reply.read()
            found.add(reply.status)
        return found

    stage.first.set("status:400")
    try:
        assert statuses([*refused_here[:-1] * 72]) == {400}
        assert statuses([refused_here[-1]]) == {404}
        assert statuses([refused_there] * 500) == {400}
    finally:
        connection.close()
    assert len(calls(stage.first, "pestered")) == 500

    stage.first.set("ok")
    assert served_by(stage.gateway.chat("pestered")) == ("pestered", "1", "false")
    assert "pestered/pestered" not in benched(stage.gateway)


def test_one_keys_trouble_never_benches_the_other_key(stage: Stage) -> None:
    """CLIProxyAPI #2428: one bad account does not put its provider out."""
    answers = [served_by(stage.gateway.chat("rotated")) for _ in range(3)]

    assert answers == [("rotated", "2", "false"), *[("rotated", "1", "false")] * 2]
    keys = [dict(call["headers"])["authorization"] for call in calls(stage.first, "rotated")]
    assert keys == ["Bearer bad~status:401", *["Bearer good"] * 3]


def test_a_candidate_alone_inside_a_stated_limit_is_not_called_and_says_when_it_returns(
    stage: Stage,
) -> None:
    """litellm #3617, #7823: the provider's own time counts, and whoever is alone is told."""
    replies = [stage.gateway.chat("alone-in-limit") for _ in range(4)]

    assert {reply.status for reply in replies} == {429}
    assert {reply.json()["error"]["code"] for reply in replies} == {"rate_limit_exceeded"}
    assert all(20 < int(reply.headers["retry-after"]) <= 30 for reply in replies)
    assert len(calls(stage.first, "m~status:429:retry-after=30")) == 1


def test_a_benched_candidate_is_tried_when_nobody_else_is_left(stage: Stage) -> None:
    """litellm #3646, #7823: a pool of one does not put itself out."""
    stage.first.set("html")
    failures = [stage.gateway.chat("lone").status for _ in range(4)]
    stage.first.set("ok")

    assert failures == [502] * 4
    assert served_by(stage.gateway.chat("lone"))[0] == "lone"


def test_an_operator_benches_and_releases_by_hand(stage: Stage) -> None:
    """CLIProxyAPI #5639: a manual release needs no restart."""
    board = "/api/benches"
    target = {"model": "by-hand/by-hand"}
    made = stage.gateway.request(board, {**target, "for_s": 600, "reason": "invoice"})
    assert made.status == 201, made.body

    wait_for(
        lambda: served_by(stage.gateway.chat("by-hand")) == ("stand-in", "1", "true"),
        what="the bench to count",
    )
    gone = stage.gateway.request(board, target, method="DELETE")
    assert gone.status == 204, gone.body
    wait_for(
        lambda: served_by(stage.gateway.chat("by-hand")) == ("by-hand", "1", "false"),
        what="the release to count",
    )


@contextlib.contextmanager
def stopped(worker: int) -> Iterator[None]:
    """The worker of this pid accepts no connection: another one must."""
    os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker, signal.SIGCONT)


def test_what_one_worker_benches_the_other_one_skips(
    gateway_process: Callable[..., GatewayProcess], upstream: Callable[..., Upstream]
) -> None:
    """litellm #40025: siblings hear of a bench at once."""
    first, second = upstream("first"), upstream("second")
    config = starting_config()
    config["providers"] = {"gone": first.provider(), "there": second.provider()}
    config["routing"]["model_pools"] = {
        "shared": {"candidates": [candidate("gone", "m~status:404"), candidate("there", "spare")]}
    }
    gateway = gateway_process(config, "--workers", "2")
    one, other = gateway.workers()
    for worker in (one, other):
        with stopped(worker):
            gateway.wait_until_ready()  # the other one is

    with stopped(other):
        assert served_by(gateway.chat("shared")) == ("there", "2", "true")
    wait_for(lambda: "gone/m~status:404" in benched(gateway), what="the bench on the bench board")
    with stopped(one):
        assert served_by(gateway.chat("shared")) == ("there", "1", "true")

    assert [asked(call)["model"] for call in first.requests] == ["m~status:404"]
