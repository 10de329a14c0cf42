"""A minute's window and requests at once, counted by one process."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from random import Random
from typing import TYPE_CHECKING

import pytest

from routing.gateway.keylimits.counters import PARALLEL, REQUESTS, TOKENS, KeyCounters, Quota
from tests.support.builders import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.pure

KEY, OTHER = sha256(b"one").digest(), sha256(b"two").digest()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def counters(clock: FakeClock) -> Iterator[KeyCounters]:
    made = KeyCounters(clock=clock)
    yield made
    made.close()


def test_no_sixty_seconds_hold_more_than_the_limit(counters: KeyCounters, clock: FakeClock) -> None:
    dice = Random(4)
    admitted: list[float] = []
    for _ in range(5000):
        clock.now += dice.choice((0.0, 0.001, 0.01, 0.2, 1.0))
        if not counters.take(KEY, Quota(rpm=50), 0).stopped:
            admitted.append(clock.now)
    assert len(admitted) > 500
    for first, fifty_first in zip(admitted, admitted[50:], strict=False):
        assert fifty_first - first >= 60


def test_the_limit_is_used_up_to_the_last_request(counters: KeyCounters, clock: FakeClock) -> None:
    stops = [counters.take(KEY, Quota(rpm=10), 0).stopped for _ in range(12)]
    assert stops == [""] * 10 + [REQUESTS] * 2
    clock.now += 60
    assert [counters.take(KEY, Quota(rpm=10), 0).stopped for _ in range(12)] == stops


def test_whoever_waits_as_long_as_it_is_told_gets_in_and_nobody_before(
    counters: KeyCounters, clock: FakeClock
) -> None:
    dice = Random(7)
    quota = Quota(rpm=20, tpm=2000)
    waits = 0
    for _ in range(400):
        clock.now += dice.random()
        tokens = dice.randrange(1, 500)
        taken = counters.take(KEY, quota, tokens)
        if not taken.stopped:
            continue
        waits += 1
        assert taken.wait_s is not None
        assert 0 < taken.wait_s <= 60
        clock.now += taken.wait_s - 0.001
        assert counters.take(KEY, quota, tokens).stopped
        clock.now += 0.002
        assert counters.take(KEY, quota, tokens).stopped in {"", _other(taken.stopped)}
    assert waits > 20


def _other(limit: str) -> str:
    return TOKENS if limit == REQUESTS else REQUESTS


def test_requests_stop_first_then_tokens_then_requests_at_once(counters: KeyCounters) -> None:
    assert not counters.take(KEY, Quota(1, 10, 1), 10).stopped
    assert counters.take(KEY, Quota(1, 10, 1), 10).stopped == REQUESTS
    assert counters.take(KEY, Quota(9, 10, 1), 10).stopped == TOKENS
    assert counters.take(KEY, Quota(9, 99, 1), 10).stopped == PARALLEL
    assert not counters.take(KEY, Quota(9, 99, 9), 10).stopped


def test_what_was_refused_does_not_count(counters: KeyCounters) -> None:
    quota = Quota(rpm=3, tpm=100)
    assert counters.take(KEY, quota, 90).requests == 1
    assert counters.take(KEY, quota, 11).stopped == TOKENS
    taken = counters.take(KEY, quota, 10)
    assert (taken.stopped, taken.requests, taken.tokens) == ("", 2, 100)


def test_true_usage_replaces_what_was_reserved(counters: KeyCounters, clock: FakeClock) -> None:
    quota = Quota(tpm=1000)
    first = counters.take(KEY, quota, 900)
    clock.now += 30
    second = counters.take(KEY, quota, 100)
    assert counters.take(KEY, quota, 1).stopped == TOKENS
    counters.settle(KEY, first.entry, more=-700, parallel=False)
    assert counters.take(KEY, quota, 700).tokens == 1000
    counters.settle(KEY, second.entry, more=500, parallel=False)
    clock.now += 30
    # The first entry's 200 are gone, the second's 600 and the third's 700 are not.
    assert counters.take(KEY, Quota(tpm=1301), 1).tokens == 1301


def test_usage_that_comes_after_its_minute_changes_nothing(
    counters: KeyCounters, clock: FakeClock
) -> None:
    late = counters.take(KEY, Quota(tpm=1000), 900)
    clock.now += 60
    assert counters.take(KEY, Quota(tpm=1000), 10).tokens == 10
    counters.settle(KEY, late.entry, more=5000, parallel=False)
    assert counters.take(KEY, Quota(tpm=1000), 10).tokens == 20


def test_a_request_that_could_never_fit_is_told_no_time(counters: KeyCounters) -> None:
    taken = counters.take(KEY, Quota(tpm=100), 101)
    assert (taken.stopped, taken.wait_s) == (TOKENS, None)


def test_a_place_is_free_again_when_its_request_has_ended(
    counters: KeyCounters, clock: FakeClock
) -> None:
    quota = Quota(max_parallel=2)
    held = [counters.take(KEY, quota, 0) for _ in range(2)]
    assert [taken.parallel for taken in held] == [1, 2]
    clock.now += 3600
    assert counters.take(KEY, quota, 0).stopped == PARALLEL
    counters.settle(KEY, held[0].entry, more=0, parallel=True)
    assert not counters.take(KEY, quota, 0).stopped
    assert counters.take(KEY, quota, 0).stopped == PARALLEL


def test_subjects_do_not_share(counters: KeyCounters) -> None:
    assert not counters.take(KEY, Quota(rpm=1), 0).stopped
    assert not counters.take(OTHER, Quota(rpm=1), 0).stopped


def test_a_clock_that_begins_anew_begins_anew(counters: KeyCounters, clock: FakeClock) -> None:
    clock.now = 1e6
    assert not counters.take(KEY, Quota(rpm=1), 0).stopped
    clock.now = 5.0
    assert not counters.take(KEY, Quota(rpm=1), 0).stopped
    assert counters.take(KEY, Quota(rpm=1), 0).stopped


def test_twenty_thousand_keys_find_room_one_after_the_other(
    counters: KeyCounters, clock: FakeClock
) -> None:
    seen = Counter[str]()
    for number in range(20_000):
        clock.now += 0.02
        seen[counters.take(sha256(b"%d" % number).digest(), Quota(rpm=1), 0).stopped] += 1
    assert seen == {"": 20_000}
