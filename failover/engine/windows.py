"""How many calls succeeded and failed lately."""

from __future__ import annotations

BUCKETS = 10


class Window:
    """Successes and failures of the last `span_s` seconds, in ten buckets."""

    __slots__ = ("_bad", "_current", "_good", "_width_s")

    def __init__(self, span_s: float) -> None:
        self._width_s = span_s / BUCKETS
        self._current = -1
        self._good = [0] * BUCKETS
        self._bad = [0] * BUCKETS

    def observe(self, now: float, *, ok: bool) -> None:
        tick = int(now / self._width_s)
        if tick != self._current:
            self._advance(tick)
        (self._good if ok else self._bad)[tick % BUCKETS] += 1

    def counts(self, now: float) -> tuple[int, int]:
        """(successes, failures) inside the window."""
        tick = int(now / self._width_s)
        if tick != self._current:
            self._advance(tick)
        return sum(self._good), sum(self._bad)

    def forget(self) -> None:
        self._good = [0] * BUCKETS
        self._bad = [0] * BUCKETS

    def _advance(self, tick: int) -> None:
        if self._current < 0 or tick - self._current >= BUCKETS:
            self.forget()
        else:
            for step in range(self._current + 1, tick + 1):
                self._good[step % BUCKETS] = self._bad[step % BUCKETS] = 0
        self._current = tick
