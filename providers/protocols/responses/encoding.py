"""Canonical events as a stream of response events to a caller."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw as RawBytes

from providers.protocols import bodies
from providers.protocols.canonical import (
    Begin,
    Block,
    CallBegin,
    CallDelta,
    CallEnd,
    Done,
    Event,
    Finish,
    Media,
    Raw,
    Reasoning,
    ReasoningDelta,
    ReasoningEnd,
    RefusalDelta,
    TextDelta,
    ToolCall,
)
from providers.protocols.protocol import Problem
from providers.protocols.reading import dicts_of, text_of
from providers.protocols.responses.errors import error_event, failed_event
from providers.protocols.responses.items import NAME, short_id
from providers.protocols.responses.usage import usage_told
from providers.protocols.sealing import seal

_string: Final = msgspec.json.Encoder().encode
_NULL: Final = RawBytes(b"null")
# What a response repeats of its request, and what stands there where nothing was said.
_REPEATED: Final = {
    "instructions": _NULL,
    "max_output_tokens": _NULL,
    "max_tool_calls": _NULL,
    "metadata": RawBytes(b"{}"),
    "parallel_tool_calls": RawBytes(b"true"),
    "prompt_cache_key": _NULL,
    "reasoning": RawBytes(b'{"effort":null,"summary":null}'),
    "safety_identifier": _NULL,
    "temperature": _NULL,
    "text": RawBytes(b'{"format":{"type":"text"}}'),
    "tool_choice": RawBytes(b'"auto"'),
    "tools": RawBytes(b"[]"),
    "top_p": _NULL,
    "truncation": RawBytes(b'"disabled"'),
    "user": _NULL,
}
_REASONS: Final = {
    Finish.LENGTH: "max_output_tokens",
    Finish.CONTEXT: "max_output_tokens",
    Finish.FILTERED: "content_filter",
    Finish.REFUSED: "content_filter",
    Finish.PAUSED: "max_messages",
}
_GEMINI: Final = "gemini_generate"


class _Message:
    """A message that is being said; `kind` is that of its open part."""

    __slots__ = ("before", "item_id", "kind", "parts", "place", "texts")

    def __init__(self, place: int, item_id: str) -> None:
        self.place = place
        self.item_id = item_id
        self.parts: list[dict[str, Any]] = []  # those that are whole
        self.kind = ""
        self.texts: list[str] = []
        self.before = b""  # of a delta, all that is the same


class _Thought:
    __slots__ = ("item_id", "place", "texts")

    def __init__(self, place: int, item_id: str) -> None:
        self.place = place
        self.item_id = item_id
        self.texts: list[str] = []


class _Call:
    """
    A call that is being told. `is_wrapped`: its free-form text comes as the one argument of a
    function, of which nothing can be told before its end.
    """

    __slots__ = ("call", "is_wrapped", "item_id", "place", "texts")

    def __init__(self, place: int, item_id: str, call: ToolCall, *, is_wrapped: bool) -> None:
        self.place = place
        self.item_id = item_id
        self.call = call
        self.is_wrapped = is_wrapped
        self.texts: list[str] = []

    @property
    def is_custom(self) -> bool:
        return self.is_wrapped or self.call.is_custom

    def item(self, text: str) -> dict[str, Any]:
        told = {"id": self.item_id, "call_id": short_id(self.call.id), "name": self.call.name}
        if self.is_custom:
            return {"type": "custom_tool_call", "status": "completed", **told, "input": text}
        return {"type": "function_call", "status": "completed", **told, "arguments": text}


class ResponsesEncoder:
    """
    One stream. `response` is the whole one, once the stream has ended.

    A message and reasoning are open one at a time; calls are open until their end is told.
    """

    def __init__(self, asked: Mapping[str, RawBytes]) -> None:
        self.response = b""
        self._asked = asked
        self._custom = _custom_names(asked.get("tools"))
        self._pieces: list[bytes] = []
        self._number = 0  # of the next event
        self._places = 0  # of items so far
        self._output: dict[int, bytes] = {}  # items that are whole, by their places
        self._stem = f"{time.time_ns():x}"
        self._base: dict[str, RawBytes] = {}
        self._message: _Message | None = None
        self._thought: _Thought | None = None
        self._calls: dict[int, _Call] = {}
        self._is_refused = False

    def write(self, events: Iterable[Event]) -> bytes:
        for event in events:
            if type(event) is TextDelta:
                self._say("output_text", event.text)
            else:
                self._other(event)
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)

    def error_event(self, problem: Problem) -> bytes:
        if not self._base:
            return error_event(problem, self._number)
        return failed_event(problem, bodies.decode(self._told("failed")), self._number)

    def _other(self, event: Event) -> None:
        match event:
            case Begin():
                self._begin(event)
            case ReasoningDelta():
                self._think(event.text)
            case ReasoningEnd():
                self._end_thought(event.part)
            case RefusalDelta():
                self._is_refused = True
                self._say("refusal", event.text)
            case CallBegin():
                self._begin_call(event)
            case CallDelta():
                if (call := self._calls.get(event.index)) is not None:
                    self._add_arguments(call, event.arguments)
            case CallEnd():
                if (call := self._calls.pop(event.index, None)) is not None:
                    self._end_call(call, "completed")
                    if event.signature and event.signature != call.call.signature:
                        self._tell_signature(call.call, event.signature)
            case Block():
                self._tell_block(event)
            case Done():
                self._done(event)

    # The response and its events

    def _begin(self, event: Begin) -> None:
        name = event.id or self._stem
        asked = self._asked
        repeated = {
            member: value if (value := asked.get(member, _NULL)) != _NULL else otherwise
            for member, otherwise in _REPEATED.items()
        }
        self._base = {
            "id": _raw(name if name.startswith("resp_") else f"resp_{name}"),
            "object": _raw("response"),
            "created_at": _raw(event.created_at or int(time.time())),
            "model": _raw(event.model),
            "background": _raw(value=False),
            "previous_response_id": _NULL,
            "store": _raw(value=False),  # nobody who served it has been asked to
            **repeated,
        }
        begun = self._told("in_progress")
        self._tell_response("response.created", begun)
        self._tell_response("response.in_progress", begun)

    def _told(self, status: str, usage: RawBytes = _NULL, reason: str = "") -> bytes:
        items = b",".join(self._output[place] for place in sorted(self._output))
        return bodies.encode_members(
            {
                **self._base,
                "status": _raw(status),
                "error": _NULL,
                "incomplete_details": _raw({"reason": reason}) if reason else _NULL,
                "output": RawBytes(b"[" + items + b"]"),
                "usage": usage,
            }
        )

    def _tell_response(self, kind: str, response: bytes) -> None:
        name = kind.encode()
        self._pieces.append(
            b'event: %b\ndata: {"type":"%b","sequence_number":%d,"response":%b}\n\n'
            % (name, name, self._number, response)
        )
        self._number += 1

    def _tell(self, kind: str, members: dict[str, Any]) -> None:
        told = bodies.encode({"type": kind, "sequence_number": self._number, **members})
        self._pieces.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), told))
        self._number += 1

    def _done(self, event: Done) -> None:
        is_whole = event.finish not in _REASONS or (
            event.finish is Finish.REFUSED and self._is_refused
        )
        status = "completed" if is_whole else "incomplete"
        if is_whole and not self._places:
            self._open_part("output_text")  # an empty text is an answer
        self._close_message(status)
        self._close_thought(status=status)
        for call in self._calls.values():
            self._end_call(call, status)
        self._calls.clear()
        reason = "" if is_whole else _REASONS[event.finish]
        self.response = self._told(status, _raw(usage_told(event.usage)), reason)
        self._tell_response(f"response.{status}", self.response)

    # Items

    def _open_item(self, kind: str) -> tuple[int, str]:
        place = self._places
        self._places += 1
        return place, f"{kind}_{self._stem}_{place}"

    def _tell_added(self, place: int, item: dict[str, Any]) -> None:
        added = {**item, "status": "in_progress"}
        self._tell("response.output_item.added", {"output_index": place, "item": added})

    def _tell_done(self, place: int, item: dict[str, Any]) -> None:
        self._output[place] = bodies.encode(item)
        self._tell("response.output_item.done", {"output_index": place, "item": item})

    def _tell_block(self, event: Block) -> None:
        self._close_message()
        self._close_thought()
        match event.part:
            case Media(kind="image") as image if image.data:
                place, item_id = self._open_item("ig")
                item = {
                    "type": "image_generation_call",
                    "id": item_id,
                    "status": "completed",
                    "output_format": image.media_type.rpartition("/")[2] or "png",
                    "result": image.data,
                }
                self._tell_added(place, {**item, "result": None})
                self._tell_done(place, item)
            case Media(kind="image") as image:
                self._say("output_text", f"![image]({image.url})")
            case Raw() as raw if raw.origin == NAME:
                place, _ = self._open_item("")
                self._tell_added(place, raw.value)
                self._tell_done(place, raw.value)

    # Messages

    def _say(self, kind: str, text: str) -> None:
        if not text:
            return
        message = self._message
        if message is None or message.kind != kind:
            message = self._open_part(kind)
        message.texts.append(text)
        self._pieces.append(
            b'%b%b,"sequence_number":%d}\n\n' % (message.before, _text(text), self._number)
        )
        self._number += 1

    def _open_part(self, kind: str) -> _Message:
        message = self._message
        if message is None:
            self._close_thought()
            message = self._message = _Message(*self._open_item("msg"))
            item = {"type": "message", "id": message.item_id, "role": "assistant", "content": []}
            self._tell_added(message.place, item)
        else:
            self._close_part(message)
        message.kind, message.texts = kind, []
        at = {"item_id": message.item_id, "output_index": message.place}
        at["content_index"] = len(message.parts)
        self._tell("response.content_part.added", {**at, "part": _part(kind, "")})
        name = f"response.{kind}.delta"
        more: dict[str, Any] = {"logprobs": []} if kind == "output_text" else {}
        head = bodies.encode({"type": name, **at, **more})[:-1]
        message.before = b'event: %b\ndata: %b,"delta":' % (name.encode(), head)
        return message

    def _close_part(self, message: _Message) -> None:
        kind, whole = message.kind, "".join(message.texts)
        at = {"item_id": message.item_id, "output_index": message.place}
        at["content_index"] = len(message.parts)
        part = _part(kind, whole)
        if kind == "output_text":
            self._tell("response.output_text.done", {**at, "text": whole, "logprobs": []})
        else:
            self._tell("response.refusal.done", {**at, "refusal": whole})
        self._tell("response.content_part.done", {**at, "part": part})
        message.parts.append(part)

    def _close_message(self, status: str = "completed") -> None:
        message, self._message = self._message, None
        if message is None:
            return
        self._close_part(message)
        item = {
            "type": "message",
            "id": message.item_id,
            "status": status,
            "role": "assistant",
            "content": message.parts,
        }
        self._tell_done(message.place, item)

    # Reasoning

    def _open_thought(self, item_id: str = "") -> _Thought:
        self._close_message()
        place, made = self._open_item("rs")
        thought = self._thought = _Thought(place, item_id or made)
        self._tell_added(place, {"type": "reasoning", "id": thought.item_id, "summary": []})
        return thought

    def _think(self, text: str) -> None:
        if not text:
            return
        thought = self._thought or self._open_thought()
        at = {"item_id": thought.item_id, "output_index": thought.place, "summary_index": 0}
        if not thought.texts:
            part = {"type": "summary_text", "text": ""}
            self._tell("response.reasoning_summary_part.added", {**at, "part": part})
        thought.texts.append(text)
        self._tell("response.reasoning_summary_text.delta", {**at, "delta": text})

    def _end_thought(self, part: Reasoning) -> None:
        if self._thought is None:
            self._open_thought(part.id if part.origin == NAME else "")
            self._think(part.text)
        self._close_thought(part)

    def _close_thought(self, part: Reasoning | None = None, status: str = "completed") -> None:
        thought, self._thought = self._thought, None
        if thought is None:
            return
        summary = []
        if thought.texts:
            whole = "".join(thought.texts)
            at = {"item_id": thought.item_id, "output_index": thought.place, "summary_index": 0}
            summary = [{"type": "summary_text", "text": whole}]
            self._tell("response.reasoning_summary_text.done", {**at, "text": whole})
            self._tell("response.reasoning_summary_part.done", {**at, "part": summary[0]})
        item = {
            "type": "reasoning",
            "id": thought.item_id,
            "status": status,
            "summary": summary,
            "encrypted_content": _opaque(part or Reasoning()),
        }
        self._tell_done(thought.place, item)

    def _tell_signature(self, call: ToolCall, signature: str) -> None:
        """What of a call only its maker reads has no place in the call itself."""
        part = Reasoning(signature=signature, call_id=short_id(call.id), origin=_GEMINI)
        self._close_thought()
        self._end_thought(part)

    # Calls

    def _begin_call(self, event: CallBegin) -> None:
        call = event.call
        self._close_message()
        self._close_thought()
        if call.signature:
            self._tell_signature(call, call.signature)
        is_wrapped = not call.is_custom and call.name in self._custom
        place, item_id = self._open_item("ctc" if is_wrapped or call.is_custom else "fc")
        begun = self._calls[event.index] = _Call(place, item_id, call, is_wrapped=is_wrapped)
        self._tell_added(place, begun.item(""))
        self._add_arguments(begun, call.arguments)

    def _add_arguments(self, call: _Call, text: str) -> None:
        if not text:
            return
        call.texts.append(text)
        if not call.is_wrapped:
            self._tell_arguments(call, text)

    def _tell_arguments(self, call: _Call, text: str) -> None:
        stem = "custom_tool_call_input" if call.is_custom else "function_call_arguments"
        at = {"item_id": call.item_id, "output_index": call.place}
        self._tell(f"response.{stem}.delta", {**at, "delta": text})

    def _end_call(self, call: _Call, status: str) -> None:
        whole = "".join(call.texts)
        if call.is_wrapped:
            whole = _unwrapped(whole)
            if whole:
                self._tell_arguments(call, whole)
        elif not whole and not call.is_custom:
            whole = "{}"
            self._tell_arguments(call, whole)
        at = {"item_id": call.item_id, "output_index": call.place}
        if call.is_custom:
            self._tell("response.custom_tool_call_input.done", {**at, "input": whole})
        else:
            self._tell("response.function_call_arguments.done", {**at, "arguments": whole})
        self._tell_done(call.place, {**call.item(whole), "status": status})


def _custom_names(tools: RawBytes | None) -> frozenset[str]:
    """The names of the free-form tools; who does not know such has been given functions."""
    if tools is None or b'"custom"' not in bytes(tools):
        return frozenset()
    return frozenset(
        text_of(tool.get("name"))
        for tool in dicts_of(bodies.decode(bytes(tools)))
        if tool.get("type") == "custom"
    )


def _unwrapped(arguments: str) -> str:
    """The free-form text in a function's arguments, or what a model has written instead of them."""
    try:
        found = bodies.decode_text(arguments)
    except (ValueError, RecursionError):
        return arguments
    if isinstance(found, dict) and isinstance(found.get("input"), str):
        found = found["input"]
    return found if isinstance(found, str) else arguments


def _opaque(thought: Reasoning) -> str:
    """What its maker reads again. Of another protocol, it is sealed so that it can find home."""
    if thought.origin == NAME and thought.encrypted:
        return thought.encrypted
    return seal(thought)


def _part(kind: str, text: str) -> dict[str, Any]:
    if kind == "refusal":
        return {"type": kind, "refusal": text}
    return {"type": kind, "text": text, "annotations": [], "logprobs": []}


def _raw(value: Any) -> RawBytes:
    return RawBytes(bodies.encode(value))


def _text(text: str) -> bytes:
    try:
        return _string(text)
    except UnicodeEncodeError:
        return bodies.encode(text)
