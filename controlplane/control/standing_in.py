"""
Who tells that the worker is away: the job that looks for alerts cannot, as the worker runs it.

While no job has begun for a minute the control child runs that one job in the worker's place,
under the same lease, so that however many hosts do so it is done once.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from django.db import connections

from controlplane.jobs.lease import WATCHER, due_jobs, is_worker_silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOOK_EVERY_S: Final = 5.0

logger = logging.getLogger("switchyard.control")


class StandIn:
    """Looks from a thread of its own, and never raises: without a database nothing is told."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._is_over = threading.Event()
        self._error = ""

    def look(self) -> bool:
        """Run the job if the worker does not; whether it was run."""
        if not is_worker_silent(looked_for_s=self._clock() - self._began):
            return False
        due_jobs()  # which knows every job, though no worker has ever asked
        # Celery is loaded only by who needs it: it costs a process 15 MB.
        from controlplane.jobs.running import run_job  # noqa: PLC0415

        return run_job(WATCHER) is not None

    def run(self, every_s: float = LOOK_EVERY_S) -> None:
        while not self._is_over.wait(every_s):
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next look tries again
                text = f"{type(error).__name__}: {error}".strip().splitlines()[0]
                if text != self._error:
                    logger.warning("nobody looks whether the worker is away: %s", text)
                self._error = text
            else:
                self._error = ""
            finally:
                connections.close_all()

    def stop(self) -> None:
        self._is_over.set()


@contextlib.contextmanager
def standing_in() -> Iterator[None]:
    """Meanwhile."""
    stand_in = StandIn()
    thread = threading.Thread(target=stand_in.run, name="stand-in", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stand_in.stop()
        # A run under way may wait for slow receivers; it is idempotent, and may be cut off.
        thread.join(timeout=2.0)
