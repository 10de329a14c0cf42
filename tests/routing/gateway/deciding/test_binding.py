"""Requests that refer to what one provider keeps."""

from __future__ import annotations

import pytest

from failover.engine.plan import Nobody, Plan, Why
from providers.adapters.spec import CredentialSpec
from providers.protocols import Request
from providers.protocols.chat import CHAT
from routing.gateway.deciding.binding import bind, label_of, remember
from routing.gateway.deciding.features import Features
from routing.gateway.deciding.resolver import resolve
from routing.gateway.explain.replay import decide_again
from tests.support.builders import pool, provider
from tests.support.made_up import PlainRequest
from tests.support.planning import World, key

pytestmark = pytest.mark.pure

KEYS = tuple(CredentialSpec(label=label, secret=label) for label in ("one", "two"))


class Referring(PlainRequest):
    @property
    def state_id(self) -> str:
        return "resp_1"


REQUEST = Referring(CHAT, {"model": b'"m"', "say": b'"x"'})


class Kept:
    """A world in which b, by its key two, keeps what REQUEST refers to."""

    def __init__(self, strategy: str = "round_robin") -> None:
        providers = (provider("a"), provider("b", credentials=KEYS))
        self.world = World(pool("m", "a/x", "b/x", strategy=strategy), providers=providers)
        self.resolution = resolve(self.world.table, "m")
        self.remember()

    def remember(self) -> None:
        live, now = self.world.live, self.world.clock.now
        remember(live.pins, self.resolution, "openai_chat", "resp_1", "b/two", now)

    def bound(self, request: Request = REQUEST) -> Plan | Nobody:
        made = self.world.plan()
        return bind(made, self.resolution, request, self.world.live, self.world.clock.now)


def test_it_goes_to_its_keeper_by_the_same_key_and_to_nobody_else() -> None:
    made = Kept().bound()

    assert isinstance(made, Plan)
    assert [c.name for c in made.steps] == ["b/x"]
    assert label_of(made) == "two"
    assert [(e.candidate.name, e.reason) for e in made.rejected] == [("a/x", "kept_elsewhere")]
    assert made.preferred is made.steps[0]
    assert (made.commit, made.affinity) == (None, None)


def test_a_keeper_that_sits_out_is_waited_for() -> None:
    kept = Kept()
    kept.world.bench("b/x", 7)

    made = kept.bound()

    assert isinstance(made, Nobody)
    assert made.why is Why.NOBODY
    assert {e.candidate.name: e.reason for e in made.rejected} == {
        "a/x": "kept_elsewhere",
        "b/x": "benched",
    }
    assert made.returns_in_s == pytest.approx(7)


def test_what_nobody_has_heard_of_is_for_nobody() -> None:
    kept = Kept()
    kept.world.clock.now += 31 * 24 * 3600

    made = kept.bound()

    assert isinstance(made, Nobody)
    assert made.why is Why.UNKNOWN_STATE


def test_where_only_one_account_can_keep_it_there_is_nothing_to_remember() -> None:
    world = World(pool("m", "a/x", "a/y"))
    resolution = resolve(world.table, "m")
    now = world.clock.now

    remember(world.live.pins, resolution, "openai_chat", "resp_1", "a/main", now)
    made = bind(world.plan(), resolution, REQUEST, world.live, now)

    assert len(world.live.pins) == 0
    assert isinstance(made, Plan)
    assert [c.name for c in made.steps] == ["a/x"]


def test_an_edit_of_pools_forgets_nothing_of_it() -> None:
    kept = Kept()

    kept.world.live.prune(World(pool("other", "a/x")).table)

    assert isinstance(kept.bound(), Plan)


def test_other_processes_learn_of_it_as_of_sessions() -> None:
    kept, told = Kept(), []
    kept.world.live.pins.changes = told.append
    kept.world.clock.now += 10 * 24 * 3600
    kept.remember()

    assert [(entry.pool, entry.candidate) for entry in told] == [("", "b/two")]


def test_the_decision_is_made_again_from_what_it_read() -> None:
    kept = Kept(strategy="priority_failover")
    made = kept.bound()
    assert isinstance(made, Plan)

    features = Features(protocol="openai_chat", key=key())
    again = decide_again(kept.world.table, kept.resolution, features, made.inputs)

    assert isinstance(again, Plan)
    assert (again.steps, again.rejected, again.inputs) == (made.steps, made.rejected, made.inputs)
