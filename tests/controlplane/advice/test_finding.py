"""What finders hold for a problem, and what not yet: values in, proposals out."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from controlplane.advice.finding.domains import domains, episodes
from controlplane.advice.finding.judging import compare
from controlplane.advice.finding.limits import Passed, limits, median
from controlplane.advice.finding.pools import dead, spares
from controlplane.advice.finding.rules import Model, NameTraffic, Ruled, rules
from controlplane.advice.finding.shares import orders, weights
from controlplane.advice.finding.values import Line, Proposal, Seat, Span, Tally, confidence_of
from failover.suggestions import NO_WANTS, Market, Offer
from tests.controlplane.advice.seeded import UNTIL
from tests.support.traffic import histogram

DAY = Span(until=UNTIL, seconds=86_400)


def tally(calls: int = 1000, **fields) -> Tally:
    usual = {
        "calls": calls, "served": calls, "minutes": 500, "input_tokens": 900 * calls,
        "output_tokens": 100 * calls, "cost_usd": calls * 0.004,
        "content": tuple(histogram(calls, 500)), "first_at": UNTIL - timedelta(hours=23),
        "last_at": UNTIL,
    }  # fmt: skip
    return Tally(**{**usual, **fields})


GOOD = tally()
FAILING = tally(errors=200, error_minutes=300)


def line(*tallies: Tally, strategy: str = "priority_failover", models=("m",) * 9, **fields) -> Line:
    seats = tuple(
        Seat(provider=f"p{n}", model=models[n], tally=each) for n, each in enumerate(tallies)
    )
    return Line(pool="small", strategy=strategy, seats=seats, **fields)


def seat(changed: Line, place: int, **fields) -> Line:
    """The same line with one seat changed."""
    seats = list(changed.seats)
    seats[place] = replace(seats[place], **fields)
    return replace(changed, seats=tuple(seats))


# Comparing two


@pytest.mark.parametrize(
    ("worse", "reason"),
    [
        (FAILING, "errors"),
        (tally(content=tuple(histogram(1000, 2500))), "latency"),
        (tally(cost_usd=8.0), "price"),
        (tally(errors=99, error_minutes=300), None),
        (tally(errors=200, error_minutes=100), None),  # an hour of it
        (tally(content=tuple(histogram(1000, 1000))), None),
        (tally(cost_usd=5.0), None),
        (GOOD, None),
    ],
)
def test_one_is_worse_where_the_numbers_are_far_apart(worse, reason):
    found = compare(worse, GOOD, is_same_model=True)
    assert (found and found.reason) == reason


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        (FAILING, tally(errors=100, error_minutes=300)),
        (FAILING, tally(limited=50)),
        (tally(cost_usd=8.0), tally(errors=20)),
        (tally(cost_usd=8.0), tally(content=tuple(histogram(1000, 3000)))),
        (tally(content=tuple(histogram(1000, 2500))), tally(cost_usd=8.0)),
        (tally(content=tuple(histogram(1000, 2500))), tally(content=tuple([0] * 13))),
    ],
)
def test_nobody_is_better_who_is_worse_in_something_that_matters(worse, better):
    assert compare(worse, better, is_same_model=True) is None


def test_times_and_prices_of_different_models_are_not_compared():
    assert compare(tally(cost_usd=8.0), GOOD, is_same_model=False) is None
    assert compare(FAILING, GOOD, is_same_model=False) is not None


# Order and weights


def test_an_order_is_changed_by_enough_calls_alone_and_where_the_list_decides():
    bad = line(FAILING, GOOD)
    assert [p.kind for p in orders([bad], DAY)] == ["order"]
    assert not list(orders([replace(bad, strategy="lowest_latency")], DAY))
    assert not list(orders([seat(bad, 0, tally=tally(199, errors=199, error_minutes=400))], DAY))
    assert not list(orders([seat(bad, 1, tally=tally(49))], DAY))
    assert not list(orders([seat(bad, 1, is_live=False)], DAY))


def test_whoever_comes_first_from_a_lower_tier_gets_the_firsts_priority():
    (found,) = orders([seat(line(FAILING, GOOD), 1, priority=4)], DAY)
    assert [(step.field, step.old, step.new) for step in found.steps] == [
        ("order", ["p0/m", "p1/m"], ["p1/m", "p0/m"]),
        ("priority", 4, 1),
    ]


def test_a_weight_is_halved_or_the_others_are_doubled():
    def found(*weight: int) -> dict[str, int]:
        shared = line(FAILING, GOOD, GOOD, strategy="weighted_random")
        for place, number in enumerate(weight):
            shared = seat(shared, place, weight=number)
        (proposal,) = weights([shared], DAY)
        return {step.candidate: step.new for step in proposal.steps}

    assert found(5, 1, 1) == {"p0/m": 2}
    assert found(1, 1, 3) == {"p1/m": 2, "p2/m": 6}


def test_weights_are_compared_in_the_best_tier_and_where_they_count():
    shared = line(FAILING, GOOD, strategy="weighted_random")
    assert list(weights([shared], DAY))
    assert not list(weights([replace(shared, strategy="round_robin")], DAY))
    assert not list(weights([seat(shared, 1, priority=2)], DAY))
    assert not list(weights([seat(shared, 1, tally=tally(199))], DAY))
    assert not list(weights([shared], DAY, limited={("p0", "m")}))


def test_a_weights_price_change_is_that_of_the_whole_tier():
    dear = tally(cost_usd=8.0)
    (found,) = weights([seat(line(dear, GOOD, strategy="least_busy"), 0, weight=3)], DAY)
    assert found.price_change == pytest.approx(6 - 7)


# Members of pools


def spare(shown: Line, *others: str) -> list[Proposal]:
    prices = {"q1": 5.0, "q2": 3.0}
    return list(
        spares(
            [shown], {"m": others}, domain=lambda name: name[:2],
            price=lambda provider, _model: prices.get(provider),
        )
    )  # fmt: skip


def test_the_cheapest_spare_that_fails_apart_is_proposed_behind_the_others():
    alone = line(GOOD)
    assert spare(alone, "q1", "q2")[0].steps[0].candidate == "q2/m"
    assert spare(alone, "p0-b", "q3")[0].steps[0].candidate == "q3/m"
    assert spare(alone, "q2")[0].steps[0].new == {"priority": 1, "weight": 1}
    shared = replace(alone, strategy="weighted_random")
    assert spare(shared, "q2")[0].steps[0].new == {"priority": 2, "weight": 1}


def test_no_spare_is_proposed_where_there_is_one():
    assert not spare(line(GOOD), "p0")
    assert not spare(line(GOOD, GOOD), "q1")
    assert not spare(line(GOOD, ruled=frozenset({("q1", "m")})), "q1")
    assert not spare(seat(line(GOOD), 0, is_live=False), "q1")


def test_a_candidate_is_dead_after_half_a_day_of_failures_alone():
    gone = tally(served=0, errors=40, limited=0)
    assert [p.text for p in dead([line(gone, GOOD)], DAY)] == ["Disable p0/m in pool small."]
    for well in (
        tally(served=1, errors=40),
        tally(served=0, errors=19),
        tally(served=0, errors=40, first_at=UNTIL - timedelta(hours=11)),
    ):
        assert not list(dead([line(well, GOOD)], DAY))
    assert not list(dead([line(gone)], DAY))  # then nobody would be left


# Limits


def limit(passed: list[Passed], limited: int = 400, **fields) -> list[Proposal]:
    shown = seat(line(GOOD), 0, **fields)
    counted = tally(limited=4000, minutes=500, limited_minutes=limited)
    return list(limits([shown], lambda _seat: counted, lambda _seat: passed, DAY))


def minutes(*numbers: tuple[int, int, float]) -> list[Passed]:
    return [Passed(calls=c, tokens=t, busy_s=s) for c, t, s in numbers]


@pytest.mark.parametrize(
    ("passed", "field", "value"),
    [
        (minutes((10, 900, 30), (10, 300, 60), (11, 2000, 90)), "rpm", 10),
        (minutes((4, 5000, 30), (12, 5100, 60), (30, 5050, 200)), "tpm", 5050),
        (minutes((4, 100, 179), (12, 5000, 180), (30, 900, 181)), "max_parallel", 3),
    ],
)
def test_what_was_steady_while_it_was_limited_becomes_the_limit(passed, field, value):
    (found,) = limit(passed)
    (step,) = found.steps
    assert (step.field, step.new) == (field, value)


def test_a_limit_is_for_who_is_limited_all_the_time_and_has_none_as_low():
    steady = minutes(*[(10, 900, 30)] * 9)
    assert limit(steady, rpm=11)
    assert not limit(steady, rpm=10)
    assert not limit(steady, limited=399)
    assert not limit(minutes((0, 0, 0)))


def test_the_median_is_a_value_that_was_seen():
    assert (median([4, 1, 3, 2]), median([]), median([5])) == (2, 0, 5)


# Failure domains


def bad(*begins: float, length: int = 5) -> set:
    return {
        UNTIL - timedelta(hours=hours) + timedelta(minutes=n)
        for hours in begins
        for n in range(length)
    }


def together(found, known: bool = False, **said: dict) -> list[Proposal]:
    return list(domains(found, lambda name: said.get(name, {}), lambda _a, _b: known, DAY))


def test_providers_that_fail_together_three_times_are_one_domain():
    (found,) = together({"a": bad(2, 9, 30), "b": bad(2, 9, 30), "c": bad(3, 10, 31)})
    assert [(step.name, step.new) for step in found.steps] == [
        ("a", {"together": "a+b"}),
        ("b", {"together": "a+b"}),
    ]
    assert found.confidence == 1


def test_fewer_episodes_or_others_of_ones_own_are_chance():
    assert not together({"a": bad(2, 9), "b": bad(2, 9)})
    assert not together({"a": bad(2, 9, 30), "b": bad(2, 9, 30, 40)})
    assert not together({"a": bad(2, 9, 30), "b": bad(2, 9, 30)}, known=True)


def test_three_providers_are_one_proposal_and_join_the_domain_of_one():
    minutes_of_all = {name: bad(2, 9, 30) for name in "abc"}
    (found,) = together(minutes_of_all, b={"region": "us", "together": "grid"})
    assert {step.name: step.new for step in found.steps} == {
        "a": {"together": "grid"},
        "c": {"together": "grid"},
    }
    assert len(found.grounds) == 3


def test_an_episode_ends_where_half_an_hour_is_quiet():
    assert len(episodes(bad(2, 9))) == 2
    assert len(episodes(bad(2, 1.6))) == 1


# Rules

OTHER = Offer(name="other", members=frozenset({("q", "m")}), domains=frozenset({"q"}))
OFFER = Offer(name="small", members=frozenset({("p", "m")}), domains=frozenset({"p"}))


def ruled(rule: Ruled | None = None, **asked: int) -> list[Proposal]:
    model = Model(offer=OFFER, rule=rule, wants=NO_WANTS, asked=NameTraffic(**asked))
    return list(rules([model], Market([OFFER, OTHER]), {"small": 3.0, "other": 5.0}.get, DAY))


def a_rule(*, is_enabled: bool = True, is_served: bool = True) -> Ruled:
    old = Offer(name="old")
    return Ruled(
        primary="small", fallbacks=("old",), is_enabled=is_enabled, is_served=is_served,
        targets=(old,),
    )  # fmt: skip


def test_a_rule_is_proposed_where_there_is_none():
    (found,) = ruled()
    assert (found.steps[0].old, found.steps[0].new) == (None, ["other"])
    assert found.price_change == 2


def test_a_rule_that_works_or_is_off_is_left_alone():
    assert not ruled(a_rule())
    assert not ruled(a_rule(), requests=1000, lost=19)
    assert not ruled(a_rule(), requests=10_000, lost=99)
    assert not ruled(a_rule(is_enabled=False, is_served=False))


@pytest.mark.parametrize(
    ("rule", "asked"),
    [(a_rule(is_served=False), {}), (a_rule(), {"requests": 1000, "lost": 20})],
)
def test_a_rule_that_does_not_help_gets_more_fallbacks(rule, asked):
    (found,) = ruled(rule, **asked)
    assert (found.steps[0].old, found.steps[0].new) == (["old"], ["old", "other"])


def test_confidence_grows_with_what_was_seen():
    assert [confidence_of([n, 900], 50) for n in (50, 300, 500, 900)] == [0.5, 0.75, 0.95, 0.95]
