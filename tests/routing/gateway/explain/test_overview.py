"""What a pool is said to be: enabled, degraded, disabled or unavailable, and who would serve."""

from __future__ import annotations

from random import Random

import pytest

from failover.engine.policy import FailoverPolicy
from providers.adapters.spec import CredentialSpec
from routing.gateway.deciding.snapshot import AliasSpec, CandidateSpec
from routing.gateway.explain.overview import PoolView, aliases_by_pool, view_pool
from tests.support.builders import pool, provider
from tests.support.planning import World, weighted

pytestmark = pytest.mark.pure

AB = pool("m", "a/x", "b/x")


def view(world: World, name: str = "m") -> PoolView:
    aliases = aliases_by_pool(world.table)
    found = view_pool(world.table, name, aliases, world.live, world.clock.now, Random(1))
    assert found is not None
    return found


def by_name(seen: PoolView) -> dict[str, tuple[bool, str | None, str]]:
    return {c.name: (c.selectable, c.blocked_reason, c.runtime_status) for c in seen.candidates}


def off(name: str) -> CandidateSpec:
    return CandidateSpec(provider=name, model="x", enabled=False)


def test_a_pool_whose_first_is_chosen_and_nobody_left_out_is_enabled():
    seen = view(World(AB))
    assert (seen.status, seen.status_reason) == ("enabled", "Every candidate can be chosen.")
    assert seen.config_primary_candidate == seen.effective_candidate == "a/x"
    assert [c.is_config_primary for c in seen.candidates] == [True, False]
    assert [c.is_effective_candidate for c in seen.candidates] == [True, False]
    assert {c.runtime_status for c in seen.candidates} == {"unknown"}


def test_a_benched_primary_degrades_it_and_the_reason_names_both():
    world = World(AB)
    world.bench("a/x", status=503, sample_error="too busy")
    seen = view(world)
    assert seen.status == "degraded"
    assert seen.effective_candidate == "b/x"
    assert "a/x (benched after failures)" in seen.status_reason
    assert "chosen is b/x, not a/x, which is configured first" in seen.status_reason
    assert by_name(seen)["a/x"] == (False, "benched", "unhealthy")
    bench = seen.candidates[0].bench
    assert bench is not None
    assert bench.sample_error == "too busy"


def test_a_bench_of_the_endpoint_bears_on_each_of_its_candidates():
    world = World(pool("m", "a/x", "a/y", "b/x"))
    world.bench("a/*")
    assert [c.bench is not None for c in view(world).candidates] == [True, True, False]


def test_a_bench_of_its_only_credential_stops_a_candidate_that_itself_is_well():
    world = World(AB)
    world.bench("a/*", credential="main")
    assert by_name(view(world))["a/x"] == (False, "benched", "degraded")


def test_a_bench_of_one_credential_of_two_stops_nobody():
    credentials = tuple(CredentialSpec(label=label, secret="s") for label in ("main", "spare"))
    providers = (provider("a", credentials=credentials), provider("b"))
    world = World(AB, providers=providers)
    world.bench("a/*", credential="main")
    assert by_name(view(world))["a/x"] == (True, None, "degraded")


def test_a_candidate_on_its_way_back_is_degraded_and_so_is_its_pool():
    world = World(AB)
    world.bench("a/x", 5)
    world.clock.now += 6
    seen = view(world)
    assert by_name(seen)["a/x"] == (True, None, "degraded")
    assert seen.status == "degraded"
    assert seen.status_reason == "Chosen is a/x, which is degraded."


def test_probes_that_cannot_reach_a_provider_make_it_unhealthy():
    world = World(AB)
    world.live.mark_unhealthy(["a"])
    seen = view(world)
    assert by_name(seen)["a/x"] == (False, "unhealthy", "unhealthy")
    assert seen.status == "degraded"


def test_a_degraded_provider_stays_eligible_and_is_marked_and_so_is_the_pool_that_chooses_it():
    world = World(AB)
    world.live.note_health({"a": "degraded", "b": "healthy"})
    seen = view(world)
    assert by_name(seen) == {"a/x": (True, None, "degraded"), "b/x": (True, None, "healthy")}
    assert (seen.status, seen.effective_candidate) == ("degraded", "a/x")
    assert seen.status_reason == "Chosen is a/x, which is degraded."


def test_what_traffic_has_found_counts_before_what_probes_say_unless_they_say_unhealthy():
    world = World(AB)
    world.live.note_health({"a": "healthy", "b": "unhealthy"})
    world.bench("a/x")
    world.bench("b/*", credential="main")
    assert {c.name: c.runtime_status for c in view(world).candidates} == {
        "a/x": "unhealthy",
        "b/x": "unhealthy",
    }


def test_everybody_benched_is_unavailable_though_somebody_is_tried():
    world = World(AB)
    world.bench("a/x", 40)
    world.bench("b/x", 20)
    seen = view(world)
    assert seen.status == "unavailable"
    assert seen.effective_candidate == "b/x"
    assert "b/x is tried all the same" in seen.status_reason
    assert {c.blocked_reason for c in seen.candidates} == {"benched"}


def test_benched_by_hand_is_unavailable_and_nobody_is_tried():
    world = World(pool("m", "a/x"))
    world.bench("a/x", manual=True)
    seen = view(world)
    assert (seen.status, seen.effective_candidate) == ("unavailable", None)
    assert by_name(seen)["a/x"] == (False, "benched_manually", "unknown")


def test_of_two_benches_the_operators_is_shown():
    world = World(AB)
    world.bench("a/*")
    world.bench("a/x", manual=True, sample_error="maintenance")
    seen = view(world).candidates[0]
    assert seen.blocked_reason == "benched_manually"
    assert seen.bench is not None
    assert seen.bench.sample_error == "maintenance"


@pytest.mark.parametrize(
    ("world", "word"),
    [
        (World(pool("m", "a/x", enabled=False)), "canonical_model_disabled"),
        (World(pool("m", off("a"))), "candidate_disabled"),
        (World(pool("m", "a/x"), providers=(provider("a", enabled=False),)), "provider_disabled"),
    ],
)
def test_what_operators_switched_off_is_disabled(world: World, word: str):
    seen = view(world)
    assert seen.status == "disabled"
    assert seen.effective_candidate is None
    assert seen.candidates[0].blocked_reason == word


def test_one_candidate_switched_off_degrades_the_pool():
    seen = view(World(pool("m", "a/x", off("b"))))
    assert seen.status == "degraded"
    assert by_name(seen)["b/x"][:2] == (False, "candidate_disabled")


def test_an_empty_pool_is_unavailable():
    seen = view(World(pool("m")))
    assert (seen.status, seen.config_primary_candidate) == ("unavailable", None)


def test_a_rotation_does_not_make_a_pool_degraded_when_it_is_the_turn_of_another():
    world = weighted(1, 1, strategy="round_robin")
    world.serve()
    seen = view(world)
    assert seen.effective_candidate == "b/x"
    assert seen.config_primary_candidate == "a/x"
    assert seen.status == "enabled"


def test_looking_moves_no_rotation():
    world = weighted(3, 1)
    seen = [view(world).effective_candidate for _ in range(5)]
    assert seen == ["a/x"] * 5
    assert world.live.rotations == {}


def test_failover_switched_off_in_a_pool_leaves_its_others_selectable():
    world = World(pool("m", "a/x", "b/x", failover=FailoverPolicy(enabled=False)))
    assert by_name(view(world))["b/x"][:2] == (True, None)


def test_a_pool_is_asked_by_the_protocol_that_its_candidates_speak():
    speaks_none = provider("a", kind="bedrock")
    assert by_name(view(World(pool("m", "a/x"), providers=(speaks_none,))))["a/x"] == (
        False,
        "unsupported:endpoint",
        "unknown",
    )


def test_aliases_are_those_that_lead_to_it_in_the_end():
    aliases = (AliasSpec(name="z", target="m"), AliasSpec(name="y", target="z"))
    assert view(World(AB, aliases=aliases)).aliases == ("y", "z")


def test_there_is_no_view_of_an_unknown_pool():
    world = World(AB)
    assert view_pool(world.table, "n", {}, world.live, world.clock.now, Random(1)) is None
