"""The rules of health as a table: every state that signs can be in is one of its rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from controlplane.health.rules import Signs, due_after, interval_of, may_probe, soon_s, status_of

pytestmark = pytest.mark.pure

ERROR = "It answers with status 500."
ANY = object()
# is off, is checked, is down for two checks, has served since, error, models known, refuses to
# list, list from cache, more than 10 % errors: the first row that fits says it.
TABLE = (
    ((True, ANY, ANY, ANY, ANY, ANY, ANY, ANY, ANY), "unknown", "Not checked: it is disabled."),
    ((False, False, ANY, ANY, ANY, ANY, ANY, ANY, ANY), "unknown", "has not been checked"),
    ((False, True, True, False, ANY, ANY, ANY, ANY, ANY), "unhealthy", ERROR),
    ((False, True, ANY, ANY, True, True, ANY, ANY, ANY), "degraded", ERROR),
    ((False, True, ANY, ANY, True, False, ANY, ANY, ANY), "unknown", "None of its models"),
    ((False, True, ANY, ANY, False, ANY, True, True, ANY), "degraded", "listed before"),
    ((False, True, ANY, ANY, False, ANY, ANY, ANY, True), "degraded", "More than 10 %"),
    ((False, True, ANY, ANY, False, ANY, True, False, False), "unknown", "does not list"),
    ((False, True, ANY, ANY, False, ANY, False, ANY, False), "healthy", "It answers."),
)


def signs_of(state: tuple[bool, ...]) -> Signs:
    off, checked, down, served, error, models, refuses, cached, faulty = state
    return Signs(
        off="it is disabled" if off else "",
        is_checked=checked,
        failures=2 if down else 1,
        has_served=served,
        error=ERROR if error or down else "",
        has_models=models,
        refuses=refuses,
        is_cached=cached,
        calls=100,
        faults=11 if faulty else 10,
    )


STATES = tuple(
    # Who is down has an error.
    (*state[:4], state[4] or state[2], *state[5:])
    for state in product([True, False], repeat=9)
)


def row_of(state: tuple[bool, ...]) -> int:
    return next(
        number
        for number, (row, _word, _words) in enumerate(TABLE)
        if all(wanted is ANY or wanted == given for wanted, given in zip(row, state, strict=True))
    )


def test_every_state_has_the_status_of_the_first_row_that_fits():
    for state in STATES:
        _row, word, words = TABLE[row_of(state)]
        status, reason = status_of(signs_of(state))
        assert (status, words in reason) == (word, True), state


def test_no_row_of_the_table_is_idle():
    assert {row_of(state) for state in STATES} == set(range(len(TABLE)))


def test_an_availability_error_is_never_healthy_and_a_cached_list_without_success_is_degraded():
    for signs in map(signs_of, STATES):
        status, _reason = status_of(signs)
        if signs.error:
            assert status != "healthy", signs
        is_seen = signs.is_checked and not (signs.error or signs.off)
        if signs.is_cached and signs.refuses and is_seen:
            assert status == "degraded", signs


@pytest.mark.parametrize(
    ("failures", "has_served", "status"),
    [
        (0, False, "healthy"),
        (1, False, "degraded"),
        (2, False, "unhealthy"),
        (9, False, "unhealthy"),
        (2, True, "degraded"),
        (9, True, "degraded"),
    ],
)
def test_two_checks_that_failed_are_needed_and_traffic_that_succeeds_is_a_word_against(
    failures, has_served, status
):
    signs = Signs(
        failures=failures, has_served=has_served, error=ERROR if failures else "", has_models=True
    )
    assert status_of(signs)[0] == status


@pytest.mark.parametrize(
    ("calls", "faults", "status"),
    [(0, 0, "healthy"), (10, 1, "healthy"), (10, 2, "degraded"), (1, 1, "degraded")],
)
def test_more_than_a_tenth_of_errors_degrades(calls, faults, status):
    assert status_of(Signs(calls=calls, faults=faults))[0] == status


@pytest.mark.parametrize(("interval_s", "soon"), [(60, 10), (600, 100), (12, 5), (5, 5), (2, 2)])
def test_who_failed_is_looked_at_six_times_as_often_and_never_oftener_than_every_five_seconds(
    interval_s, soon
):
    assert soon_s(interval_s) == soon


@pytest.mark.parametrize(
    ("block", "seconds"),
    [({}, 60), ({"interval_s": 30}, 30), ({"interval_s": "x"}, 60), ({"interval_s": 0.1}, 1)],
)
def test_an_interval_that_is_no_number_of_seconds_is_the_usual_one(block, seconds):
    assert interval_of(block) == seconds


def test_checks_are_spread_by_a_tenth_to_each_side():
    now = datetime(2026, 11, 28, tzinfo=UTC)
    early, late = (due_after(now, 60, is_hurried=False, dice=lambda roll=r: roll) for r in (0, 1))
    assert (early - now, late - now) == (timedelta(seconds=54), timedelta(seconds=66))


@pytest.mark.parametrize(
    ("interval_s", "passed_s", "may"), [(60, 50, False), (60, 55, True), (1, 50, False)]
)
def test_a_paid_call_is_made_at_most_once_an_interval_and_once_a_minute(interval_s, passed_s, may):
    now = datetime(2026, 11, 28, tzinfo=UTC)
    assert may_probe(None, interval_s, now)
    assert may_probe(now - timedelta(seconds=passed_s), interval_s, now) is may
