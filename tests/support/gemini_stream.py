"""
A strict reader of Gemini's streams, stricter than any SDK. `read_stream` accepts exactly this, and
raises Unsound for all else:

    stream     = *( heartbeat / event )     and then the end: there is no terminator
    heartbeat  = one empty line, never inside an event
    event      = "data: " JSON LF LF        one line; no comments, no event names, no [DONE]
    array      = "[" JSON *( "," JSON ) "]" for a caller who did not ask for events

Each event is a whole response: candidates, or the feedback that the prompt was blocked, or an
error, which is the last and stands alone. They share one id and model; a candidate's parts hold
one thing each; calls have a name, an object and an id of their own; no text is cut within a
character; nothing follows a finish reason but usage; the usage of the last event adds up.
"""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import dataclass, field
from typing import Any

from tests.support.validator import Unsound, check, read_json

FINISHES = {
    "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT",
    "SPII", "IMAGE_SAFETY", "CONTINUATION", "MODEL_ARMOR", "ESCALATION",
}  # fmt: skip
KINDS = {
    "text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode",
    "codeExecutionResult",
}  # fmt: skip
BESIDE = {"thought", "thoughtSignature", "videoMetadata"}
COUNTS = (
    "promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "toolUsePromptTokenCount",
)  # fmt: skip
STATUSES = {
    "INVALID_ARGUMENT", "UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND", "ABORTED",
    "RESOURCE_EXHAUSTED", "CANCELLED", "INTERNAL", "UNIMPLEMENTED", "UNAVAILABLE",
    "DEADLINE_EXCEEDED", "FAILED_PRECONDITION",
}  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Told:
    """What a sound stream says by its first candidate; `error` is its error's object."""

    text: str = ""
    thoughts: str = ""
    signatures: list[bytes] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    others: list[dict[str, Any]] = field(default_factory=list)
    finish: str | None = None
    blocked: str | None = None
    usage: dict[str, int] | None = None
    error: dict[str, Any] | None = None
    heartbeats: int = 0
    events: int = 0


def read_stream(body: bytes) -> Told:
    """What an event stream tells its caller. Raises Unsound where it breaks the grammar."""
    told = Told()
    documents: list[dict[str, Any]] = []
    rest = body
    while rest:
        if rest.startswith(b"\n"):
            rest = rest[1:]
            told.heartbeats += 1
            continue
        line, end, rest = rest.partition(b"\n\n")
        check(bool(end), f"the stream ends within an event: {line[-200:]!r}")
        check(line.startswith(b"data: "), f"not one plain data line: {line[:200]!r}")
        check(b"\n" not in line and b"\r" not in line, f"more than a line: {line[:200]!r}")
        documents.append(read_json(line.removeprefix(b"data: ")))
    return _read(told, documents)


def read_array(body: bytes) -> Told:
    """The same of a JSON array."""
    try:
        documents = json.loads(body.decode())
    except ValueError as error:
        raise Unsound(f"not JSON: {body[:200]!r}") from error
    check(isinstance(documents, list), f"no array: {body[:200]!r}")
    for document in documents:
        check(isinstance(document, dict), f"not an object: {document!r}")
    return _read(Told(), documents)


def read_whole(body: bytes) -> Told:
    """The same of one whole reply."""
    return _read(Told(), [read_json(body)])


def read_error(document: dict[str, Any]) -> dict[str, Any]:
    """The error object of an error body or event."""
    check(set(document) == {"error"}, f"an error with company: {document}")
    error = document["error"]
    check(isinstance(error, dict), f"an error that is no object: {document}")
    check(type(error.get("code")) is int, f"no code: {document}")
    check(bool(error.get("message")), f"no message: {document}")
    check(error.get("status") in STATUSES, f"status {error.get('status')!r}")
    for detail in error.get("details", []):
        check(detail["@type"].startswith("type.googleapis.com/"), f"a detail untyped: {detail}")
    assert isinstance(error, dict)
    return error


def _read(told: Told, documents: list[dict[str, Any]]) -> Told:
    check(bool(documents), "nothing at all")
    constant: dict[str, Any] = {}
    for document in documents:
        check(told.error is None, f"something after the error: {document}")
        if "error" in document:
            told.error = read_error(document)
            continue
        told.events += 1
        for name in ("responseId", "modelVersion"):
            first = constant.setdefault(name, document.get(name))
            check(document.get(name) == first, f"{name} changed: {document}")
        _read_chunk(told, document)
    if told.error is None:
        check(bool(told.finish or told.blocked), "the stream ends without a finish reason")
        check(told.usage is not None, "no usage")
        _check_usage(told.usage or {})
    return told


def _read_chunk(told: Told, document: dict[str, Any]) -> None:
    if (feedback := document.get("promptFeedback")) is not None and "blockReason" in feedback:
        told.blocked = feedback["blockReason"]
    if "usageMetadata" in document:
        told.usage = document["usageMetadata"]
    candidates = document.get("candidates")
    if candidates is None:
        check(bool(document.keys() & {"promptFeedback", "usageMetadata"}), f"nothing: {document}")
        return
    check(isinstance(candidates, list) and bool(candidates), f"no candidates: {document}")
    for candidate in candidates:
        index = candidate.get("index", 0)
        check(type(index) is int and index >= 0, f"index {index!r}")
        if index == 0:
            _read_candidate(told, candidate)


def _read_candidate(told: Told, candidate: dict[str, Any]) -> None:
    check(told.finish is None, f"the candidate goes on after its end: {candidate}")
    content = candidate.get("content", {})
    check(content.get("role", "model") == "model", f"role {content.get('role')!r}")
    parts = content.get("parts", [])
    check(isinstance(parts, list), f"no list of parts: {candidate}")
    for part in parts:
        _read_part(told, part)
    finish = candidate.get("finishReason")
    if finish is not None:
        check(finish in FINISHES, f"finish reason {finish!r}")
        told.finish = finish


def _read_part(told: Told, part: dict[str, Any]) -> None:
    kinds = part.keys() & KINDS
    check(len(kinds) == 1, f"not one thing: {part}")
    check(not part.keys() - KINDS - BESIDE, f"what nobody knows: {part}")
    if "thoughtSignature" in part:
        try:
            told.signatures.append(b64decode(part["thoughtSignature"], validate=True))
        except ValueError as error:
            raise Unsound(f"a signature that is not base64: {part}") from error
    if "text" in part:
        text = part["text"]
        check(isinstance(text, str), f"no text: {part}")
        before = told.thoughts if part.get("thought") else told.text
        is_cut = "\ud800" <= before[-1:] <= "\udbff" and "\udc00" <= text[:1] <= "\udfff"
        check(not is_cut, f"a character in two pieces: {before[-1:]!r} and {part}")
        if part.get("thought"):
            told.thoughts += text
        else:
            told.text += text
    elif "functionCall" in part:
        call = part["functionCall"]
        check(bool(call.get("name")) and isinstance(call.get("args"), dict), f"a call: {part}")
        ids = {known.get("id") for known in told.calls}
        check("id" not in call or call["id"] not in ids, f"the id of another call: {part}")
        told.calls.append(call)
    else:
        told.others.append(part)


def _check_usage(usage: dict[str, int]) -> None:
    check(all(type(usage.get(name, 0)) is int for name in COUNTS), f"usage {usage}")
    total = sum(usage.get(name, 0) for name in COUNTS)
    check(usage.get("totalTokenCount") == total, f"the usage does not add up: {usage}")
    check(usage.get("cachedContentTokenCount", 0) <= usage.get("promptTokenCount", 0),
          f"more cached than read: {usage}")  # fmt: skip
