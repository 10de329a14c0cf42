"""Work that goes on in threads while a test does something else."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable


class Background:
    """Does each `work` again and again while its block runs, each in a thread of its own."""

    def __init__(self, *work: Callable[[], None], pause_s: float = 0) -> None:
        self._is_over = threading.Event()
        self._pause_s = pause_s
        self._threads = [threading.Thread(target=self._repeat, args=(each,)) for each in work]

    def _repeat(self, work: Callable[[], None]) -> None:
        while not self._is_over.wait(self._pause_s):
            work()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()
