"""
How many requests a worker serves at once, and who is turned away when there are more.

A few may wait a moment. They are served in their order, unless the first of them has waited long
already: then the newest goes first, because its caller is the likeliest to be still there, and
the old ones would all be late by the time it is their turn.
"""

from __future__ import annotations

import asyncio
from collections import deque

from routing.gateway.errors import GatewayError
from routing.gateway.limits import GatewayLimits

LATE_SHARE = 0.2  # of the longest wait; from then on newest first


def overloaded(what: str = "requests in flight") -> GatewayError:
    return GatewayError(
        503,
        f"This gateway has as many {what} as it takes; try again in 1s.",
        type="server_error",
        code="server_is_overloaded",
        returns_in_s=1,
        should_retry=True,
    )


class Admission:
    """
    Counts the requests in flight.

    Whoever finds `in_flight` below `limit` adds one and goes on; others await `queue()`. Everyone
    who got in calls `leave()` in the end. `shed` counts those who did not.

    A stream whose answer flows asks for `begin_stream()`: if that is true its place is free for
    somebody else, and it calls `end_stream()` in the end instead. Beyond the bound of streams it
    keeps its place, so that too many of them shut the door on new requests but break none.
    """

    __slots__ = ("_limits", "_queue", "in_flight", "limit", "shed", "streams")

    def __init__(self, limits: GatewayLimits) -> None:
        self.limit = limits.in_flight
        self.in_flight = 0
        self.shed = 0
        self.streams = 0
        self._limits = limits
        self._queue: deque[tuple[float, asyncio.Future[bool]]] = deque()

    @property
    def waiting(self) -> int:
        return len(self._queue)

    async def queue(self) -> None:
        """Wait for a place and take it. Raises GatewayError 503 if there is none in time."""
        if len(self._queue) >= self._limits.waiting:
            self.shed += 1
            raise overloaded()
        loop = asyncio.get_running_loop()
        place: asyncio.Future[bool] = loop.create_future()
        entry = (loop.time(), place)
        self._queue.append(entry)
        timer = loop.call_later(self._limits.wait_s, self._refuse, entry)
        try:
            admitted = await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.result():
                self.leave()  # it was ours in the moment in which we were stopped
            elif entry in self._queue:
                self._queue.remove(entry)
            raise
        finally:
            timer.cancel()
        if not admitted:
            self.shed += 1
            raise overloaded()

    def leave(self) -> None:
        """Give the place to the next who waits, if any."""
        while self._queue:
            now = asyncio.get_running_loop().time()
            is_late = now - self._queue[0][0] > self._limits.wait_s * LATE_SHARE
            _since, place = self._queue.pop() if is_late else self._queue.popleft()
            if not place.done():  # it is if its request was cancelled a moment ago
                place.set_result(True)
                return
        self.in_flight -= 1

    def begin_stream(self) -> bool:
        """Count the caller's request as an open stream and no longer as in flight, if it may be."""
        if self.streams >= self._limits.streams:
            return False
        self.streams += 1
        self.leave()
        return True

    def end_stream(self) -> None:
        self.streams -= 1

    def refuse_all(self) -> None:
        """Tell all who wait that it will not be here."""
        while self._queue:
            self._refuse(self._queue[0])

    def _refuse(self, entry: tuple[float, asyncio.Future[bool]]) -> None:
        if entry not in self._queue:
            return  # its place and the end of its time have come in one turn of the loop
        self._queue.remove(entry)
        if not entry[1].done():
            entry[1].set_result(False)
