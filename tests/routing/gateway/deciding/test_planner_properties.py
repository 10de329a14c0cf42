"""What holds of every plan, whatever the table, the benches and the wishes."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from failover.engine.plan import Nobody
from failover.engine.policy import FailoverPolicy
from providers.adapters.spec import ModelFacts
from routing.gateway.deciding.features import Features
from routing.gateway.deciding.planner import plan
from routing.gateway.deciding.resolver import resolve
from routing.gateway.deciding.snapshot import CandidateSpec, RuleSpec, decode, encode
from routing.gateway.deciding.strategies import STRATEGIES
from tests.support.builders import content, pool, provider, snapshot
from tests.support.planning import World, key

pytestmark = pytest.mark.pure

PROVIDERS = "abcde"
NAMES = [f"{name}/x" for name in PROVIDERS]
FACTS = [
    ModelFacts(),
    ModelFacts(context_window=100),
    ModelFacts(capabilities={"tools": False}),
    ModelFacts(context_window=1000, capabilities={"tools": True, "vision": False}),
]

candidates = st.builds(
    CandidateSpec,
    provider=st.sampled_from(PROVIDERS),
    model=st.just("x"),
    priority=st.integers(1, 2),
    weight=st.integers(1, 5),
    max_parallel=st.sampled_from([None, None, 1]),
    enabled=st.sampled_from([True, True, True, False]),
)


def pools(name):
    return st.builds(
        lambda specs, **rest: pool(name, *specs, **rest),
        st.lists(candidates, min_size=1, max_size=5, unique_by=lambda c: c.provider),
        strategy=st.sampled_from(sorted(STRATEGIES)),
        enabled=st.sampled_from([True, True, True, False]),
        stay_after_failover=st.booleans(),
        failover=st.sampled_from([None, FailoverPolicy(enabled=False)]),
    )


@st.composite
def worlds(draw):
    facts = {name: draw(st.sampled_from(FACTS)) for name in PROVIDERS}
    disabled = draw(st.lists(st.sampled_from(PROVIDERS), max_size=2))
    world = World(
        draw(pools("m")),
        draw(pools("n")),
        providers=tuple(
            provider(name, facts={"x": facts[name]}, enabled=name not in disabled)
            for name in PROVIDERS
        ),
        rules=draw(st.sampled_from([(), (RuleSpec(primary="m", fallbacks=("n", "e/x")),)])),
    )
    for name in draw(st.lists(st.sampled_from(NAMES), max_size=4, unique=True)):
        world.bench(name, draw(st.integers(1, 60)), manual=draw(st.booleans()))
    world.clock.now += draw(st.sampled_from([0, 30, 61]))
    for name in draw(st.lists(st.sampled_from(NAMES), max_size=2, unique=True)):
        world.benches.release((name, None), world.clock.now)
    world.live.mark_unhealthy(draw(st.lists(st.sampled_from(PROVIDERS), max_size=2)))
    for candidate in world.table.pool("m").candidates:
        if candidate.is_measured and draw(st.booleans()):
            world.live.loads.begin(candidate, 0, world.clock.now)
    return world


features = st.builds(
    Features,
    protocol=st.sampled_from(["openai_chat", "openai_embeddings"]),
    key=st.sampled_from([key(), key("m"), key("n"), key("a/*", "b/*"), key("z")]),
    needs=st.sampled_from([frozenset(), frozenset({"tools"}), frozenset({"vision", "tools"})]),
    input_tokens=st.sampled_from([1, 101, 2000]),
    session=st.sampled_from([None, 1, 2**63]),
    preferred_provider=st.sampled_from(["", "a", "z"]),
    no_failover=st.booleans(),
)
requested = st.sampled_from(["m", "n", "m,n", "a/x", "m,nobody,b/x"])


def decided(world, name, asked, seed=1):
    """(steps, rejected with reasons) by name, in order; no steps if nobody may be tried."""
    resolution = resolve(world.table, name)
    made = plan(world.table, resolution, asked, world.live, world.clock.now, Random(seed))
    if isinstance(made, Nobody):
        return [], [(r.candidate.name, r.reason) for r in made.rejected]
    return [c.name for c in made.steps], [(r.candidate.name, r.reason) for r in made.rejected]


@settings(max_examples=80)
@given(worlds(), requested, features)
def test_nobody_is_in_a_plan_twice_and_everyone_is_in_it_or_rejected_with_one_reason(
    world, name, asked
):
    steps, rejected = decided(world, name, asked)
    everyone = [*steps, *(candidate for candidate, _ in rejected)]
    assert len(everyone) == len(set(everyone))
    groups = resolve(world.table, name).groups
    if asked.protocol == "openai_embeddings" and not steps:
        groups = groups[:1]  # of the others nothing is said: they were never asked for
    assert set(everyone) == {c.name for group in groups for c in group.pool.candidates}


@settings(max_examples=80)
@given(worlds(), requested, features)
def test_what_operators_disabled_or_benched_is_never_in_a_plan(world, name, asked):
    steps, _ = decided(world, name, asked)
    groups = resolve(world.table, name).groups
    allowed = {
        c.name for g in groups for c in g.pool.candidates if g.pool.operators_reason(c) is None
    }
    first_off = {c.name for c in groups[0].pool.candidates if not c.is_enabled}
    manual = {e.subject for e in world.benches.entries(world.clock.now) if e.manual}
    assert set(steps) <= allowed - first_off - manual


@settings(max_examples=40)
@given(worlds(), requested, features)
def test_deciding_changes_nothing_so_that_it_comes_out_the_same_again(world, name, asked):
    rotations = {p: dict(counters) for p, counters in world.live.rotations.items()}
    first = decided(world, name, asked)
    assert decided(world, name, asked) == first
    assert world.live.rotations == rotations
    assert len(world.live.pins) == 0


@settings(max_examples=30)
@given(st.lists(st.sampled_from("mn"), min_size=1, max_size=2, unique=True), st.data())
def test_a_snapshot_comes_out_of_its_bytes_as_it_went_in(names, data):
    made = snapshot(content(*(data.draw(pools(name)) for name in sorted(names))))
    assert decode(encode(made)) == made
