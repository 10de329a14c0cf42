"""One run of a job: under its lease, with its progress, whatever becomes of it noted."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from celery.exceptions import SoftTimeLimitExceeded

from controlplane.jobs.lease import claim, finish, held
from controlplane.jobs.models import JobRun, RunOutcome
from controlplane.jobs.schedule import SCHEDULE

if TYPE_CHECKING:
    from datetime import datetime

    from controlplane.jobs.schedule import JobSpec

TELL_S: Final = 1.0

logger = logging.getLogger("switchyard.jobs")


class Run:
    """What a job is given: the moment at which it began, and where it tells how far it is."""

    def __init__(self, row: JobRun) -> None:
        self._row = row
        self._told_at = float("-inf")

    @property
    def began_at(self) -> datetime:
        return self._row.started_at

    def progress(self, done: int, total: int) -> None:
        """Tell how much is done; call it as often as you like."""
        now = time.monotonic()
        if now - self._told_at >= TELL_S:
            self._told_at = now
            JobRun.objects.filter(pk=self._row.pk).update(done=done, total=total)


def run_job(name: str) -> JobRun | None:
    """
    Run the job, if it is due and nobody else is at it; None if not.

    What it raises is noted and logged, never raised; the next run tries again.
    """
    spec = SCHEDULE[name]
    row = claim(spec)
    if row is None:
        return None
    with held(row):
        outcome, told, error = _outcome_of(spec, Run(row))
    finish(row, outcome=outcome, told=told, error=error)
    return row


def _outcome_of(spec: JobSpec, run: Run) -> tuple[RunOutcome, str, str]:
    try:
        told = spec.call(run)
    except SoftTimeLimitExceeded:
        logger.error("job %s was not done after %g s", spec.name, spec.soft_s)  # noqa: TRY400 - no fault of a line
        return RunOutcome.FAILED, "", f"not done after {spec.soft_s:g} s"
    except Exception as error:
        logger.exception("job %s failed", spec.name)
        return RunOutcome.FAILED, "", f"{type(error).__name__}: {error}".strip()
    return RunOutcome.DONE, told or "", ""
