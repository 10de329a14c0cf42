"""A provider's stream of response events as canonical events."""

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
    Part,
    Reasoning,
    ReasoningDelta,
    ReasoningEnd,
    Refusal,
    RefusalDelta,
    Text,
    TextDelta,
    ToolCall,
)
from providers.protocols.protocol import Judge
from providers.protocols.reading import dicts_of, new_call_id, text_of
from providers.protocols.responses.answers import created_at, finish_of, is_kept, parts_of
from providers.protocols.responses.items import call_of
from providers.protocols.responses.stream import DELTAS, StreamScanner
from providers.protocols.sse import KeepingScanner
from providers.protocols.usage import Usage

_TEXT: Final = "response.output_text.delta"
_REFUSAL: Final = "response.refusal.delta"
_THOUGHTS: Final = frozenset(
    {"response.reasoning_text.delta", "response.reasoning_summary_text.delta"}
)
_ARGUMENTS: Final = frozenset(
    {"response.function_call_arguments.delta", "response.custom_tool_call_input.delta"}
)
_OF_ITEMS: Final = frozenset({"response.output_item.added", "response.output_item.done"})
_ARGUMENTS_DONE: Final = {
    "response.function_call_arguments.done": "arguments",
    "response.custom_tool_call_input.done": "input",
}


class _Delta(Struct, gc=False):
    type: str
    delta: str
    output_index: int = -1
    sequence_number: int = -1


_decode: Final = msgspec.json.Decoder(_Delta).decode


class _Item:
    """What has been told of one item of the output, and so need not be told again."""

    __slots__ = ("call", "index", "is_done", "is_thought_of", "size", "told")

    def __init__(self) -> None:
        self.told: list[str] = []
        self.size = 0  # of what has been told
        self.call: ToolCall | None = None
        self.index = 0  # of its call
        self.is_thought_of = ""  # the kind of events that tell its reasoning; others say it twice
        self.is_done = False

    def add(self, told: str) -> None:
        self.told.append(told)
        self.size += len(told)


class ResponsesDecoder(KeepingScanner, StreamScanner):
    """A scanner that keeps what it has seen."""

    __slots__ = (
        "_calls",
        "_events",
        "_has_begun",
        "_is_told",
        "_items",
        "_last",
        "_places",
        "_said",
    )

    def __init__(self, judge: Judge) -> None:
        super().__init__(judge)
        self._events: list[Event] = []
        self._has_begun = False
        self._is_told = False
        self._items: dict[int, _Item] = {}  # by their place in the output
        self._places: dict[str, int] = {}  # of items that are known by their ids alone
        self._calls: list[ToolCall] = []
        self._said: list[Part] = []  # what decides how the answer has finished
        self._last: dict[str, Any] = {}  # the response as it ended

    def _is_delta(self, payload: bytes, stated: bytes = b"") -> bool:
        """The ordinary event of the middle is decoded once and kept."""
        try:
            if not payload.isascii():
                payload.decode()
            delta = _decode(payload)
        except (ValueError, RecursionError):
            return False  # whoever asked looks closer
        name = DELTAS.get(delta.type)
        if name is None or (stated and stated != name) or delta.output_index < 0:
            return False
        self._name = name
        number = delta.sequence_number
        self._number = number + 1 if number >= 0 else self._number + 1
        self._tell_delta(delta.type, delta.output_index, delta.delta)
        return True

    def _passes_document(self, kind: str, document: dict[str, Any], payload: bytes) -> bool:
        passes = super()._passes_document(kind, document, payload)
        if self.failure is not None:
            return passes
        response = document.get("response")
        if isinstance(response, dict):
            self._begin(response)
            self._last = response
            return passes
        if kind in DELTAS or kind in _OF_ITEMS:
            self._begin({})  # of a server that leaves out its first event
        item = document.get("item")
        index = self._place(document, item if isinstance(item, dict) else {})
        if kind in DELTAS:
            self._tell_delta(kind, index, text_of(document.get("delta")))
        elif kind == "response.output_item.added" and isinstance(item, dict):
            self._open(index, item)
        elif kind == "response.output_item.done" and isinstance(item, dict):
            self._close(index, item)
        elif kind in _ARGUMENTS_DONE:
            self._tell_rest(self._item(index), text_of(document.get(_ARGUMENTS_DONE[kind])))
        elif kind == "response.reasoning_summary_part.added" and self._item(index).told:
            self._tell_delta("response.reasoning_summary_text.delta", index, "\n\n")
        return passes

    # What it means

    def _begin(self, response: dict[str, Any]) -> None:
        if not self._has_begun:
            self._has_begun = True
            self._events.append(
                Begin(
                    id=text_of(response.get("id")),
                    model=text_of(response.get("model")),
                    created_at=created_at(response),
                )
            )

    def _place(self, document: dict[str, Any], item: dict[str, Any]) -> int:
        """Where in the output an event belongs; servers that leave that out name the item."""
        stated = document.get("output_index")
        if type(stated) is int:
            return stated
        name = text_of(document.get("item_id")) or text_of(item.get("id"))
        return self._places.setdefault(name, len(self._places))

    def _item(self, index: int) -> _Item:
        item = self._items.get(index)
        if item is None:
            item = self._items[index] = _Item()
        return item

    def _open(self, index: int, item: dict[str, Any]) -> None:
        """Calls begin with their names; whatever else has nothing to say yet."""
        known = self._item(index)
        if item.get("type") in ("function_call", "custom_tool_call") and known.call is None:
            self._begin_call(known, item)

    def _begin_call(self, known: _Item, item: dict[str, Any]) -> None:
        call = call_of(item, new_call_id(len(self._calls)))
        begun = text_of(item.get("input" if call.is_custom else "arguments"))
        known.call = ToolCall(
            id=call.id,
            name=call.name,
            arguments=begun,
            is_custom=call.is_custom,
            item_id=call.item_id,
        )
        known.index = len(self._calls)
        known.add(begun)
        self._calls.append(known.call)
        self._said.append(known.call)
        self._events.append(CallBegin(index=known.index, call=known.call))

    def _tell_delta(self, kind: str, index: int, delta: str) -> None:
        if not delta:
            return
        item, events = self._item(index), self._events
        if kind == _TEXT:
            events.append(TextDelta(text=delta))
        elif kind == _REFUSAL:
            events.append(RefusalDelta(text=delta))
            self._said.append(Refusal(text=delta))
        elif kind in _THOUGHTS:
            item.is_thought_of = item.is_thought_of or kind
            if item.is_thought_of != kind:
                return
            events.append(ReasoningDelta(text=delta))
        elif kind in _ARGUMENTS and item.call is not None and not item.is_done:
            events.append(CallDelta(index=item.index, arguments=delta))
        else:
            return  # of a tool that the provider runs, or of a call that is named only at its end
        item.add(delta)

    def _tell_rest(self, item: _Item, whole: str) -> None:
        """What servers tell only at the end, whole, of the arguments of a call."""
        if item.call is None or item.is_done or len(whole) <= item.size:
            return
        if whole.startswith("".join(item.told)):
            rest = whole[item.size :]
            item.add(rest)
            self._events.append(CallDelta(index=item.index, arguments=rest))

    def _close(self, index: int, item: dict[str, Any]) -> None:
        known, events = self._item(index), self._events
        if known.is_done:
            return
        if known.call is None and item.get("type") in ("function_call", "custom_tool_call"):
            self._begin_call(known, item)
        if known.call is not None:  # what has begun as a call ends as one
            name = "input" if known.call.is_custom else "arguments"
            self._tell_rest(known, text_of(item.get(name)))
            events.append(CallEnd(index=known.index))
        else:
            self._tell_parts(known, parts_of(item, index))
        known.is_done = True

    def _tell_parts(self, known: _Item, parts: list[Part]) -> None:
        """The end of an item that is no call: what has been told of it stays as it is."""
        told = "".join(known.told)
        for part in parts:
            match part:
                case Text():
                    if not told:
                        self._events.append(TextDelta(text=part.text))
                case Refusal():
                    if not told:
                        self._events.append(RefusalDelta(text=part.text))
                        self._said.append(part)
                case Reasoning():
                    self._end_thought(part, told)
                case _:
                    self._events.append(Block(part=part))

    def _end_thought(self, thought: Reasoning, told: str) -> None:
        if told != thought.text and told:
            thought = Reasoning(
                text=told,
                signature=thought.signature,
                encrypted=thought.encrypted,
                id=thought.id,
                call_id=thought.call_id,
                origin=thought.origin,
                raw=thought.raw,
            )
        if is_kept(thought):
            if not told and thought.text:
                self._events.append(ReasoningDelta(text=thought.text))
            self._events.append(ReasoningEnd(part=thought))

    def _tell_done(self) -> None:
        if self._is_told:
            return
        self._is_told = True
        if not any(known.told or known.is_done for known in self._items.values()):
            # Servers that tell all in the last event.
            for index, item in enumerate(dicts_of(self._last.get("output"))):
                self._close(index, item)
        for known in self._items.values():
            if known.call is not None and not known.is_done:
                self._events.append(CallEnd(index=known.index))
        finish = finish_of(self._last, self._said)
        self._events.append(Done(finish=finish, usage=self.usage or Usage()))
