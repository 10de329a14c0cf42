"""What becomes of suggestions from one look to the next."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from controlplane.advice.finding.values import Ground, Proposal, Step
from controlplane.advice.keeping import DISMISSED_FOR, KEPT_FOR, MOST_OPEN, keep
from controlplane.advice.models import Suggestion
from tests.controlplane.advice.seeded import NOW

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def proposal(about: str = "one", **fields) -> Proposal:
    step = Step(object="pool", name=about, field="rpm", old=None, new=5, candidate="a/x")
    usual = {
        "kind": "limit", "target": about, "about": about, "text": "Limit it.", "steps": (step,),
        "grounds": (Ground(text="It is limited."),), "confidence": 0.8,
    }  # fmt: skip
    return Proposal(**{**usual, **fields})


def states() -> list[str]:
    return list(Suggestion.objects.order_by("pk").values_list("state", flat=True))


def test_what_is_found_again_is_renewed_and_stays_the_same_row():
    keep([proposal()], NOW)
    kept = keep([proposal(confidence=0.9)], NOW + HOUR)
    (row,) = Suggestion.objects.all()
    assert (kept.opened, kept.renewed) == (0, 1)
    assert (row.confidence, row.created_at) == (0.9, NOW)
    assert row.expires_at > NOW + HOUR


def test_looking_twice_at_once_changes_nothing():
    keep([proposal(), proposal()], NOW)
    before = Suggestion.objects.values().get()
    keep([proposal()], NOW)
    assert Suggestion.objects.values().get() == before


def test_what_is_no_longer_found_expires_and_may_open_again():
    keep([proposal()], NOW)
    assert keep([], NOW + HOUR).expired == 1
    assert states() == ["expired"]
    keep([proposal()], NOW + 2 * HOUR)
    assert Suggestion.objects.get().created_at == NOW + 2 * HOUR
    assert states() == ["open"]


def test_what_was_dismissed_is_not_proposed_again_before_a_month_is_over():
    keep([proposal()], NOW)
    Suggestion.objects.update(state="dismissed", reason="no", decided_at=NOW)
    keep([proposal()], NOW + DISMISSED_FOR - HOUR)
    assert states() == ["dismissed"]
    assert Suggestion.objects.get().reason == "no"
    keep([proposal()], NOW + DISMISSED_FOR)
    assert states() == ["open"]


def test_what_was_accepted_has_a_day_to_show_and_stays_as_it_is_beside_a_new_one():
    keep([proposal()], NOW)
    Suggestion.objects.update(state="accepted", decided_at=NOW, outcome={"text": "better"})
    keep([proposal()], NOW + 23 * HOUR)
    assert states() == ["accepted"]
    keep([proposal()], NOW + 25 * HOUR)
    keep([proposal()], NOW + 26 * HOUR)
    assert states() == ["accepted", "open"]
    assert Suggestion.objects.get(state="accepted").outcome == {"text": "better"}


def test_the_surest_are_kept_where_there_are_too_many():
    many = [proposal(f"p{n}", confidence=0.5) for n in range(MOST_OPEN + 5)]
    keep(many, NOW)
    kept = keep([*many, proposal("sure", confidence=0.9)], NOW + HOUR)
    assert kept.left_out == 6
    assert "6 left out" in str(kept)
    assert Suggestion.objects.filter(state="open").count() == MOST_OPEN
    assert Suggestion.objects.filter(state="open", target="sure").exists()


def test_a_look_that_breaks_off_leaves_nothing_half_done():
    keep([proposal()], NOW)
    broken = replace(proposal("two"), price_change="high")  # what no column takes
    with pytest.raises(Exception, match="high"):
        keep([proposal("three", confidence=1), broken], NOW + HOUR)
    assert [row.target for row in Suggestion.objects.all()] == ["one"]
    assert states() == ["open"]


def test_what_was_decided_long_ago_is_forgotten():
    keep([proposal()], NOW)
    keep([], NOW + HOUR)
    keep([], NOW + KEPT_FOR + timedelta(days=2))
    assert states() == []
