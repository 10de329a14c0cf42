"""What operators switch off, over what the configuration says."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.gateway.deciding.keys import MASTER
from routing.gateway.deciding.snapshot import (
    AliasSpec,
    CandidateSpec,
    Content,
    PoolSpec,
    Snapshot,
    SwitchSpec,
    checksum,
    decode,
    encode,
)
from routing.gateway.deciding.switches import Switches, words_of_switch
from routing.gateway.deciding.table import Table, compile_table
from routing.gateway.errors import NoCandidate
from routing.gateway.explain.overview import OPERATORS, PoolView, aliases_by_pool, view_pool
from routing.gateway.listing import visible_names
from tests.support.builders import pool, provider
from tests.support.planning import World

pytestmark = pytest.mark.pure

AB = pool("m", "a/x", "b/x")
CONTENT = Content(
    providers=(provider("a"), provider("b")),
    pools=(AB, pool("n", "a/x")),
    aliases=(
        AliasSpec(name="own", targets=(CandidateSpec(provider="b", model="y"),)),
        AliasSpec(name="to-n", target="n"),
    ),
)


def off(kind: str, **fields: object) -> SwitchSpec:
    return SwitchSpec(kind=kind, **fields)  # type: ignore[arg-type]


def in_pool(pool_name: str, name: str, **fields: object) -> SwitchSpec:
    of, model = name.split("/")
    return off("pool_candidate", canonical_model=pool_name, provider=of, model=model, **fields)


def with_switches(*switches: SwitchSpec, content: Content = CONTENT) -> Table:
    said = msgspec.structs.replace(content, switches=switches)
    snapshot = Snapshot(generation=1, created_at=0, checksum=checksum(said), content=said)
    return compile_table(decode(encode(snapshot)), decrypt=str, environ={})


def view(table: Table, name: str = "m") -> PoolView:
    world = World(pool("m", "a/x"))
    seen = view_pool(table, name, aliases_by_pool(table), world.live, world.clock.now, Random(1))
    assert seen is not None
    return seen


def reasons(seen: PoolView) -> dict[str, str | None]:
    return {c.name: c.blocked_reason for c in seen.candidates}


def test_a_candidate_is_off_in_its_pool_and_serves_on_in_another():
    table = with_switches(in_pool("m", "a/x"))
    assert reasons(view(table)) == {"a/x": "candidate_disabled", "b/x": None}
    assert reasons(view(table, "n")) == {"a/x": None}


def test_a_provider_is_off_everywhere_and_a_pool_with_all_its_candidates():
    table = with_switches(off("provider", provider="a"))
    assert reasons(view(table)) == {"a/x": "provider_disabled", "b/x": None}
    assert reasons(view(table, "n")) == {"a/x": "provider_disabled"}
    table = with_switches(off("canonical_model", canonical_model="m"))
    assert set(reasons(view(table)).values()) == {"canonical_model_disabled"}
    assert reasons(view(table, "n")) == {"a/x": None}


def test_a_candidate_names_the_widest_switch_that_takes_it_out():
    own, of_pool, of_provider = (
        in_pool("m", "a/x"),
        off("canonical_model", canonical_model="m"),
        off("provider", provider="a"),
    )

    def named(*switches: SwitchSpec) -> SwitchSpec | None:
        return Switches(switches).of_candidate("m", "a", "x")

    assert named() is None
    assert named(own) == own
    assert named(own, of_pool) == of_pool
    assert named(own, of_pool, of_provider) == of_provider


def test_configured_first_and_chosen_are_told_apart_with_the_operators_words():
    seen = view(with_switches(in_pool("m", "a/x", reason="key rotation", until=1_800_000_000.0)))
    assert (seen.config_primary_candidate, seen.effective_candidate) == ("a/x", "b/x")
    assert seen.status == "degraded"
    said = "a/x (the candidate is disabled: key rotation, until 2027-01-15 08:00:00 UTC)"
    assert said in seen.status_reason
    first = seen.candidates[0]
    assert (first.enabled, first.selectable) == (False, False)
    assert first.switch == in_pool("m", "a/x", reason="key rotation", until=1_800_000_000.0)


def test_a_pool_that_is_off_says_why():
    seen = view(with_switches(off("canonical_model", canonical_model="m", reason="too dear")))
    assert (seen.status, seen.enabled) == ("disabled", False)
    assert seen.status_reason == "An operator has disabled the pool: too dear."
    assert seen.effective_candidate is None


def test_the_words_of_a_switch_stand_only_where_it_is_what_keeps_somebody_out():
    content = Content(providers=(provider("a", enabled=False),), pools=(pool("m", "a/x"),))
    table = with_switches(in_pool("m", "a/x", reason="mine"), content=content)
    seen = view(table)
    assert reasons(seen) == {"a/x": "provider_disabled"}
    assert "mine" not in seen.status_reason


PAIRS = [("m", "a/x"), ("m", "b/x"), ("n", "a/x")]
ANY_SWITCH = st.one_of(
    st.sampled_from("ab").map(lambda name: off("provider", provider=name)),
    st.sampled_from("mn").map(lambda name: off("canonical_model", canonical_model=name)),
    st.sampled_from(PAIRS).map(lambda pair: in_pool(*pair)),
)


@given(st.lists(ANY_SWITCH), st.sampled_from(["m", "n", "m,n", "to-n", "own", "a/x", "n,m"]))
def test_whoever_is_switched_off_is_in_no_plan(switches, name):
    steps, reasons_of_others = asked(with_switches(*switches), name)
    assert reasons_of_others <= OPERATORS
    assert steps or switches
    for switch in switches:
        if switch.kind == "provider":
            assert not any(step.startswith(f"{switch.provider}/") for step in steps)
        elif switch.canonical_model in name.split(","):
            gone = {n for p, n in PAIRS if p == switch.canonical_model}
            if switch.kind == "pool_candidate":
                gone = {f"{switch.provider}/{switch.model}"}
            others = {n for p, n in PAIRS if p != switch.canonical_model and p in name.split(",")}
            assert not steps & (gone - others)


def asked(table: Table, name: str) -> tuple[set[str], set[str]]:
    """Whom the plan for `name` tries, and why it leaves out the others."""
    world = World(AB)
    world.table = table
    try:
        made = world.plan(name)
    except NoCandidate as error:
        return set(), {entry.reason for entry in error.nobody.rejected}
    return {c.name for c in made.steps}, {entry.reason for entry in made.rejected}


def test_names_that_operators_leave_nobody_for_are_not_listed():
    assert visible_names(with_switches(), MASTER) == ["m", "n", "own", "to-n"]
    assert visible_names(with_switches(in_pool("n", "a/x")), MASTER) == ["m", "own"]
    assert visible_names(with_switches(off("provider", provider="b")), MASTER) == [
        "m", "n", "to-n",
    ]  # fmt: skip
    table = with_switches(off("canonical_model", canonical_model="m"))
    assert visible_names(table, MASTER) == ["n", "own", "to-n"]


def test_names_that_nothing_has_any_more_switch_nothing():
    switches = [
        off("provider", provider="gone"),
        off("canonical_model", canonical_model="gone"),
        in_pool("gone", "a/x"),
        in_pool("m", "a/gone"),
        in_pool("m", "gone/x"),
    ]
    assert Switches(switches).over(CONTENT) == CONTENT


def test_what_no_switch_names_is_the_same_object():
    content = Switches([in_pool("m", "a/x")]).over(CONTENT)
    assert content.pools[1] is CONTENT.pools[1]
    assert content.providers is CONTENT.providers
    assert Switches().over(CONTENT) is CONTENT


def test_a_switch_changes_nothing_else_of_what_it_takes_out():
    changed = Switches([in_pool("m", "a/x")]).over(CONTENT).pools[0]
    assert changed == PoolSpec(
        name="m",
        candidates=(
            CandidateSpec(provider="a", model="x", enabled=False),
            CandidateSpec(provider="b", model="x"),
        ),
    )


def test_the_words_of_a_switch_are_its_reason_and_its_end():
    assert words_of_switch(off("provider")) == ""
    assert words_of_switch(off("provider", reason="r")) == "r"
    assert words_of_switch(off("provider", until=0.0)) == "until 1970-01-01 00:00:00 UTC"
