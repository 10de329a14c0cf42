"""Google's shape of errors (google.rpc.Status in JSON), and who is to blame in its words."""

from __future__ import annotations

from typing import Any, Final

from providers.protocols import bodies
from providers.protocols.protocol import Problem

_TYPE: Final = "type.googleapis.com/"
_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    529: "UNAVAILABLE",
}
_BY_CODE: Final = {"upstream_auth": "INTERNAL"}


def error(problem: Problem) -> tuple[int, bytes]:
    """
    The status and body of an error.

    A prompt that was filtered is no error here: it is an answer that says so.
    """
    if problem.code == "content_filter" and problem.status < 500:
        blocked = {"blockReason": "SAFETY", "blockReasonMessage": problem.message}
        return 200, bodies.encode({"promptFeedback": blocked})
    return problem.status, bodies.encode(_document(problem))


def error_event(problem: Problem) -> bytes:
    """The last event of a stream that broke."""
    return b"data: " + error(problem)[1] + b"\n\n"


def _document(problem: Problem) -> dict[str, Any]:
    told: dict[str, Any] = {
        "code": problem.status,
        "message": problem.message,
        "status": _status(problem),
    }
    details = _details(problem)
    if details:
        told["details"] = details
    return {"error": told}


def _status(problem: Problem) -> str:
    found = _BY_CODE.get(problem.code or "") or _STATUSES.get(problem.status)
    return found or ("INVALID_ARGUMENT" if problem.status < 500 else "INTERNAL")


def _details(problem: Problem) -> list[dict[str, Any]]:
    """What Google has a message of its own for, and all else as a Struct."""
    details: list[dict[str, Any]] = []
    if problem.code:
        reason = {"reason": problem.code.upper(), "domain": "switchyard"}
        details.append({"@type": f"{_TYPE}google.rpc.ErrorInfo", **reason})
    if problem.retry_after_s is not None:
        delay = {"retryDelay": f"{problem.retry_after_s}s"}
        details.append({"@type": f"{_TYPE}google.rpc.RetryInfo", **delay})
    if problem.param:
        violation = {"field": problem.param, "description": problem.message}
        details.append({"@type": f"{_TYPE}google.rpc.BadRequest", "fieldViolations": [violation]})
    if problem.extra:
        extra = {"value": dict(problem.extra)}
        details.append({"@type": f"{_TYPE}google.protobuf.Struct", **extra})
    return details
