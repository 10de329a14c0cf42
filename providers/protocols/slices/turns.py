"""Whose turn it is: what is done beside the event loop stops between its slices."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from providers.errors import ProtocolError

# Up to here a body is read at once: the worst that was found takes 15 ms.
LONG: Final = 256 << 10
SLICE: Final = 64 << 10
WORK_S: Final = 6.0  # of CPU for one body; the worst that was found takes 3

Result = TypeVar("Result")


class _Work(threading.local):
    """Of a thread. A default is found at once; to miss one takes 0.5 µs."""

    until: float | None = None
    since = 0.0


_work = _Work()


class Steps:
    """`longest_s`: the longest that any work has gone on without a turn for others, in CPU time."""

    longest_s = 0.0


def is_apart() -> bool:
    """Whether this is done beside the event loop."""
    return _work.until is not None


def apart(work: Callable[[], Result]) -> Result:
    """Do `work` in this thread, which is not the event loop's. Raises what it raises."""
    _work.since = now = time.thread_time()
    _work.until = now + WORK_S
    try:
        return work()
    finally:
        Steps.longest_s = max(Steps.longest_s, time.thread_time() - _work.since)
        _work.until = None


def breathe() -> None:
    """Let the event loop go on. Raises ProtocolError for a body that takes too much work."""
    until = _work.until
    if until is None:
        return
    now = time.thread_time()
    Steps.longest_s = max(Steps.longest_s, now - _work.since)
    time.sleep(0)
    _work.since = time.thread_time()
    if now > until:
        message = "The request body takes too long to read; send less, or fewer and longer values."
        raise ProtocolError(message, code="invalid_json")


def joined(pieces: Iterable[bytes | memoryview]) -> bytes:
    """
    The pieces in one. To copy 31 MiB takes 25 to 100 ms at once, nearly all of it for new memory.
    """
    out = io.BytesIO()
    for piece in pieces:
        view = memoryview(piece)
        for start in range(0, view.nbytes, SLICE):
            out.write(view[start : start + SLICE])
            if start:
                breathe()
    return out.getvalue()
