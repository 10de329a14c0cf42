"""
Everything that ends a request without an answer, and its shape in the caller's protocol.

    GatewayError        ours: status, type and code are attributes
        Refused             the caller's mistake: bad request, unknown key or model, no right
        NoCandidate         nobody may be tried
        ProvidersFailed     everybody who was tried failed

`render` is the one place that writes an error body.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from failover.engine.outcome import Attempt, Ending, Failed
from failover.engine.plan import Nobody, Rejected, Why
from providers.errors import ProtocolError
from providers.protocols import Problem, Protocol
from providers.protocols.chat import CHAT
from routing.gateway.deciding.resolution import Unknown
from routing.gateway.records.record import Outcome

RETRY_AFTER_MAX_S = 60
NAMED_MAX = 10  # of those left out, in a sentence; the list beside it has them all
PARALLEL_RETRY_S = 1.0  # when a request will end that takes a place, nobody knows


class GatewayError(Exception):
    """
    An error answer. `returns_in_s` becomes Retry-After; `should_retry` x-should-retry.

    `outcome` is the word for it in the request's record.
    """

    outcome = Outcome.UNAVAILABLE

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str,  # noqa: A002  # the protocol's own word
        code: str | None = None,
        param: str | None = None,
        returns_in_s: float | None = None,
        should_retry: bool | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.code = code
        self.param = param
        self.returns_in_s = returns_in_s
        self.should_retry = should_retry
        self.extra = extra

    def problem(self, request_id: bytes = b"") -> Problem:
        """What the caller is told."""
        return Problem(
            status=self.status,
            message=self.message,
            type=self.type,
            code=self.code,
            param=self.param,
            extra=self.extra,
            retry_after_s=None if self.returns_in_s is None else retry_after(self.returns_in_s),
            request_id=request_id.decode(),
        )


class Refused(GatewayError):
    """The caller has to change something."""

    outcome = Outcome.REFUSED


class NoCandidate(GatewayError):
    """Nobody may be tried, so no call was made. `nobody` says who was left out, and why."""

    nobody: Nobody | None = None


class ProvidersFailed(GatewayError):
    """Every call failed."""

    outcome = Outcome.FAILED


def bad_request(message: str, param: str | None = None, status: int = 400) -> Refused:
    return Refused(status, message, type="invalid_request_error", param=param)


def contradicted(error: ProtocolError) -> Refused:
    """The answer to a request that is not what its protocol asks for."""
    return bad_request(error.message, error.param, error.status)


def not_ready() -> GatewayError:
    return GatewayError(
        503,
        "The gateway has no routing snapshot yet.",
        type="server_error",
        code="not_ready",
        returns_in_s=1,
        should_retry=True,
    )


def internal_error() -> GatewayError:
    error = GatewayError(500, "The gateway failed.", type="server_error", code="internal")
    error.outcome = Outcome.INTERNAL_ERROR
    return error


def unknown_model(unknown: Unknown) -> Refused:
    name = _short(unknown.requested)
    hint = f" Did you mean {_or(unknown.close)}?" if unknown.close else ""
    return Refused(
        404,
        f"The model {name!r} does not exist, or this key may not use it.{hint}",
        type="invalid_request_error",
        code="model_not_found",
        param="model",
    )


def nobody_may(nobody: Nobody) -> NoCandidate:
    """The answer where planning left nobody."""
    error = _nobody_may(nobody)
    error.nobody = nobody
    return error


def _nobody_may(nobody: Nobody) -> NoCandidate:
    rejected = nobody.rejected
    extra = {"rejected": _told(rejected)}
    returns_in_s = nobody.returns_in_s
    if nobody.why is Why.ONLY_THE_KEY:
        error = NoCandidate(
            403,
            "This key may not use the model.",
            type="permission_error",
            code="key_not_allowed",
            param="model",
            extra=extra,
        )
        error.outcome = Outcome.REFUSED
        return error
    if nobody.why is Why.UNKNOWN_STATE:
        error = NoCandidate(
            404,
            "What the request refers to (an earlier answer, a conversation) is not known here, or "
            "no longer. Keys can go on with what was begun here with them or by their team.",
            type="invalid_request_error",
            code="not_found",
            extra=extra,
        )
        error.outcome = Outcome.REFUSED
        return error
    if nobody.why is Why.UNFIT:
        return _unfit(nobody, extra)
    if nobody.why is Why.ALL_LIMITED:
        returns_in_s = returns_in_s or PARALLEL_RETRY_S
        return NoCandidate(
            429,
            f"Every candidate is inside a rate limit; try again in {retry_after(returns_in_s)}s.",
            type="rate_limit_error",
            code="rate_limit_exceeded",
            returns_in_s=returns_in_s,
            extra=extra,
        )
    words = _named(rejected) or "the pool is empty"
    return NoCandidate(
        503,
        f"No candidate may be tried ({words}).",
        type="server_error",
        code="no_candidate",
        returns_in_s=returns_in_s,
        should_retry=False if returns_in_s is None else None,
        extra=extra,
    )


def _unfit(nobody: Nobody, extra: Mapping[str, Any]) -> NoCandidate:
    """No provider can be told what the request says: the caller has to leave something out."""
    misfits = nobody.inputs.misfits if nobody.inputs is not None else {}
    members = list(dict.fromkeys(misfits.values()))
    who = ", ".join(f"{name}: unsupported:{what}" for name, what in misfits.items())
    error = NoCandidate(
        400,
        f"Nobody who serves this model can take {_or(members)} ({who}).",
        type="invalid_request_error",
        code="unsupported_parameter",
        param=members[0] if members else None,
        extra=extra,
    )
    error.outcome = Outcome.REFUSED
    return error


_ENDINGS: Mapping[Ending, tuple[int, str, str]] = {
    Ending.UPSTREAM_FAILED: (502, "server_error", "Every provider that was tried failed"),
    Ending.RATE_LIMITED: (429, "rate_limit_error", "Every provider is rate limited"),
    Ending.OUT_OF_QUOTA: (429, "insufficient_quota", "Every provider is out of quota"),
    Ending.OVERLOADED: (503, "server_error", "Every provider is overloaded"),
    Ending.TIMED_OUT: (504, "server_error", "The request's deadline passed"),
    Ending.LOOP: (508, "server_error", "Every way that was tried leads back to a gateway"),
}
_CODES = {Ending.RATE_LIMITED: "rate_limit_exceeded"}


def providers_failed(
    failed: Failed, exhausted_status: int, rejected: Sequence[Rejected] = ()
) -> ProvidersFailed:
    """
    The answer when every call failed. `failed.ending` is not CALLER.

    `rejected` are those who were not called, each with its reason.
    """
    status, kind, words = _ENDINGS[failed.ending]
    if failed.ending is Ending.UPSTREAM_FAILED:
        status = exhausted_status
    calls = len(failed.attempts)
    returns_in_s = failed.returns_in_s
    is_vain = calls >= 2 or failed.ending is Ending.LOOP
    hint = ""
    if failed.ending is Ending.RATE_LIMITED and returns_in_s is not None:
        hint = f" Please try again in {retry_after(returns_in_s)}s."
    left_out = f" Left out: {_named(rejected)}." if rejected else ""
    return ProvidersFailed(
        status,
        f"{words}: {_trail(failed.attempts) or failed.failure.message}.{left_out}{hint}",
        type=kind,
        code=_CODES.get(failed.ending, failed.ending.value),
        returns_in_s=returns_in_s,
        should_retry=False if is_vain and not _is_true(returns_in_s) else None,
        extra={"attempts": [attempt.summary() for attempt in failed.attempts]}
        | ({"rejected": _told(rejected)} if rejected else {}),
    )


def render(
    error: GatewayError, protocol: Protocol = CHAT, request_id: bytes = b""
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """(status, headers, body) as `protocol` tells errors."""
    headers = [(b"content-type", b"application/json")]
    if error.returns_in_s is not None:
        headers.append((b"retry-after", b"%d" % retry_after(error.returns_in_s)))
    if error.should_retry is not None:
        headers.append((b"x-should-retry", b"true" if error.should_retry else b"false"))
    status, body = protocol.error(error.problem(request_id))
    return status, headers, body


def retry_after(returns_in_s: float) -> int:
    """Whole seconds, at least 1, at most 60."""
    return min(max(math.ceil(returns_in_s), 1), RETRY_AFTER_MAX_S)


def _is_true(returns_in_s: float | None) -> bool:
    """Whether a Retry-After made of it is true: somebody will be back by then."""
    return returns_in_s is not None and returns_in_s <= RETRY_AFTER_MAX_S


def _trail(attempts: Sequence[Attempt]) -> str:
    return "; ".join(
        f"{attempt.candidate.name}: {attempt.failure.message}"
        for attempt in attempts
        if attempt.failure
    )


def _told(rejected: Sequence[Rejected]) -> list[dict[str, str]]:
    return [
        {"provider": e.candidate.provider, "model": e.candidate.model, "reason": e.reason}
        for e in rejected
    ]


def _named(rejected: Sequence[Rejected]) -> str:
    more = len(rejected) - NAMED_MAX
    words = ", ".join(f"{e.candidate.name}: {e.reason}" for e in rejected[:NAMED_MAX])
    return f"{words} and {more} more" if more > 0 else words


def _or(names: Sequence[str]) -> str:
    return " or ".join(repr(name) for name in names)


def _short(text: str) -> str:
    return text if len(text) <= 100 else text[:97] + "..."
