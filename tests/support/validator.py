"""
A strict reader of chat completion streams, stricter than any SDK.

What an SDK forgives is no proof: it skips what it does not know, and takes a stream that just
ends for a whole one. `read_stream` accepts exactly this, and raises Unsound for all else:

    stream     = *( heartbeat / event ) end
    heartbeat  = one empty line, never inside an event
    event      = "data: " JSON LF LF        one line; no comments, no other fields
    end        = "data: [DONE]" LF LF       after a finish reason of every choice that began
               / an error event             and nothing at all behind either

Chunks share one id, model and creation time; choices begin in order and say their role once, at
the start; nothing follows a choice's finish reason; tool calls begin in order, named, and only
then get arguments; usage comes once, last, alone, and only where it was asked for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

FINISHES = {"stop", "length", "tool_calls", "content_filter", "function_call"}
CONSTANT = ("id", "model", "created", "object")


class Unsound(AssertionError):
    """Bytes that a caller should never have got."""


@dataclass(slots=True, kw_only=True)
class Choice:
    """What one choice has said."""

    text: str = ""
    refusal: str = ""
    reasoning: str = ""
    calls: list[dict[str, str]] = field(default_factory=list)
    finish: str | None = None


@dataclass(slots=True, kw_only=True)
class Told:
    """A sound stream: `error` is its error event's object, None for a stream with [DONE]."""

    choices: list[Choice] = field(default_factory=list)
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    heartbeats: int = 0
    events: int = 0

    @property
    def text(self) -> str:
        return self.choices[0].text if self.choices else ""

    @property
    def finish(self) -> str | None:
        return self.choices[0].finish if self.choices else None


def read_stream(body: bytes, *, wants_usage: bool = False) -> Told:
    """What `body` tells its caller. Raises Unsound at the first byte that breaks the grammar."""
    told = Told()
    constant: dict[str, Any] = {}
    rest = body
    while True:
        while rest.startswith(b"\n"):
            rest = rest[1:]
            told.heartbeats += 1
        line, end, rest = rest.partition(b"\n\n")
        if not end:
            raise Unsound(f"the stream ends without a terminator, after {body[-200:]!r}")
        if b"\n" in line or b"\r" in line or not line.startswith(b"data: "):
            raise Unsound(f"not one plain data line: {line[:200]!r}")
        payload = line.removeprefix(b"data: ")
        if payload == b"[DONE]":
            check(not rest, f"bytes after [DONE]: {rest[:200]!r}")
            check(bool(told.choices), "[DONE] without a choice")
            unended = [n for n, choice in enumerate(told.choices) if choice.finish is None]
            check(not unended, f"[DONE] before choices {unended} have finished")
            return told
        document = read_json(payload)
        if "error" in document:
            check(not rest, f"bytes after the error event: {rest[:200]!r}")
            told.error = read_error(document)
            return told
        check(told.usage is None, f"an event after the usage: {payload[:200]!r}")
        told.events += 1
        for name in CONSTANT:
            if name in document or name in constant:
                first = constant.setdefault(name, document.get(name))
                check(document.get(name) == first, f"{name} changed: {payload[:200]!r}")
        check(document.get("object") == "chat.completion.chunk", f"no chunk: {payload[:200]!r}")
        read_chunk(told, document, wants_usage=wants_usage)


def read_error(document: dict[str, Any]) -> dict[str, Any]:
    """The error object of an error body or event."""
    check(set(document) == {"error"}, f"an error with company: {document}")
    error = document["error"]
    check(isinstance(error, dict), f"an error that is no object: {document}")
    for name in ("message", "type"):
        check(bool(error.get(name)) and isinstance(error[name], str), f"no {name}: {document}")
    check("code" in error and "param" in error, f"no code or param: {document}")
    assert isinstance(error, dict)
    return error


def read_json(payload: bytes) -> dict[str, Any]:
    """A JSON object, strictly."""
    try:
        document = json.loads(payload.decode(), parse_constant=_no_constant)
    except ValueError as error:
        raise Unsound(f"not JSON: {payload[:200]!r}") from error
    check(isinstance(document, dict), f"not an object: {payload[:200]!r}")
    assert isinstance(document, dict)
    return document


def read_chunk(told: Told, document: dict[str, Any], *, wants_usage: bool) -> None:
    choices = document.get("choices")
    check(isinstance(choices, list), f"no list of choices: {document}")
    assert isinstance(choices, list)
    usage = document.get("usage")
    if usage is not None:
        check(wants_usage, "usage that nobody asked for")
        check(choices == [], "usage beside choices")
        told.usage = usage
        return
    check(bool(choices), f"an event that says nothing: {document}")
    for piece in choices:
        read_choice(told, piece)


def read_choice(told: Told, piece: dict[str, Any]) -> None:
    index = piece.get("index")
    check(index in range(len(told.choices) + 1), f"choice {index} out of order")
    assert isinstance(index, int)
    delta = piece.get("delta")
    check(isinstance(delta, dict), f"no delta: {piece}")
    assert isinstance(delta, dict)
    if index == len(told.choices):
        told.choices.append(Choice())
    else:
        check("role" not in delta, f"choice {index} says its role twice")
    choice = told.choices[index]
    check(choice.finish is None, f"choice {index} goes on after its end: {piece}")
    choice.text += delta.get("content") or ""
    choice.refusal += delta.get("refusal") or ""
    choice.reasoning += delta.get("reasoning_content") or ""
    for call in delta.get("tool_calls") or ():
        read_call(choice, call)
    finish = piece.get("finish_reason")
    if finish is not None:
        check(finish in FINISHES, f"finish reason {finish!r}")
        choice.finish = finish


def read_call(choice: Choice, call: dict[str, Any]) -> None:
    index = call.get("index")
    check(index in range(len(choice.calls) + 1), f"tool call {index} out of order")
    assert isinstance(index, int)
    said = call.get("function") or call.get("custom") or {}
    if index == len(choice.calls):
        check(bool(call.get("id")) and bool(said.get("name")), f"a tool call unnamed: {call}")
        choice.calls.append({"id": call["id"], "name": said["name"], "arguments": ""})
    else:
        check("id" not in call and "name" not in said, f"a tool call named twice: {call}")
    choice.calls[index]["arguments"] += said.get("arguments") or said.get("input") or ""


def check(claim: bool, complaint: str) -> None:
    if not claim:
        raise Unsound(complaint)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
