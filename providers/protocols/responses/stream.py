"""Streams of the Responses API, read in passing. One scanner per attempt."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from msgspec import Struct

from providers.errors import Fault
from providers.protocols import bodies
from providers.protocols.protocol import Judge, Problem
from providers.protocols.reading import text_of
from providers.protocols.responses.errors import error_event, failed_event
from providers.protocols.responses.reply import failure_of, missing
from providers.protocols.responses.usage import usage_of
from providers.protocols.sse import EventScanner

_DONE: Final = b"[DONE]"
_NAME: Final = re.compile(r"[a-z0-9_.]{1,100}")
# Pieces of an answer, by the word of their events.
DELTAS: Final = {
    name: name.encode()
    for name in (
        "response.output_text.delta",
        "response.refusal.delta",
        "response.reasoning_text.delta",
        "response.reasoning_summary_text.delta",
        "response.function_call_arguments.delta",
        "response.custom_tool_call_input.delta",
        "response.mcp_call_arguments.delta",
        "response.code_interpreter_call_code.delta",
    )
}
_ENDS: Final = frozenset({"response.completed", "response.incomplete"})


# The view of an event of the middle. msgspec skips what it does not name but parses it all the
# same, so this is the JSON check too.
class _Delta(Struct, gc=False):
    type: str
    delta: str
    sequence_number: int = -1


_decode_delta: Final = msgspec.json.Decoder(_Delta).decode
_decode_deltas: Final = msgspec.json.Decoder(list[_Delta]).decode


class StreamScanner(EventScanner):
    """
    Scans one stream of response events; its end is response.completed or response.incomplete.

    `number` is that of the next event: the gateway may have to write the last one itself.
    """

    __slots__ = ("_has_finished", "_head", "_kind", "_name", "_number", "_response")

    def __init__(self, judge: Judge) -> None:
        super().__init__(judge)
        self._has_finished = False
        self._name = b""  # of the event that has just been taken in
        self._kind = b""  # of the delta before
        self._head = b"event: "  # of the next, if it is one of the same kind
        self._number = 0  # of the next event
        self._response: dict[str, Any] | None = None  # as it began

    @property
    def state_id(self) -> str:
        """The answer's id, if its provider keeps it."""
        response = self._response
        if response is None or response.get("store") is False:
            return ""
        stated = response.get("id")
        return stated if isinstance(stated, str) else ""

    @property
    def _has_ended(self) -> bool:
        return self._has_finished

    def error_event(self, problem: Problem) -> bytes:
        if self._response is None:
            return error_event(problem, self._number)
        return failed_event(problem, self._response, self._number)

    def _middle(self, data: bytes) -> bytes:
        head = self._head
        size = len(head)
        if (
            data.startswith(head)
            and data.find(b"\n", size) == len(data) - 2
            and data.endswith(b"\n")
            and self._is_delta(data[size:-2], self._kind)
        ):
            return data
        return b""

    def _written(self, event: bytes, name: bytes, payload: bytes) -> bytes:
        del event, name  # the document says its own name
        if not self._name:
            return b"data: " + payload
        return b"event: %b\ndata: %b" % (self._name, payload)

    def _fail_unended(self) -> None:
        if self.has_content:
            self._fail("the stream ended before the response was completed")
        else:
            self._fail_empty()

    def _is_delta(self, payload: bytes, stated: bytes = b"") -> bool:
        """
        Whether `payload` is sound and says nothing but more content. False decides nothing.

        `stated` is the name that the event has to have, if any.
        """
        try:
            # msgspec does not look into the bytes of strings that it skips.
            if not payload.isascii():
                payload.decode()
            delta = _decode_delta(payload)
        except (ValueError, RecursionError):
            return False  # whoever asked looks closer
        name = DELTAS.get(delta.type)
        if name is None or (stated and stated != name):
            return False
        self._name = name
        number = delta.sequence_number
        self._number = number + 1 if number >= 0 else self._number + 1
        return True

    def _are_deltas(self, payloads: bytes, count: int) -> bool:
        deltas, number = _decode_deltas(payloads), self._number
        if len(deltas) != count:
            return False
        for delta in deltas:
            if DELTAS.get(delta.type) != self._kind:
                return False
            number = (delta.sequence_number if delta.sequence_number >= 0 else number) + 1
        self._number = number
        return True

    def _passes(self, name: bytes, payload: bytes) -> bool:
        if name == b"ping":
            return False
        if self.has_content and self._is_delta(payload):
            self._expect_more()
            return True
        try:
            document = bodies.decode(payload)
        except (ValueError, RecursionError):
            if payload.strip() == _DONE:  # of servers that end all their streams so
                self._end_stated()
                return False
            self._fail("an event of the stream is not JSON")
            return False
        if not isinstance(document, dict):
            self._fail("an event of the stream is not a JSON object")
            return False
        kind = document.get("type")
        if not isinstance(kind, str):
            kind = name.decode(errors="replace")
        return self._passes_document(kind, document, payload)

    # What an event says

    def _passes_document(self, kind: str, document: dict[str, Any], payload: bytes) -> bool:
        """The same for whatever JSON: first events, last events, and those of odd shape."""
        if kind == "ping":
            return False
        response = document.get("response")
        if kind in ("", "error", "response.failed") or document.get("error"):
            error = response.get("error") if isinstance(response, dict) else document.get("error")
            found = {"error": error} if error else document
            failure = self._judge.error_in(found, payload, otherwise=Fault.BAD_STREAM)
            if failure is not None or kind:
                self._fail(failure.message if failure else "the response failed", failure)
                return False
        self._name = kind.encode() if _NAME.fullmatch(kind) else b""
        number = document.get("sequence_number")
        self._number = number + 1 if type(number) is int and number >= 0 else self._number + 1
        if isinstance(response, dict):
            if self._response is None:
                self._response = response
            if kind in _ENDS:
                return self._takes_end(response, payload)
        if kind in DELTAS:
            self._expect_more()
            self.has_content = self.has_content or bool(text_of(document.get("delta")))
        elif kind == "response.output_item.done":
            self.has_content = True
        return True

    def _expect_more(self) -> None:
        """A delta has come: most are followed by one of their kind."""
        self._kind = self._name
        self._head = b"event: %b\ndata: " % self._name

    def _takes_end(self, response: dict[str, Any], payload: bytes) -> bool:
        usage = usage_of(response.get("usage"))
        if usage is not None:
            self.usage = usage
        failure = failure_of(response, self._judge, payload, otherwise=Fault.BAD_STREAM)
        if failure is not None:
            self._fail(failure.message, failure)
            return False
        problem = missing(response, self._judge, has_content=self.has_content)
        if problem is not None:
            self._fail(problem)
            return False
        self.has_content = self._has_finished = True
        return self._end_stated()
