"""Merging of benches: whatever comes late, comes twice or comes from elsewhere."""

from functools import reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from failover.engine.bench_entries import by_hand, newer, released
from failover.engine.policy import BenchPolicy
from tests.support.benching import KEY, POLICY, fail
from tests.support.builders import WALL, FakeClock, bench_entry, benches

pytestmark = pytest.mark.pure

WORDS = st.sampled_from(["", "a", "b"])
ENTRIES = st.builds(
    bench_entry,
    until=st.sampled_from([WALL + s for s in (10, 20, 30)]),
    since=st.sampled_from([WALL, WALL + 1]),
    epoch=st.integers(0, 2),
    released=st.booleans(),
    count=st.integers(1, 2),
    reason=WORDS,
    sample_error=WORDS,
    request_id=WORDS,
    by=WORDS,
    status=st.sampled_from([None, 0, 500]),
    stated=st.booleans(),
    starts=st.sampled_from([(), (WALL,)]),
)


@given(ENTRIES, ENTRIES)
def test_merging_is_commutative(a, b):
    assert newer(a, b) == newer(b, a)


@given(ENTRIES, ENTRIES, ENTRIES)
def test_merging_is_associative(a, b, c):
    assert newer(newer(a, b), c) == newer(a, newer(b, c))


@given(ENTRIES, ENTRIES)
def test_merging_is_idempotent(a, b):
    merged = newer(a, b)
    assert newer(merged, merged) == newer(merged, a) == newer(merged, b) == merged


@given(st.lists(ENTRIES, min_size=1, max_size=6), ENTRIES)
def test_merging_is_monotone(entries, late):
    before = reduce(newer, entries)
    after = newer(before, late)
    assert after.epoch >= before.epoch
    if after.epoch == before.epoch:
        assert after.released >= before.released
        if after.released == before.released:
            assert after.until >= before.until


@settings(max_examples=50)
@given(st.lists(ENTRIES, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_processes_that_heard_the_same_in_any_order_any_number_of_times_agree(entries, dice):
    clock = FakeClock()
    here, there = benches(clock), benches(clock)
    here.merge(entries, clock.now)
    again = [*entries, *dice.choices(entries, k=4)]
    dice.shuffle(again)
    for entry in again:
        there.merge([entry], clock.now)
    assert here.told(clock.now) == there.told(clock.now)


STEPS = st.lists(
    st.tuples(st.sampled_from(["fail", "succeed", "mend", "wait", "tell"]), st.booleans()),
    max_size=30,
)


@settings(max_examples=30)
@given(STEPS)
def test_whatever_traffic_does_apart_an_operators_bench_holds_when_they_meet(steps):
    clock = FakeClock()
    apart, told = benches(clock), []
    apart.changes = told.append
    for step, is_long in steps:
        if step == "fail":
            fail(apart, clock, times=3)
        elif step == "succeed":
            apart.succeeded((KEY,), POLICY.window_s, clock.now, began=clock.now)
        elif step == "mend":
            apart.release_mended("one", None, clock.now)
        elif step == "wait":
            clock.now += 30 if is_long else 1
    here = benches(clock)
    until = clock.wall() + 600
    here.bench(bench_entry(until=until, manual=True, reason="invoice"), clock.now)
    for entry in [*told, *apart.told(clock.now)]:
        here.merge([entry], clock.now)
    apart.merge(here.told(clock.now), clock.now)
    for side in (here, apart):
        assert side.holding(KEY, clock.now).reason == "invoice"
        assert side.returns_in(KEY, clock.now) >= 599


def test_of_two_operators_who_did_not_hear_of_each_other_the_last_word_holds():
    first = by_hand(None, bench_entry(until=WALL + 600, reason="mine"), WALL)
    second = released(first, WALL + 1, by="second", reason="no")
    third = by_hand(first, bench_entry(until=WALL + 60, reason="mine after all"), WALL + 2)
    assert newer(second, third) == newer(third, second) == third
    last = released(first, WALL + 3, by="fourth", reason="enough")
    assert newer(third, last) == newer(last, third) == last


def test_an_operators_clock_that_stands_behind_still_answers_what_it_saw():
    seen = by_hand(None, bench_entry(until=WALL + 600), WALL + 60)
    word = released(seen, WALL, by="slow", reason="")
    assert newer(seen, word) == word


def test_a_release_is_remembered_for_as_long_as_the_bench_that_it_ended():
    year_s = 365 * 86400
    seen = by_hand(None, bench_entry(until=WALL + year_s), WALL)
    word = released(seen, WALL + 1, by="me", reason="")
    assert not word.is_over(WALL + year_s)
    assert word.is_over(WALL + year_s + 3600)
    assert not word.holds(WALL + 2)


def test_traffics_bench_holds_on_under_an_operators_shorter_one():
    clock = FakeClock()
    b = benches(clock)
    b.merge([bench_entry(until=clock.wall() + 100)], clock.now)
    b.bench(bench_entry(until=clock.wall() + 10, manual=True), clock.now)
    assert b.holding(KEY, clock.now).manual
    assert [e.manual for e in b.entries(clock.now)] == [False, True]
    clock.now += 11
    assert not b.holding(KEY, clock.now).manual
    assert b.returns_in(KEY, clock.now) == pytest.approx(89)


def test_growth_goes_on_where_a_bench_was_read_from_elsewhere():
    clock = FakeClock()
    there, told = benches(clock), []
    there.changes = told.append
    patient = BenchPolicy(max_outage_s=600)
    for _ in range(3):
        fail(there, clock, times=3, policy=patient)
        clock.now += there.returns_in(KEY, clock.now) + 0.1
    here = benches(clock)
    here.merge(told[-1:], clock.now)
    fail(here, clock, policy=patient)
    assert 64 <= here.returns_in(KEY, clock.now) <= 96
    assert len(here.entries(clock.now)[0].starts) == 4


def test_a_release_by_hand_takes_growth_away_elsewhere_too():
    clock = FakeClock()
    here, there = benches(clock), benches(clock)
    here.changes = lambda entry: there.merge([entry], clock.now)
    fail(here, clock, times=3)
    here.release(KEY, clock.now)
    fail(there, clock, times=3)
    assert there.returns_in(KEY, clock.now) <= 12


def test_a_bench_that_nobody_tried_for_an_hour_is_forgotten_by_everybody():
    clock = FakeClock()
    b = benches(clock)
    fail(b, clock, times=3)
    entry = b.entries(clock.now)[0]
    clock.now += 3700
    b.subjects(clock.now)
    assert b.is_empty
    b.merge([entry, replace(entry, epoch=9)], clock.now)
    assert b.is_empty


def test_a_board_of_twenty_thousand_benches_is_merged_in_one_go():
    """What grew with the square of their number would take minutes here."""
    clock = FakeClock()
    b = benches(clock)
    b.merge([bench_entry(f"one/{n}", until=clock.wall() + 60) for n in range(20_000)], clock.now)
    assert len(b.subjects(clock.now)) == 20_000
