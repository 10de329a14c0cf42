"""
The right to run a job, in the database: ten workers still do it once.

A lease is one conditional UPDATE. Its holder moves it on from a thread as long as it lives; who
dies loses it within LEASE_S, and the next worker notes that run as lost and begins anew. Time is
the database's, so that clocks of hosts need not agree.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from controlplane.jobs.models import Job, JobRun, RunOutcome
from controlplane.jobs.schedule import SCHEDULE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import QuerySet

    from controlplane.jobs.schedule import JobSpec

LEASE_S: Final = 20.0
RENEW_S: Final = 5.0
RUNS_KEPT: Final = 200  # of each job
SILENT_S: Final = 60.0
WATCHER: Final = "alerts"

logger = logging.getLogger("switchyard.jobs")


def due_jobs() -> list[str]:
    """The names of the jobs whose time has come, and that nobody is at."""
    known = set(Job.objects.values_list("name", flat=True))
    free = set(_free().values_list("name", flat=True))
    return [name for name in SCHEDULE if name in free or name not in known]


def want(name: str) -> None:
    """Have the job run at the next tick, paused or not."""
    Job.objects.get_or_create(name=name)
    Job.objects.filter(name=name).update(is_wanted=True)


def missed(runs: int) -> list[Job]:
    """The jobs that should have begun `runs` times since they last did."""
    rows = Job.objects.filter(is_paused=False, name__in=SCHEDULE).exclude(due_at=None)
    return [job for job in rows.annotate(now=Now()) if _runs_missed(job) >= runs]


def _runs_missed(job: Job) -> float:
    every_s = job.every_s or SCHEDULE[job.name].every_s
    late_s = (job.now - job.due_at).total_seconds() - LEASE_S  # type: ignore[attr-defined]
    return 1 + late_s / every_s if late_s > 0 else 0


def is_worker_silent(looked_for_s: float = 0.0) -> bool:
    """
    Whether no worker has begun a job for SILENT_S, though one is due, and none is at one.

    Where none ever has, it is silent when somebody has looked for so long: the caller, or whoever
    ran the job that looks for this. Otherwise that job counts for nothing: the control child runs
    it, too.
    """
    jobs = Job.objects.filter(name__in=SCHEDULE).exclude(name=WATCHER)
    if jobs.filter(held_until__gt=Now()).exists():
        return False
    before = Now() - timedelta(seconds=SILENT_S)
    begun = JobRun.objects.exclude(job_id=WATCHER)
    if begun.filter(started_at__gt=before).exists():
        return False
    if begun.exists():
        return jobs.filter(is_paused=False, due_at__lt=before).exists()
    if looked_for_s >= SILENT_S:
        return True
    return JobRun.objects.filter(job_id=WATCHER, started_at__lt=before).exists()


def claim(spec: JobSpec) -> JobRun | None:
    """Take the job, if it is due and nobody is at it."""
    me = f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(4)}"
    with transaction.atomic():
        known, _is_new = Job.objects.get_or_create(name=spec.name)
        claimed = (
            _free()
            .filter(name=spec.name)
            .update(
                holder=me,
                held_until=Now() + timedelta(seconds=LEASE_S),
                # Counted from the begin, so that a slow job is not run less often than it says.
                due_at=Now() + timedelta(seconds=known.every_s or spec.every_s),
                is_wanted=False,
            )
        )
        if not claimed:
            return None
        job = Job.objects.annotate(now=Now()).get(name=spec.name)
        JobRun.objects.filter(job=job, outcome=RunOutcome.RUNNING).update(
            outcome=RunOutcome.LOST, ended_at=job.now, error="its worker died"
        )
        return JobRun.objects.create(job=job, holder=me, started_at=job.now)


@contextmanager
def held(run: JobRun) -> Iterator[None]:
    """The lease is moved on meanwhile."""
    is_over = threading.Event()
    thread = threading.Thread(
        target=_renew, args=(run, is_over), name=f"lease of {run.job_id}", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _renew(run: JobRun, is_over: threading.Event) -> None:
    try:
        while not is_over.wait(RENEW_S):
            try:
                _held_by(run).update(held_until=Now() + timedelta(seconds=LEASE_S))
            except Exception as error:  # noqa: BLE001 - the database is away: tried again
                logger.warning("the lease of job %s is not renewed: %s", run.job_id, error)
                connection.close()
    finally:
        connection.close()


def finish(run: JobRun, *, outcome: RunOutcome, told: str, error: str) -> None:
    """Give the job back, and note what became of the run."""
    with transaction.atomic():
        if not _held_by(run).update(holder="", held_until=None):
            logger.error("job %s took so long that another worker runs it now", run.job_id)
            return
        ended_at = Job.objects.annotate(now=Now()).get(pk=run.job_id).now
        run.outcome, run.told, run.error, run.ended_at = outcome, told[:500], error[:1000], ended_at
        run.save(update_fields=["outcome", "told", "error", "ended_at"])
        runs = JobRun.objects.filter(job_id=run.job_id).order_by("-pk")
        if (
            oldest := runs.values_list("pk", flat=True)[RUNS_KEPT : RUNS_KEPT + 1].first()
        ) is not None:
            JobRun.objects.filter(job_id=run.job_id, pk__lte=oldest).delete()


def _free() -> QuerySet[Job]:
    is_due = Q(is_wanted=True) | (Q(is_paused=False) & (Q(due_at=None) | Q(due_at__lte=Now())))
    return Job.objects.filter(is_due, Q(held_until=None) | Q(held_until__lte=Now()))


def _held_by(run: JobRun) -> QuerySet[Job]:
    return Job.objects.filter(name=run.job_id, holder=run.holder)
