"""What each strategy puts first, and how the rest follow."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.adapters.spec import ModelFacts, Prices, PriceTier
from routing.gateway.deciding.snapshot import CandidateSpec
from routing.gateway.deciding.strategies import STRATEGIES, expected_cost, strategy_named
from routing.gateway.deciding.table import compile_table
from tests.support.builders import content, pool, provider, snapshot, table
from tests.support.planning import World, firsts, weighted

pytestmark = pytest.mark.pure

STATED = {
    "priority_failover",
    "fill_first",
    "weighted_round_robin",
    "round_robin",
    "weighted_random",
    "lowest_latency",
    "lowest_cost",
    "least_busy",
}


def test_there_is_every_strategy_that_configuration_takes():
    assert set(STRATEGIES) == STATED
    with pytest.raises(ValueError, match="strategy 'fastest' is not known"):
        strategy_named("fastest")


def test_a_snapshot_with_an_unknown_strategy_is_refused_as_a_whole():
    with pytest.raises(ValueError, match="fastest"):
        table(pool("m", "a/x", strategy="fastest"))


@pytest.mark.parametrize("strategy", sorted(STATED))
def test_lower_priority_comes_first_under_every_strategy(strategy):
    specs = [
        CandidateSpec(provider=n, model="x", priority=p, weight=w)
        for n, p, w in (("a", 2, 9), ("b", 1, 1), ("c", 1, 1), ("d", 3, 9))
    ]
    world = World(pool("m", *specs, strategy=strategy))
    for seed in range(5):
        names = world.names(rng=Random(seed))
        assert set(names[:2]) == {"b/x", "c/x"}
        assert names[2:] == ["a/x", "d/x"]


# Rotations


def replaced(world, *pools, **changes):
    """The world with another table: its live state outlives the edit."""
    world.table = compile_table(
        snapshot(content(*pools, **changes), 2), decrypt=lambda token: token, environ={}
    )
    world.live.prune(world.table)


@pytest.mark.parametrize("edited_after", [1, 7, 18, 39])
def test_shares_are_exact_with_reads_and_an_unrelated_edit_in_between(edited_after):
    specs = [CandidateSpec(provider=n, model="x", weight=w) for n, w in (("a", 3), ("b", 1))]
    m = pool("m", *specs, strategy="weighted_round_robin")
    world = World(m)
    picked = []
    for number in range(40):
        world.plan()
        picked.append(world.serve())
        world.plan(session="reader")
        if number == edited_after:
            replaced(world, m, pool("n", "c/x", strategy="round_robin"))
    assert Counter(picked) == {"a/x": 30, "b/x": 10}


def test_an_edit_of_another_candidates_weight_goes_on_from_where_the_others_were():
    world = weighted(2, 1, 1)
    before = firsts(world, 3)
    specs = [
        CandidateSpec(provider=n, model="x", weight=w) for n, w in (("a", 2), ("b", 1), ("d", 1))
    ]
    replaced(world, pool("m", *specs, strategy="weighted_round_robin"))
    assert set(world.live.rotations["m"]) == {"a/x", "b/x"}
    after = firsts(world, 40)
    assert Counter(after) == {"a/x": 20, "b/x": 10, "d/x": 10}
    assert len(before) == 3


def test_each_tier_turns_by_itself():
    specs = [CandidateSpec(provider=n, model="x", priority=1 + (n > "b")) for n in "abcd"]
    world = World(pool("m", *specs, strategy="round_robin"))
    assert firsts(world, 3) == ["a/x", "b/x", "a/x"]
    world.bench("a/x")
    world.bench("b/x")
    assert Counter(firsts(world, 4)) == {"c/x": 2, "d/x": 2}


def test_a_wish_costs_nobody_a_turn():
    world = weighted(1, 1)
    for _ in range(3):
        assert world.serve(preferred_provider="b") == "b/x"
    assert world.names()[0] == "a/x"


def test_counters_that_were_read_are_not_changed_by_the_move():
    world = weighted(1, 1)
    world.serve()
    made = world.plan()
    before = {name: dict(counters) for name, counters in made.inputs.counters.items()}
    made.commit()
    assert made.inputs.counters == before
    assert world.live.rotations["m"] != before["m"]


# Slow start


@pytest.mark.parametrize("ending", ["release", "time", "probes"])
def test_who_returns_from_a_bench_ramps_up_over_thirty_seconds(ending):
    world = weighted(1, 1)
    if ending == "time":
        world.bench("a/x", 10, manual=True)
        world.clock.now += 10
    else:
        world.bench("a/x", 10)
        world.clock.now += 11
        if ending == "release":
            world.release("a/x")
        else:
            for _ in range(2):
                now = world.clock.now
                world.benches.succeeded((("a/x", None),), 60, now, began=now)
    shares = []
    for _ in range(4):
        shares.append(Counter(firsts(world, 96))["a/x"] / 96)
        world.clock.now += 10.5
    assert shares[0] == pytest.approx(1 / 17, abs=0.011)
    assert shares == sorted(shares)
    assert shares[3] == 0.5


def test_a_release_that_another_process_tells_of_ramps_up_too():
    world, other = weighted(1, 1), weighted(1, 1)
    told = []
    other.benches.changes = told.append
    for one in (world, other):
        one.bench("a/x", 60)
    other.release("a/x")
    world.benches.merge(told, world.clock.now)
    assert world.plan().inputs.standings["a/x"].ramp == 1
    assert Counter(firsts(world, 17)) == {"a/x": 1, "b/x": 16}


def test_a_weighted_draw_and_the_busy_go_by_the_ramp_too():
    world = weighted(1, 1, strategy="weighted_random")
    world.bench("a/x", 10)
    world.release("a/x")
    rng = Random(1)
    assert Counter(world.names(rng=rng)[0] for _ in range(500))["a/x"] < 80
    busy = weighted(1, 1, strategy="least_busy")
    for candidate in busy.table.pool("m").candidates:
        busy.live.loads.begin(candidate, 0, busy.clock.now)
    busy.bench("a/x", 10)
    busy.release("a/x")
    assert busy.names() == ["b/x", "a/x"]


def test_a_ramp_is_over_when_it_is_over_and_plans_are_made_once_again():
    world = World(pool("m", "a/x", "b/x"))
    world.bench("a/x", 10)
    world.release("a/x")
    assert world.plan() is not world.plan()
    world.clock.now += 31
    assert world.plan() is world.plan()
    assert world.plan().inputs is None


# Dice


def test_a_weighted_draw_is_without_replacement_in_proportion():
    world, rng = weighted(1, 2, 5, strategy="weighted_random"), Random(5)
    orders = Counter(tuple(world.names(rng=rng)) for _ in range(4000))
    assert orders["c/x", "b/x", "a/x"] / 4000 == pytest.approx(5 / 8 * 2 / 3, abs=0.03)
    assert orders["a/x", "b/x", "c/x"] / 4000 == pytest.approx(1 / 8 * 2 / 7, abs=0.015)


def measured(world, **latencies):
    for name, latency_s in latencies.items():
        lease = world.live.loads.begin(
            next(c for c in world.table.pool("m").candidates if c.provider == name),
            0,
            world.clock.now,
        )
        lease.answered(latency_s, world.clock.now)
        lease.end()


def test_the_quicker_of_two_comes_first_and_the_rest_ascend():
    world = weighted(1, 1, strategy="lowest_latency")
    measured(world, a=2.0, b=0.5)
    assert world.names() == ["b/x", "a/x"]
    many = weighted(1, 1, 1, 1, strategy="lowest_latency")
    measured(many, a=0.4, b=0.3, c=0.2, d=0.1)
    rng = Random(2)
    orders = [many.names(rng=rng) for _ in range(600)]
    shares = Counter(order[0] for order in orders)
    # The quickest of four is among two drawn in half of all draws; the slowest never wins one.
    assert shares["d/x"] / 600 == pytest.approx(1 / 2, abs=0.06)
    assert shares["c/x"] / 600 == pytest.approx(1 / 3, abs=0.06)
    assert shares["a/x"] == 0
    for order in orders:
        assert order[1:] == [n for n in ("d/x", "c/x", "b/x", "a/x") if n != order[0]]


def test_who_was_not_measured_is_tried_so_that_it_is():
    world = weighted(1, 1, strategy="lowest_latency")
    measured(world, a=0.1)
    assert world.names()[0] == "b/x"


def test_a_rested_candidates_place_is_drawn_for_again_and_nobody_elses_is():
    world = weighted(1, 1, 1, strategy="lowest_latency")
    world.bench("a/x")
    for seed in range(30):
        made = world.plan(rng=Random(seed))
        assert made.steps[0].name in ("b/x", "c/x")
        if made.preferred.name != "a/x":
            assert made.preferred is made.steps[0]


# Costs

CHEAP_INPUT = Prices(input=1, output=20)
CHEAP_OUTPUT = Prices(input=5, output=2)


def priced(**prices):
    specs = [
        provider(name, facts={"x": ModelFacts(prices=of)} if of is not None else {})
        for name, of in prices.items()
    ]
    candidates = [CandidateSpec(provider=name, model="x") for name in prices]
    return World(pool("m", *candidates, strategy="lowest_cost"), providers=tuple(specs))


def test_the_cheapest_for_this_requests_tokens_comes_first_and_the_rest_ascend():
    world = priced(a=CHEAP_INPUT, b=CHEAP_OUTPUT)
    assert world.names(input_tokens=10_000, max_output_tokens=10) == ["a/x", "b/x"]
    assert world.names(input_tokens=10, max_output_tokens=10_000) == ["b/x", "a/x"]


def test_a_request_that_does_not_say_how_much_it_wants_counts_as_five_hundred():
    world = priced(a=CHEAP_INPUT, b=CHEAP_OUTPUT)
    assert world.names(input_tokens=2_249) == ["b/x", "a/x"]
    assert world.names(input_tokens=2_251) == ["a/x", "b/x"]


def test_unknown_prices_come_last_and_ties_go_by_the_list():
    half = Prices(input=0.1)
    world = priced(a=None, b=half, c=CHEAP_INPUT, d=CHEAP_INPUT)
    assert world.names(input_tokens=100) == ["c/x", "d/x", "a/x", "b/x"]


def test_a_price_of_output_that_nobody_asks_for_need_not_be_known():
    world = priced(a=CHEAP_INPUT, b=Prices(input=0.1))
    assert world.names(input_tokens=100, max_output_tokens=0) == ["b/x", "a/x"]


def test_a_long_request_is_priced_by_its_tier():
    tiers = (
        PriceTier(above_input_tokens=100, input=9),
        PriceTier(above_input_tokens=200, output=7),
    )
    prices = Prices(input=1, output=2, tiers=tiers)
    assert expected_cost(prices, 100, 10) == 100 + 20
    assert expected_cost(prices, 101, 10) == 9 * 101 + 20
    assert expected_cost(prices, 201, 10) == 9 * 201 + 70


# Busy


def test_the_fewest_in_flight_over_weight_come_first():
    world = weighted(1, 2, 4, strategy="least_busy")
    a, b, c = world.table.pool("m").candidates
    for candidate, calls in ((a, 1), (b, 3), (c, 5)):
        for _ in range(calls):
            world.live.loads.begin(candidate, 0, world.clock.now)
    assert world.names() == ["a/x", "c/x", "b/x"]
    world.live.loads.begin(a, 0, world.clock.now)
    assert world.names() == ["c/x", "b/x", "a/x"]


def test_nobody_is_measured_without_need():
    world = World(
        pool("m", "a/x", "b/x"),
        pool("n", "b/x", "c/x", strategy="lowest_latency"),
        pool("o", CandidateSpec(provider="d", model="x", rpm=5)),
        pool("p", "d/x", "e/x"),
    )
    flags = {
        name: {c.name: c.is_measured for c in world.table.pool(name).candidates} for name in "mnop"
    }
    assert flags == {
        "m": {"a/x": False, "b/x": True},
        "n": {"b/x": True, "c/x": True},
        "o": {"d/x": True},
        "p": {"d/x": True, "e/x": False},
    }


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5), st.integers(0, 4), st.integers(1, 60))
def test_shares_stay_exact_while_somebody_rests(weights, rested, count):
    world = weighted(*weights)
    firsts(world, count)
    name = "abcde"[rested % len(weights)] + "/x"
    world.bench(name, 1000, manual=True)
    left = {f"{n}/x": w for n, w in zip("abcde", weights, strict=False) if f"{n}/x" != name}
    total = sum(left.values())
    picked = firsts(world, 8 * total)
    assert name not in picked
    settled = Counter(picked[-4 * total :])
    assert settled == {n: 4 * w for n, w in left.items()}
