"""/metrics of a real host: all workers, the dead included, for operators alone."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.processes import wait_for
from tests.support.promtext import Read, read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.gateways import GatewayProcess

REQUESTS = "switchyard_requests_total"
ADMIN_KEY, CALLER_KEY = "sesame-open-for-operators", "sesame-open-for-callers"
CONFIG: dict[str, Any] = {
    "providers": {
        "lab": {"kind": "simulator"},
        "bad": {"kind": "simulator", "fault": "status:503"},
    },
    "routing": {
        "model_pools": {
            "chat": {"candidates": [{"provider": "lab", "model": "m"}]},
            "moved": {
                "candidates": [
                    {"provider": "bad", "model": "m"},
                    {"provider": "lab", "model": "m"},
                ],
            },
        },
    },
    "keys": [
        {"name": "operators", "key": ADMIN_KEY, "scopes": ["admin"]},
        {"name": "callers", "key": CALLER_KEY},
    ],
}


@pytest.fixture
def served(gateway_process: Callable[..., GatewayProcess]) -> GatewayProcess:
    started = gateway_process(CONFIG, "--plane", "inference", "--workers", "2")
    wait_until_all_route(started)
    return started


def wait_until_all_route(served: GatewayProcess) -> None:
    """/readyz speaks for one worker; the other may not have its first snapshot yet."""

    def look() -> bool:
        workers = served.hub(op="status").get("workers", [])
        return len(workers) == 2 and all(worker["generation"] for worker in workers)

    wait_for(look, what="both workers to route")


def metrics(served: GatewayProcess, key: str | None = None) -> Read:
    reply = served.request("/metrics", headers={"authorization": f"Bearer {key or served.key}"})
    assert reply.status == 200, reply.body
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return read(reply.body.decode())


def when(served: GatewayProcess, is_so: Callable[[Read], bool]) -> Read:
    """The first metrics of all workers of which `is_so` holds."""

    def look() -> Read | None:
        found = metrics(served)
        return found if found.value("switchyard_metrics_complete") == 1 and is_so(found) else None

    return wait_for(look, what="the metrics to say so")


def all_counted(number: int) -> Callable[[Read], bool]:
    return lambda found: found.value(REQUESTS, outcome="answered") == number


def test_what_happens_on_any_worker_is_in_the_metrics_of_each(served: GatewayProcess) -> None:
    for _ in range(10):
        assert served.chat("chat").status == 200
    assert served.chat("moved").headers["x-switchyard-failover"] == "true"
    served.chat("nobody-knows-this")

    found = when(served, lambda found: found.value(REQUESTS) == 12)

    assert found.value(REQUESTS, model="chat", outcome="answered") == 10
    assert found.value("switchyard_failovers_total", model="moved", provider="lab") == 1
    assert found.value("switchyard_attempts_total", provider="bad", fault="status") == 1
    assert found.values_of(REQUESTS, "model") == {"chat", "moved", "other"}
    assert found.value("switchyard_request_duration_seconds_count", model="chat") == 10
    assert found.value("switchyard_workers") == 2
    generations = {
        value for (name, _), value in found.samples.items() if name.endswith("routing_generation")
    }
    assert generations == {(served.ready() or {})["generation"]}


def test_counts_outlive_workers_and_the_control_child_however_they_end(
    served: GatewayProcess,
) -> None:
    for _ in range(12):
        served.chat("chat")
    before = when(served, all_counted(12))
    # Each has told the hub by now, or the hub could not know of all twelve.
    for worker in served.workers():
        os.kill(worker, signal.SIGKILL)
    killed = served.workers()
    wait_for(
        lambda: len(set(served.workers()) - set(killed)) == 2 and served.ready(),
        what="new workers",
    )
    after_workers = when(served, lambda found: found.value("switchyard_workers") == 2)
    control = served.control()
    assert control is not None
    os.kill(control, signal.SIGKILL)
    wait_for(lambda: served.control() not in {None, control}, what="a new control child")
    after_control = when(served, lambda found: found.value("switchyard_workers") == 2)

    pids = {str(pid) for pid in served.workers()}
    for later in (after_workers, after_control):
        assert later.value(REQUESTS, outcome="answered") == 12
        for series, value in before.counters().items():
            assert later.samples[series] >= value, series
        assert later.values_of("switchyard_requests_in_flight", "pid") == pids


def test_without_a_control_child_a_worker_tells_of_itself_and_says_so(
    served: GatewayProcess,
) -> None:
    served.chat("chat")
    when(served, all_counted(1))
    control = served.control()
    assert control is not None
    os.kill(control, signal.SIGSTOP)
    try:
        found = metrics(served)
    finally:
        os.kill(control, signal.SIGCONT)

    assert found.value("switchyard_metrics_complete") == 0
    assert found.value("switchyard_workers") == 1


@pytest.mark.parametrize(
    ("key", "status"), [(ADMIN_KEY, 200), (CALLER_KEY, 403), ("sesame-wrong", 401), ("", 401)]
)
def test_metrics_are_for_operators(served: GatewayProcess, key: str, status: int) -> None:
    reply = served.request("/metrics", headers={"authorization": f"Bearer {key}"})

    assert reply.status == status


def test_an_operator_may_open_them_to_everyone(
    gateway_process: Callable[..., GatewayProcess],
) -> None:
    served = gateway_process(CONFIG, env={"METRICS_PUBLIC": "true"})

    assert read(served.request("/metrics", headers={"authorization": ""}).body.decode()).samples


def test_the_counts_of_a_stopped_gateway_are_where_the_next_one_begins(
    served: GatewayProcess, tmp_path: Path
) -> None:
    for _ in range(5):
        served.chat("chat")
    served.stop()
    served.start()
    wait_until_all_route(served)

    assert when(served, all_counted(5)).value(REQUESTS, model="chat") == 5
