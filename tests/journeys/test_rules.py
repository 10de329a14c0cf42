"""Failover rules and aliases as operators make them, by API, file and environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.journeys.stage import Stage, calls, candidate, starting_config

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.gateways import GatewayProcess, Reply
    from tests.support.upstreams import Upstream

    StartGateway = Callable[..., GatewayProcess]
    StartUpstream = Callable[..., Upstream]

DOWN = "status:500"


@pytest.fixture(scope="module", autouse=True)
def config(whole_session_stage: Stage) -> None:
    stage = whole_session_stage

    def pool(*targets: tuple[str, str], **more: Any) -> dict[str, Any]:
        return {"candidates": [candidate(*target) for target in targets], **more}

    stage.add(
        providers={"bad": stage.first.provider(), "fine": stage.second.provider()},
        pools={
            "ruled": pool(("bad", f"ruled~{DOWN}")),
            "left": pool(("bad", f"left~{DOWN}")),
            "right": pool(("bad", f"right~{DOWN}")),
            "vectors": pool(("bad", f"embed-1~{DOWN}")),
            "more-vectors": pool(("fine", "embed-2")),
            "off": pool(("bad", f"off~{DOWN}"), ("fine", "off-2"), aliases=["off-alias"]),
            "off-direct": pool(("bad", f"direct~{DOWN}")),
            "well": pool(("fine", "well")),
        },
        rules={
            "left": ["right"],
            "right": ["left"],
            "vectors": ["more-vectors"],
            f"bad/direct~{DOWN}": ["well"],
        },
        disabled_models=["off-alias"],
    )


def put(stage: Stage, path: str, body: dict[str, Any], method: str = "PUT") -> Reply:
    reply = stage.gateway.request(f"/api/{path}", body, method=method)
    assert reply.status in {200, 201, 204}, reply.body
    return reply


def served(reply: Reply) -> str:
    assert reply.status == 200, reply.body
    provider, model = (reply.headers[f"x-switchyard-{n}"] for n in ("provider", "provider-model"))
    return f"{provider}/{model}"


def attempted(reply: Reply) -> list[str]:
    """The models that were called for an answer that is an error."""
    assert reply.status == 502, reply.body
    return list(dict.fromkeys(entry["model"] for entry in reply.json()["error"]["attempts"]))


def test_a_rule_of_the_dashboard_is_live_before_its_answer_and_gone_with_it(stage: Stage) -> None:
    assert attempted(stage.gateway.chat("ruled")) == [f"ruled~{DOWN}"]

    put(stage, "failover", {"primary_model": "ruled", "fallback_models": ["fine/ruled-2"]})
    reply = stage.gateway.chat("ruled")
    assert served(reply) == "fine/ruled-2"
    assert reply.headers["x-switchyard-failover"] == "true"

    put(stage, "failover", {"primary_model": "ruled"}, "DELETE")
    assert attempted(stage.gateway.chat("ruled")) == [f"ruled~{DOWN}"]


def test_rules_that_name_each_other_are_one_hop(stage: Stage) -> None:
    assert attempted(stage.gateway.chat("left")) == [f"left~{DOWN}", f"right~{DOWN}"]
    assert attempted(stage.gateway.chat("right")) == [f"right~{DOWN}", f"left~{DOWN}"]


def test_a_rule_may_be_keyed_by_the_first_candidates_provider_and_model(stage: Stage) -> None:
    assert served(stage.gateway.chat("off-direct")) == "fine/well"


@pytest.mark.parametrize("name", ["vectors", "vectors,more-vectors"])
def test_embeddings_follow_no_rule_and_no_further_name_of_a_chain(stage: Stage, name: str) -> None:
    reply = stage.gateway.request("/v1/embeddings", {"model": name, "input": "a"})

    assert attempted(reply) == [f"embed-1~{DOWN}"]
    assert not calls(stage.second, "embed-2")


def test_a_model_is_kept_from_failover_by_the_very_name_that_is_asked_for(stage: Stage) -> None:
    assert attempted(stage.gateway.chat("off-alias")) == [f"off~{DOWN}"]
    assert served(stage.gateway.chat("off")) == "fine/off-2"


def test_an_alias_with_targets_of_its_own_goes_by_its_own_strategy(stage: Stage) -> None:
    targets = [
        {"provider_name": "fine", "model": "one"},
        {"provider_name": "fine", "model": "two"},
    ]
    put(stage, "aliases", {"name": "turns", "strategy": "round_robin", "targets": targets}, "POST")
    workers = len(stage.gateway.workers())
    asked = [served(stage.gateway.chat("turns")) for _ in range(4 * workers)]
    assert {"fine/one", "fine/two"} == set(asked)

    down = [{"provider_name": "bad", "model": f"three~{DOWN}"}, *targets]
    put(stage, "aliases/turns", {"strategy": "fill_first", "targets": targets}, "PATCH")
    assert {served(stage.gateway.chat("turns")) for _ in range(4)} == {"fine/one"}
    put(stage, "aliases/turns", {"targets": down}, "PATCH")
    assert served(stage.gateway.chat("turns")) == "fine/one"
    put(stage, "aliases/turns", {}, "DELETE")


def test_an_operator_tries_a_provider_drafts_a_rule_and_is_warned_of_a_bad_one(
    stage: Stage,
) -> None:
    found = put(stage, "providers/nobody/test", {}, "POST").json()
    assert (found["ok"], found["status"]) == (True, 200)  # the simulator, inside the worker
    assert put(stage, "providers/fine/test", {}, "POST").json()["status"] is not None

    drafts = put(stage, "failover/generate", {"models": ["ruled"]}, "POST").json()
    assert [draft["primary_model"] for draft in drafts] == ["ruled"]

    body = {"primary_model": "ruled", "fallback_models": ["nowhere"]}
    (said,) = put(stage, "failover", body).json()["warnings"]
    assert said.startswith("nowhere: it is no model pool")
    put(stage, "failover", {"primary_model": "ruled"}, "DELETE")


def test_the_environments_rules_win_over_the_files_key_by_key(
    gateway_process: StartGateway, upstream: StartUpstream
) -> None:
    first, second = upstream("first", DOWN), upstream("second")
    config = starting_config()
    config["providers"] = {"bad": first.provider(), "fine": second.provider()}
    pools = config["routing"]["model_pools"] = {}
    for name in ("a", "b", "c"):
        pools[name] = {"candidates": [candidate("bad", name)]}
    config["failover"] = {
        "rules": {"a": ["fine/file-a"], "b": ["fine/file-b"]},
        "disabled_models": ["b"],
    }
    gateway = gateway_process(
        config,
        env={
            "FAILOVER_RULES_JSON": '{"a": ["fine/environment-a"], "c": [" fine/environment-c "]}',
            "FAILOVER_DISABLED_MODELS_JSON": '{"c": true, "b": false}',
            "FEATURE_FALLBACK_MODE": "manual",
        },
    )
    assert served(gateway.chat("a")) == "fine/environment-a"
    assert served(gateway.chat("b")) == "fine/file-b"
    assert attempted(gateway.chat("c")) == ["c"]

    body = {"primary_model": "c", "fallback_models": ["fine/x"]}
    refused = gateway.request("/api/failover", body, method="PUT")
    assert (refused.status, b"managed by configuration" in refused.body) == (400, True)
    assert gateway.logs().count("FEATURE_FALLBACK_MODE=manual is deprecated") == 1


def test_the_legacy_switch_turns_rules_off_and_says_so_once(
    gateway_process: StartGateway, upstream: StartUpstream
) -> None:
    first, second = upstream("first", DOWN), upstream("second")
    config = starting_config()
    config["providers"] = {"bad": first.provider(), "fine": second.provider()}
    config["routing"]["model_pools"] = {"a": {"candidates": [candidate("bad", "a")]}}
    config["failover"] = {"enabled": True, "rules": {"a": ["fine/x"]}}
    gateway = gateway_process(config, env={"FEATURE_FALLBACK_MODE": "off"})

    assert attempted(gateway.chat("a")) == ["a"]
    assert second.requests == []
    assert gateway.logs().count("FEATURE_FALLBACK_MODE=off is deprecated") == 1
