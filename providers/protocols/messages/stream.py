"""Messages as event streams, read in passing. One scanner per attempt."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from providers.errors import Fault
from providers.protocols import bodies
from providers.protocols.messages import errors
from providers.protocols.messages.usage import Counts
from providers.protocols.protocol import Blame, Judge, Problem
from providers.protocols.reading import text_of
from providers.protocols.sse import EventScanner
from providers.protocols.usage import members

_HEAD: Final = b"event: content_block_delta\ndata: "
_HEAD_SIZE: Final = len(_HEAD)
_STOP: Final = b'{"type":"message_stop"}'
STOP_EVENT: Final = b"event: message_stop\ndata: " + _STOP + b"\n\n"
# A block of one of these says nothing by its start alone; any other is content at once.
_FILLED_LATER: Final = {"text": "text", "thinking": "thinking"}


# An event that says nothing but more content. msgspec skips what it does not name but parses it all
# the same, so this is the JSON check too.
class _Delta(Struct, gc=False):
    type: str


class _Event(Struct, gc=False):
    type: Literal["content_block_delta"]
    index: Annotated[int, Meta(ge=0)]
    delta: _Delta
    error: None = None


_decode_event: Final = msgspec.json.Decoder(_Event).decode
_decode_events: Final = msgspec.json.Decoder(list[_Event]).decode


class MessagesScanner(EventScanner):
    """
    Scans one stream of a message.

    What no SDK survives is an error of the stream: a beginning without message_start, a delta of a
    block that was never started, a block out of turn. A second message_start is left out.
    """

    terminator = STOP_EVENT
    _head = _HEAD

    __slots__ = ("_blocks", "_counts", "_has_begun", "_kind", "_stop_reason")

    def __init__(self, judge: Judge) -> None:
        super().__init__(judge)
        self._counts = Counts()
        self._has_begun = False
        self._blocks = 0  # that have been started
        self._stop_reason = ""
        self._kind = b""  # of the event that was just taken in

    @property
    def _has_ended(self) -> bool:
        return bool(self._stop_reason)

    def error_event(self, problem: Problem) -> bytes:
        return errors.error_event(problem)

    def _middle(self, data: bytes) -> bytes:
        if (
            data.startswith(_HEAD)
            and data.find(b"\n", _HEAD_SIZE) == len(data) - 2
            and data.endswith(b"\n")
            and self._is_delta(data[_HEAD_SIZE:-2])
        ):
            return data
        return b""

    def _is_bare_end(self, rest: bytes) -> bool:
        if not rest.endswith(_STOP) or rest.removeprefix(b"event: message_stop\n") not in (
            b"data: " + _STOP,
            b"data:" + _STOP,
        ):
            return False
        self._kind = b"message_stop"
        return True

    def _written(self, event: bytes, name: bytes, payload: bytes) -> bytes:
        """SDKs skip an event without its name, which some servers leave out."""
        del event, name
        return b"event: " + self._kind + b"\ndata: " + payload

    def _is_delta(self, payload: bytes) -> bool:
        """Whether `payload` is sound and says nothing but more content. False decides nothing."""
        try:
            # msgspec does not look into the bytes of strings that it skips.
            if not payload.isascii():
                payload.decode()
            return _decode_event(payload).index < self._blocks
        except (ValueError, RecursionError):
            return False  # whoever asked looks closer

    def _are_deltas(self, payloads: bytes, count: int) -> bool:
        events = _decode_events(payloads)
        return len(events) == count and max([event.index for event in events]) < self._blocks

    def _passes(self, name: bytes, payload: bytes) -> bool:
        if self.has_content and self._is_delta(payload):
            self._kind = b"content_block_delta"
            return True
        try:
            document = bodies.decode(payload)
        except (ValueError, RecursionError):
            if payload.strip() == b"[DONE]":
                return False  # of servers that know OpenAI's streams better
            self._fail("an event of the stream is not JSON")
            return False
        if not isinstance(document, dict):
            self._fail("an event of the stream is not a JSON object")
            return False
        kind = text_of(document.get("type")) or name.decode(errors="replace")
        # What is written as the event's name has to be one line of UTF-8.
        self._kind = kind.encode(errors="replace").replace(b"\n", b" ").replace(b"\r", b" ")
        return self._passes_document(kind, document, payload)

    # What an event says

    def _passes_document(self, kind: str, document: dict[str, Any], payload: bytes) -> bool:
        if kind == "error" or document.get("error"):
            self._fail_stated(document, payload, "the stream ended with an error event")
            return False
        if kind == "ping":
            return True
        if kind == "message_start":
            return self._takes_start(document)
        if not self._has_begun:
            self._fail_stated(document, payload, "the stream did not begin with message_start")
            return False
        match kind:
            case "content_block_start":
                return self._takes_block(document)
            case "content_block_delta":
                return self._takes_delta(document)
            case "message_delta":
                return self._takes_end(document)
            case "message_stop":
                return self._end_stated()
        return True  # content_block_stop, and what is new

    def _fail_stated(self, document: dict[str, Any], payload: bytes, otherwise: str) -> None:
        failure = self._judge.error_in(document, payload, otherwise=Fault.BAD_STREAM)
        self._fail(failure.message if failure is not None else otherwise, failure)

    def _takes_start(self, document: dict[str, Any]) -> bool:
        if self._has_begun:
            return False
        self._has_begun = True
        self._take_usage(members(document.get("message")).get("usage"))
        return True

    def _takes_block(self, document: dict[str, Any]) -> bool:
        index = document.get("index")
        if type(index) is not int or index != self._blocks:
            self._fail(f"a content block of the stream is out of turn: {index!r}"[:100])
            return False
        self._blocks += 1
        block = members(document.get("content_block"))
        filled = _FILLED_LATER.get(text_of(block.get("type")))
        if filled is None or block.get(filled):
            self.has_content = True
        return True

    def _takes_delta(self, document: dict[str, Any]) -> bool:
        index = document.get("index")
        if type(index) is not int or not 0 <= index < self._blocks:
            self._fail(f"a delta of the stream belongs to no content block: {index!r}"[:100])
            return False
        delta = members(document.get("delta"))
        if any(value for name, value in delta.items() if name != "type"):
            self.has_content = True
        return True

    def _takes_end(self, document: dict[str, Any]) -> bool:
        self._take_usage(document.get("usage"))
        reason = text_of(members(document.get("delta")).get("stop_reason"))
        if reason and self._judge.blame(reason) is Blame.PROVIDER:
            self._fail(f"the stream ended with stop reason {reason}")
            return False
        if reason:
            self._stop_reason = reason
            self.has_content = True
        return True

    def _take_usage(self, stated: Any) -> None:
        self._counts.take(stated)
        if self._counts.is_stated:
            self.usage = self._counts.usage()
