"""A provider's stream of a message as canonical events."""

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
    Raw,
    ReasoningDelta,
    ReasoningEnd,
    RefusalDelta,
    TextDelta,
    ToolCall,
)
from providers.protocols.messages.answers import (
    ORIGIN,
    explanation_of,
    finish_of,
    thought_of,
)
from providers.protocols.messages.calls import arguments_of, object_of
from providers.protocols.messages.stream import MessagesScanner
from providers.protocols.protocol import Judge
from providers.protocols.reading import new_call_id, text_of
from providers.protocols.sse import KeepingScanner
from providers.protocols.usage import Usage, members


class _Delta(Struct, gc=False):
    type: str
    text: str = ""
    thinking: str = ""
    partial_json: str = ""


class _Event(Struct, gc=False):
    type: str
    index: int
    delta: _Delta
    error: Any = None


_decode: Final = msgspec.json.Decoder(_Event).decode
_PLAIN: Final = frozenset({"text_delta", "thinking_delta", "input_json_delta"})


class _Open:
    """A block that has been started: `block` as it began, `pieces` of what has come since."""

    __slots__ = ("block", "call", "kind", "pieces", "signature")

    def __init__(self, block: dict[str, Any], kind: str, call: int) -> None:
        self.block = block
        self.kind = kind
        self.call = call  # its index among the calls; -1 for other blocks
        self.pieces: list[str] = []
        self.signature = ""


class MessagesDecoder(KeepingScanner, MessagesScanner):
    """A scanner that keeps what it has seen."""

    __slots__ = ("_calls", "_events", "_is_told", "_open", "_stop", "_why")

    def __init__(self, judge: Judge) -> None:
        super().__init__(judge)
        self._events: list[Event] = []
        self._open: dict[int, _Open] = {}
        self._calls = 0
        self._stop = ""
        self._why = ""  # it refused
        self._is_told = False

    def _is_delta(self, payload: bytes) -> bool:
        """The ordinary event of the middle is decoded once and kept."""
        try:
            if not payload.isascii():
                payload.decode()
            event = _decode(payload)
        except (ValueError, RecursionError):
            return False  # whoever asked looks closer
        delta = event.delta
        if (
            event.type != "content_block_delta"
            or delta.type not in _PLAIN
            or event.error is not None
            or (into := self._open.get(event.index)) is None
        ):
            return False
        self._tell_piece(into, delta.type, delta.text or delta.thinking or delta.partial_json)
        return True

    def _passes_document(self, kind: str, document: dict[str, Any], payload: bytes) -> bool:
        had_begun = self._has_begun
        passes = super()._passes_document(kind, document, payload)
        if self.failure is not None:
            return passes
        match kind:
            case "message_start" if not had_begun:
                message = members(document.get("message"))
                self._events.append(
                    Begin(
                        id=text_of(message.get("id")),
                        model=text_of(message.get("model")),
                        usage=self.usage,
                    )
                )
            case "content_block_start":
                self._tell_start(document["index"], members(document.get("content_block")))
            case "content_block_delta":
                if (into := self._open.get(document["index"])) is not None:
                    self._take_delta(into, members(document.get("delta")))
            case "content_block_stop":
                index = document.get("index")
                if type(index) is int and (ended := self._open.pop(index, None)) is not None:
                    self._tell_stop(ended)
            case "message_delta":
                delta = members(document.get("delta"))
                self._stop = text_of(delta.get("stop_sequence")) or self._stop
                self._why = explanation_of(delta) or self._why
        return passes

    def _tell_start(self, index: int, block: dict[str, Any]) -> None:
        """What a block starts with counts as well."""
        kind = text_of(block.get("type"))
        call = -1
        if kind == "tool_use":
            call = self._calls
            self._calls += 1
            begun = ToolCall(
                id=text_of(block.get("id")) or new_call_id(call),
                name=text_of(block.get("name")),
                arguments="",
            )
            self._events.append(CallBegin(index=call, call=begun))
        into = self._open[index] = _Open(block, kind, call)
        into.signature = text_of(block.get("signature"))
        if kind == "text":
            self._tell_piece(into, "text_delta", text_of(block.get("text")))
        elif kind == "thinking":
            self._tell_piece(into, "thinking_delta", text_of(block.get("thinking")))

    def _take_delta(self, into: _Open, delta: dict[str, Any]) -> None:
        kind = text_of(delta.get("type"))
        if kind == "signature_delta":
            into.signature += text_of(delta.get("signature"))
        elif kind in _PLAIN:
            names = ("text", "thinking", "partial_json")
            piece = next((text for name in names if (text := text_of(delta.get(name)))), "")
            self._tell_piece(into, kind, piece)

    def _tell_piece(self, into: _Open, kind: str, piece: str) -> None:
        """A piece, in a block where it belongs."""
        if not piece:
            return
        if kind == "text_delta":
            self._events.append(TextDelta(text=piece))
        elif kind == "thinking_delta":
            into.pieces.append(piece)
            self._events.append(ReasoningDelta(text=piece))
        else:
            into.pieces.append(piece)
            if into.call >= 0:
                self._events.append(CallDelta(index=into.call, arguments=piece))

    def _tell_stop(self, ended: _Open) -> None:
        block, text = ended.block, "".join(ended.pieces)
        if ended.call >= 0:
            given = members(block.get("input"))
            if given and not text:  # some servers tell a call whole, where it starts
                told = arguments_of(given)
                self._events.append(CallDelta(index=ended.call, arguments=told))
            self._events.append(CallEnd(index=ended.call))
        elif ended.kind == "thinking":
            whole = {**block, "thinking": text, "signature": ended.signature}
            self._events.append(ReasoningEnd(part=thought_of(whole)))
        elif ended.kind == "redacted_thinking":
            self._events.append(ReasoningEnd(part=thought_of(block)))
        elif ended.kind != "text":
            told_input = object_of(text) if text else None
            whole = block if told_input is None else {**block, "input": told_input}
            self._events.append(Block(part=Raw(origin=ORIGIN, value=whole)))

    def _tell_done(self) -> None:
        if self._is_told:
            return
        self._is_told = True
        for unended in self._open.values():
            self._tell_stop(unended)
        if self._stop_reason == "refusal" and self._why:
            self._events.append(RefusalDelta(text=self._why))
        finish = finish_of(self._stop_reason, has_calls=self._calls > 0)
        usage = self.usage or Usage()
        self._events.append(Done(finish=finish, usage=usage, stop=self._stop))
