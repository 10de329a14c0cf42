"""A provider that dies and recovers, as the checks of the worker have it, at a real gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.journeys.stage import candidate
from tests.support.gateways import manage
from tests.support.processes import wait_for

if TYPE_CHECKING:
    from tests.support.gateways import GatewayProcess

CHECK = """
from controlplane.health.checks import check_now
from controlplane.jobs.lease import due_jobs
from controlplane.jobs.running import run_job
for _time in range({times}):
    due_jobs()
    check_now(["dying", "other"])
    assert run_job("health").outcome == "done"
"""


def check(gateway: GatewayProcess, times: int = 1) -> None:
    manage("shell", "-c", CHECK.format(times=times), env=gateway.env)


def standing(gateway: GatewayProcess) -> dict[str, Any]:
    (pool,) = gateway.request("/api/routing/model-pools?canonical_model=small").json()
    return pool["candidates"][0]


def is_everywhere(gateway: GatewayProcess, reason: str | None) -> bool:
    """Several times: any of the workers answers."""
    return all(standing(gateway)["blocked_reason"] == reason for _time in range(8))


def test_an_unhealthy_provider_is_called_only_when_it_is_the_last_and_returns_when_it_is_well(
    gateway_process, upstream
):
    dying, other = upstream("dying"), upstream("other")
    pools = {
        "small": {"candidates": [candidate("dying", "s"), candidate("other", "s")]},
        "alone": {"candidates": [candidate("dying", "s")]},
    }
    gateway = gateway_process(
        {
            "providers": {"dying": dying.provider(), "other": other.provider()},
            "routing": {"model_pools": pools},
        },
        "--workers",
        "2",
    )
    check(gateway)
    wait_for(lambda: standing(gateway)["runtime_status"] == "healthy", what="it to be healthy")

    dying.refuse()
    check(gateway, times=2)
    wait_for(lambda: is_everywhere(gateway, "unhealthy"), what="every worker to know")
    assert standing(gateway)["runtime_status"] == "unhealthy"
    for _time in range(4):
        reply = gateway.chat("small")
        assert reply.status == 200
        told = {name: reply.headers[f"x-switchyard-{name}"] for name in ("provider", "attempts")}
        assert told == {"provider": "other", "attempts": "1"}
        assert reply.headers["x-switchyard-failover"] == "true"
    listed = gateway.request("/v1/models").json()["data"]
    assert [model["id"] for model in listed] == ["alone", "small"]

    dying.accept()
    assert gateway.chat("alone").headers["x-switchyard-provider"] == "dying"
    assert gateway.chat("small").headers["x-switchyard-provider"] == "other"

    check(gateway)
    wait_for(lambda: is_everywhere(gateway, None), what="every worker to know that it is well")
    assert gateway.chat("small").headers["x-switchyard-provider"] == "dying"
    (told, _other) = gateway.request("/api/health").json()
    assert (told["provider"], told["status"], told["stale"]) == ("dying", "healthy", False)
