"""Google's other form of a stream: one JSON array, whose members come one by one."""

from __future__ import annotations

from typing import Final

from providers.protocols.gemini import errors
from providers.protocols.protocol import Problem

ARRAY: Final = b"application/json"


class Listing:
    """One array. What comes is events of one `data: ` line each, as scanners and encoders write."""

    __slots__ = ("_is_closed", "_is_open")

    def __init__(self) -> None:
        self._is_open = False
        self._is_closed = False

    def add(self, events: bytes) -> bytes:
        return b"".join([self._before() + event[6:] for event in events.split(b"\n\n") if event])

    def close(self) -> bytes:
        """The end of an array that is whole; once."""
        if self._is_closed:
            return b""
        self._is_closed = True
        return b"\n]\n" if self._is_open else b"[]\n"

    def error_event(self, problem: Problem) -> bytes:
        """A broken array is JSON all the same; its last member says that it broke."""
        self._is_closed = True
        return self._before() + errors.error(problem)[1] + b"\n]\n"

    def _before(self) -> bytes:
        if self._is_open:
            return b"\n,\n"
        self._is_open = True
        return b"["
