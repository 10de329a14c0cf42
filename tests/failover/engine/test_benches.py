"""Benches: windows, lengths, half-open, merging."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failover.engine.bench_rules import Window
from failover.engine.benches import Benches, newer
from failover.engine.policy import BenchPolicy
from providers.errors import Fault
from tests.support.benching import KEY, POLICY, fail
from tests.support.builders import FakeClock, bench_entry, benches

pytestmark = pytest.mark.pure

CREDENTIAL = ("one/*", "main")


def test_two_failures_bench_nobody_and_the_third_does():
    clock = FakeClock()
    b = benches(clock)
    fail(b, clock, times=2)
    assert b.holding(KEY, clock.now) is None
    fail(b, clock)
    assert b.holding(KEY, clock.now) is not None


def test_failures_that_are_a_small_share_of_the_traffic_bench_nobody():
    clock = FakeClock()
    b = benches(clock)
    for _ in range(10):
        b.succeeded((KEY,), POLICY.window_s, clock.now, began=clock.now)
    fail(b, clock, times=9)
    assert b.holding(KEY, clock.now) is None
    fail(b, clock)
    assert b.holding(KEY, clock.now) is not None


def test_another_length_of_the_window_counts_from_the_next_failure():
    clock = FakeClock()
    b = benches(clock)
    b.succeeded((KEY,), POLICY.window_s, clock.now, began=clock.now)
    fail(b, clock)
    longer = BenchPolicy(window_s=10 * POLICY.window_s)
    for _ in range(3):
        assert b.holding(KEY, clock.now) is None
        clock.now += 2 * POLICY.window_s
        fail(b, clock, policy=longer)
    assert b.holding(KEY, clock.now) is not None


def test_failures_outside_the_window_are_forgotten():
    clock = FakeClock()
    b = benches(clock)
    fail(b, clock, times=2)
    clock.now += POLICY.window_s + 10
    fail(b, clock)
    assert b.holding(KEY, clock.now) is None


def test_a_bench_lasts_its_cooldown_within_a_fifth():
    clock = FakeClock()
    b = benches(clock)
    fail(b, clock, times=3)
    assert 8 <= b.returns_in(KEY, clock.now) <= 12


def lengths_of(b, clock, fault, key, count):
    """The lengths of `count` benches, each of which is made right after the last one's end."""
    lengths = []
    for _ in range(count):
        while not b.returns_in(key, clock.now):
            fail(b, clock, fault, key, status=None)
        lengths.append(b.returns_in(key, clock.now))
        clock.now += lengths[-1] + 0.1
    return lengths


def test_each_further_bench_lasts_twice_as_long_up_to_the_maximum():
    clock = FakeClock()
    b = benches(clock)
    lengths = lengths_of(b, clock, Fault.RATE_LIMITED, CREDENTIAL, 8)
    for k, length in enumerate(lengths):
        base = min(10 * 2**k, 600)
        assert base * 0.8 <= length <= min(base * 1.2, 600)


OUTAGES = {
    Fault.CONNECT: 10,
    Fault.RESET: 10,
    Fault.TIMEOUT: 10,
    Fault.STATUS: 10,
    Fault.OVERLOADED: 5,
    Fault.CONFIG: 10,
    Fault.BAD_REPLY: 10,
    Fault.BAD_STREAM: 10,
    Fault.INTERRUPTED: 10,
}


@pytest.mark.parametrize(("fault", "first"), OUTAGES.items())
def test_a_bench_of_an_outage_is_never_longer_than_max_outage_s(fault, first):
    clock = FakeClock()
    b = benches(clock)
    lengths = lengths_of(b, clock, fault, KEY, 8)
    for k, length in enumerate(lengths):
        base = min(first * 2**k, 20)
        assert base * 0.8 <= length <= min(base * 1.2, 20)


@pytest.mark.parametrize(
    "fault",
    [Fault.RATE_LIMITED, Fault.QUOTA, Fault.AUTH, Fault.FORBIDDEN_MODEL, Fault.MODEL_NOT_FOUND],
)
def test_what_is_no_outage_is_benched_for_longer_than_max_outage_s(fault):
    clock = FakeClock()
    b = benches(clock)
    fail(b, clock, fault, CREDENTIAL, policy=BenchPolicy(max_outage_s=1))
    assert b.returns_in(CREDENTIAL, clock.now) >= 8


def test_max_cooldown_s_bounds_outages_too():
    clock = FakeClock()
    b = benches(clock)
    fail(b, clock, times=3, policy=BenchPolicy(cooldown_s=1, max_cooldown_s=1))
    assert b.returns_in(KEY, clock.now) <= 1


def test_an_outage_as_long_as_the_operator_says_is_benched_for_so_long():
    clock = FakeClock()
    b = benches(clock)
    fail(b, clock, times=3, policy=BenchPolicy(max_outage_s=3))
    assert b.returns_in(KEY, clock.now) <= 3


def test_growth_is_forgotten_after_a_minute_without_a_failure():
    clock = FakeClock()
    b = benches(clock)
    lengths_of(b, clock, Fault.OVERLOADED, KEY, 3)
    clock.now += 61
    fail(b, clock, Fault.OVERLOADED)
    assert b.returns_in(KEY, clock.now) <= 6


def test_a_failure_that_benches_nobody_keeps_growth_alive():
    clock = FakeClock()
    b = benches(clock)
    fail(b, clock, Fault.OVERLOADED, times=1)
    clock.now += 6
    for _ in range(2):
        b.succeeded((KEY,), POLICY.window_s, clock.now, began=clock.now)
    for _ in range(2):
        clock.now += 50
        fail(b, clock)
    clock.now += 50
    fail(b, clock, Fault.OVERLOADED)
    assert b.returns_in(KEY, clock.now) >= 8


def test_the_time_of_a_bench_is_no_minute_without_a_failure():
    clock = FakeClock()
    b = benches(clock)
    lengths = lengths_of(b, clock, Fault.QUOTA, CREDENTIAL, 2)
    assert lengths[0] <= 360
    assert lengths[1] >= 480


def test_what_a_call_comes_to_that_began_before_the_bench_changes_nothing():
    clock = FakeClock()
    b = benches(clock)
    began, clock.now = clock.now, clock.now + 5
    fail(b, clock, Fault.OVERLOADED)
    before = b.entries(clock.now)
    for _ in range(2):
        fail(b, clock, Fault.OVERLOADED, began=began)
        fail(b, clock, times=3, began=began)
        b.succeeded((KEY,), POLICY.window_s, clock.now, began=began)
    assert b.entries(clock.now) == before


def test_a_time_that_a_late_answer_states_makes_a_bench_longer_all_the_same():
    clock = FakeClock()
    b = benches(clock)
    began, clock.now = clock.now, clock.now + 1
    fail(b, clock, Fault.RATE_LIMITED, CREDENTIAL, retry_after_s=5)
    fail(b, clock, Fault.RATE_LIMITED, CREDENTIAL, retry_after_s=50, began=began)
    assert b.returns_in(CREDENTIAL, clock.now) == pytest.approx(50)


@pytest.mark.parametrize("how", ["fails", "succeeds", "is abandoned"])
def test_a_call_that_is_no_trial_does_not_make_room_for_a_second_one(how):
    clock = FakeClock()
    b = benches(clock)
    began = clock.now - 1
    fail(b, clock, times=3)
    clock.now += 13
    b.begin([KEY], clock.now)
    if how == "fails":
        fail(b, clock, began=began)
    elif how == "succeeds":
        b.succeeded((KEY,), POLICY.window_s, clock.now, began=began)
    else:
        b.abandon([KEY], began=began)
    assert b.holding(KEY, clock.now) is not None
    assert b.returns_in(KEY, clock.now) == 0


@pytest.mark.parametrize(("waited_s", "least", "most"), [(10, 6, 10), (60, 1, 1)])
def test_a_trial_that_met_silence_has_sat_out_while_it_waited_but_for_a_pause(
    waited_s, least, most
):
    clock = FakeClock()
    b = benches(clock)
    lengths_of(b, clock, Fault.TIMEOUT, KEY, 3)
    began = clock.now
    b.begin([KEY], began)
    clock.now += waited_s
    fail(b, clock, Fault.TIMEOUT, began=began)
    assert least <= round(b.returns_in(KEY, clock.now), 6) <= most


def test_after_its_time_a_bench_lets_one_request_through_at_a_time():
    clock = FakeClock()
    b = benches(clock)
    fail(b, clock, times=3)
    clock.now += 13
    assert b.holding(KEY, clock.now) is None
    assert b.is_half_open(KEY, clock.now)
    b.begin([KEY], clock.now)
    assert b.holding(KEY, clock.now) is not None


def test_two_successes_after_its_time_clear_a_bench():
    clock = FakeClock()
    b = benches(clock)
    fail(b, clock, times=3)
    clock.now += 13
    for expected in (False, True):
        b.begin([KEY], clock.now)
        b.succeeded((KEY,), POLICY.window_s, clock.now, began=clock.now)
        assert b.is_empty is expected
        assert b.holding(KEY, clock.now) is None


def test_one_failure_after_its_time_benches_again():
    clock = FakeClock()
    b = benches(clock)
    fail(b, clock, times=3)
    clock.now += 13
    b.begin([KEY], clock.now)
    fail(b, clock)
    assert b.returns_in(KEY, clock.now) >= 16


def test_a_probe_that_the_caller_abandoned_frees_its_place():
    clock = FakeClock()
    b = benches(clock)
    fail(b, clock, times=3)
    clock.now += 13
    b.begin([KEY], clock.now)
    b.abandon([KEY], began=clock.now)
    assert b.holding(KEY, clock.now) is None


def test_two_connect_failures_within_a_second_bench_the_endpoint():
    clock = FakeClock()
    b = benches(clock)
    endpoint = ("one/*", None)
    fail(b, clock, Fault.CONNECT, endpoint, status=None)
    clock.now += 0.9
    fail(b, clock, Fault.CONNECT, endpoint, status=None)
    assert b.holding(endpoint, clock.now) is not None


def test_two_connect_failures_further_apart_bench_nobody():
    clock = FakeClock()
    b = benches(clock)
    endpoint = ("one/*", None)
    fail(b, clock, Fault.CONNECT, endpoint, status=None)
    clock.now += 1.1
    fail(b, clock, Fault.CONNECT, endpoint, status=None)
    assert b.holding(endpoint, clock.now) is None


@pytest.mark.parametrize(
    ("fault", "stated", "low", "high"),
    [
        (Fault.RATE_LIMITED, 7.5, 7.5, 7.5),
        (Fault.RATE_LIMITED, 0.2, 1, 1),
        (Fault.RATE_LIMITED, 86400, 3600, 3600),
        (Fault.RATE_LIMITED, None, 8, 12),
        (Fault.OVERLOADED, 12, 12, 12),
        (Fault.OVERLOADED, 300, 30, 30),
        (Fault.OVERLOADED, None, 4, 6),
        (Fault.QUOTA, 5, 240, 360),
        (Fault.AUTH, None, 240, 360),
        (Fault.FORBIDDEN_MODEL, None, 240, 360),
        (Fault.MODEL_NOT_FOUND, None, 480, 720),
    ],
)
def test_the_length_of_an_immediate_bench_goes_by_its_fault(fault, stated, low, high):
    clock = FakeClock()
    b = benches(clock)
    fail(b, clock, fault, CREDENTIAL, retry_after_s=stated)
    assert low - 1e-6 <= b.returns_in(CREDENTIAL, clock.now) <= high + 1e-6


def test_a_later_shorter_bench_never_shortens_a_running_one():
    clock = FakeClock()
    b = benches(clock)
    fail(b, clock, Fault.RATE_LIMITED, CREDENTIAL, retry_after_s=100)
    fail(b, clock, Fault.RATE_LIMITED, CREDENTIAL, retry_after_s=5)
    assert b.returns_in(CREDENTIAL, clock.now) == pytest.approx(100)


def test_a_manual_bench_ends_by_itself_without_a_probe():
    clock = FakeClock()
    b = benches(clock)
    b.bench(bench_entry(until=clock.wall() + 30, manual=True, reason="maintenance"), clock.now)
    assert b.holding(KEY, clock.now).manual
    clock.now += 31
    assert b.holding(KEY, clock.now) is None
    assert b.is_empty


def test_traffic_does_not_end_or_replace_a_manual_bench():
    clock = FakeClock()
    b = benches(clock)
    b.bench(bench_entry(until=clock.wall() + 300, manual=True, reason="maintenance"), clock.now)
    fail(b, clock, times=5)
    b.succeeded((KEY,), POLICY.window_s, clock.now, began=clock.now)
    b.succeeded((KEY,), POLICY.window_s, clock.now, began=clock.now)
    assert b.holding(KEY, clock.now).manual


def test_a_release_ends_a_bench_and_forgets_its_growth():
    clock = FakeClock()
    b = benches(clock)
    fail(b, clock, times=3)
    assert b.release(KEY, clock.now)
    assert b.is_empty
    assert not b.release(KEY, clock.now)
    fail(b, clock, times=3)
    assert b.returns_in(KEY, clock.now) <= 12


def test_an_entry_tells_who_why_since_until_and_which_request():
    clock = FakeClock()
    b = benches(clock)
    told = []
    b.changes = told.append
    fail(b, clock, times=3, status=503)
    (entry,) = b.entries(clock.now)
    assert told == [entry]
    assert (entry.subject, entry.credential, entry.status) == ("one/m", None, 503)
    assert (entry.reason, entry.sample_error) == ("status", "status happened")
    assert (entry.request_id, entry.manual) == ("req_1", False)
    assert entry.since == clock.wall()
    assert entry.until > entry.since


def test_an_entry_tells_which_field_stated_the_time():
    clock = FakeClock()
    b = benches(clock)
    evidence = {"retry_after_s": 7, "stated_by": "x-ratelimit-reset-tokens"}
    fail(b, clock, Fault.RATE_LIMITED, CREDENTIAL, **evidence)
    fail(b, clock, Fault.QUOTA, ("two/*", "main"), **evidence)
    first, second = b.entries(clock.now)
    told = "rate_limited happened (until the time in x-ratelimit-reset-tokens)"
    assert (first.sample_error, second.sample_error) == (told, "quota happened")


def test_a_release_is_not_undone_by_a_late_writer_of_the_bench():
    clock = FakeClock()
    here, there = benches(clock), benches(clock)
    told = []
    there.changes = told.append
    fail(there, clock, times=3)
    here.merge(told, clock.now)
    here.release(KEY, clock.now)
    here.merge(told, clock.now)
    assert here.is_empty


def test_a_bench_after_a_release_reaches_the_others_too():
    clock = FakeClock()
    here, there = benches(clock), benches(clock)
    here.changes = lambda entry: there.merge([entry], clock.now)
    for _ in range(3):
        fail(here, clock, times=3)
        assert there.holding(KEY, clock.now) is not None
        here.release(KEY, clock.now)
        assert there.holding(KEY, clock.now) is None


ENTRIES = st.builds(
    bench_entry,
    until=st.sampled_from([bench_entry().since + s for s in (10, 20, 30)]),
    epoch=st.integers(0, 2),
    released=st.booleans(),
    manual=st.booleans(),
)


@given(st.lists(ENTRIES, min_size=1, max_size=4))
def test_merging_gives_the_same_result_in_every_order(entries):
    results = set()
    for order in permutations(entries):
        current = None
        for entry in order:
            current = newer(current, entry)
        results.add((current.epoch, current.released, current.manual, current.until))
    assert len(results) == 1


@given(st.lists(st.tuples(st.floats(0, 20), st.booleans()), max_size=60))
def test_a_window_counts_what_a_plain_list_would_within_one_bucket(steps):
    window, now, seen = Window(10.0), 100.0, []
    for step, ok in steps:
        now += step
        window.observe(now, ok=ok)
        seen.append((now, ok))
    good, bad = window.counts(now)
    sure = [ok for at, ok in seen if now - at < 9]
    possible = [ok for at, ok in seen if now - at <= 10]
    assert sure.count(True) <= good <= possible.count(True)
    assert sure.count(False) <= bad <= possible.count(False)


def test_a_clock_that_jumps_neither_freezes_nor_ends_a_bench():
    clock = FakeClock()
    jumped = {"by": 0.0}
    from random import Random  # noqa: PLC0415

    b = Benches(rng=Random(1), wall=lambda: clock.wall() + jumped["by"])
    fail(b, clock, times=3)
    jumped["by"] = 3600.0
    assert b.holding(KEY, clock.now) is not None
    clock.now += 13
    assert b.holding(KEY, clock.now) is None


def test_a_windowed_bench_needs_no_window_to_bench_again_while_half_open():
    clock = FakeClock()
    b = benches(clock)
    fail(b, clock, times=3)
    clock.now += 13
    fail(b, clock)
    assert b.holding(KEY, clock.now) is not None
