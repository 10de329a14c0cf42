"""Canonical events as a stream of GenerateContentResponse events to a caller."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from providers.protocols import bodies
from providers.protocols.canonical import (
    Begin,
    Block,
    CallBegin,
    CallDelta,
    CallEnd,
    Done,
    Event,
    Part,
    Reasoning,
    ReasoningDelta,
    ReasoningEnd,
    Refusal,
    RefusalDelta,
    TextDelta,
    ToolCall,
)
from providers.protocols.gemini import errors
from providers.protocols.gemini.answers import Signatures, head_of, part_told, word_of
from providers.protocols.gemini.listing import Listing
from providers.protocols.gemini.parts import ORIGIN, sealed
from providers.protocols.gemini.reply import usage_told
from providers.protocols.protocol import Problem

_string: Final = msgspec.json.Encoder().encode
_BEFORE: Final = b'data: {"candidates":[{"content":{"parts":['


class GeminiEncoder:
    """
    One stream. Text goes out as it comes, calls once they are whole.

    Half of a surrogate pair waits for its other half: a part's text is whole characters.
    """

    def __init__(self, *, is_array: bool) -> None:
        self._listing = Listing() if is_array else None
        self._head: dict[str, Any] = head_of("", "", 0)
        self._after = b""
        self._half = ""
        self._half_of = ""  # "text" or "thought"
        self._calls: dict[int, tuple[ToolCall, list[str]]] = {}
        self._signs = Signatures()
        self._has_refused = False
        self._is_done = False
        self._set_head()

    def write(self, events: Iterable[Event]) -> bytes:
        told = b"".join([self._event(event) for event in events])
        if self._listing is None:
            return told
        listed = self._listing.add(told)
        return listed + self._listing.close() if self._is_done else listed

    def error_event(self, problem: Problem) -> bytes:
        if self._listing is not None:
            return self._listing.error_event(problem)
        return errors.error_event(problem)

    def _event(self, event: Event) -> bytes:
        match event:
            case TextDelta():
                return self._text(event.text, "text")
            case ReasoningDelta():
                return self._text(event.text, "thought")
            case RefusalDelta():
                self._has_refused = True
                return self._text(event.text, "text")
            case Begin():
                self._head = head_of(event.id, event.model, event.created_at)
                self._set_head()
                return b""
        return self._rest_of_half() + self._other(event)

    def _other(self, event: Event) -> bytes:
        match event:
            case ReasoningEnd():
                return self._thought_end(event.part)
            case CallBegin():
                self._calls[event.index] = (event.call, [event.call.arguments])
            case CallDelta():
                self._calls[event.index][1].append(event.arguments)
            case CallEnd():
                return self._call_end(event)
            case Block():
                return self._parts(event.part)
            case Done():
                return self._done(event)
        return b""

    def _set_head(self) -> None:
        self._after = b'],"role":"model"},"index":0}],' + bodies.encode(self._head)[1:] + b"\n\n"

    # Parts

    def _text(self, text: str, kind: str) -> bytes:
        before = self._rest_of_half() if kind != self._half_of else b""
        text, self._half = self._half + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half, self._half_of = text[:-1], text[-1], kind
        return before + self._piece(text, kind) if text else before

    def _rest_of_half(self) -> bytes:
        if not self._half:
            return b""
        text, self._half = self._half, ""
        return self._piece(text, self._half_of)

    def _piece(self, text: str, kind: str) -> bytes:
        mark = b',"thought":true}' if kind == "thought" else b"}"
        return _BEFORE + b'{"text":' + _json(text) + mark + self._after

    def _parts(self, part: Part) -> bytes:
        told = part_told(part, self._signs)
        return b"".join([_BEFORE + bodies.encode(each) + self._after for each in told])

    def _thought_end(self, thought: Reasoning) -> bytes:
        """The text has been told; what its maker needs to read it again comes behind it."""
        signature = thought.signature if thought.origin == ORIGIN else sealed(thought)
        if not signature:
            return b""
        told = {"text": "", "thought": True, "thoughtSignature": signature}
        return _BEFORE + bodies.encode(told) + self._after

    def _call_end(self, event: CallEnd) -> bytes:
        call, pieces = self._calls.pop(event.index)
        whole = ToolCall(
            id=call.id,
            name=call.name,
            arguments="".join(pieces),
            is_custom=call.is_custom,
            signature=event.signature or call.signature,
        )
        return self._parts(whole)

    def _done(self, event: Done) -> bytes:
        self._is_done = True
        left = [self._call_end(CallEnd(index=index)) for index in list(self._calls)]
        refused = (Refusal(text=""),) if self._has_refused else ()
        candidate = {
            "content": {"parts": [{"text": ""}], "role": "model"},
            "finishReason": word_of(event.finish, refused),
            "index": 0,
        }
        last = {
            "candidates": [candidate],
            "usageMetadata": usage_told(event.usage),
            **self._head,
        }
        return b"".join(left) + b"data: " + bodies.encode(last) + b"\n\n"


def _json(text: str) -> bytes:
    try:
        return _string(text)
    except UnicodeEncodeError:
        return bodies.encode(text)
