"""A decision in words: true to the plan, moving nothing, and the same when made again."""

from __future__ import annotations

from copy import deepcopy
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from failover.engine.plan import Inputs, Standing
from failover.engine.rendezvous import hash_of
from providers.adapters.spec import ModelFacts, Prices
from routing.gateway.deciding.features import Features
from routing.gateway.deciding.resolver import resolve
from routing.gateway.deciding.snapshot import CandidateSpec, RuleSpec
from routing.gateway.deciding.strategies import STRATEGIES
from routing.gateway.deciding.wording import REASONS, UNSUPPORTED, lasting, words_of
from routing.gateway.explain.explaining import Explanation, explain, explain_again
from routing.gateway.explain.reasons import read_of
from routing.gateway.records.record import DecisionRecord
from tests.support.builders import pool, provider
from tests.support.planning import World, key, weighted

pytestmark = pytest.mark.pure

AB = pool("m", "a/x", "b/x")


def told(world: World, name: str = "m", *, rng: Any = None, **wishes: Any) -> Explanation:
    return explain(
        world.table, resolve(world.table, name), asked(**wishes), world.live,
        world.clock.now, rng or Random(1),
    )  # fmt: skip


def asked(*, models: tuple[str, ...] = (), session: str | None = None, **wishes: Any) -> Features:
    return Features(
        protocol="openai_chat",
        key=key(*models),
        session=None if session is None else hash_of(session),
        **wishes,
    )


def reasons(explanation: Explanation) -> list[str]:
    return [step.reason for step in explanation.candidates]


# What it says


def test_list_order_is_told_tier_by_tier():
    specs = [
        CandidateSpec(provider="a", model="x"),
        CandidateSpec(provider="b", model="x"),
        CandidateSpec(provider="c", model="x", priority=2),
    ]
    explanation = told(World(pool("m", *specs)))
    assert explanation.planned == ("a/x", "b/x", "c/x")
    assert reasons(explanation) == [
        "first in the list",
        "then in the order of the list",
        "first in the list, of tier 2",
    ]


def test_who_is_first_because_others_are_left_out_is_told_so():
    world = World(AB)
    world.bench("a/x", 30)
    explanation = told(world)
    assert reasons(explanation) == ["next in the list, after a/x"]
    assert explanation.preferred == "a/x"
    (left_out,) = explanation.rejected
    assert (left_out.reason, left_out.words) == ("benched", "benched after failures")
    assert left_out.returns_in_s == pytest.approx(30)


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        ("weighted_round_robin", ["its turn by weight, 3 of 4", "then by weight: 1 of 4"]),
        ("round_robin", ["its turn", "then in the order of the list"]),
        ("weighted_random", ["drawn by weight, 3 of 4", "drawn next"]),
        (
            "lowest_latency",
            ["the quicker of two drawn: not measured yet", "then by latency: not measured yet"],
        ),
        (
            "lowest_cost",
            [
                "no price is known, so in the order of the list",
                "then by price: its price is unknown",
            ],
        ),
        (
            "least_busy",
            [
                "the least busy: 0 in flight over weight 3",
                "then by load: 0 in flight over weight 1",
            ],
        ),
        ("fill_first", ["first in the list", "then in the order of the list"]),
        ("priority_failover", ["first in the list", "then in the order of the list"]),
    ],
)
def test_each_strategy_says_what_it_went_by(strategy: str, said: list[str]):
    assert strategy in STRATEGIES
    assert reasons(told(weighted(3, 1, strategy=strategy), rng=Random(4))) == said


def test_every_strategy_has_words_of_its_own():
    table = test_each_strategy_says_what_it_went_by.pytestmark[-1].args[1]  # type: ignore[attr-defined]
    assert {strategy for strategy, _ in table} == set(STRATEGIES)


def test_the_turn_of_a_rotation_comes_with_its_counter():
    world = weighted(3, 1)
    world.serve()
    first, second = told(world).candidates
    assert first.inputs == {"priority": 1, "weight": 3, "counter": -1.0}
    assert second.inputs == {"priority": 1, "weight": 1, "counter": 1.0}


def test_a_price_is_that_of_the_request():
    facts = {"x": ModelFacts(prices=Prices(input=2.0, output=8.0))}
    world = World(pool("m", "a/x", strategy="lowest_cost"), providers=(provider("a", facts=facts),))
    (step,) = told(world, input_tokens=1000, max_output_tokens=100).candidates
    assert step.reason == "the cheapest for this request: $0.002800"
    assert step.inputs["expected_cost_usd"] == pytest.approx(0.0028)


def test_latency_and_load_are_those_that_were_measured():
    world = weighted(1, 1, strategy="lowest_latency")
    table_pool = world.table.pool("m")
    assert table_pool is not None
    lease = world.live.loads.begin(table_pool.candidates[0], 10, world.clock.now)
    lease.answered(0.25, world.clock.now)
    slow = told(world).candidates[1]
    assert slow.reason == "then by latency: 250 ms to the first token lately"
    assert slow.inputs["in_flight"] == 1


def test_a_session_has_a_choice_of_its_own_until_it_moves():
    world = weighted(1, 1, 1)
    at_first = told(world, session="s")
    natural = at_first.planned[0]
    assert at_first.candidates[0].reason == "the session's own choice, by its hash"
    world.bench(natural)
    moved = told(world, session="s")
    assert f"as {natural} sits out" in moved.candidates[0].reason
    world.serve(session="s")
    world.release(natural)
    pinned = told(world, session="s")
    assert pinned.planned[0] == moved.planned[0]
    assert pinned.candidates[0].reason.startswith("pinned: the session stays")
    assert pinned.affinity is not None
    assert (pinned.affinity.natural, pinned.affinity.pinned) == (natural, pinned.planned[0])
    assert pinned.candidates[0].inputs["pinned"] is True


def test_a_pool_that_stays_after_a_failover_says_so():
    world = World(pool("m", "a/x", "b/x", stay_after_failover=True))
    world.bench("a/x")
    world.serve()
    world.release("a/x")
    explanation = told(world)
    assert explanation.candidates[0].reason.startswith("pinned: the pool stays with it")
    assert explanation.affinity is not None
    assert explanation.affinity.scope == "pool"


def test_the_targets_of_a_rule_name_it():
    world = World(AB, rules=(RuleSpec(primary="m", fallbacks=("b/y",), source="config"),))
    explanation = told(world)
    step = explanation.candidates[-1]
    assert (step.stage, step.name) == ("rule", "b/y")
    assert step.reason == "the failover rule names b/y: the only one that the name stands for"
    assert explanation.failover_rule is not None
    assert explanation.failover_rule.managed_source == "config"


def test_the_later_names_of_a_chain_are_named():
    explanation = told(World(AB, pool("n", "c/z")), "m,n")
    assert explanation.candidates[-1].reason.startswith("the chain goes on with n: ")


def test_a_provider_that_was_asked_for_is_first_for_that():
    explanation = told(World(AB), preferred_provider="b")
    assert reasons(explanation)[0] == "the provider that the request asked for"


def test_a_rules_target_is_not_told_as_asked_for():
    world = World(AB, rules=(RuleSpec(primary="m", fallbacks=("b/y",)),))
    steps = told(world, preferred_provider="b").candidates
    assert [step.model for step in steps] == ["x", "x", "y"]
    assert "asked for" not in steps[2].reason


def test_last_standing_is_told_with_the_time_of_return():
    world = World(AB)
    world.bench("a/x", 40)
    world.bench("b/x", 20)
    explanation = told(world)
    assert explanation.last_standing
    assert explanation.planned == ("b/x", "a/x")
    assert "back in 20 s" in explanation.candidates[0].reason


def test_a_candidate_on_its_way_back_is_told():
    world = World(AB)
    world.bench("a/x", 5)
    world.clock.now += 6
    assert "on its way back from a bench" in told(world).candidates[0].reason


def test_nobody_is_a_refusal_and_no_order():
    world = World(AB)
    explanation = told(world, models=("other",))
    assert explanation.candidates == ()
    assert explanation.refusal is not None
    assert explanation.refusal.status == 403
    assert {entry.reason for entry in explanation.rejected} == {"key_not_allowed"}


def test_every_word_of_the_planner_is_put_into_other_words():
    known = [*REASONS, *(f"unsupported:{what}" for what in UNSUPPORTED)]
    assert all(words_of(word) != word for word in known)
    assert words_of("unsupported:smell") == "it does not support smell"


# What a decision read


def test_what_was_read_is_told_in_sentences():
    standings = {
        "b/x": Standing(half_open=True, ramp=4, in_flight=2),
        "c/x": Standing(latency_s=0.25),
        "a/x": Standing(reason="benched", returns_in_s=12.4),
    }
    inputs = Inputs(
        standings=standings, counters={"m": {"a/x": -48, "b/x": 48}}, draws=(0.25,), pin="b/x"
    )
    assert read_of(inputs) == [
        "a/x: benched after failures, back in 12 s",
        "b/x: on its way back from a bench, 4 sixteenths of its weight, 2 in flight",
        "c/x: 250 ms to the first token",
        "turns of m: a/x -3, b/x +3",
        "dice: 0.2500",
        "pinned to b/x",
    ]
    assert read_of(None) == ["nothing: only the configuration counted"]


# That it is true


@given(
    strategy=st.sampled_from(sorted(STRATEGIES)),
    weights=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    benched=st.sets(st.integers(0, 5)),
    served=st.integers(0, 9),
    session=st.none() | st.text(min_size=1, max_size=5),
    seed=st.integers(0, 99),
)
def test_it_is_what_the_next_request_does_and_it_moves_nothing(
    strategy: str,
    weights: list[int],
    benched: set[int],
    served: int,
    session: str | None,
    seed: int,
):
    world = weighted(*weights, strategy=strategy)
    for place in benched:
        if place < len(weights):
            world.bench(f"{'abcdef'[place]}/x", 5 + place)
    for _ in range(served):
        world.serve()
    before = deepcopy(world.live.rotations), len(world.live.pins)
    explanation = told(world, session=session, rng=Random(seed))
    assert (world.live.rotations, len(world.live.pins)) == before
    made = world.plan(session=session, rng=Random(seed))
    assert explanation.planned == tuple(c.name for c in made.steps)
    assert [(f"{r.provider_name}/{r.model}", r.reason) for r in explanation.rejected] == [
        (r.candidate.name, r.reason) for r in made.rejected
    ]
    again = explain_again(
        world.table,
        resolve(world.table, "m"),
        asked(session=session),
        through_json(DecisionRecord(inputs=made.inputs)),
    )
    assert again == explanation


def through_json(record: DecisionRecord) -> DecisionRecord:
    return msgspec.json.decode(msgspec.json.encode(record), type=DecisionRecord)


def test_a_record_of_another_table_is_not_told_as_this_one():
    world = weighted(1, 1, strategy="weighted_random")
    with pytest.raises(LookupError, match="more draws"):
        explain_again(
            world.table, resolve(world.table, "m"), asked(), DecisionRecord(inputs=Inputs())
        )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (40, "40 s"), (3504, "58 min 24 s"), (3600, "1 h"), (190_000, "2 d 4 h")],
)
def test_times_are_told_in_two_units_at_most(seconds, words):
    assert lasting(seconds) == words
