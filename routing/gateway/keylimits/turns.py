"""How much of a key's long bodies is on its way at a time: the rest waits in its order."""

from __future__ import annotations

import asyncio
from collections import deque


class BodyTurns:
    """`most` bytes of each key have a turn at once; one body has, whatever its size."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: dict[bytes, int] = {}
        self._waiting: dict[bytes, deque[tuple[int, asyncio.Future[None]]]] = {}

    async def take(self, key: bytes, size: int, *, wait_s: float) -> None:
        """Wait for a turn of `size` bytes, to be given back. Raises TimeoutError."""
        if key not in self._waiting and self._fits(key, size):
            self._taken[key] = self._taken.get(key, 0) + size
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (size, place)
        self._waiting.setdefault(key, deque()).append(entry)
        try:
            async with asyncio.timeout(wait_s):
                await place
        except BaseException:
            if place.done() and not place.cancelled():
                self.give_back(key, size)  # it was ours in the moment in which we were stopped
            else:
                self._waiting[key].remove(entry)
                self._go_on(key)
            raise

    def give_back(self, key: bytes, size: int) -> None:
        left = self._taken.pop(key) - size
        if left:
            self._taken[key] = left
        self._go_on(key)

    def _fits(self, key: bytes, size: int) -> bool:
        taken = self._taken.get(key, 0)
        return not taken or taken + size <= self._most

    def _go_on(self, key: bytes) -> None:
        queue = self._waiting.get(key)
        while queue and self._fits(key, queue[0][0]):
            size, place = queue.popleft()
            self._taken[key] = self._taken.get(key, 0) + size
            place.set_result(None)
        if queue is not None and not queue:
            del self._waiting[key]
