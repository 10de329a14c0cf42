"""Places for requests that run at once, and a queue that somebody waits in for a while."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class NoPlace(Exception):
    """Nobody left in time, or too many wait. The text is for the caller."""


class Places:
    """`number` in all, `each` for one name; `waiting` more wait for at most `wait_s`."""

    def __init__(self, number: int, *, each: int, waiting: int, wait_s: float) -> None:
        self._room = asyncio.Condition()
        self._free = number
        self._each = each
        self._waiting = waiting
        self._wait_s = wait_s
        self._held: Counter[str] = Counter()
        self._queue: Counter[str] = Counter()

    @asynccontextmanager
    async def place(self, name: str) -> AsyncIterator[None]:
        """Raises NoPlace."""
        await self._take(name)
        try:
            yield
        finally:
            self._free += 1
            self._held[name] -= 1
            if not self._held[name]:
                del self._held[name]
            async with self._room:
                self._room.notify_all()

    def _is_free(self, name: str) -> bool:
        return self._free > 0 and self._held[name] < self._each

    async def _take(self, name: str) -> None:
        if not self._is_free(name):
            await self._wait(name)
        self._free -= 1
        self._held[name] += 1

    async def _wait(self, name: str) -> None:
        # One name fills half of the queue at most: the other half is for others.
        if self._queue.total() >= self._waiting or self._queue[name] >= self._waiting // 2:
            raise NoPlace("Too many requests wait for the admin side; try again in a few seconds.")
        self._queue[name] += 1
        try:
            async with asyncio.timeout(self._wait_s), self._room:
                await self._room.wait_for(lambda: self._is_free(name))
        except TimeoutError:
            raise NoPlace("The admin side is busy; try again in a few seconds.") from None
        finally:
            self._queue[name] -= 1
            if not self._queue[name]:
                del self._queue[name]
