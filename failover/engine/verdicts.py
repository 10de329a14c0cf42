"""
The verdict table: what a failure means for this request and for who gets benched.

Semantics in docs/failover.md. Pure data and one function; a test proves that every Fault has a
row. The engine (attempts.py) is the only reader.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from types import MappingProxyType

from failover.engine.policy import DEFAULT_RETRY_STATUSES, FailoverPolicy, RetryFirst
from providers.errors import Failure, Fault


class Scope(Enum):
    """What a bench covers."""

    NOBODY = auto()
    ENDPOINT = auto()
    CANDIDATE = auto()
    CREDENTIAL = auto()
    CREDENTIAL_MODEL = auto()


@dataclass(frozen=True, slots=True)
class Benching:
    """Whom a failure benches; `windowed`: only when the window says so, else at once."""

    scope: Scope
    windowed: bool = False


class Next(Enum):
    """May another candidate be tried?"""

    YES = auto()
    IF_LISTED = auto()  # the status is in retry_on_statuses, or a 5xx that nobody knows
    IF_TIMEOUTS = auto()  # retry_on_timeouts
    IF_MODEL_ERRORS = auto()  # retry_on_model_errors
    IF_CONTENT_FILTER = auto()  # retry_on_content_filter
    LARGER_WINDOW = auto()  # only candidates with a larger or unknown context window
    IF_NOT_FIRST = auto()  # the first candidate's word is final; a later one's is its failure
    NEVER = auto()


class Again(Enum):
    """May the same candidate be called again when nobody else is left?"""

    NO = auto()
    AT_ONCE = auto()
    AFTER_BACKOFF = auto()
    AFTER_STATED = auto()  # after Retry-After or backoff, if that is at most 2 s


@dataclass(frozen=True, slots=True)
class Row:
    try_next: Next
    again: Again
    bench: Benching
    rotates: bool = False  # another credential of the provider first


_KNOWN_STATUSES = frozenset((*HTTPStatus, *DEFAULT_RETRY_STATUSES))
_NOBODY = Benching(Scope.NOBODY)
_CANDIDATE_WINDOW = Benching(Scope.CANDIDATE, windowed=True)

VERDICTS: Mapping[Fault, Row] = MappingProxyType(
    {
        Fault.CONNECT: Row(Next.YES, Again.AT_ONCE, Benching(Scope.ENDPOINT, windowed=True)),
        Fault.RESET: Row(Next.YES, Again.NO, _CANDIDATE_WINDOW),
        Fault.TIMEOUT: Row(Next.IF_TIMEOUTS, Again.NO, _CANDIDATE_WINDOW),
        Fault.STATUS: Row(Next.IF_LISTED, Again.AFTER_BACKOFF, _CANDIDATE_WINDOW),
        Fault.OVERLOADED: Row(Next.IF_LISTED, Again.AFTER_BACKOFF, Benching(Scope.CANDIDATE)),
        Fault.RATE_LIMITED: Row(
            Next.IF_LISTED, Again.AFTER_STATED, Benching(Scope.CREDENTIAL_MODEL), rotates=True
        ),
        Fault.QUOTA: Row(Next.YES, Again.NO, Benching(Scope.CREDENTIAL), rotates=True),
        Fault.AUTH: Row(Next.YES, Again.NO, Benching(Scope.CREDENTIAL), rotates=True),
        Fault.FORBIDDEN_MODEL: Row(Next.YES, Again.NO, Benching(Scope.CREDENTIAL_MODEL)),
        Fault.FORBIDDEN: Row(Next.YES, Again.NO, Benching(Scope.CREDENTIAL_MODEL, windowed=True)),
        Fault.MODEL_NOT_FOUND: Row(Next.IF_MODEL_ERRORS, Again.NO, Benching(Scope.CANDIDATE)),
        Fault.CONFIG: Row(Next.YES, Again.NO, _CANDIDATE_WINDOW),
        Fault.CONTEXT_LENGTH: Row(Next.LARGER_WINDOW, Again.NO, _NOBODY),
        Fault.CONTENT_FILTER: Row(Next.IF_CONTENT_FILTER, Again.NO, _NOBODY),
        Fault.CALLER: Row(Next.IF_NOT_FIRST, Again.NO, _NOBODY),
        Fault.BAD_REPLY: Row(Next.YES, Again.NO, _CANDIDATE_WINDOW),
        Fault.BAD_STREAM: Row(Next.YES, Again.NO, _CANDIDATE_WINDOW),
        Fault.INTERRUPTED: Row(Next.NEVER, Again.NO, _CANDIDATE_WINDOW),
        Fault.BUSY: Row(Next.YES, Again.NO, _NOBODY),
        Fault.LOOP: Row(Next.YES, Again.NO, _NOBODY),
        Fault.HEDGED: Row(Next.NEVER, Again.NO, _NOBODY),
        Fault.OWN: Row(Next.NEVER, Again.NO, _NOBODY),
    }
)


def may_try_next(failure: Failure, policy: FailoverPolicy, *, is_first: bool) -> bool:
    """
    Whether another candidate may be called after `failure`.

    A listed status always may; 408, 424, 429 and 5xx only if they are listed. A 5xx that is
    neither registered nor in the default list is nobody's deliberate choice: it counts as listed.
    """
    rule = VERDICTS[failure.fault].try_next
    if rule is Next.NEVER:
        return False
    if failure.status is not None and failure.status in policy.retry_on_statuses:
        return True
    match rule:
        case Next.YES | Next.LARGER_WINDOW:
            return True
        case Next.IF_LISTED:
            return failure.status is not None and failure.status not in _KNOWN_STATUSES
        case Next.IF_TIMEOUTS:
            return policy.retry_on_timeouts
        case Next.IF_MODEL_ERRORS:
            return policy.retry_on_model_errors
        case Next.IF_CONTENT_FILTER:
            return policy.retry_on_content_filter
        case Next.IF_NOT_FIRST:
            return not is_first
    return False


def _may_retry_first(failure: Failure, rule: RetryFirst, retries: int) -> bool:
    """Never after a timeout, nor where asking the same again is of no use at all."""
    return (
        retries < rule.times
        and failure.status in rule.statuses
        and VERDICTS[failure.fault].again in (Again.AFTER_BACKOFF, Again.AFTER_STATED)
    )


class Move(Enum):
    """What the engine does after a failed attempt."""

    STOP = auto()
    ROTATE = auto()  # the same candidate with another credential
    FIRST_AGAIN = auto()  # the same candidate, if it need not wait too long, or else the next
    NEXT = auto()
    AGAIN = auto()  # the same candidate, nobody else is left


def next_move(
    failure: Failure,
    policy: FailoverPolicy,
    *,
    calls: int,
    is_first: bool,
    can_rotate: bool,
    has_next: bool,
    retries: int,
) -> Move:
    """
    What follows a failure after so many `calls`; `is_first`: it is that of the first of them.

    The last call that the budget allows goes to an untried candidate if there is one.
    """
    if calls >= policy.max_attempts or not may_try_next(failure, policy, is_first=is_first):
        return Move.STOP
    row = VERDICTS[failure.fault]
    is_last_call = calls == policy.max_attempts - 1
    if row.rotates and can_rotate and not (is_last_call and has_next):
        return Move.ROTATE
    if has_next:
        if not is_last_call and _may_retry_first(failure, policy.retry_first, retries):
            return Move.FIRST_AGAIN
        return Move.NEXT
    if row.again is not Again.NO and retries < policy.same_candidate_retries:
        return Move.AGAIN
    return Move.STOP
