"""The bench board over a running gateway: seen, set and ended by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.support import rows
from tests.support.api import ADMIN_KEY, Api

POOL = {
    "providers": {
        "first": {"kind": "simulator", "fault": "status:500"},
        "second": {"kind": "simulator", "api_key": "k"},
    },
    "routing": {
        "model_pools": {
            "m": {
                "candidates": [
                    {"provider": "first", "model": "x"},
                    {"provider": "second", "model": "x"},
                ]
            }
        }
    },
    "bench": {"cooldown_s": 500},
}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def gateway(gateway_process):
    return gateway_process(POOL, "--workers", "2")


def served_by(gateway):
    reply = gateway.request("/v1/chat/completions", CHAT)
    return reply.headers["x-switchyard-provider"]


def test_a_bench_that_traffic_made_is_on_the_board_with_its_reason(gateway):
    for _ in range(7):
        served_by(gateway)
    (bench,) = gateway.request("/api/benches").json()
    assert (bench["model"], bench["credential"], bench["manual"]) == ("first/x", None, False)
    assert (bench["reason"], bench["status"]) == ("status", 500)
    assert bench["request_id"].startswith("req_")
    assert datetime.fromisoformat(bench["until"]) > datetime.fromisoformat(bench["since"])


def test_a_bench_set_by_hand_holds_in_every_worker_at_once_and_ends_when_released(gateway):
    order = {"model": "second/*", "for_s": 600, "reason": "maintenance"}
    made = gateway.request("/api/benches", order)
    assert made.status == 201
    assert (made.json()["model"], made.json()["manual"]) == ("second/*", True)
    for _ in range(8):
        reply = gateway.request("/v1/chat/completions", CHAT)
        assert reply.status == 502
    assert gateway.request("/api/benches", {"model": "second/*"}, method="DELETE").status == 204
    for _ in range(8):
        assert served_by(gateway) == "second"


def test_a_bench_may_be_released_by_query_and_is_not_found_twice(gateway):
    order = {"model": "second/x", "for_s": 600, "reason": "maintenance"}
    gateway.request("/api/benches", order)
    assert gateway.request("/api/benches?model=second/x", method="DELETE").status == 204
    assert gateway.request("/api/benches?model=second/x", method="DELETE").status == 404


def test_one_credential_may_be_benched_alone_and_the_log_says_who_released_it_and_why(gateway):
    order = {"model": "second/*", "credential": "key-1", "for_s": 600, "reason": "leaked"}
    assert gateway.request("/api/benches", order).json()["credential"] == "key-1"
    named = {"model": "second/*", "credential": "key-1", "reason": "rotated"}
    assert gateway.request("/api/benches", named, method="DELETE").status == 204
    assert "bench ended: second/* key key-1 reason=rotated by=" in gateway.logs()
    assert gateway.request("/api/benches").json() == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"model": "second"}, "model"),
        ({"for_s": 0}, "for_s"),
        ({"for_s": None}, "for_s"),
        ({"until": "2001-01-01T00:00:00Z", "for_s": ...}, "until"),
        ({"until": "2101-01-01T00:00:00Z", "for_s": ...}, "until"),
        ({"until": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}, "for_s"),
        ({"for_s": ...}, "for_s"),
        ({"reason": ""}, "reason"),
        ({"reason": ...}, "reason"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_by_field(change, field, api_without_gateway):
    order = {"model": "second/x", "for_s": 60, "reason": "why", **change}
    order = {name: value for name, value in order.items() if value is not ...}
    answer = api_without_gateway("post", "benches", order)
    assert answer.status_code == 400
    assert field in answer.json()


def test_without_a_control_process_the_board_says_so(api_without_gateway):
    answer = api_without_gateway("get", "benches")
    assert answer.status_code == 503
    assert "control process" in answer.json()["detail"]


@pytest.fixture
def api_without_gateway(db):
    rows.api_key("operator", ADMIN_KEY, scopes=["admin"])
    return Api()
