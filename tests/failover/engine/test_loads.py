"""Calls under way, time to the first token, and limits of a minute."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failover.engine.loads import Loads, total_tokens
from failover.engine.plan import CandidateLimits
from providers.protocols import Usage
from tests.support.builders import candidate

pytestmark = pytest.mark.pure


def limited(**limits):
    return candidate("a/x", limits=CandidateLimits(**limits), is_measured=True)


def latency(loads, now):
    return loads.get("a/x").latency_s(now)


def test_calls_under_way_are_counted_until_they_end_and_once():
    loads, one = Loads(), candidate("a/x", is_measured=True)
    first, second = loads.begin(one, 0, 0.0), loads.begin(one, 0, 0.0)
    assert loads.get("a/x").in_flight == 2
    first.end()
    first.end()
    assert loads.get("a/x").in_flight == 1
    second.end()
    assert loads.get("a/x").in_flight == 0


def test_latency_is_nothing_until_it_was_measured():
    loads = Loads()
    loads.begin(candidate("a/x"), 0, 0.0)
    assert latency(loads, 0.0) == 0.0


def test_a_slow_answer_counts_at_once_and_quick_ones_over_ten_seconds():
    loads = Loads()
    lease = loads.begin(candidate("a/x"), 0, 0.0)
    lease.answered(0.2, 0.0)
    lease.answered(2.0, 1.0)
    assert latency(loads, 1.0) == 2.0
    for second in range(2, 32):
        lease.answered(0.2, float(second))
    assert 0.2 < latency(loads, 31.0) < 0.4


def test_what_is_not_measured_any_more_fades():
    loads = Loads()
    loads.begin(candidate("a/x"), 0, 0.0).answered(2.0, 0.0)
    assert latency(loads, 10.0) > 1.5
    assert latency(loads, 300.0) < 0.02


def test_a_call_that_has_ended_measures_nothing():
    loads = Loads()
    lease = loads.begin(candidate("a/x"), 0, 0.0)
    lease.end()
    lease.answered(2.0, 0.0)
    assert latency(loads, 0.0) == 0.0


def test_requests_of_a_minute_are_limited_and_return_when_the_first_is_a_minute_old():
    loads, one = Loads(), limited(rpm=2)
    for now in (0.0, 10.0):
        assert loads.full(one, 0, now) is None
        loads.begin(one, 0, now).end()
    assert loads.full(one, 0, 20.0).returns_in_s == pytest.approx(40.0)
    assert loads.full(one, 0, 60.0) is None


def test_tokens_of_a_minute_are_limited_with_those_of_the_request_itself():
    loads, one = Loads(), limited(tpm=100)
    loads.begin(one, 40, 0.0).end()
    loads.begin(one, 40, 5.0).end()
    assert loads.full(one, 20, 10.0) is None
    assert loads.full(one, 50, 10.0).returns_in_s == pytest.approx(50.0)
    assert loads.full(one, 90, 10.0).returns_in_s == pytest.approx(55.0)


def test_what_a_call_really_took_replaces_the_estimate():
    loads, one = Loads(), limited(tpm=100)
    loads.begin(one, 90, 0.0).end(10)
    assert loads.full(one, 90, 1.0) is None
    loads.begin(one, 10, 1.0).end(95)
    assert loads.full(one, 10, 2.0) is not None


def test_a_correction_that_comes_after_the_minute_changes_nothing():
    loads, one = Loads(), limited(tpm=100)
    late = loads.begin(one, 90, 0.0)
    loads.begin(one, 10, 61.0)
    late.end(1)
    assert loads.full(one, 90, 62.0) is None
    assert loads.full(one, 91, 62.0) is not None


def test_a_request_larger_than_the_limit_is_let_through_alone():
    loads, one = Loads(), limited(tpm=100)
    assert loads.full(one, 1000, 0.0) is None
    loads.begin(one, 1000, 0.0)
    assert loads.full(one, 1, 1.0) is not None


def test_calls_at_a_time_are_limited_and_nobody_knows_until_when():
    loads, one = Loads(), limited(max_parallel=1)
    lease = loads.begin(one, 0, 0.0)
    assert loads.full(one, 0, 0.0).returns_in_s is None
    lease.end()
    assert loads.full(one, 0, 0.0) is None


def test_each_worker_keeps_to_its_part_of_a_limit_and_to_one_at_least():
    loads, one = Loads(workers=4), limited(rpm=8)
    for _ in range(2):
        loads.begin(one, 0, 0.0)
    assert loads.full(one, 0, 0.0) is not None
    few = Loads(workers=4)
    assert few.full(limited(rpm=1), 0, 0.0) is None
    few.begin(limited(rpm=1), 0, 0.0)
    assert few.full(limited(rpm=1), 0, 0.0) is not None


def test_calls_of_another_pool_count_for_the_same_provider_and_model():
    loads, one = Loads(), limited(rpm=2)
    loads.begin(one, 0, 0.0)
    loads.begin(candidate("a/x", is_measured=True), 0, 0.0)
    assert loads.full(one, 0, 1.0) is not None


def test_who_is_not_measured_any_more_is_forgotten_unless_a_call_is_under_way():
    loads = Loads()
    loads.begin(candidate("a/x"), 0, 0.0)
    loads.begin(candidate("b/x"), 0, 0.0).end()
    loads.begin(candidate("c/x"), 0, 0.0).end()
    loads.prune(frozenset({"c/x"}))
    assert loads.get("a/x") is not None
    assert loads.get("b/x") is None
    assert loads.get("c/x") is not None


def test_an_answer_that_states_no_usage_corrects_nothing():
    assert total_tokens(None) is None
    assert total_tokens(Usage(output_tokens=5)) is None
    assert total_tokens(Usage(input_tokens=7, output_tokens=5)) == 12
    assert total_tokens(Usage(input_tokens=7)) == 7


@given(
    st.lists(st.tuples(st.floats(0, 20), st.integers(0, 50)), max_size=60),
    st.integers(1, 6),
    st.integers(50, 120),
)
def test_no_minute_ever_holds_more_than_the_limits(steps, rpm, tpm):
    loads, one, now = Loads(), limited(rpm=rpm, tpm=tpm), 0.0
    taken = []
    for pause, tokens in steps:
        now += pause
        if loads.full(one, tokens, now) is None:
            loads.begin(one, tokens, now)
            taken.append((now, tokens))
    for end, _ in taken:
        within = [tokens for at, tokens in taken if end - 60 < at <= end]
        assert len(within) <= rpm
        assert sum(within) <= tpm


@given(st.lists(st.floats(0, 20), min_size=1, max_size=30), st.integers(1, 4))
def test_the_time_that_a_full_one_states_is_true(pauses, rpm):
    loads, one, now = Loads(), limited(rpm=rpm), 0.0
    for pause in pauses:
        now += pause
        full = loads.full(one, 0, now)
        if full is None:
            loads.begin(one, 0, now)
        else:
            assert loads.full(one, 0, now + full.returns_in_s - 1e-6) is not None
            break
