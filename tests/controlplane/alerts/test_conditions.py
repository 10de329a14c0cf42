"""Which alerts there are to be in which world."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import resolve

from controlplane.alerts.conditions import (
    MOST,
    THE_OTHERS,
    PoolTraffic,
    Sick,
    World,
    causes,
)
from controlplane.alerts.kinds import IMPLIED, KINDS
from routing.gateway.explain.overview import CandidateView, PoolView
from tests.support.builders import bench_entry


def keys(world: World) -> list[tuple[str, str]]:
    return [(cause.kind, cause.subject) for cause in causes(world)]


def candidate(name: str = "a/m", **changes: Any) -> CandidateView:
    provider, _, model = name.partition("/")
    fields: dict[str, Any] = {
        "provider_name": provider,
        "model": model,
        "priority": 1,
        "weight": 1,
        "enabled": True,
        "runtime_status": "unknown",
        "selectable": True,
        "blocked_reason": None,
        "bench": None,
        "switch": None,
        "is_config_primary": False,
        "is_effective_candidate": False,
    }
    return CandidateView(**{**fields, **changes})


def out(name: str, reason: str) -> CandidateView:
    return candidate(name, selectable=False, blocked_reason=reason)


def pool(status: str, *candidates: CandidateView, name: str = "small") -> PoolView:
    return PoolView(
        canonical_model=name,
        aliases=(),
        strategy="priority_failover",
        managed_source="dashboard",
        enabled=True,
        switch=None,
        status=status,
        status_reason="Because of this.",
        config_primary_candidate=None,
        effective_candidate=None,
        candidates=candidates,
    )


def test_a_world_in_which_all_is_well_needs_nobody():
    well = pool("enabled", candidate())
    calm = PoolTraffic(pool="small", requests=100, failovers=20)

    assert causes(World(pools=[well, pool("disabled")], traffic=[calm])) == []


WORLDS = {
    "provider_unhealthy": ("lab", World(unhealthy=[Sick(provider="lab", reason="Reset.")])),
    "pool_unavailable": ("small", World(pools=[pool("unavailable", out("a/m", "benched"))])),
    "pool_degraded": (
        "small",
        World(pools=[pool("degraded", out("a/m", "benched"), candidate("b/m"))]),
    ),
    "credential_refused": (
        "main of one",
        World(benches=[bench_entry("one/*", credential="main", reason="auth", status=401)]),
    ),
    "credential_out_of_quota": (
        "main of one",
        World(benches=[bench_entry("one/m", credential="main", reason="quota")]),
    ),
    "failover_rate": (
        "small",
        World(traffic=[PoolTraffic(pool="small", requests=20, failovers=5)]),
    ),
    "suggestion_waiting": ("suggestions", World(suggestions=3)),
    "job_missed": ("health", World(missed_jobs=["health"])),
    "worker_silent": ("worker", World(is_worker_silent=True)),
    "configuration_refused": ("configuration", World(refused=["c.yaml:1: wrong"])),
    "records_dropped": ("host-1", World(dropping=["host-1"])),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_a_world_that_asks_for_it_and_for_nothing_else(kind):
    subject, world = WORLDS[kind]

    (cause,) = causes(world)

    assert (cause.kind, cause.subject) == (kind, subject)
    assert cause.text.startswith(KINDS[kind].begun.format(subject=subject))


def test_the_text_says_why():
    world = World(
        unhealthy=[Sick(provider="lab", reason="Nobody answers.")],
        traffic=[PoolTraffic(pool="small", requests=40, failovers=10)],
        benches=[
            bench_entry("one/*", credential="k", reason="auth", status=401, sample_error="bad key")
        ],
        refused=["c.yaml:1: wrong", "c.yaml:2: wrong"],
    )

    texts = {cause.kind: cause.text for cause in causes(world)}

    assert texts["provider_unhealthy"] == "Provider lab is unhealthy. Nobody answers."
    assert "10 of 40 did (25 %); told above 20 %" in texts["failover_rate"]
    assert "one answered status 401: bad key." in texts["credential_refused"]
    assert texts["configuration_refused"].endswith("c.yaml:1: wrong (2 mistakes)")


@pytest.mark.parametrize(
    ("requests", "failovers", "rate", "is_told"),
    [(19, 19, 0.2, False), (20, 4, 0.2, False), (20, 5, 0.2, True), (20, 5, 0.5, False)],
)
def test_a_failover_rate_is_told_above_the_setting_and_of_enough_requests(
    requests, failovers, rate, is_told
):
    traffic = PoolTraffic(pool="small", requests=requests, failovers=failovers)

    assert bool(causes(World(traffic=[traffic], failover_rate=rate))) == is_told


def test_what_operators_have_switched_off_themselves_is_told_to_nobody():
    off = pool("degraded", out("a/m", "candidate_disabled"), candidate("b/m"))
    both = pool("degraded", out("a/m", "provider_disabled"), out("b/m", "benched"), candidate())

    assert causes(World(pools=[off])) == []
    assert keys(World(pools=[both])) == [("pool_degraded", "small")]


def test_a_pool_whose_chosen_candidate_is_on_trial_is_degraded():
    weak = pool("degraded", candidate(runtime_status="degraded", is_effective_candidate=True))

    assert keys(World(pools=[weak])) == [("pool_degraded", "small")]


def test_a_bench_by_hand_or_of_more_than_a_credential_is_no_refused_credential():
    benches = [
        bench_entry("one/*", credential="k", reason="auth", manual=True),
        bench_entry("one/*", reason="auth"),
        bench_entry("one/*", credential="k", reason="rate_limited"),
    ]

    assert causes(World(benches=benches)) == []


def test_one_credential_that_is_benched_at_several_models_is_one_alert():
    benches = [bench_entry(f"one/{m}", credential="k", reason="quota") for m in "abc"]

    assert keys(World(benches=benches)) == [("credential_out_of_quota", "k of one")]


def test_a_silent_worker_is_the_reason_for_all_missed_jobs():
    world = World(is_worker_silent=True, missed_jobs=["health", "rollup"])

    assert keys(world) == [("worker_silent", "worker")]


def test_of_one_kind_there_are_not_more_alerts_than_one_can_read():
    world = World(pools=[pool("unavailable", name=f"p{n:03}") for n in range(MOST + 15)])

    found = causes(world)

    assert len(found) == MOST + 1
    assert found[-1].subject == THE_OTHERS
    assert "p050" in found[-1].text
    assert "and 5 more" in found[-1].text


def test_urgent_is_what_is_unavailable():
    urgent = {kind.name for kind in KINDS.values() if kind.is_urgent}

    assert urgent == {"provider_unhealthy", "pool_unavailable"}


def test_kinds_that_are_implied_are_kinds():
    assert {*IMPLIED, *IMPLIED.values()} <= set(KINDS)


def test_each_kind_leads_to_a_page_of_admin():
    for kind in KINDS.values():
        path = kind.path("a/b c?")

        assert resolve(path.partition("?")[0]).url_name != "index"
        assert " " not in path
        assert "b c" not in path
