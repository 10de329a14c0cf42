"""Requests that refer to what one provider keeps."""

from __future__ import annotations

import pytest

from failover.engine.plan import Nobody, Plan, Why
from providers.adapters.spec import CredentialSpec
from providers.protocols.chat import CHAT
from routing.gateway.deciding.binding import bind, label_of, owner_of, remember
from routing.gateway.deciding.features import Features
from routing.gateway.deciding.keys import MASTER, Key
from routing.gateway.deciding.resolver import resolve
from routing.gateway.deciding.snapshot import KeySpec
from routing.gateway.deciding.table import compile_table
from routing.gateway.explain.replay import decide_again
from tests.support.builders import content, pool, provider, snapshot
from tests.support.made_up import PlainRequest
from tests.support.planning import World, key

pytestmark = pytest.mark.pure

KEYS = tuple(CredentialSpec(label=label, secret=label) for label in ("one", "two"))


class Referring(PlainRequest):
    @property
    def state_id(self) -> str:
        return "resp_1"


OURS, ANYBODY = "team\0us", ""
REQUEST = Referring(CHAT, {"model": b'"m"', "say": b'"x"'})


class Kept:
    """A world in which b, by its key two, keeps what REQUEST refers to."""

    def __init__(self, strategy: str = "round_robin") -> None:
        providers = (provider("a"), provider("b", credentials=KEYS))
        self.world = World(pool("m", "a/x", "b/x", strategy=strategy), providers=providers)
        self.resolution = resolve(self.world.table, "m")
        self.remember()

    def remember(self) -> None:
        remember(self.world.live.pins, OURS, "b/two", self.world.clock.now, "resp_1", "")

    def bound(self, owner: str = OURS) -> Plan | Nobody:
        made, live = self.world.plan(), self.world.live
        return bind(made, self.resolution, REQUEST, owner, live, self.world.clock.now)


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


def test_for_another_owner_it_is_what_nobody_has_heard_of() -> None:
    kept, never = Kept(), Kept()
    never.world.clock.now += 31 * 24 * 3600

    theirs, unheard = kept.bound(owner="team\0them"), never.bound()

    assert isinstance(theirs, Nobody)
    assert isinstance(unheard, Nobody)
    assert (theirs.why, theirs.inputs) == (Why.UNKNOWN_STATE, None)
    assert [(e.candidate.name, e.reason, e.returns_in_s) for e in theirs.rejected] == [
        (e.candidate.name, e.reason, e.returns_in_s) for e in unheard.rejected
    ]


@pytest.mark.parametrize(("owner", "is_served"), [(OURS, False), (ANYBODY, True)])
def test_unheard_of_it_goes_to_the_only_account_where_callers_share_ids(
    owner: str, is_served: bool
) -> None:
    world = World(pool("m", "a/x", "a/y"))
    resolution = resolve(world.table, "m")

    made = bind(world.plan(), resolution, REQUEST, owner, world.live, world.clock.now)

    assert isinstance(made, Plan) is is_served
    if isinstance(made, Plan):
        assert [c.name for c in made.steps] == ["a/x"]


def test_the_owner_is_the_team_else_the_key_itself() -> None:
    def owned(name: str, team: str = "", **more: float) -> str:
        spec = KeySpec(name=name, digest=name.encode(), team=team, **more)
        return Key.compile(spec).owner

    assert owned("a", "red") == owned("b", "red")
    assert len({owned("a", "red"), owned("a"), owned("b"), owned("red"), owned("b", "a")}) == 5
    rotated = KeySpec(name="a", digest=b"new", former_digest=b"old", former_until=2e9)
    assert Key.compile(rotated.formerly()).owner == owned("a")
    # The master key, and those that admin's pages make for one request.
    apart = [MASTER.owner, Key(KeySpec(name="master", digest=b"x"), None).owner]
    assert not {*apart} & {owned("master"), owned("master", "master"), owned("apart", "master")}


@pytest.mark.parametrize(("said", "shares"), [("", False), ("0", False), ("true", True)])
def test_callers_share_ids_where_operators_say_so(said: str, shares: bool) -> None:
    environ = {"SHARED_IDS": said}
    table = compile_table(snapshot(content(pool("m", "a/x"))), decrypt=str, environ=environ)

    assert table.shares_ids is shares
    assert (owner_of(MASTER, table) == ANYBODY) is shares


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
