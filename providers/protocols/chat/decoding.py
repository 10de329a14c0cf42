"""A provider's stream of chat completion chunks as canonical events."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from providers.protocols.canonical import (
    Begin,
    Block,
    CallBegin,
    CallDelta,
    CallEnd,
    Done,
    Event,
    Finish,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCall,
)
from providers.protocols.chat.answers import FINISH_OF, call_of, images_of
from providers.protocols.chat.stream import StreamScanner
from providers.protocols.protocol import Judge
from providers.protocols.reading import dict_of, new_call_id, text_of
from providers.protocols.sse import KeepingScanner
from providers.protocols.usage import Usage


class _Delta(Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: Any = None
    function_call: Any = None
    images: Any = None
    audio: Any = None


class _Choice(Struct, gc=False):
    delta: _Delta
    finish_reason: str | None = None


class _Chunk(Struct, gc=False):
    choices: list[_Choice]
    usage: Any = None
    error: Any = None


_decode: Final = msgspec.json.Decoder(_Chunk).decode


class ChatDecoder(KeepingScanner, StreamScanner):
    """A scanner that keeps what it has seen; the first choice alone counts."""

    __slots__ = ("_begun_at", "_calls", "_events", "_finish", "_is_told", "_keys")

    def __init__(self, judge: Judge) -> None:
        super().__init__(judge, wants_usage=True)
        self._events: list[Event] = []
        self._begun_at = False
        self._calls: list[ToolCall] = []  # by their canonical index; arguments as they began
        self._keys: dict[Any, int] = {}  # a provider's index of a call → ours
        self._finish = ""
        self._is_told = False

    def _is_delta(self, payload: bytes) -> bool:
        """The ordinary event of the middle, text or thoughts, is decoded once and kept."""
        try:
            if not payload.isascii():
                payload.decode()
            chunk = _decode(payload)
        except (ValueError, RecursionError):
            return False  # whoever asked looks closer
        if len(chunk.choices) != 1 or chunk.usage is not None or chunk.error is not None:
            return False
        choice = chunk.choices[0]
        delta = choice.delta
        if choice.finish_reason or not (
            delta.tool_calls is delta.function_call is delta.images is delta.audio is None
        ):
            return False
        events = self._events
        if thought := delta.reasoning_content or delta.reasoning:
            events.append(ReasoningDelta(text=thought))
        if delta.content:
            events.append(TextDelta(text=delta.content))
        if delta.refusal:
            events.append(RefusalDelta(text=delta.refusal))
        return True

    def _passes_document(self, document: Any, payload: bytes) -> bool:
        passes = super()._passes_document(document, payload)
        if self.failure is not None or not isinstance(document, dict):
            return passes
        if not self._begun_at:
            self._begun_at = True
            created = document.get("created")
            self._events.append(
                Begin(
                    id=text_of(document.get("id")),
                    model=text_of(document.get("model")),
                    created_at=int(created) if isinstance(created, (int, float)) else 0,
                )
            )
        choices = document.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and choice.get("index", 0) == 0:
                self._tell(choice)
        return passes

    def _tell(self, choice: dict[str, Any]) -> None:
        delta, events = choice.get("delta"), self._events
        if isinstance(delta, dict):
            thought = text_of(delta.get("reasoning_content")) or text_of(delta.get("reasoning"))
            if thought:
                events.append(ReasoningDelta(text=thought))
            for text in _texts(delta.get("content")):
                events.append(TextDelta(text=text))
            if refusal := text_of(delta.get("refusal")):
                events.append(RefusalDelta(text=refusal))
            calls = delta.get("tool_calls")
            for call in calls if isinstance(calls, list) else ():
                if isinstance(call, dict):
                    self._tell_call(call)
            old = delta.get("function_call")
            if isinstance(old, dict):
                self._tell_call({"index": 0, "function": old})
            events += [Block(part=image) for image in images_of(delta.get("images"))]
        finish = choice.get("finish_reason")
        if isinstance(finish, str) and finish:
            self._finish = finish

    def _tell_call(self, call: dict[str, Any]) -> None:
        """A piece of a call: servers leave out indexes, or give all calls the same one."""
        key = call.get("index", call.get("id"))
        if isinstance(key, (dict, list)):  # nothing that could tell it from another
            key = None
        index = self._keys.get(key)
        named = call_of(call, new_call_id(len(self._calls)))
        given = text_of(call.get("id"))
        if index is None or (given and named.name and given != self._calls[index].id):
            index = self._keys[key] = len(self._calls)
            self._calls.append(named)
            kind = "custom" if named.is_custom else "function"
            begun = dict_of(call.get(kind)) or {}
            first = begun.get("input" if named.is_custom else "arguments")
            told = named.arguments if first else ""
            self._events.append(CallBegin(index=index, call=_with_arguments(named, told)))
            return
        inner = call.get("custom") or call.get("function")
        piece = (
            text_of(inner.get("input", inner.get("arguments"))) if isinstance(inner, dict) else ""
        )
        if piece:
            self._events.append(CallDelta(index=index, arguments=piece))

    def _tell_done(self) -> None:
        if self._is_told:
            return
        self._is_told = True
        self._events += [CallEnd(index=index) for index in range(len(self._calls))]
        finish = FINISH_OF.get(self._finish, Finish.STOP)
        if self._calls and finish is Finish.STOP:
            finish = Finish.TOOL_CALLS
        elif not self._calls and finish is Finish.TOOL_CALLS:
            finish = Finish.STOP
        self._events.append(Done(finish=finish, usage=self.usage or Usage()))


def _with_arguments(call: ToolCall, arguments: str) -> ToolCall:
    return ToolCall(id=call.id, name=call.name, arguments=arguments, is_custom=call.is_custom)


def _texts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content] if content else []
    parts = content if isinstance(content, list) else []
    return [
        text for part in parts if isinstance(part, dict) and (text := text_of(part.get("text")))
    ]
