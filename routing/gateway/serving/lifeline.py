"""Ends a child process when its parent is gone, however the parent ended."""

from __future__ import annotations

import os
import signal
import threading
import time


def hold(fd: int, *, limit_s: float) -> None:
    """
    Watch the pipe `fd`, whose other end only the parent holds.

    At its end this process gets a SIGTERM, as if the parent had asked; whatever still runs
    `limit_s` seconds later is cut off. A thread, so that a busy event loop cannot outlive it.
    """
    threading.Thread(target=_watch, args=(fd, limit_s), name="lifeline", daemon=True).start()


def _watch(fd: int, limit_s: float) -> None:
    while os.read(fd, 1):
        pass  # the parent never writes
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(limit_s)
    os._exit(1)
