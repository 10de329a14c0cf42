"""Sessions: the same choice everywhere, and pins for those who moved."""

import json
import subprocess
import sys
from collections import Counter
from random import Random

import pytest

from failover.engine.plan import Affinity
from failover.engine.policy import FailoverPolicy
from failover.engine.rendezvous import hash_of
from providers.adapters.spec import CredentialSpec, ModelFacts
from routing.gateway.deciding.affinity import PinEntry, Pins, session_of
from routing.gateway.deciding.keys import Key
from routing.gateway.deciding.resolver import resolve
from routing.gateway.deciding.snapshot import (
    AliasSpec,
    CandidateSpec,
    KeySpec,
    RoutingDefaults,
    RuleSpec,
    SwitchSpec,
)
from routing.gateway.deciding.strategies import STRATEGIES
from tests.support.builders import FakeClock, pool, provider
from tests.support.planning import World, weighted
from tests.support.sessions import SESSIONS, WEIGHTS, choices, five
from tests.support.wire import parse

TAKING = sorted(name for name, strategy in STRATEGIES.items() if strategy.takes_sessions)

CHOICES = """
import json, sys
from failover.engine.rendezvous import hash_of
from routing.gateway.deciding.affinity import by_session
from tests.support.sessions import SESSIONS, choices, five
print(json.dumps([choices(five()), choices(five())]))
"""


def test_four_tables_in_two_processes_choose_alike_for_ten_thousand_sessions():
    done = subprocess.run(
        [sys.executable, "-c", CHOICES], capture_output=True, timeout=60, check=True
    )
    mine = [choices(five()), choices(five())]
    assert [*mine, *json.loads(done.stdout)] == [mine[0]] * 4


@pytest.mark.pure
def test_shares_of_sessions_are_within_three_points_of_the_weights():
    shares = Counter(choices(five()))
    total = sum(WEIGHTS.values())
    for name, weight in WEIGHTS.items():
        assert abs(shares[name] / len(SESSIONS) - weight / total) < 0.03


@pytest.mark.pure
def test_taking_one_out_moves_only_its_own_sessions_and_spreads_them():
    before, after = choices(five()), choices(five("c/x"))
    moved = [(b, a) for b, a in zip(before, after, strict=True) if a != b]
    assert {b for b, _ in moved} == {"c/x"}
    assert len(moved) == before.count("c/x")
    assert {a for _, a in moved} == set(WEIGHTS) - {"c/x"}


@pytest.mark.pure
def test_a_bench_moves_a_candidates_own_sessions_and_its_return_moves_none_of_them_back():
    world = five()
    sessions = SESSIONS[:500]
    before = {session: world.serve(session=session) for session in sessions}
    world.bench("c/x", 600)
    during = {session: world.serve(session=session) for session in sessions}
    assert {s for s in sessions if before[s] != during[s]} == {
        s for s in sessions if before[s] == "c/x"
    }
    world.release("c/x")
    assert {session: world.serve(session=session) for session in sessions} == during
    fresh = [world.serve(session=session) for session in SESSIONS[500:1500]]
    assert "c/x" in fresh


pure = pytest.mark.pure


@pure
@pytest.mark.parametrize("strategy", TAKING)
def test_a_session_stays_where_it_is_under_every_strategy_that_balances(strategy):
    world = weighted(1, 2, 3, 4, strategy=strategy)
    rng = Random(3)
    for session in SESSIONS[:20]:
        assert len({world.serve(session=session, rng=rng) for _ in range(5)}) == 1
    assert len({world.serve(session=session, rng=rng) for session in SESSIONS[:40]}) == 4


@pure
@pytest.mark.parametrize("strategy", ["priority_failover", "fill_first"])
def test_a_session_means_nothing_to_strategies_that_go_by_the_list(strategy):
    world = weighted(1, 2, 3, strategy=strategy)
    assert {world.serve(session=session) for session in SESSIONS[:50]} == {"a/x"}
    assert len(world.live.pins) == 0


@pure
def test_round_robin_ignores_weights_for_sessions_too():
    world = weighted(1, 9, strategy="round_robin")
    shares = Counter(world.names(session=session)[0] for session in SESSIONS[:2000])
    assert shares["a/x"] == pytest.approx(1000, abs=100)


@pure
def test_affinity_can_be_switched_off_for_all_and_for_one_pool():
    own = weighted(1, 1, session_affinity=False)
    assert {own.serve(session="s") for _ in range(2)} == {"a/x", "b/x"}
    specs = [CandidateSpec(provider=name, model="x") for name in "ab"]
    off = RoutingDefaults(strategy="round_robin", session_affinity=False)
    world = World(pool("m", *specs), defaults=off)
    assert {world.serve(session="s") for _ in range(2)} == {"a/x", "b/x"}


@pure
def test_a_choice_by_session_moves_no_rotation():
    world = weighted(3, 1)
    assert world.plan(session="s").commit is None
    assert world.live.rotations == {}


@pure
def test_the_other_candidates_follow_in_the_order_in_which_the_session_would_move():
    world = five()
    names = world.names(session="s")
    world.bench(names[0], 600)
    assert world.names(session="s") == names[1:]


@pure
def test_a_session_goes_into_the_best_tier_that_has_anyone_left():
    specs = [CandidateSpec(provider=n, model="x", priority=1 + (n > "b")) for n in "abcd"]
    world = World(pool("m", *specs, strategy="weighted_random"))
    for session in SESSIONS[:20]:
        assert {name[0] for name in world.names(session=session)[:2]} == {"a", "b"}
    world.bench("a/x")
    world.bench("b/x")
    assert {world.names(session=session)[0] for session in SESSIONS[:20]} == {"c/x", "d/x"}


# Pins


@pure
def test_a_session_whose_choice_failed_stays_with_who_served():
    world = five()
    second = world.names(session="s")[1]
    world.serve(session="s", by=second)
    made = world.plan(session="s")
    assert made.steps[0].name == second
    assert made.preferred.name == second
    assert made.inputs.pin == second
    assert {c.name for c in made.steps} == set(WEIGHTS)
    assert world.names(session="other")[0] == five().names(session="other")[0]


@pure
def test_a_session_that_is_served_by_its_own_choice_leaves_no_pin():
    world = five()
    for session in SESSIONS[:100]:
        world.serve(session=session)
    assert len(world.live.pins) == 0


@pure
def test_a_pin_yields_at_once_to_a_bench_and_the_session_moves_on():
    world = five()
    first, second, *_ = world.names(session="s")
    world.serve(session="s", by=second)
    world.bench(second)
    assert world.serve(session="s") == first
    world.release(second)
    assert world.names(session="s")[0] == first


@pure
def test_a_pin_yields_to_an_operators_switch():
    specs = [CandidateSpec(provider=n, model="x", enabled=n != "b") for n in "abc"]
    world = World(pool("m", *specs, strategy="weighted_random"))
    world.live.pins.merge(
        [PinEntry(pool="m", session=hash_of("s"), candidate="b/x", used_at=2e9, ttl_s=60)],
        world.clock.now,
    )
    assert "b/x" not in world.names(session="s")


def switched(*names: str, **changes):
    """A world with a pool "m" of a/x … d/x, in which an operator has switched `names` off."""
    switches = tuple(
        SwitchSpec(kind="pool_candidate", canonical_model="m", provider=name, model="x")
        for name in names
    )
    members = [f"{name}/x" for name in "abcd"]
    return World(pool("m", *members, **changes), switches=switches)


@pure
@pytest.mark.parametrize(
    "strategy", ["weighted_round_robin", "weighted_random", "lowest_latency", "least_busy"]
)
def test_a_session_that_a_switch_moved_stays_moved_when_the_switch_is_gone(strategy):
    before, during, after = switched(strategy=strategy), switched("b", strategy=strategy), None
    sessions = [f"s{number}" for number in range(60)]
    homes = {session: before.names(session=session)[0] for session in sessions}
    moved = {s: during.serve(session=s) for s in sessions}
    assert any(home == "b/x" for home in homes.values())
    assert all(moved[s] == home for s, home in homes.items() if home != "b/x")

    after = switched(strategy=strategy)
    after.live = during.live

    assert {s: after.names(session=s)[0] for s in sessions} == moved
    assert len(after.live.pins) == sum(home == "b/x" for home in homes.values())


@pure
def test_a_switch_does_not_count_as_a_failover():
    made = switched("a", strategy="weighted_random").plan(session="s")
    assert made.preferred is made.steps[0]


@pure
def test_a_pool_that_stays_after_a_failover_stays_after_a_switch_too():
    during = switched("a", stay_after_failover=True)
    assert during.serve() == "b/x"
    after = switched(stay_after_failover=True)
    after.live = during.live
    assert after.names() == ["b/x", "a/x", "c/x", "d/x"]


@pure
def test_a_pin_yields_to_saturation():
    specs = [CandidateSpec(provider=n, model="x", max_parallel=1) for n in "ab"]
    world = World(pool("m", *specs, strategy="weighted_random"))
    first, second = world.names(session="s")
    world.serve(session="s", by=second)
    world.live.loads.begin(world.plan(session="s").steps[0], 0, world.clock.now)
    assert world.names(session="s") == [first]
    assert world.reasons(session="s") == {second: "saturated"}


@pure
def test_an_idle_pin_is_forgotten_after_its_pools_time_and_a_used_one_is_not():
    world = five(session_affinity_ttl_s=100)
    first, second, *_ = world.names(session="s")
    world.serve(session="s", by=second)
    for _ in range(3):
        world.clock.now += 60
        assert world.serve(session="s") == second
    world.clock.now += 101
    assert world.names(session="s")[0] == first


@pure
def test_a_request_that_was_planned_before_the_session_moved_does_not_move_it_back():
    world = five()
    before = world.plan(session="s")
    first, second = before.steps[:2]
    world.serve(session="s", by=second.name)
    world.live.served(before, first, world.clock.now)
    assert world.names(session="s")[0] == second.name


@pure
def test_a_request_that_does_not_fit_the_pinned_one_does_not_unpin_the_session():
    facts = {"x": ModelFacts(context_window=100)}
    providers = [provider(n, facts=facts if n == "b" else {}) for n in "ab"]
    specs = [CandidateSpec(provider=n, model="x") for n in "ab"]
    world = World(pool("m", *specs, strategy="weighted_random"), providers=tuple(providers))
    session = next(s for s in SESSIONS if world.names(session=s)[0] == "a/x")
    world.serve(session=session, by="b/x")
    assert world.serve(session=session, input_tokens=101) == "a/x"
    assert world.serve(session=session, input_tokens=1) == "b/x"


@pure
def test_a_wish_for_a_provider_wins_over_a_pin_and_leaves_it_alone():
    world = five()
    first, second, *_ = world.names(session="s")
    world.serve(session="s", by=second)
    assert world.serve(session="s", preferred_provider=first[0]) == first
    assert world.names(session="s")[0] == second


@pure
def test_a_rules_target_is_never_pinned():
    specs = [CandidateSpec(provider=n, model="x") for n in "ab"]
    world = World(
        pool("m", *specs, strategy="weighted_random"),
        pool("n", "c/x"),
        rules=(RuleSpec(primary="m", fallbacks=("n",)),),
    )
    world.serve(session="s", by="c/x")
    assert len(world.live.pins) == 0
    assert world.names(session="s")[-1] == "c/x"


@pure
def test_pools_have_pins_of_their_own():
    specs = [CandidateSpec(provider=n, model="x") for n in "ab"]
    world = World(*(pool(n, *specs, strategy="weighted_random") for n in ("m", "n")))
    first, second = world.names(session="s")
    world.serve(session="s", by=second)
    assert world.names("n", session="s")[0] == first


@pure
def test_a_pool_that_stays_after_a_failover_stays_for_everybody_until_that_one_fails():
    world = World(pool("m", "a/x", "b/x", "c/x", stay_after_failover=True))
    assert world.serve() == "a/x"
    world.bench("a/x", 10)
    assert world.serve() == "b/x"
    world.clock.now += 3
    world.release("a/x")
    made = world.plan(session="anyone")
    assert [c.name for c in made.steps] == ["b/x", "a/x", "c/x"]
    assert made.preferred.name == "b/x"
    world.bench("b/x", 10)
    assert world.serve() == "a/x"
    world.clock.now += 11
    assert world.serve() == "a/x"


@pure
def test_a_pool_goes_back_to_its_primary_unless_it_says_that_it_stays():
    world = World(pool("m", "a/x", "b/x"))
    world.bench("a/x", 10)
    assert world.serve() == "b/x"
    world.release("a/x")
    assert world.serve() == "a/x"


@pure
def test_a_pool_without_failover_keeps_to_the_pin():
    off = FailoverPolicy(enabled=False)
    specs = [CandidateSpec(provider=n, model="x") for n in "ab"]
    world = World(pool("m", *specs, strategy="weighted_random", failover=off))
    (first,) = world.names(session="s")
    world.bench(first)
    (second,) = world.names(session="s")
    world.serve(session="s")
    world.release(first)
    assert world.names(session="s") == [second]
    assert world.reasons(session="s") == {first: "failover_disabled"}


# The memory of pins


def affinity(session=1, natural="a/x", pinned="", ttl_s=60.0):
    members = frozenset({"a/x", "b/x", "c/x"})
    return Affinity(
        pool="m", session=session, natural=natural, pinned=pinned, ttl_s=ttl_s, members=members
    )


def pins(limit=50_000):
    clock = FakeClock()
    return Pins(wall=clock.wall, limit=limit), clock


@pure
def test_of_too_many_pins_the_longest_unused_go():
    memory, _ = pins(limit=3)
    for session in (1, 2, 3):
        memory.note(affinity(session), "b/x", session)
    memory.note(affinity(1), "b/x", 4)
    memory.note(affinity(4), "b/x", 5)
    held = [session for session in (1, 2, 3, 4) if memory.get("m", session, 5)]
    assert held == [1, 3, 4]
    assert len(memory) == 3


@pure
def test_others_hear_of_a_pin_of_its_end_and_now_and_then_that_it_is_used():
    memory, clock = pins()
    heard = []
    memory.changes = heard.append
    now = clock.now
    memory.note(affinity(), "b/x", now)
    memory.note(affinity(), "b/x", now + 1)
    memory.note(affinity(), "b/x", now + 20)
    memory.note(affinity(pinned="b/x"), "a/x", now + 21)
    assert [entry.candidate for entry in heard] == ["b/x", "b/x", ""]


@pure
def test_pins_of_other_processes_are_taken_over_whatever_their_order():
    one, clock = pins()
    heard = []
    one.changes = heard.append
    for session, served in ((1, "b/x"), (2, "b/x"), (1, "c/x")):
        clock.now += 1
        one.note(affinity(session), served, clock.now)
    clock.now += 1
    one.note(affinity(2, pinned="b/x"), "a/x", clock.now)
    for entries in (heard, heard[::-1], heard * 2):
        other, its_clock = pins()
        its_clock.now = clock.now
        other.merge(entries, clock.now)
        assert other.get("m", 1, clock.now) == "c/x"
        assert other.get("m", 2, clock.now) == ""


@pure
def test_a_pin_that_is_told_of_too_late_is_not_taken():
    memory, clock = pins()
    old = PinEntry(pool="m", session=1, candidate="b/x", used_at=clock.wall() - 61, ttl_s=60)
    memory.merge([old], clock.now)
    assert len(memory) == 0


@pure
def test_a_clock_that_is_ahead_does_not_make_a_pin_immortal():
    memory, clock = pins()
    ahead = PinEntry(pool="m", session=1, candidate="b/x", used_at=clock.wall() + 1e6, ttl_s=60)
    memory.merge([ahead], clock.now)
    assert memory.get("m", 1, clock.now + 59) == "b/x"
    assert memory.get("m", 1, clock.now + 61) == ""


@pure
def test_the_pins_that_hold_can_be_listed():
    memory, clock = pins()
    memory.note(affinity(1), "b/x", clock.now)
    memory.note(affinity(2, ttl_s=1), "b/x", clock.now)
    clock.now += 5
    assert [(e.session, e.candidate) for e in memory.entries(clock.now)] == [(1, "b/x")]


@pure
def test_pins_of_pools_that_are_gone_are_forgotten():
    world = five()
    second = world.names(session="s")[1]
    world.serve(session="s", by=second)
    world.live.prune(world.table)
    assert len(world.live.pins) == 1
    world.live.prune(World(pool("n", "a/x")).table)
    assert len(world.live.pins) == 0


# Who is talking


def asked(headers=(), path="/team/a", affinity_key=None, **fields):
    world = five(affinity_key=affinity_key)
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    request = parse("openai_chat", json.dumps(body).encode())
    key = Key.compile(KeySpec(name="k", digest=b"", user_path=path))
    return session_of(dict(headers), request, key, resolve(world.table, "m"))


@pure
def test_a_session_is_named_by_the_header_before_the_bodys_fields_in_their_order():
    fields = {"prompt_cache_key": "p", "safety_identifier": "i", "user": "u"}
    assert asked([(b"x-switchyard-session", b"h")], **fields) == hash_of("h")
    for field, word in fields.items():
        rest = dict(list(fields.items())[list(fields).index(field) :])
        assert asked(**rest) == hash_of(word)


@pure
def test_what_coding_agents_say_of_themselves_counts_after_our_header_and_before_the_body():
    agents = ["x-session-affinity", "x-session-id", "session-id"]
    agents += ["session_id", "x-claude-code-session-id"]
    headers = [(name.encode(), name.encode()) for name in reversed(agents)]
    for name in agents:
        assert asked(headers, user="u") == hash_of(name)
        headers = [(given, word) for given, word in headers if given != name.encode()]
    assert asked([(b"session-id", b"s"), (b"x-switchyard-session", b"h")]) == hash_of("h")


@pure
def test_nobody_is_talking_where_nobody_says_so_whatever_the_request_id():
    assert asked() is None
    assert asked([(b"x-request-id", b"r"), (b"x-switchyard-session", b"")], user="") is None


@pure
def test_a_keys_user_path_counts_only_where_the_pool_says_so_and_last():
    assert asked(affinity_key="user_path") == hash_of("/team/a")
    assert asked(affinity_key="user_path", user="u") == hash_of("u")
    assert asked(affinity_key="user_path", path="") is None


# What a resolution needs to know of it


@pure
def test_who_is_talking_is_looked_for_only_where_it_matters():
    assert resolve(five().table, "m").takes_sessions
    assert not resolve(five(session_affinity=False).table, "m").takes_sessions
    assert not resolve(World(pool("m", "a/x")).table, "m").takes_sessions
    two = tuple(CredentialSpec(label=n, secret=n) for n in ("one", "two"))
    world = World(pool("m", "a/x"), providers=(provider("a", credentials=two),))
    assert resolve(world.table, "m").takes_sessions


@pure
def test_an_alias_with_targets_of_its_own_has_affinity_too():
    targets = tuple(CandidateSpec(provider=n, model="x") for n in "ab")
    alias = AliasSpec(name="own", strategy="round_robin", targets=targets)
    world = World(pool("m", "a/x", "b/x"), aliases=(alias,))
    assert len({world.serve("own", session="s") for _ in range(6)}) == 1
