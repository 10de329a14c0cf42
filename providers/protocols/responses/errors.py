"""
Errors in the midst of a stream, in this protocol's two ways.

Once a response has begun it fails, and the event holds it as far as it is known; before that, an
event of its own says why, flat: `type, code, message, param, sequence_number`.
"""

from __future__ import annotations

from typing import Any

from providers.protocols import bodies
from providers.protocols.protocol import Problem


def error_event(problem: Problem, number: int = 0) -> bytes:
    """No response has begun."""
    told = {
        "type": "error",
        "code": problem.code or problem.type,
        "message": problem.message,
        "param": problem.param,
        "sequence_number": number,
    }
    return event("error", told)


def failed_event(problem: Problem, response: dict[str, Any], number: int) -> bytes:
    """`response` is what the caller has been told of it."""
    error = {
        "code": problem.code or problem.type,
        "message": problem.message,
        "type": problem.type,
        "param": problem.param,
        **(problem.extra or {}),
    }
    failed = {**response, "status": "failed", "error": error, "incomplete_details": None}
    told = {"type": "response.failed", "response": failed, "sequence_number": number}
    return event("response.failed", told)


def event(name: str, document: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), bodies.encode(document))
