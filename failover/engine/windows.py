"""How many calls succeeded and failed lately."""

from __future__ import annotations

BUCKETS = 10


class Window:
    """
    Successes and failures of the last `span_s` seconds, in ten buckets.

    The bucket of the moment is `good` and `bad`, and is put with the others when it ends: noting
    a success in the four windows of a call takes a quarter of the time of finding its bucket.
    """

    __slots__ = ("_bad", "_current", "_good", "_width_s", "bad", "ends_at", "good", "span_s")

    def __init__(self, span_s: float) -> None:
        self.span_s = span_s
        self._width_s = span_s / BUCKETS
        self._current = -1
        self.ends_at = 0.0
        self.forget()

    def observe(self, now: float, *, ok: bool) -> None:
        if now >= self.ends_at:
            self.advance(now)
        if ok:
            self.good += 1
        else:
            self.bad += 1

    def counts(self, now: float) -> tuple[int, int]:
        """(successes, failures) inside the window."""
        if now >= self.ends_at:
            self.advance(now)
        return sum(self._good) + self.good, sum(self._bad) + self.bad

    def forget(self) -> None:
        self.good = self.bad = 0
        self._good = [0] * BUCKETS
        self._bad = [0] * BUCKETS

    def advance(self, now: float) -> None:
        """Begin the bucket of `now`, which is after `ends_at`."""
        tick = int(now / self._width_s)
        if tick - self._current >= BUCKETS:
            self.forget()
        else:
            at = self._current % BUCKETS
            self._good[at], self._bad[at] = self.good, self.bad
            self.good = self.bad = 0
            for step in range(self._current + 1, tick + 1):
                self._good[step % BUCKETS] = self._bad[step % BUCKETS] = 0
        self._current = tick
        self.ends_at = (tick + 1) * self._width_s
