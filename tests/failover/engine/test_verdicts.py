"""The verdict table, row by row, and what the engine does with a row."""

import pytest

from failover.engine.policy import DEFAULT_RETRY_STATUSES, FailoverPolicy
from failover.engine.verdicts import VERDICTS, Again, Benching, Move, Scope, may_try_next, next_move
from providers.adapters.classify import classify
from providers.errors import Failure, Fault

pytestmark = pytest.mark.pure

# (fault, status, tries the next, again if nobody is left, bench scope, windowed, rotates)
TABLE = [
    (Fault.CONNECT, None, True, Again.AT_ONCE, Scope.ENDPOINT, True, False),
    (Fault.RESET, None, True, Again.NO, Scope.CANDIDATE, True, False),
    (Fault.TIMEOUT, None, True, Again.NO, Scope.CANDIDATE, True, False),
    (Fault.STATUS, 500, True, Again.AFTER_BACKOFF, Scope.CANDIDATE, True, False),
    (Fault.STATUS, 408, True, Again.AFTER_BACKOFF, Scope.CANDIDATE, True, False),
    (Fault.STATUS, 507, False, Again.AFTER_BACKOFF, Scope.CANDIDATE, True, False),
    (Fault.OVERLOADED, 529, True, Again.AFTER_BACKOFF, Scope.CANDIDATE, False, False),
    (Fault.RATE_LIMITED, 429, True, Again.AFTER_STATED, Scope.CREDENTIAL_MODEL, False, True),
    (Fault.QUOTA, 402, True, Again.NO, Scope.CREDENTIAL, False, True),
    (Fault.AUTH, 401, True, Again.NO, Scope.CREDENTIAL, False, True),
    (Fault.FORBIDDEN_MODEL, 403, True, Again.NO, Scope.CREDENTIAL_MODEL, False, False),
    (Fault.FORBIDDEN, 403, True, Again.NO, Scope.CREDENTIAL_MODEL, True, False),
    (Fault.MODEL_NOT_FOUND, 404, True, Again.NO, Scope.CANDIDATE, False, False),
    (Fault.CONFIG, 302, True, Again.NO, Scope.CANDIDATE, True, False),
    (Fault.CONTEXT_LENGTH, 400, True, Again.NO, Scope.NOBODY, False, False),
    (Fault.CONTENT_FILTER, 400, False, Again.NO, Scope.NOBODY, False, False),
    (Fault.CALLER, 400, False, Again.NO, Scope.NOBODY, False, False),
    (Fault.BAD_REPLY, 200, True, Again.NO, Scope.CANDIDATE, True, False),
    (Fault.BAD_STREAM, 200, True, Again.NO, Scope.CANDIDATE, True, False),
    (Fault.INTERRUPTED, 200, False, Again.NO, Scope.CANDIDATE, True, False),
    (Fault.BUSY, None, True, Again.NO, Scope.NOBODY, False, False),
    (Fault.LOOP, 508, True, Again.NO, Scope.NOBODY, False, False),
    (Fault.HEDGED, None, False, Again.NO, Scope.NOBODY, False, False),
    (Fault.OWN, None, False, Again.NO, Scope.NOBODY, False, False),
]


def _failure(fault: Fault, status: int | None) -> Failure:
    return Failure(fault=fault, message="", status=status)


def test_every_fault_has_a_row_here_and_in_the_engine():
    assert {row[0] for row in TABLE} == set(Fault) == set(VERDICTS)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0]}-{row[1]}")
def test_the_verdict_table_says_what_the_documentation_says(row):
    fault, status, tries_next, again, scope, windowed, rotates = row
    verdict = VERDICTS[fault]
    assert may_try_next(_failure(fault, status), FailoverPolicy(), is_first=True) is tries_next
    assert verdict.again is again
    assert (verdict.bench.scope, verdict.bench.windowed) == (scope, windowed)
    assert verdict.rotates is rotates


@pytest.mark.parametrize("status", DEFAULT_RETRY_STATUSES)
def test_a_status_is_retried_only_while_it_is_listed(status):
    fault = {429: Fault.RATE_LIMITED, 529: Fault.OVERLOADED}.get(status, Fault.STATUS)
    unlisted = FailoverPolicy(
        retry_on_statuses=tuple(s for s in DEFAULT_RETRY_STATUSES if s != status)
    )
    assert may_try_next(_failure(fault, status), FailoverPolicy(), is_first=True)
    assert not may_try_next(_failure(fault, status), unlisted, is_first=True)


@pytest.mark.parametrize("status", [509, 555, 561, 598, 599])
def test_a_5xx_that_nobody_knows_is_retried_whatever_is_listed(status):
    policy = FailoverPolicy(retry_on_statuses=(429,))
    assert may_try_next(_failure(Fault.STATUS, status), policy, is_first=True)


@pytest.mark.parametrize("status", [424, 530])
def test_statuses_of_the_providers_side_go_to_the_next_and_count_by_the_window(status):
    failure = classify(status, [], b'{"error":{"message":"no"}}', now=0)
    assert may_try_next(failure, FailoverPolicy(), is_first=True)
    assert VERDICTS[failure.fault].bench == Benching(Scope.CANDIDATE, windowed=True)
    assert failure.body is None


def test_listing_another_status_makes_its_row_yes_and_leaves_its_bench():
    policy = FailoverPolicy(retry_on_statuses=(422,))
    assert may_try_next(_failure(Fault.CALLER, 422), policy, is_first=True)
    assert VERDICTS[Fault.CALLER].bench.scope is Scope.NOBODY


@pytest.mark.parametrize(
    ("fault", "switch"),
    [
        (Fault.TIMEOUT, "retry_on_timeouts"),
        (Fault.MODEL_NOT_FOUND, "retry_on_model_errors"),
        (Fault.CONTENT_FILTER, "retry_on_content_filter"),
    ],
)
def test_a_switch_of_the_policy_decides_its_row(fault, switch):
    for value in (True, False):
        policy = FailoverPolicy(**{switch: value})
        assert may_try_next(_failure(fault, None), policy, is_first=True) is value


def test_a_caller_error_of_a_later_candidate_counts_as_its_failure():
    assert may_try_next(_failure(Fault.CALLER, 400), FailoverPolicy(), is_first=False)


def _move(fault, status=None, *, calls=1, can_rotate=False, has_next=True, retries=0, **policy):
    return next_move(
        _failure(fault, status),
        FailoverPolicy(**policy),
        calls=calls,
        is_first=calls == 1,
        can_rotate=can_rotate,
        has_next=has_next,
        retries=retries,
    )


def test_a_rate_limited_credential_is_rotated_before_the_next_candidate():
    assert _move(Fault.RATE_LIMITED, 429, can_rotate=True) is Move.ROTATE


def test_the_last_call_goes_to_an_untried_candidate_rather_than_to_another_credential():
    assert _move(Fault.RATE_LIMITED, 429, can_rotate=True, max_attempts=2) is Move.NEXT
    assert (
        _move(Fault.RATE_LIMITED, 429, can_rotate=True, has_next=False, max_attempts=2)
        is Move.ROTATE
    )


def test_no_call_is_made_beyond_max_attempts():
    assert _move(Fault.STATUS, 500, calls=3, max_attempts=3) is Move.STOP


def test_the_same_candidate_is_called_again_only_when_nobody_else_is_left():
    assert _move(Fault.STATUS, 500) is Move.NEXT
    assert _move(Fault.STATUS, 500, has_next=False) is Move.AGAIN
    assert _move(Fault.STATUS, 500, calls=2, has_next=False, retries=1) is Move.STOP


def test_a_timeout_is_not_repeated_on_the_same_candidate():
    assert _move(Fault.TIMEOUT, has_next=False) is Move.STOP
