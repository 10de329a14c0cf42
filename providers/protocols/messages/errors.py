"""Errors in Anthropic's words, and the headers that go along."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from providers.protocols import bodies
from providers.protocols.protocol import Header, Problem

# Everything that these families will ever name goes on (the gateway contract of Claude Code asks
# for open lists); the rest stays here: credentials, cookies, hop-by-hop and forwarding headers.
_FAMILIES: Final = (b"anthropic-", b"x-claude-code-", b"x-stainless-")
# These choose an account, and the account is ours: a caller's own would make the provider refuse
# our key. The workspace alone goes on: Claude on AWS demands it.
_ACCOUNT: Final = frozenset(
    {
        b"anthropic-organization",
        b"anthropic-organization-id",
        b"anthropic-project-id",
        b"anthropic-account-id",
        b"anthropic-user-profile-id",
        b"anthropic-worker-id",
    }
)
_SECRET: Final = (b"key", b"token", b"auth", b"authorization", b"secret", b"credentials")

_TYPE_OF: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_OVERLOADED: Final = 529
# What is nobody's failure but a lack of room: Anthropic's SDKs know 529 for it, not 503.
_NO_ROOM: Final = frozenset({"server_is_overloaded", "no_candidate"})
_TOO_LONG: Final = "prompt is too long"


def forwarded(headers: Iterable[Header]) -> list[Header]:
    """Those of `headers` (lower-case names) that a Messages request takes along."""
    return [
        (name, value)
        for name, value in headers
        if name.startswith(_FAMILIES)
        and name not in _ACCOUNT
        and not name.endswith(_SECRET)
        and not (b"\n" in value or b"\r" in value or b"\0" in value)
    ]


def error(problem: Problem) -> tuple[int, bytes]:
    """
    An error as Anthropic tells it; `code` and `extra` stand in its `details`.

    SDKs since 2.0 read `details.error_code`.
    """
    status = problem.status
    if status == 503 and problem.code in _NO_ROOM:
        status = _OVERLOADED
    told: dict[str, Any] = {"type": "error", "error": _error(problem, status)}
    if problem.request_id:
        told["request_id"] = problem.request_id
    return status, bodies.encode(told)


def error_event(problem: Problem) -> bytes:
    """The last event of a stream that broke; no message_stop follows."""
    return b"event: error\ndata: " + error(problem)[1] + b"\n\n"


def _error(problem: Problem, status: int) -> dict[str, Any]:
    message = problem.message
    if problem.code == "context_length_exceeded" and _TOO_LONG not in message.lower():
        message = f"{_TOO_LONG}: {message}"  # what Claude Code shortens its history at
    told: dict[str, Any] = {"type": _type_of(problem, status), "message": message}
    details = dict(problem.extra or {})
    if problem.code is not None:
        details["error_code"] = problem.code
    if problem.param is not None:
        details["param"] = problem.param
    return {**told, "details": details} if details else told


def _type_of(problem: Problem, status: int) -> str:
    if "insufficient_quota" in (problem.type, problem.code):
        return "billing_error"
    if status in _TYPE_OF:
        return _TYPE_OF[status]
    return "invalid_request_error" if 400 <= status < 500 else "api_error"
