"""What a whole 200 of the Responses API is: an answer that cost so much, or none."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from providers.errors import Failure, Fault
from providers.protocols.protocol import Blame, Judge
from providers.protocols.responses.usage import ResponseUsage, usage_of
from providers.protocols.usage import Usage
from providers.protocols.whole import decoded, no_answer

_PENDING: Final = ("queued", "in_progress")


class _Part(Struct, gc=False):
    text: str = ""


class _Item(Struct, gc=False):
    type: str
    content: list[_Part] | None = None


class _Response(Struct, gc=False):
    """What nearly every answer needs looking at, instead of the whole document."""

    output: list[_Item]
    status: str = ""
    usage: ResponseUsage | None = None
    error: Any = None


_RESPONSE: Final = msgspec.json.Decoder(_Response)


def check(
    content_type: bytes | None, body: bytes, judge: Judge, *, is_background: bool = False
) -> Usage | Failure:
    """What a whole 200 cost, or why it is no answer."""
    document = decoded(content_type, body, judge, _plain_usage)
    if isinstance(document, (Usage, Failure)):
        return document
    if is_background and document.get("status") in _PENDING:
        return usage_of(document.get("usage")) or Usage()
    failure = failure_of(document, judge, body, otherwise=Fault.BAD_REPLY)
    if failure is not None:
        return failure
    problem = missing(document, judge)
    if problem is not None:
        return no_answer(problem)
    return usage_of(document.get("usage")) or Usage()


def _plain_usage(body: bytes) -> Usage | None:
    """The usage of a completed answer that holds text; None if it needs a closer look."""
    try:
        # msgspec does not look into the bytes of strings that it skips.
        response = _RESPONSE.decode(body if body.isascii() else body.decode())
    except msgspec.ValidationError:
        return None
    if response.status != "completed" or response.error is not None:
        return None
    for item in response.output:
        if item.type == "message" and item.content and item.content[0].text:
            return response.usage.usage() if response.usage is not None else Usage()
    return None


def failure_of(
    response: dict[str, Any], judge: Judge, payload: bytes, *, otherwise: Fault
) -> Failure | None:
    """The failure that a response states, whatever else is in it."""
    status = response.get("status")
    if status not in ("failed", "cancelled"):
        return None
    error = response.get("error")
    stated = judge.error_in({"error": error}, payload, otherwise=otherwise) if error else None
    return stated or Failure(fault=otherwise, message=f"the response is {status}", status=200)


def missing(response: dict[str, Any], judge: Judge, *, has_content: bool = False) -> str | None:
    """
    What a response lacks; None if it holds an answer, or says why it holds none.

    `has_content`: its stream has said something already, which counts as well.
    """
    status = response.get("status")
    if status in _PENDING:
        return f"the response is still {status}"
    output = response.get("output")
    if has_content and not output:
        return None  # some servers keep the last event short
    if not isinstance(output, list):
        return "the reply has no output"
    is_said = has_content
    for item in output:
        if not isinstance(item, dict):
            return "an output item is not an object"
        is_said = is_said or _says(item)
    if is_said:
        return None
    details = response.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    if status == "incomplete" and isinstance(reason, str):
        blame = judge.blame(reason)
        if blame is Blame.CALLER:
            return None
        return f"the response is incomplete ({reason}), without output"
    return "the output says nothing"


def _says(item: dict[str, Any]) -> bool:
    """An empty text is an answer of an honest model; no text at all is none."""
    kind = item.get("type")
    if kind == "message":
        content = item.get("content")
        return any(
            isinstance(part, dict)
            and (isinstance(part.get("text"), str) or isinstance(part.get("refusal"), str))
            for part in (content if isinstance(content, list) else ())
        )
    if kind == "reasoning":
        return bool(item.get("summary") or item.get("content") or item.get("encrypted_content"))
    return isinstance(kind, str)
