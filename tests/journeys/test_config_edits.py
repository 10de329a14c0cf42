"""Edits of the configuration file while requests run."""

from __future__ import annotations

import copy
import threading
from typing import TYPE_CHECKING, Any

from tests.journeys.stage import candidate, config_errors, generation, starting_config
from tests.support.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.gateways import GatewayProcess, Reply
    from tests.support.upstreams import Upstream

    StartGateway = Callable[..., GatewayProcess]
    StartUpstream = Callable[..., Upstream]


def over(first: Upstream, second: Upstream) -> dict[str, Any]:
    config = starting_config()
    config["providers"] = {"old": first.provider(), "new": second.provider()}
    config["routing"]["model_pools"] = {
        "stays": {"candidates": [candidate("old", "m")]},
        "goes": {"candidates": [candidate("old", "slow~ok:gate=3")]},
    }
    return config


def test_edits_go_live_or_change_nothing_and_tear_no_request(
    gateway_process: StartGateway, upstream: StartUpstream
) -> None:
    """litellm #37301, #38406, #26473: what is refused says so, and what is accepted counts."""
    first, second = upstream("first"), upstream("second")
    config = over(first, second)
    gateway = gateway_process(config)
    before = generation(gateway)
    stop = threading.Event()
    answers: list[Reply] = []
    streams: list[Reply] = []

    def keep_asking() -> None:
        while not stop.is_set():
            answers.append(gateway.chat("stays"))

    asking = threading.Thread(target=keep_asking)
    streaming = threading.Thread(target=lambda: streams.append(gateway.chat("goes", stream=True)))
    asking.start()
    streaming.start()
    try:
        wait_for(lambda: any(e["chunks"] for e in first.requests), what="the stream's first chunk")

        broken = copy.deepcopy(config)
        broken["routing"]["model_pools"]["stays"]["candidates"][0]["wieght"] = 3
        del broken["routing"]["model_pools"]["goes"]
        gateway.write_config(broken)
        errors = wait_for(lambda: config_errors(gateway), what="the refusal in /readyz")
        assert len(errors) == 1
        assert "switchyard.yaml:" in errors[0]
        assert "routing.model_pools.stays.candidates[0].wieght" in errors[0]
        assert generation(gateway) == before
        assert gateway.chat("goes").status == 200

        right = copy.deepcopy(config)
        del right["routing"]["model_pools"]["goes"]
        right["routing"]["model_pools"]["stays"]["candidates"] = [candidate("new", "m")]
        gateway.write_config(right)
        wait_for(
            lambda: gateway.chat("stays").headers["x-switchyard-provider"] == "new",
            what="the right edit to be live",
        )
        assert gateway.chat("goes").status == 404
        wait_for(lambda: not config_errors(gateway), what="the refusal to be gone")
        assert generation(gateway) > before
        assert not streams  # it runs still
    finally:
        first.set("ok")  # opens the gate
        stop.set()
        asking.join(20)
        streaming.join(20)

    assert streams[0].status == 200
    assert streams[0].body.count(b'"content"') == 9
    assert streams[0].body.endswith(b"data: [DONE]\n\n")
    assert {reply.status for reply in answers} == {200}
    assert {reply.headers["x-switchyard-provider"] for reply in answers} == {"old", "new"}


def test_a_file_that_is_gone_or_no_yaml_changes_nothing(
    gateway_process: StartGateway, upstream: StartUpstream
) -> None:
    first, second = upstream("first"), upstream("second")
    gateway = gateway_process(over(first, second), "--plane", "inference")

    gateway.write_config("providers: {old: [\n")
    wait_for(lambda: config_errors(gateway), what="the refusal in /readyz")
    assert gateway.chat("stays").status == 200
    gateway.config_file.unlink()
    wait_for(
        lambda: "cannot be read" in "".join(config_errors(gateway)), what="the missing file's error"
    )
    assert gateway.chat("stays").status == 200


def test_the_environment_wins_over_the_file(
    gateway_process: StartGateway, upstream: StartUpstream
) -> None:
    first, second = upstream("first", "status:500"), upstream("second")
    config = over(first, second)
    config["failover"] = {"enabled": True, "rules": {"stays": ["new/m"]}, "disabled_models": []}
    gateway = gateway_process(config, "--plane", "inference", env={"FAILOVER_ENABLED": "false"})

    assert gateway.chat("stays").status == 502
    assert second.requests == []
