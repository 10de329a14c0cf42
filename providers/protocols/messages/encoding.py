"""
Canonical events as the stream of a message to a caller.

One content block is open at a time. Calls of other protocols may come interleaved: the first is
told as it comes, the others wait, with what comes behind them, and are told in order.
"""

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
    Media,
    Reasoning,
    ReasoningDelta,
    ReasoningEnd,
    RefusalDelta,
    TextDelta,
    ToolCall,
)
from providers.protocols.messages import errors
from providers.protocols.messages.answers import (
    ORIGIN,
    blocks_of,
    ending_of,
    media_told,
    shell_of,
    signature_of,
    signed,
    thought_told,
)
from providers.protocols.messages.calls import object_of, outward_id
from providers.protocols.messages.reshaping import event as event_of
from providers.protocols.messages.stream import STOP_EVENT
from providers.protocols.messages.usage import usage_told
from providers.protocols.protocol import Problem, Request
from providers.protocols.sealing import seal
from providers.protocols.usage import Usage

# At the arguments of one call, each time that another begins: whoever interleaves does so early.
_LOOKS: Final = 8
_string: Final = msgspec.json.Encoder().encode
_DELTAS: Final = {
    "text": b'"delta":{"type":"text_delta","text":',
    "thinking": b'"delta":{"type":"thinking_delta","thinking":',
    "tool_use": b'"delta":{"type":"input_json_delta","partial_json":',
}


class _Piece:
    """
    A content block: text, thinking or a call that comes in pieces; or `whole` at once.

    `waiting` is what has come while another block was open.
    """

    __slots__ = (
        "call",
        "is_closed",
        "is_ended",
        "kind",
        "looks",
        "said",
        "signature",
        "waiting",
        "whole",
    )

    def __init__(
        self, kind: str, *, call: ToolCall | None = None, whole: dict[str, Any] | None = None
    ) -> None:
        self.kind = kind
        self.call = call
        self.whole = whole
        self.waiting: list[str] = []
        self.said: list[str] = []  # of a call: all of its arguments
        self.signature = ""
        self.is_ended = whole is not None  # nothing more comes
        self.is_closed = False  # all of it has been told
        self.looks = 0  # at whether its arguments are whole


class MessagesEncoder:
    """One stream."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._told: list[bytes] = []
        self._index = -1  # of the block that was started last
        self._head = b""  # of its deltas
        self._open: _Piece | None = None
        self._waiting: list[_Piece] = []
        self._calls: dict[int, _Piece] = {}
        self._refusal: list[str] = []

    def write(self, events: Iterable[Event]) -> bytes:
        for event in events:
            into = self._open
            if (
                type(event) is TextDelta
                and into is not None and into.kind == "text"
                and not self._waiting
            ):  # fmt: skip
                self._tell(event.text)
            else:
                self._other(event)
        told = b"".join(self._told)
        self._told.clear()
        return told

    def error_event(self, problem: Problem) -> bytes:
        return errors.error_event(problem)

    def _other(self, event: Event) -> None:
        match event:
            case Begin():
                self._begin(event)
            case TextDelta():
                self._add("text", event.text)
            case RefusalDelta():
                self._refusal.append(event.text)
                self._add("text", event.text)
            case ReasoningDelta():
                self._add("thinking", event.text)
            case ReasoningEnd():
                self._end_thought(event.part)
            case CallBegin():
                self._begin_call(event.index, event.call)
            case CallDelta():
                self._add_arguments(event.index, event.arguments)
            case CallEnd():
                self._end_call(event.index, event.signature)
            case Block(part=Media() as media):
                piece = _Piece("text")
                self._queue(piece)
                self._grow(piece, media_told(media))
            case Block():
                for block in blocks_of(event.part):
                    self._queue(_Piece(str(block.get("type")), whole=block))
            case Done():
                self._done(event)

    def _begin(self, event: Begin) -> None:
        """What the input cost is known at the end alone: message_delta corrects the estimate."""
        usage = event.usage
        if usage is None or usage.input_tokens is None:
            usage = Usage(input_tokens=self._request.estimated_input_tokens)
        message = {
            **shell_of(event.id, event.model),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_told(usage),
        }
        self._told.append(event_of("message_start", {"message": message}))

    def _done(self, event: Done) -> None:
        for index in self._calls:
            self._end_call(index, "")
        self._flush()
        self._close()
        delta = ending_of(event.finish, event.stop, "".join(self._refusal))
        usage = usage_told(event.usage)
        if event.usage.input_tokens is None:
            usage = {"output_tokens": usage["output_tokens"]}  # what is left out keeps its value
        told = {"delta": delta, "usage": usage}
        self._told.append(event_of("message_delta", told))
        self._told.append(STOP_EVENT)

    # Blocks, one after the other

    def _queue(self, piece: _Piece) -> None:
        """A new block, behind those that are not told yet."""
        last = self._waiting[-1] if self._waiting else self._open
        if last is not None and last.kind != "tool_use":
            last.is_ended = True  # text and thinking end where something else comes
        self._waiting.append(piece)
        self._flush()

    def _flush(self) -> None:
        """Tell what waits, up to a block that is still to grow."""
        while self._waiting:
            into = self._open
            if into is not None and not into.is_ended and not self._is_whole(into):
                return
            self._close()
            self._start(self._waiting.pop(0))
        if self._open is not None and self._open.is_ended:
            self._close()

    def _is_whole(self, piece: _Piece) -> bool:
        """Whether the arguments of a call are complete before their end is stated."""
        if piece.call is None or piece.call.is_custom or piece.looks == _LOOKS:
            return False
        if not piece.said or not piece.said[-1].rstrip().endswith("}"):
            return False
        piece.looks += 1
        return object_of("".join(piece.said)) is not None

    def _start(self, piece: _Piece) -> None:
        self._index += 1
        self._open = piece
        start = piece.whole or self._beginning(piece)
        told = {"index": self._index, "content_block": start}
        self._told.append(event_of("content_block_start", told))
        if piece.whole is not None:
            return
        self._head = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":'
            + str(self._index).encode() + b"," + _DELTAS[piece.kind]
        )  # fmt: skip
        waiting, piece.waiting = piece.waiting, []
        for text in waiting:
            self._tell(text)

    def _beginning(self, piece: _Piece) -> dict[str, Any]:
        if piece.call is not None:
            call_id = outward_id(piece.call.id)
            return {"type": "tool_use", "id": call_id, "name": piece.call.name, "input": {}}
        if piece.kind == "thinking":
            return {"type": "thinking", "thinking": "", "signature": ""}
        return {"type": "text", "text": ""}

    def _tell(self, text: str) -> None:
        try:
            told = _string(text)
        except UnicodeEncodeError:
            told = bodies.encode(text)
        self._told.append(self._head + told + b"}}\n\n")

    def _close(self) -> None:
        piece, self._open = self._open, None
        if piece is None:
            return
        piece.is_closed = True
        if piece.kind == "thinking" and piece.whole is None:
            # Without one, Anthropic's clients drop the thought or choke on it.
            signature = piece.signature or seal(Reasoning())
            delta = {"type": "signature_delta", "signature": signature}
            told = {"index": self._index, "delta": delta}
            self._told.append(event_of("content_block_delta", told))
        self._told.append(event_of("content_block_stop", {"index": self._index}))

    # What grows

    def _add(self, kind: str, text: str) -> None:
        if not text:
            return
        last = self._waiting[-1] if self._waiting else self._open
        if last is None or last.kind != kind or last.is_ended:
            last = _Piece(kind)
            self._queue(last)
        self._grow(last, text)

    def _grow(self, piece: _Piece, text: str) -> None:
        if piece is self._open:
            self._tell(text)
        else:
            piece.waiting.append(text)

    def _end_thought(self, thought: Reasoning) -> None:
        """Its text has been told as it came: what is left is what signs it."""
        last = self._waiting[-1] if self._waiting else self._open
        if last is not None and last.kind == "thinking" and not last.is_ended:
            last.signature = signature_of(thought)
            last.is_ended = True
            self._flush()
        elif thought.origin == ORIGIN and thought.encrypted:
            self._queue(_Piece("redacted_thinking", whole=thought_told(thought)))
        else:
            self._queue_signature(signature_of(thought))

    def _queue_signature(self, signature: str) -> None:
        """A thought of which nothing is to be read: a block with a signature alone."""
        piece = _Piece("thinking")
        piece.signature = signature
        piece.is_ended = True
        self._queue(piece)

    def _begin_call(self, index: int, call: ToolCall) -> None:
        for thought in signed(call.id, call.signature):
            self._queue_signature(thought["signature"])
        piece = self._calls[index] = _Piece("tool_use", call=call)
        self._queue(piece)
        self._add_arguments(index, call.arguments)

    def _add_arguments(self, index: int, arguments: str) -> None:
        piece = self._calls.get(index)
        if piece is None or not arguments:
            return
        assert piece.call is not None  # noqa: S101  # it is a call's
        piece.said.append(arguments)
        if piece.call.is_custom:
            return  # text, which becomes an object once it is whole
        if not piece.is_closed:  # or it was whole: translating.py fails whatever else comes
            self._grow(piece, arguments)

    def _end_call(self, index: int, signature: str) -> None:
        piece = self._calls.get(index)
        if piece is None or piece.is_ended:
            return
        assert piece.call is not None  # noqa: S101  # it is a call's
        piece.is_ended = True
        if piece.call.is_custom:
            told = bodies.encode({"input": "".join(piece.said)}).decode()
            self._grow(piece, told)
        if signature and not piece.call.signature:
            for thought in signed(piece.call.id, signature):
                self._queue_signature(thought["signature"])
        else:
            self._flush()
