"""What every job did last and does next, for the API and the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.db.models import Max
from django.db.models.functions import Now

from controlplane.jobs.models import Job, JobRun
from controlplane.jobs.schedule import SCHEDULE

if TYPE_CHECKING:
    from datetime import datetime

LATE_S: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStanding:
    """`last` is the newest run, also one that is under way; `late_s` how long its time is over."""

    name: str
    about: str
    every_s: float
    is_paused: bool
    is_wanted: bool
    due_at: datetime | None
    late_s: float
    last: JobRun | None


def standings() -> list[JobStanding]:
    """Every job of the schedule, in its order, also one that nobody has run yet."""
    rows = {row.name: row for row in Job.objects.annotate(now=Now())}
    newest = JobRun.objects.values("job").annotate(newest=Max("pk")).values("newest")
    runs = {run.job_id: run for run in JobRun.objects.filter(pk__in=newest)}
    found = []
    for spec in SCHEDULE.values():
        row = rows.get(spec.name) or Job(name=spec.name)
        late_s = (row.now - row.due_at).total_seconds() if row.due_at else 0.0  # type: ignore[attr-defined]
        found.append(
            JobStanding(
                name=spec.name,
                about=spec.about,
                every_s=row.every_s or spec.every_s,
                is_paused=row.is_paused,
                is_wanted=row.is_wanted,
                due_at=row.due_at,
                late_s=max(late_s, 0.0),
                last=runs.get(spec.name),
            )
        )
    return found


def is_silent(found: list[JobStanding]) -> bool:
    """Whether nobody runs jobs: all that could be due are late."""
    active = [job for job in found if not job.is_paused]
    return bool(active) and all(job.last is None or job.late_s > LATE_S for job in active)
