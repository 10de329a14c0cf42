"""
How much of what a caller sends is parsed before the others get their turn.

A read of 256 KiB may hold 14,000 requests, or 43,000 chunks of one byte: parsed at once they hold
every other caller for a tenth of a second, and the requests are all in memory at once. Many who
do that share what one may take.
"""

from __future__ import annotations

from abc import abstractmethod
from asyncio import AbstractEventLoop
from collections import deque
from typing import Final

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from routing.gateway.serving.cycle import Cycle

AT_ONCE: Final = 4 << 10  # 230 requests, at most
AT_ONCE_OF_BODY: Final = 16 << 10
MOMENT_S: Final = 0.002


class Turns:
    """
    Who has more to parse: all of them together take a moment of each of the loop's turns, and half
    of its time, or they would hold the others by their number.
    """

    def __init__(self) -> None:
        self._waiting: deque[PacedConnection] = deque()
        self._is_due = False

    @property
    def is_free(self) -> bool:
        return not self._waiting

    def add(self, connection: PacedConnection) -> None:
        self._waiting.append(connection)
        if not self._is_due:
            self._is_due = True
            connection.loop.call_soon(self._take, connection.loop)

    def _take(self, loop: AbstractEventLoop) -> None:
        until = loop.time() + MOMENT_S
        try:
            while self._waiting and loop.time() < until:
                self._waiting.popleft().go_on(until)
        finally:
            self._is_due = bool(self._waiting)
            if self._is_due:
                loop.call_later(MOMENT_S, self._take, loop)


class PacedConnection(HttpToolsProtocol):
    """
    A connection that parses what comes in pieces, and goes on in its next turn where that takes
    more than a moment. Of pipelined requests no more are parsed than a piece has, until the
    first of them is answered. Nothing more is read meanwhile.
    """

    cycle: Cycle  # type: ignore[assignment]
    pipeline: deque[tuple[Cycle, ASGI3Application]]  # type: ignore[assignment]
    is_deaf = False
    _is_reading_head = True
    _unparsed: bytearray | None = None
    _is_going_on = False

    @property
    @abstractmethod
    def turns(self) -> Turns:
        """Those of the connections of its server."""

    @abstractmethod
    def parse(self, data: bytes) -> None:
        """Give `data` to the parser."""

    def data_received(self, data: bytes) -> None:
        if self.is_deaf:
            return
        if self._unparsed is None:
            if len(data) <= AT_ONCE:
                self.parse(data)
                return
            self._unparsed = bytearray()
        self._unparsed += data
        if self._is_going_on:
            self.flow.pause_reading()
        elif self.turns.is_free:
            self._go_on(self._unparsed, self.loop.time() + MOMENT_S)
        else:
            self.flow.pause_reading()
            self.go_on_soon()

    def go_on_soon(self) -> None:
        """Parse what is left, when it is its turn."""
        if self._unparsed is not None and not self._is_going_on:
            self._is_going_on = True
            self.turns.add(self)

    def _go_on(self, unparsed: bytearray, until: float) -> None:
        place = 0
        while place < len(unparsed) and not self.is_deaf and not self.pipeline:
            is_body = not self._is_reading_head and self.cycle.more_body
            size = AT_ONCE_OF_BODY if is_body else AT_ONCE
            piece = bytes(memoryview(unparsed)[place : place + size])
            place += size
            self.parse(piece)
            if self.loop.time() > until:
                break
        if place >= len(unparsed) or self.is_deaf:
            self._unparsed = None
            return
        del unparsed[:place]
        self.flow.pause_reading()
        if not self.pipeline:
            self.go_on_soon()

    def go_on(self, until: float) -> None:
        """It is its turn, until then."""
        self._is_going_on = False
        if self._unparsed is None or self.transport.is_closing():
            return
        self._go_on(self._unparsed, until)
        cycle = self.cycle
        is_read = cycle is None or cycle.response_complete or cycle.unread <= HIGH_WATER_LIMIT
        if self._unparsed is None and is_read and not self.pipeline:
            self.flow.resume_reading()
