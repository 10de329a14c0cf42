"""Who is left out, for every reason, and what the caller is told if nobody is left."""

import pytest

from failover.engine.policy import FailoverPolicy
from providers.adapters.spec import CAPABILITIES, ModelFacts
from providers.errors import Fault
from routing.gateway.deciding.snapshot import CandidateSpec, RuleSpec
from routing.gateway.errors import NoCandidate
from tests.support.builders import pool, provider
from tests.support.planning import World

pytestmark = pytest.mark.pure

AB = pool("m", "a/x", "b/x")


def knowing(**facts):
    """A world where the model x of each named provider has these facts."""
    specs = tuple(provider(name, facts={"x": of}) for name, of in facts.items())
    return World(pool("m", *(f"{name}/x" for name in facts)), providers=specs)


def refused(world, **wishes):
    with pytest.raises(NoCandidate) as caught:
        world.plan(**wishes)
    return caught.value


# Capabilities


@pytest.mark.parametrize("what", [what for what in CAPABILITIES if what != "embeddings"])
def test_a_candidate_that_is_known_to_lack_a_capability_is_left_out(what):
    world = knowing(
        a=ModelFacts(capabilities={what: False}),
        b=ModelFacts(capabilities={what: True}),
        c=ModelFacts(),
    )
    needs = frozenset({what, "tools"})
    assert world.names() == ["a/x", "b/x", "c/x"]
    assert world.names(needs=needs) == ["b/x", "c/x"]
    assert world.reasons(needs=needs) == {"a/x": f"unsupported:{what}"}


def test_a_model_that_is_known_to_make_no_embeddings_is_not_asked_for_them():
    world = knowing(a=ModelFacts(capabilities={"embeddings": False}), b=ModelFacts())
    assert world.names(protocol="openai_embeddings") == ["b/x"]
    assert world.reasons(protocol="openai_embeddings") == {"a/x": "unsupported:embeddings"}


def test_of_several_lacks_one_is_told():
    world = knowing(a=ModelFacts(capabilities={"vision": False, "tools": False}), b=ModelFacts())
    needs = frozenset({"vision", "tools", "streaming"})
    assert world.reasons(needs=needs) == {"a/x": "unsupported:tools"}


def test_plans_that_were_made_before_differ_by_needs():
    world = knowing(a=ModelFacts(capabilities={"vision": False}), b=ModelFacts())
    vision = frozenset({"vision"})
    for _ in range(2):
        assert world.names() == ["a/x", "b/x"]
        assert world.names(needs=vision) == ["b/x"]
        assert world.names(needs=frozenset({"tools"})) == ["a/x", "b/x"]


# Size


def test_a_request_with_its_output_has_to_fit_the_context_where_that_is_known():
    world = knowing(
        a=ModelFacts(context_window=100), b=ModelFacts(context_window=1000), c=ModelFacts()
    )
    assert world.names(input_tokens=100) == ["a/x", "b/x", "c/x"]
    assert world.names(input_tokens=80, max_output_tokens=21) == ["b/x", "c/x"]
    assert world.reasons(input_tokens=1001) == {
        "a/x": "context_too_small",
        "b/x": "context_too_small",
    }


def test_more_output_than_a_model_gives_leaves_nobody_out():
    world = knowing(a=ModelFacts(max_output_tokens=10))
    assert world.names(max_output_tokens=1000) == ["a/x"]


def test_plans_that_were_made_before_differ_by_size():
    world = knowing(a=ModelFacts(context_window=100), b=ModelFacts())
    for _ in range(2):
        assert world.names(input_tokens=1) == ["a/x", "b/x"]
        assert world.names(input_tokens=101) == ["b/x"]


# Limits of the candidate's own


def limited(**limits):
    return World(pool("m", CandidateSpec(provider="a", model="x", **limits), "b/x"))


def called(world, name, tokens=0):
    (candidate,) = [c for c in world.table.pool("m").candidates if c.name == name]
    return world.live.loads.begin(candidate, tokens, world.clock.now)


@pytest.mark.parametrize("limits", [{"rpm": 2}, {"tpm": 100}, {"max_parallel": 2}])
def test_a_candidate_that_is_full_by_its_own_limits_is_left_out_until_it_is_not(limits):
    world = limited(**limits)
    leases = []
    for _ in range(2):
        assert world.names(input_tokens=50) == ["a/x", "b/x"]
        leases.append(called(world, "a/x", 50))
    assert world.names(input_tokens=50) == ["b/x"]
    assert world.reasons(input_tokens=50) == {"a/x": "saturated"}
    leases[0].end()
    world.clock.now += 61
    assert world.names(input_tokens=50) == ["a/x", "b/x"]


def test_the_full_one_is_who_was_preferred():
    world = limited(max_parallel=1)
    called(world, "a/x")
    assert world.plan().preferred.name == "a/x"


def test_if_everybody_is_full_it_is_a_429_with_the_soonest_return():
    specs = [CandidateSpec(provider=n, model="x", rpm=1) for n in "ab"]
    world = World(pool("m", *specs))
    called(world, "a/x")
    world.clock.now += 20
    called(world, "b/x")
    error = refused(world)
    assert error.status == 429
    assert error.returns_in_s == pytest.approx(40)
    assert {r.reason for r in error.nobody.rejected} == {"saturated"}


def test_if_everybody_is_full_and_nobody_knows_until_when_it_is_worth_a_second():
    world = World(pool("m", CandidateSpec(provider="a", model="x", max_parallel=1)))
    called(world, "a/x")
    error = refused(world)
    assert (error.status, error.returns_in_s) == (429, 1)


def test_who_is_full_is_not_tried_as_the_last_one_standing():
    world = limited(max_parallel=1)
    called(world, "a/x")
    world.bench("b/x", 30)
    made = world.plan()
    assert made.last_standing
    assert [c.name for c in made.steps] == ["b/x"]
    world = limited(max_parallel=1)
    called(world, "a/x")
    world.bench("a/x", 30)
    world.bench("b/x", 30, manual=True)
    assert refused(world).status == 503


def test_a_benched_candidate_without_a_key_that_may_be_used_is_not_tried_as_the_last_one():
    world = World(pool("m", "a/x"))
    world.bench("a/x", 10)
    assert world.plan().last_standing
    world.fail(Fault.QUOTA, ("a/*", "main"), status=402)
    error = refused(world)
    assert error.status == 503
    assert error.returns_in_s > 100


# Health


def test_a_provider_that_probes_cannot_reach_is_left_out():
    world = World(pool("m", "a/x", "a/y", "b/x"))
    world.live.mark_unhealthy({"a"})
    made = world.plan()
    assert [c.name for c in made.steps] == ["b/x"]
    assert made.preferred.name == "a/x"
    assert world.reasons() == {"a/x": "unhealthy", "a/y": "unhealthy"}
    world.live.mark_unhealthy(())
    assert world.names() == ["a/x", "a/y", "b/x"]


def test_the_unhealthy_are_tried_after_the_benched_when_nobody_else_is_left():
    world = World(pool("m", "a/x", "b/x", "c/x"))
    world.live.mark_unhealthy({"a"})
    world.bench("b/x", 50)
    world.bench("c/x", 20)
    made = world.plan()
    assert made.last_standing
    assert [c.name for c in made.steps] == ["c/x", "b/x", "a/x"]


def test_an_operators_bench_is_told_before_what_probes_say_and_that_before_traffics():
    world = World(AB)
    world.live.mark_unhealthy({"a", "b"})
    world.bench("a/x", manual=True)
    world.bench("b/x")
    assert world.names() == ["b/x"]
    assert world.reasons() == {"a/x": "benched_manually"}
    made = World(AB)
    made.live.mark_unhealthy({"a"})
    made.bench("a/x")
    assert made.reasons() == {"a/x": "unhealthy"}


def test_an_unhealthy_provider_whose_only_key_was_refused_is_not_tried_early():
    world = World(pool("m", "a/x"))
    world.live.mark_unhealthy({"a"})
    world.fail(Fault.AUTH, ("a/*", "main"), status=401)
    assert refused(world).status == 503


# Several names


def test_whom_an_operator_switched_off_does_not_come_back_by_a_rule():
    off = CandidateSpec(provider="a", model="x", enabled=False)
    rules = (RuleSpec(primary="m", fallbacks=("a/x", "n")),)
    world = World(pool("m", off, "b/x"), pool("n", "a/x", "c/x"), rules=rules)
    assert world.names() == ["b/x", "c/x"]
    assert world.reasons() == {"a/x": "candidate_disabled"}
    assert world.names("n") == ["a/x", "c/x"]


def test_what_one_name_of_a_chain_may_not_another_may():
    world = World(AB, pool("n", "b/x", "c/x"))
    assert world.names("m,n", models=("n",)) == ["b/x", "c/x"]
    assert world.reasons("m,n", models=("n",)) == {"a/x": "key_not_allowed"}


def test_a_pool_without_failover_is_tried_once_even_by_the_last_one_standing():
    off = FailoverPolicy(enabled=False)
    world = World(pool("m", "a/x", "b/x", failover=off))
    world.bench("a/x", 60)
    world.bench("b/x", 30)
    assert world.names() == ["b/x"]
    assert world.reasons() == {"a/x": "benched"}


def test_a_pool_without_failover_is_not_probed_while_another_is_well():
    off = FailoverPolicy(enabled=False)
    world = World(pool("m", "a/x", "b/x", failover=off))
    world.bench("a/x", 10)
    world.clock.now += 11
    assert world.names() == ["b/x"]
    behind = World(
        pool("m", "a/x", "b/x", failover=off),
        pool("n", "c/x"),
        rules=(RuleSpec(primary="m", fallbacks=("n",)),),
    )
    behind.bench("a/x", 10)
    behind.clock.now += 11
    assert behind.names() == ["a/x", "c/x"]


def test_a_candidate_whose_keys_all_return_is_half_open():
    world = World(AB)
    world.fail(Fault.AUTH, ("a/*", "main"), status=401)
    world.clock.now += 400
    assert world.names() == ["a/x", "b/x"]
    assert world.names(no_failover=True) == ["b/x"]


def test_embeddings_of_other_names_are_refused_as_anothers():
    rules = (RuleSpec(primary="m", fallbacks=("o",)),)
    world = World(AB, pool("n", "b/x", "c/x"), pool("o", "d/x"), rules=rules)
    assert world.names("m,n", protocol="openai_embeddings") == ["a/x", "b/x"]
    assert world.reasons("m,n", protocol="openai_embeddings") == {
        "c/x": "unsupported:embeddings",
        "d/x": "unsupported:embeddings",
    }
    assert refused(world, name="m,n", protocol="openai_embeddings", models=("n",)).status == 403


# Statuses


def test_if_the_key_is_the_only_reason_it_is_a_403_and_else_a_503():
    assert refused(World(AB), models=("other",)).status == 403
    off = CandidateSpec(provider="a", model="x", enabled=False)
    assert refused(World(pool("m", off, "b/x")), models=("other",)).status == 503


def test_what_was_read_is_told_where_nobody_is_left_too():
    world = World(AB)
    world.bench("a/x", manual=True)
    world.bench("b/x", manual=True)
    error = refused(world)
    assert {name: s.reason for name, s in error.nobody.inputs.standings.items()} == {
        "a/x": "benched_manually",
        "b/x": "benched_manually",
    }


def test_a_pool_that_names_someone_twice_tries_them_once():
    world = World(pool("m", "a/x", "b/x", "a/x"))
    assert world.names() == ["a/x", "b/x"]
    assert world.reasons() == {}
