"""The Celery tasks: the tick, and one for each job of the schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane.celery import TICK, app
from controlplane.jobs.lease import due_jobs
from controlplane.jobs.running import run_job
from controlplane.jobs.schedule import SCHEDULE, TICK_S

if TYPE_CHECKING:
    from collections.abc import Callable


@app.task(name=TICK)  # type: ignore[untyped-decorator] # Celery has no types
def tick() -> None:
    """Send what is due. A job that is sent twice is run once: its lease decides."""
    for name in due_jobs():
        app.send_task(SCHEDULE[name].task, expires=5 * TICK_S)


def _runner(name: str) -> Callable[[], None]:
    def job() -> None:
        run_job(name)

    return job


for _spec in SCHEDULE.values():
    app.task(name=_spec.task, soft_time_limit=_spec.soft_s, time_limit=_spec.hard_s)(
        _runner(_spec.name)
    )
