"""Canonical events as a stream of chat completion chunks to a caller."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from providers.protocols import bodies, openai
from providers.protocols.canonical import (
    Begin,
    Block,
    CallBegin,
    CallDelta,
    Done,
    Event,
    Media,
    ReasoningDelta,
    ReasoningEnd,
    RefusalDelta,
    TextDelta,
)
from providers.protocols.chat.answers import (
    WORD_OF,
    call_told,
    detail_told,
    image_told,
    outward_id,
    signature_told,
    usage_told,
)
from providers.protocols.chat.shape import CHAT
from providers.protocols.protocol import Problem

_string: Final = msgspec.json.Encoder().encode
_DONE: Final = b"data: [DONE]\n\n"


class ChatEncoder:
    """One stream; every chunk has the same id, model and time."""

    def __init__(self, *, wants_usage: bool) -> None:
        self._wants_usage = wants_usage
        self._before = b""
        self._after = b""
        self._base: dict[str, Any] = {}
        self._custom: set[int] = set()  # calls of free-form tools

    def write(self, events: Iterable[Event]) -> bytes:
        pieces: list[bytes] = []
        for event in events:
            if type(event) is TextDelta:
                pieces.append(self._chunk(b'{"content":' + _text(event.text) + b"}"))
            else:
                pieces.append(self._other(event))
        return b"".join(pieces)

    def error_event(self, problem: Problem) -> bytes:
        return openai.error_event(problem)

    def _other(self, event: Event) -> bytes:
        match event:
            case Begin():
                return self._begin(event)
            case ReasoningDelta():
                return self._chunk(b'{"reasoning_content":' + _text(event.text) + b"}")
            case ReasoningEnd():
                return self._delta({"reasoning_details": [detail_told(event.part)]})
            case RefusalDelta():
                return self._chunk(b'{"refusal":' + _text(event.text) + b"}")
            case CallBegin():
                if event.call.is_custom:
                    self._custom.add(event.index)
                begun = self._call({"index": event.index, **call_told(event.call)})
                if not event.call.signature:
                    return begun
                return self._delta({"reasoning_details": [signature_told(event.call)]}) + begun
            case CallDelta():
                if event.index in self._custom:
                    return self._call({"index": event.index, "custom": {"input": event.arguments}})
                function = {"arguments": event.arguments}
                return self._call({"index": event.index, "function": function})
            case Block(part=Media() as media):
                return self._delta({"images": [image_told(media)]})
            case Done():
                return self._done(event)
        return b""

    def _begin(self, event: Begin) -> bytes:
        self._base = {
            "id": outward_id(event.id),
            "object": CHAT.piece,
            "created": event.created_at or int(time.time()),
            "model": event.model,
        }
        head = bodies.encode(self._base)[:-1]
        usage = b',"usage":null' if self._wants_usage else b""
        self._before = b"data: " + head + b',"choices":[{"index":0,"delta":'
        self._after = b',"logprobs":null,"finish_reason":null}]' + usage + b"}\n\n"
        return self._chunk(b'{"role":"assistant","content":""}')

    def _chunk(self, delta: bytes) -> bytes:
        return self._before + delta + self._after

    def _call(self, call: dict[str, Any]) -> bytes:
        return self._delta({"tool_calls": [call]})

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return self._chunk(bodies.encode(delta))

    def _done(self, event: Done) -> bytes:
        word = WORD_OF[event.finish].encode()
        last = self._chunk(b"{}").replace(
            b'"finish_reason":null', b'"finish_reason":"' + word + b'"'
        )
        if self._wants_usage:
            document = {**self._base, "choices": [], "usage": usage_told(event.usage)}
            last += b"data: " + bodies.encode(document) + b"\n\n"
        return last + _DONE


def _text(text: str) -> bytes:
    try:
        return _string(text)
    except UnicodeEncodeError:
        return bodies.encode(text)
