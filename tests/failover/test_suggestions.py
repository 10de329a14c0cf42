from __future__ import annotations

import pytest

from failover.suggestions import MOST_FALLBACKS, Market, Offer, Wants, judge, suggest
from providers.adapters.spec import ModelFacts, Prices

pytestmark = pytest.mark.pure


def facts(window: int | None = None, price: float | None = None, **can: bool) -> ModelFacts:
    prices = Prices(input=price, output=price) if price is not None else None
    return ModelFacts(context_window=window, capabilities=can, prices=prices)


PRIMARY = Offer(
    name="big",
    members=frozenset({("a", "big-1")}),
    domains=frozenset({"north"}),
    facts=facts(100, 5, tools=True),
    family="big",
)


def names(*offers: Offer, primary: Offer = PRIMARY) -> list[str]:
    return [evidence.fallback_model for evidence in suggest(primary, offers)]


def test_the_same_model_elsewhere_comes_first_and_the_same_domain_last():
    south, north = frozenset({"south"}), frozenset({"north"})
    same = frozenset({("b", "big-1")})
    elsewhere = Offer(name="z", members=same, domains=south)
    family = Offer(name="y", family="big", domains=south)
    together = Offer(name="a", members=same, domains=north)
    assert names(together, family, elsewhere) == ["z", "y"]
    assert judge(PRIMARY, together).score == 0.2
    assert "fails together with it (north)" in judge(PRIMARY, together).reasons


def test_unknown_facts_count_neither_way():
    assert judge(PRIMARY, Offer(name="x")).reasons == ()
    assert names(Offer(name="x")) == []


@pytest.mark.parametrize(
    ("better", "worse", "reason"),
    [
        (facts(200), facts(50), "a smaller context window (50 tokens)"),
        (facts(tools=True), facts(tools=False), "cannot do what it can: tools"),
        (facts(price=6), facts(price=50), "much dearer (10 times)"),
    ],
)
def test_each_fact_moves_the_score_its_way(better, worse, reason):
    good, bad = (judge(PRIMARY, Offer(name="x", facts=f, family="big")) for f in (better, worse))
    plain = judge(PRIMARY, Offer(name="x", family="big"))
    assert good.score > plain.score > bad.score
    assert reason in bad.reasons


def test_a_free_primary_has_no_price_ratio():
    free = Offer(name="free", facts=facts(price=0))
    assert judge(free, Offer(name="x", facts=facts(price=3))).reasons == ()


def test_embeddings_neither_stand_in_nor_have_stand_ins():
    vectors = Offer(name="v", members=frozenset({("a", "text-embedding-3")}), family="big")
    flagged = Offer(name="w", facts=facts(embeddings=True), family="big")
    assert names(vectors, flagged) == []
    same = Offer(
        name="other", members=frozenset({("b", "text-embedding-3")}), domains=frozenset({"south"})
    )
    assert names(same, primary=vectors) == []


def test_a_model_never_stands_in_for_itself_and_only_the_best_are_named():
    others = [
        Offer(name=f"n{i}", members=frozenset({(f"p{i}", "big-1")}), domains=frozenset({f"d{i}"}))
        for i in range(9)
    ]
    found = names(PRIMARY, *reversed(others))
    assert found == ["n0", "n1", "n2"]  # equal scores: by name
    assert len(found) == MOST_FALLBACKS


def test_what_is_tried_anyway_is_not_suggested():
    two = Offer(name="two", members=frozenset({("a", "big-1"), ("b", "big-1")}))
    part = Offer(name="b/big-1", members=frozenset({("b", "big-1")}))
    more = Offer(name="more", members=two.members | {("c", "big-1")})
    assert names(part, more, primary=two) == ["more"]


def test_what_a_rule_names_or_a_better_proposal_brings_is_not_proposed_again():
    one = Offer(name="one", members=frozenset({("b", "big-1")}))
    other = Offer(name="other", members=frozenset({("c", "big-1")}))
    twin = Offer(name="twin", members=one.members)
    both = Offer(name="both", members=one.members | other.members)
    assert names(one, twin, other) == ["one", "other"]
    found = suggest(PRIMARY, [one, twin, other], targets=[one])
    assert [evidence.fallback_model for evidence in found] == ["other"]
    assert not suggest(PRIMARY, [one, twin, other], targets=[both])


def test_a_score_stays_between_none_and_all():
    perfect = Offer(
        name="x",
        members=frozenset({("b", "big-1")}),
        domains=frozenset({"south"}),
        facts=facts(100, 5, tools=True),
    )
    assert judge(PRIMARY, perfect).score == 1
    awful = Offer(name="x", domains=PRIMARY.domains, facts=facts(1, 500, tools=False))
    assert judge(PRIMARY, awful).score == 0


def test_the_same_model_comes_before_its_family_and_that_before_strangers_whatever_they_score():
    south = frozenset({"south"})
    able = facts(100, 5, tools=True)
    stranger = Offer(name="a", facts=able, domains=south)
    family = Offer(name="b", facts=facts(50, 5), family="big", domains=south)
    same = Offer(name="c", members=frozenset({("b", "big-1")}), facts=facts(50, 500), domains=south)
    scores = [judge(PRIMARY, offer).score for offer in (stranger, same, family)]
    assert scores == sorted(scores, reverse=True)
    assert names(stranger, family, same) == ["c", "b", "a"]


def test_of_strangers_the_nearest_in_price_comes_first():
    south = frozenset({"south"})
    near, nearer, dear = (
        Offer(name=name, facts=facts(100, price, tools=True), domains=south)
        for name, price in (("a", 7), ("b", 5.5), ("c", 50))
    )
    assert names(near, nearer, dear) == ["b", "a", "c"]


def test_who_is_known_not_to_be_up_to_the_traffic_is_not_proposed():
    offers = [
        Offer(name=name, family="big", facts=known, domains=frozenset({"south"}))
        for name, known in (
            ("lacks", facts(100, tools=True, vision=False)),
            ("short", facts(99, tools=True, vision=True)),
            ("able", facts(100, tools=True, vision=True)),
            ("unknown", facts(None, tools=True)),
        )
    ]
    wants = Wants(needs=frozenset({"vision"}), input_tokens=100)
    found = Market(offers).suggest(PRIMARY, wants=wants)
    assert [evidence.fallback_model for evidence in found] == ["able", "unknown"]
    assert "nobody knows whether it can do what is asked of it: vision" in found[1].reasons
