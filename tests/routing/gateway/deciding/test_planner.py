"""From a name to a plan: resolving, rights, order, and who is left out."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failover.engine.plan import Times
from failover.engine.policy import FailoverPolicy
from providers.adapters.spec import Timeouts
from providers.errors import Fault
from routing.gateway.deciding.resolution import Unknown
from routing.gateway.deciding.resolver import resolve
from routing.gateway.deciding.snapshot import (
    AliasSpec,
    CandidateSpec,
    RoutingDefaults,
    RuleSpec,
    SwitchSpec,
)
from routing.gateway.errors import NoCandidate, Refused
from tests.support.builders import pool, provider
from tests.support.planning import World, firsts, key, weighted

pytestmark = pytest.mark.pure


AB = pool("m", "a/x", "b/x")


# Names


def test_a_canonical_model_is_its_pool_in_list_order():
    assert World(AB).names("m") == ["a/x", "b/x"]


def test_an_alias_stands_for_its_canonical_model():
    world = World(AB, aliases=(AliasSpec(name="fast", target="m"),))
    assert world.names("fast") == ["a/x", "b/x"]
    assert resolve(world.table, "fast").canonical_model == "m"


def test_an_alias_of_an_alias_is_followed():
    aliases = (AliasSpec(name="one", target="two"), AliasSpec(name="two", target="m"))
    assert World(AB, aliases=aliases).names("one") == ["a/x", "b/x"]


def test_an_alias_may_have_targets_of_its_own():
    targets = (CandidateSpec(provider="b", model="y"), CandidateSpec(provider="a", model="y"))
    world = World(AB, aliases=(AliasSpec(name="own", strategy="fill_first", targets=targets),))
    assert world.names("own") == ["b/y", "a/y"]


def test_provider_and_model_name_one_candidate_even_if_nobody_configured_it():
    world = World(AB)
    assert world.names("a/x") == ["a/x"]
    assert world.names("a/org/other") == ["a/org/other"]
    assert not world.plan("a/org/other").steps[0].is_known
    assert world.plan("a/x").steps[0].is_known


def test_a_bare_id_means_every_provider_that_lists_it():
    providers = tuple(provider(name, models=("gpt",)) for name in ("a", "b"))
    assert World(providers=providers).names("gpt") == ["a/gpt", "b/gpt"]


def test_an_allowlist_restricts_bare_ids_and_provider_model_but_not_pools():
    providers = (provider("a", models=("listed",)), provider("b"))
    world = World(AB, providers=providers, inventory_mode="allowlist")
    assert world.names("a/listed") == ["a/listed"]
    assert world.names("m") == ["a/x", "b/x"]
    for name in ("a/x", "a/unlisted"):
        with pytest.raises(Refused):
            world.names(name)


def test_a_chain_is_tried_in_order_without_repeats():
    world = World(AB, pool("n", "b/x", "c/z"))
    assert world.names("m, n") == ["a/x", "b/x", "c/z"]


def test_a_chain_may_begin_with_a_provider_and_model():
    assert World(AB).names("c/z,m") == ["a/x", "b/x"]
    assert World(AB).names("b/other,m") == ["b/other", "a/x", "b/x"]


def test_a_name_longer_than_any_that_can_be_stored_means_nobody():
    world = World(AB)
    longest = "a/" + "x" * 510
    assert world.names(longest) == [longest]
    for name in (longest + "x", "a/" * 300, ",".join(["m"] * 10_000)):
        with pytest.raises(Refused) as caught:
            world.plan(name)
        assert caught.value.code == "model_not_found"
    assert world.names(f"m,{longest}x") == ["a/x", "b/x"]


def test_an_unknown_name_in_a_chain_is_left_out_and_told():
    planned = World(AB).plan("nope,m")
    assert [c.name for c in planned.steps] == ["a/x", "b/x"]
    assert "nope" in planned.warnings[0]


def test_a_name_that_nobody_knows_is_a_404_with_close_names():
    with pytest.raises(Refused) as caught:
        World(pool("gpt-4o-mini", "a/x")).names("gpt-4o-mni")
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")
    assert "gpt-4o-mini" in caught.value.message


def test_close_names_are_only_those_that_the_key_may_use():
    world = World(pool("gpt-4o-mini", "a/x"))
    found = resolve(world.table, "gpt-4o-mni", frozenset())
    assert found == Unknown(requested="gpt-4o-mni")
    assert resolve(world.table, "gpt-4o-mni") == Unknown(
        requested="gpt-4o-mni", close=("gpt-4o-mini",)
    )


# Rules


def rules(**by_primary):
    return tuple(RuleSpec(primary=p, fallbacks=f) for p, f in by_primary.items())


def test_a_rules_targets_follow_a_models_own_candidates():
    world = World(AB, pool("n", "c/z"), rules=rules(m=("n", "c/other")))
    assert world.names("m") == ["a/x", "b/x", "c/z", "c/other"]


@pytest.mark.parametrize("name", ["m", "alias"])
@pytest.mark.parametrize("primary", ["m", "alias", "a/x"])
def test_a_pool_that_is_off_is_off_by_every_name_and_no_rule_stands_in(name, primary):
    off = SwitchSpec(kind="canonical_model", canonical_model="m")
    world = World(
        AB,
        pool("n", "c/z"),
        aliases=(AliasSpec(name="alias", target="m"),),
        rules=(RuleSpec(primary=primary, fallbacks=("n", "b/x")),),
        switches=(off,),
    )

    with pytest.raises(NoCandidate) as caught:
        world.plan(name)

    assert (caught.value.status, caught.value.code) == (503, "no_candidate")
    assert {r.reason for r in caught.value.nobody.rejected} == {"canonical_model_disabled"}
    assert world.names(f"{name},n") == ["c/z"]  # in a chain the other names go on


def test_a_rule_is_one_hop():
    world = World(AB, pool("n", "c/z"), rules=rules(m=("n",), n=("m",)))
    assert world.names("m") == ["a/x", "b/x", "c/z"]
    assert world.names("n") == ["c/z", "a/x", "b/x"]


def test_the_requested_names_rule_counts_before_the_canonical_names():
    world = World(
        AB,
        pool("n", "c/z"),
        pool("o", "d/z"),
        aliases=(AliasSpec(name="fast", target="m"),),
        rules=rules(fast=("o",), m=("n",)),
    )
    assert world.names("fast")[2:] == ["d/z"]
    assert world.names("m")[2:] == ["c/z"]


def test_a_rule_may_be_keyed_by_the_config_primary():
    world = World(AB, pool("n", "c/z"), rules=(RuleSpec(primary="a/x", fallbacks=("n",)),))
    assert world.names("m") == ["a/x", "b/x", "c/z"]


def test_one_rule_is_appended_to_a_chain():
    world = World(AB, pool("n", "c/z"), pool("o", "d/z"), rules=rules(m=("o",), n=("o",)))
    assert world.names("m,n") == ["a/x", "b/x", "c/z", "d/z"]


def test_the_failover_switch_turns_rules_off_and_leaves_pools_alone():
    world = World(AB, pool("n", "c/z"), rules=rules(m=("n",)), failover_enabled=False)
    assert world.names("m") == ["a/x", "b/x"]


@pytest.mark.parametrize("name", ["fast", "m", "a/x"])
def test_a_disabled_model_gets_no_second_candidate(name):
    world = World(AB, aliases=(AliasSpec(name="fast", target="m"),), disabled_models=(name,))
    assert world.names("fast") == ["a/x"]
    assert world.reasons("fast") == {"b/x": "failover_disabled"}


def test_a_chain_gets_no_second_candidate_where_its_first_name_is_disabled():
    aliases = (AliasSpec(name="fast", target="m"),)
    world = World(AB, pool("n", "c/z"), aliases=aliases, disabled_models=("fast",))
    assert world.names("fast,n") == ["a/x"]
    assert world.names("m,n") == ["a/x", "b/x", "c/z"]


def test_choosing_past_a_benched_candidate_is_not_failover():
    world = World(AB, disabled_models=("m",))
    world.bench("a/x")
    assert world.names("m") == ["b/x"]


def test_a_pool_whose_failover_is_off_gives_its_first_choice_only():
    world = World(pool("m", "a/x", "b/x", failover=FailoverPolicy(enabled=False)))
    assert world.names("m") == ["a/x"]
    assert world.reasons("m") == {"b/x": "failover_disabled"}


def test_embeddings_follow_no_rule_and_only_the_first_name_of_a_chain():
    world = World(AB, pool("n", "c/z"), rules=rules(m=("n",)))
    assert world.names("m,n", protocol="openai_embeddings") == ["a/x", "b/x"]


# Who is left out


def test_operators_switches_leave_out_with_their_reason():
    candidates = (CandidateSpec(provider="a", model="x", enabled=False), *AB.candidates[1:])
    providers = (provider("a"), provider("b"), provider("c", enabled=False))
    world = World(
        pool("m", *candidates, "c/x"),
        pool("off", "b/x", enabled=False),
        providers=providers,
    )
    assert world.names("m") == ["b/x"]
    assert world.reasons("m") == {"a/x": "candidate_disabled", "c/x": "provider_disabled"}
    with pytest.raises(NoCandidate) as caught:
        world.names("off")
    assert "canonical_model_disabled" in caught.value.message


def test_a_candidate_disabled_in_one_pool_serves_in_another():
    off = CandidateSpec(provider="a", model="x", enabled=False)
    world = World(pool("m", off, "b/x"), pool("n", "a/x"))
    assert world.names("n") == ["a/x"]


def test_a_provider_that_does_not_speak_the_endpoint_is_left_out():
    providers = (provider("a", kind="bedrock", base_url="https://x.test"), provider("b"))
    world = World(AB, providers=providers)
    assert world.reasons("m") == {"a/x": "unsupported:endpoint"}


def test_a_provider_that_needs_a_key_and_has_none_is_left_out():
    providers = (provider("a", kind="openai", credentials=()), provider("b"))
    assert World(AB, providers=providers).reasons("m") == {"a/x": "no_credential"}


def test_a_benched_candidate_is_skipped_and_counted_against_the_choice_without_benches():
    world = World(AB)
    world.bench("a/x")
    planned = world.plan("m")
    assert [c.name for c in planned.steps] == ["b/x"]
    assert planned.preferred.name == "a/x"
    assert world.reasons("m") == {"a/x": "benched"}


def test_a_benched_endpoint_covers_every_model_of_its_provider():
    world = World(AB)
    world.bench("a/*")
    assert world.names("m") == ["b/x"]


def test_a_candidate_is_benched_only_when_all_its_credentials_are():
    world = World(pool("m", "a/x", "b/x"))
    world.bench("a/*", credential="main", reason="auth")
    assert world.names("m") == ["b/x"]
    world = World(pool("m", "a/x", "b/x"))
    world.bench("a/*", credential="other", reason="auth")
    assert world.names("m") == ["a/x", "b/x"]


def test_benched_candidates_are_tried_when_nobody_else_is_left_soonest_first():
    world = World(AB)
    world.bench("a/x", 60)
    world.bench("b/x", 30)
    planned = world.plan("m")
    assert planned.last_standing
    assert [c.name for c in planned.steps] == ["b/x", "a/x"]


def test_what_operators_benched_is_never_tried():
    world = World(AB)
    world.bench("a/x", manual=True)
    world.bench("b/x", manual=True)
    with pytest.raises(NoCandidate) as caught:
        world.plan("m")
    assert (caught.value.status, caught.value.code) == (503, "no_candidate")
    assert {r["reason"] for r in caught.value.extra["rejected"]} == {"benched_manually"}
    assert caught.value.returns_in_s == pytest.approx(60)


def test_a_refused_credential_is_not_tried_before_its_time():
    world = World(pool("m", "a/x"))
    world.fail(Fault.AUTH, ("a/*", "main"), status=401)
    with pytest.raises(NoCandidate):
        world.plan("m")
    world.clock.now += 400
    assert world.names("m") == ["a/x"]


def test_everybody_inside_a_stated_rate_limit_is_a_429_with_the_soonest_return():
    world = World(AB)
    for name, wait in (("a", 50), ("b", 20)):
        k = (f"{name}/x", "main")
        world.fail(Fault.RATE_LIMITED, k, status=429, retry_after_s=wait)
        world.benches.begin([k], world.clock.now)
    with pytest.raises(NoCandidate) as caught:
        world.plan("m")
    assert caught.value.status == 429
    assert caught.value.returns_in_s == pytest.approx(20)


def test_a_candidate_alone_inside_a_stated_limit_gets_one_try_per_cooldown():
    world = World(pool("m", "a/x"))
    k = ("a/x", "main")
    world.fail(Fault.RATE_LIMITED, k, status=429, retry_after_s=100)
    world.benches.begin([k], world.clock.now)
    with pytest.raises(NoCandidate):
        world.plan("m")
    world.clock.now += 11
    assert world.names("m") == ["a/x"]


def test_a_candidate_alone_two_seconds_before_its_stated_return_is_tried():
    world = World(pool("m", "a/x"))
    world.fail(Fault.RATE_LIMITED, ("a/x", "main"), status=429, retry_after_s=2)
    assert world.names("m") == ["a/x"]


def test_a_half_open_candidate_is_not_the_only_try_of_a_request_while_others_are_well():
    world = World(AB)
    world.bench("a/x", 10)
    world.clock.now += 11
    assert world.names("m") == ["a/x", "b/x"]
    assert world.names("m", no_failover=True) == ["b/x"]


def test_a_half_open_candidate_alone_is_tried():
    world = World(pool("m", "a/x"))
    world.bench("a/x", 10)
    world.clock.now += 11
    assert world.names("m", no_failover=True) == ["a/x"]


# Rights


def test_a_key_without_patterns_may_use_everything():
    assert World(AB).names("m", models=()) == ["a/x", "b/x"]


@pytest.mark.parametrize("pattern", ["fast", "m", "m*"])
def test_a_pattern_may_match_the_requested_or_the_canonical_name(pattern):
    world = World(AB, aliases=(AliasSpec(name="fast", target="m"),))
    assert world.names("fast", models=(pattern,)) == ["a/x", "b/x"]


@pytest.mark.parametrize(
    ("pattern", "name", "is_allowed"),
    [
        ("opus[1m]", "opus[1m]", True),
        ("opus[1m]", "opus1", False),
        ("opus[1m]", "opusm", False),
        ("gp?-4", "gp?-4", True),
        ("gp?-4", "gpt-4", False),
        ("[!a]*", "[!a]b", True),
        ("[!a]*", "b", False),
        ("a.c", "abc", False),
        ("a*c", "a\nc", True),
        ("**a**", "xax", True),
        ("*", "anything/at:all", True),
        ("gpt*", "my-gpt", False),
        ("gpt", "gpt-4", False),
    ],
)
def test_a_star_is_the_only_wildcard_of_a_pattern(pattern, name, is_allowed):
    assert key(pattern).allows(name) is is_allowed


def test_a_pattern_of_many_stars_takes_no_time():
    assert not key("*a" * 40 + "b").allows("a" * 200)


def test_a_pattern_that_matches_one_candidate_allows_only_that_one():
    world = World(AB)
    assert world.names("m", models=("b/*",)) == ["b/x"]
    assert world.reasons("m", models=("b/*",)) == {"a/x": "key_not_allowed"}


def test_chain_names_and_rule_targets_are_checked_on_their_own_names():
    world = World(AB, pool("n", "c/z"), pool("o", "d/z"), rules=rules(m=("o",)))
    assert world.names("m,n", models=("m",)) == ["a/x", "b/x"]
    assert world.reasons("m,n", models=("m",)) == {
        "c/z": "key_not_allowed",
        "d/z": "key_not_allowed",
    }


def test_a_request_that_only_the_key_forbids_is_a_403():
    with pytest.raises(NoCandidate) as caught:
        World(AB).plan("m", models=("other",))
    assert (caught.value.status, caught.value.code) == (403, "key_not_allowed")


# Order


def test_lower_priority_comes_first_and_position_breaks_ties():
    specs = [
        CandidateSpec(provider="a", model="x", priority=2),
        CandidateSpec(provider="b", model="x", priority=1),
        CandidateSpec(provider="c", model="x", priority=1),
    ]
    assert World(pool("m", *specs)).names("m") == ["b/x", "c/x", "a/x"]


def test_forty_requests_on_three_to_one_are_exactly_thirty_and_ten():
    picked = firsts(weighted(3, 1), 40)
    assert (picked.count("a/x"), picked.count("b/x")) == (30, 10)


def test_planning_without_committing_moves_no_counter():
    world, read = weighted(3, 1), weighted(3, 1)
    expected = firsts(world, 8)
    picked = []
    for _ in range(8):
        for _ in range(3):
            read.plan("m")
        picked += firsts(read, 1)
    assert picked == expected


def test_round_robin_ignores_weights():
    picked = firsts(weighted(3, 1, strategy="round_robin"), 10)
    assert picked.count("a/x") == 5


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_every_window_of_the_sum_of_weights_holds_each_candidate_exactly_its_weight(weights):
    total = sum(weights)
    picked = firsts(weighted(*weights), 3 * total)
    for start in range(len(picked) - total + 1):
        window = picked[start : start + total]
        for name, weight in zip("abcde", weights, strict=False):
            assert window.count(f"{name}/x") == weight


def test_a_weighted_draw_gives_everyone_a_turn_and_names_nobody_twice():
    world = weighted(3, 1, strategy="weighted_random")
    rng = Random(5)
    plans = [world.names("m", rng=rng) for _ in range(200)]
    assert {tuple(sorted(names)) for names in plans} == {("a/x", "b/x")}
    share = sum(names[0] == "a/x" for names in plans)
    assert 120 < share < 180


def test_a_weighted_draw_without_benches_is_no_failover():
    world, rng = weighted(3, 1, strategy="weighted_random"), Random(5)
    for _ in range(50):
        planned = world.plan("m", rng=rng)
        assert planned.preferred is planned.steps[0]


def test_a_benched_candidate_has_no_turn_in_a_rotation():
    world = weighted(2, 1, 1)
    world.bench("a/x", manual=True)
    picked = firsts(world, 10)
    assert (picked.count("b/x"), picked.count("c/x")) == (5, 5)


def test_behind_a_rotations_pick_the_rest_follow_by_weight_then_list_order():
    world = weighted(1, 2, 3, 2)
    assert world.names("m") == ["c/x", "b/x", "d/x", "a/x"]


def test_a_preferred_provider_comes_first_and_the_others_follow():
    assert World(AB).names("m", preferred_provider="b") == ["b/x", "a/x"]


def test_a_preferred_provider_that_does_not_offer_the_model_is_told_in_a_warning():
    planned = World(AB).plan("m", preferred_provider="z")
    assert [c.name for c in planned.steps] == ["a/x", "b/x"]
    assert "z does not offer" in planned.warnings[0]


def test_a_preferred_provider_that_sits_out_is_told_with_the_reason():
    world = World(AB)
    world.bench("b/x")
    planned = world.plan("m", preferred_provider="b")
    assert [c.name for c in planned.steps] == ["a/x"]
    assert planned.warnings == ("provider b may not be tried: benched after failures",)


def test_a_wish_for_a_provider_does_not_put_a_rules_target_before_the_model_itself():
    world = World(AB, pool("n", "c/z"), rules=rules(m=("n",)))
    planned = world.plan("m", preferred_provider="c")
    assert [c.name for c in planned.steps] == ["a/x", "b/x", "c/z"]
    assert planned.warnings == ("provider c does not offer this model",)
    assert world.names("m,n", preferred_provider="c") == ["c/z", "a/x", "b/x"]


def test_a_pool_whose_failover_is_off_heeds_the_wish_for_a_provider():
    world = World(pool("m", "a/x", "b/x", failover=FailoverPolicy(enabled=False)))
    planned = world.plan("m", preferred_provider="b")
    assert [c.name for c in planned.steps] == ["b/x"]
    assert planned.warnings == ()


def test_no_failover_means_the_first_candidate_only():
    assert World(AB).names("m", no_failover=True) == ["a/x"]


def test_the_default_strategy_is_that_of_the_routing_defaults():
    world = World(AB, defaults=RoutingDefaults(strategy="round_robin"))
    assert world.plan("m").strategy == "round_robin"


def test_times_are_the_candidates_before_the_pools_the_providers_and_the_routing_defaults():
    own = CandidateSpec(provider="a", model="x", timeouts=Timeouts(connect_s=1))
    world = World(
        pool("m", own, timeouts=Timeouts(connect_s=2, idle_s=2)),
        providers=(provider("a", timeouts=Timeouts(connect_s=3, idle_s=3, total_s=3)),),
        defaults=RoutingDefaults(
            timeouts=Timeouts(connect_s=4, idle_s=4, total_s=4, first_token_s=4)
        ),
    )
    times = world.plan("m").steps[0].times
    assert times == Times(connect_s=1, idle_s=2, total_s=3, first_token_s=4, stream_total_s=3600)
    assert world.plan("a/other").steps[0].times == Times(
        connect_s=3, idle_s=3, total_s=3, first_token_s=4
    )


def test_a_plan_that_was_made_before_gives_way_to_a_bench():
    world = World(AB)
    assert world.names("m") == world.names("m") == ["a/x", "b/x"]
    world.bench("a/x", 10, manual=True)
    assert world.names("m") == ["b/x"]
    world.clock.now += 11
    assert world.names("m") == ["a/x", "b/x"]


def test_a_plan_that_was_made_before_gives_way_to_another_key_endpoint_or_wish():
    world = World(AB)
    assert world.names("m") == ["a/x", "b/x"]
    assert world.names("m", models=("b/*",)) == ["b/x"]
    assert world.names("m", preferred_provider="b") == ["b/x", "a/x"]
    assert world.names("m", no_failover=True) == ["a/x"]
    with pytest.raises(NoCandidate):
        world.names("m", protocol="anthropic_count_tokens")


def test_a_rules_weighted_pool_keeps_turning_behind_a_settled_one():
    n = pool("n", "c/x", "d/x", strategy="round_robin")
    world = World(AB, n, rules=rules(m=("n",)))
    before = world.names("m")[2]
    world.plan("n").commit()
    assert world.names("m")[2] != before


# Properties

BENCHED = st.lists(
    st.tuples(st.sampled_from("abcd"), st.booleans(), st.integers(1, 100)), max_size=4
)


@given(BENCHED, st.lists(st.sampled_from("abcd"), max_size=3), st.booleans())
def test_everyone_is_in_the_plan_once_or_rejected_with_one_reason(benched, disabled, no_failover):
    specs = [
        CandidateSpec(provider=name, model="x", enabled=name not in disabled) for name in "abcd"
    ]
    world = World(pool("m", *specs))
    for name, manual, seconds in benched:
        world.bench(f"{name}/x", seconds, manual=manual)
    manually = {f"{name}/x" for name, manual, _ in benched if manual}
    try:
        planned = world.plan("m", no_failover=no_failover)
    except NoCandidate as error:
        names = sorted(entry["provider"] for entry in error.extra["rejected"])
    else:
        names = []
    if names:
        assert names == ["a", "b", "c", "d"]
        return
    steps = [c.name for c in planned.steps]
    rejected = [r.candidate.name for r in planned.rejected]
    assert sorted(steps + rejected) == ["a/x", "b/x", "c/x", "d/x"]
    assert not {f"{name}/x" for name in disabled} & set(steps)
    assert not manually & set(steps)
