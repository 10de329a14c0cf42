"""Ends a child process when its parent is gone, and tells the parent that the child is not hung."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Mapping
from typing import Final

BEAT_FD: Final = "SWITCHYARD_BEAT_FD"
BEAT_S: Final = 1.0


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


@contextlib.asynccontextmanager
async def beating(environ: Mapping[str, str]) -> AsyncIterator[None]:
    """Meanwhile the event loop writes a byte every second to the parent's pipe, if there is one."""
    if BEAT_FD not in environ:
        yield
        return
    fd = int(environ[BEAT_FD])
    os.set_blocking(fd, False)
    os.set_inheritable(fd, False)
    task = asyncio.create_task(_beat(fd), name="beat")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _beat(fd: int) -> None:
    while True:
        with contextlib.suppress(OSError):  # full: the parent does not run; closed: it is gone
            os.write(fd, b".")
        await asyncio.sleep(BEAT_S)
