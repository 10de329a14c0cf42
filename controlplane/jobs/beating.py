"""
How our worker differs from Celery's own: beat is a thread of it, and it ends when it is told to.

Celery's embedded beat is a process that outlives a killed worker and costs as much memory as one.
Ticks of several workers do no harm: the leases decide.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import threading
import time
from typing import Any, Final

from celery import beat, bootsteps
from celery.apps.worker import Worker
from celery.signals import worker_process_init
from celery.worker import state

from routing.gateway.telemetry import logs

PR_SET_PDEATHSIG: Final = 1
STOP_WITHIN_S: Final = 4.0


class BeatThread(bootsteps.StartStopStep):  # type: ignore[misc] # Celery has no types
    """The schedule is kept in memory: what was due while nobody ran is due at the first tick."""

    requires = ("celery.worker.components:Pool",)

    def create(self, worker: Any) -> Any:
        return beat.EmbeddedService(worker.app, thread=True, scheduler_cls=beat.Scheduler)


@worker_process_init.connect  # type: ignore[untyped-decorator] # Celery has no types
def begin_child(**_kwargs: Any) -> None:
    """It writes its own lines, and does not outlive a parent that was killed."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    logs.configure(os.environ, process="worker", level=logging.getLogger().level)


class JobsWorker(Worker):  # type: ignore[misc] # Celery has no types
    """It ends as soon as no job is under way, or STOP_WITHIN_S have passed."""

    def install_platform_tweaks(self, worker: Any) -> None:
        """Signals are ours: Celery's own way out takes six seconds of sleeps, and says so aloud."""
        del worker
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, _end_soon)


def _end_soon(_signum: int, _frame: object) -> None:
    threading.Thread(target=_end, name="end", daemon=True).start()


def _end() -> None:
    # A job that is cut off is run again, by whoever finds its lease over; the children go with
    # their parent.
    until = time.monotonic() + STOP_WITHIN_S
    while state.active_requests and time.monotonic() < until:
        time.sleep(0.05)
    logging.shutdown()
    os._exit(0)
