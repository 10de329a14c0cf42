"""Candidates that cannot take a request: who comes first instead, and what is remembered of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from failover.engine.plan import Plan
from routing.gateway.deciding.features import Features
from routing.gateway.deciding.resolver import resolve
from routing.gateway.deciding.snapshot import CandidateSpec
from routing.gateway.errors import NoCandidate
from routing.gateway.explain.replay import decide_again
from tests.support.builders import pool
from tests.support.planning import World, key

if TYPE_CHECKING:
    from failover.engine.plan import Candidate

pytestmark = pytest.mark.pure

ABC = pool("m", "a/x", "b/x", "c/x")


class Fits:
    """Whom a request does not fit; `asked` are those that were looked at."""

    def __init__(self, **misfits: str) -> None:
        self._misfits = misfits
        self.asked: list[str] = []

    def misfit(self, candidate: Candidate) -> str:
        self.asked.append(candidate.name)
        return self._misfits.get(candidate.provider, "")


def test_the_first_who_can_take_the_request_comes_first_and_the_others_are_not_asked() -> None:
    fits = Fits(a="n", c="n")

    made = World(ABC).plan(fitting=fits)

    assert [c.name for c in made.steps] == ["b/x", "c/x"]
    assert [(e.candidate.name, e.reason) for e in made.rejected] == [("a/x", "unsupported:n")]
    assert made.preferred is made.steps[0]
    assert "c/x" not in fits.asked


def test_the_plan_that_many_requests_share_knows_of_no_misfits() -> None:
    world = World(ABC)

    made = world.plan(fitting=Fits(a="n"))

    assert made.steps[0].name == "b/x"
    assert world.names(fitting=Fits()) == ["a/x", "b/x", "c/x"]
    assert world.plan(fitting=Fits()) is world.plan()


def test_those_who_can_share_a_rotation_evenly() -> None:
    world = World(pool("m", "a/x", "b/x", "c/x", strategy="round_robin"))

    firsts = [world.serve(fitting=Fits(b="n")) for _ in range(12)]

    assert (firsts.count("a/x"), firsts.count("c/x")) == (6, 6)


def test_who_was_only_second_best_for_want_of_fit_is_no_reason_for_a_pin() -> None:
    world = World(pool("m", "a/x", "b/x", "c/x", strategy="weighted_random"))
    first = world.plan(session="s").steps[0].provider

    served = world.serve(session="s", fitting=Fits(**{first: "n"}))

    assert served != f"{first}/x"
    assert len(world.live.pins) == 0


def test_the_last_standing_have_to_fit_too() -> None:
    world = World(ABC)
    for name in ("a/x", "b/x", "c/x"):
        world.bench(name)

    made = world.plan(fitting=Fits(a="n"))

    assert made.last_standing
    assert [c.name for c in made.steps] == ["b/x", "c/x"]


def test_only_one_may_be_tried_and_it_is_one_who_fits() -> None:
    made = World(ABC).plan(no_failover=True, fitting=Fits(a="n"))

    assert [c.name for c in made.steps] == ["b/x"]


def test_nobody_fits_is_the_callers_to_mend_unless_somebody_returns() -> None:
    world = World(pool("m", "a/x", "b/x"))
    with pytest.raises(NoCandidate) as refused:
        world.plan(fitting=Fits(a="n", b="logprobs"))
    error = refused.value
    assert (error.status, error.code, error.param) == (400, "unsupported_parameter", "n")
    assert "'n' or 'logprobs'" in error.message
    assert error.extra is not None
    assert [entry["reason"] for entry in error.extra["rejected"]] == [
        "unsupported:n",
        "unsupported:logprobs",
    ]

    world.bench("b/x", manual=True)
    with pytest.raises(NoCandidate) as refused:
        world.plan(fitting=Fits(a="n"))
    assert refused.value.status == 503


@pytest.mark.parametrize("strategy", ["priority_failover", "round_robin", "weighted_random"])
def test_a_decision_is_made_again_from_what_it_read(strategy: str) -> None:
    candidates = [CandidateSpec(provider=name, model="x", weight=2) for name in "abc"]
    world = World(pool("m", *candidates, strategy=strategy))
    resolution = resolve(world.table, "m")
    features = Features(protocol="openai_chat", key=key())
    world.serve()

    made = world.plan(fitting=Fits(a="n", b="n"))
    again = decide_again(world.table, resolution, features, made.inputs)

    assert isinstance(again, Plan)
    assert again.steps == made.steps
    assert again.rejected == made.rejected
    assert again.inputs == made.inputs
