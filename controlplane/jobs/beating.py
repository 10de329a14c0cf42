"""
Beat in a thread of each worker.

Celery's own embedded beat is a process that outlives a killed worker and costs as much memory as
one. Ticks of several workers do no harm: the leases decide.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
from typing import Any, Final

from celery import beat, bootsteps
from celery.signals import worker_process_init

from routing.gateway.telemetry import logs

PR_SET_PDEATHSIG: Final = 1


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
