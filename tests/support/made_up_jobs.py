"""Jobs for tests of what runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane.jobs.models import JobRun
from controlplane.jobs.schedule import JobSpec

if TYPE_CHECKING:
    from controlplane.jobs.running import Run


def spec(function: str, **more: float) -> JobSpec:
    """A job that runs `function` of this module."""
    times = {"every_s": 60.0, "soft_s": 5.0, "hard_s": 6.0, **more}
    return JobSpec(name="made_up", function=f"{__name__}.{function}", about="For tests.", **times)


def work(run: Run) -> str:
    run.progress(3, 10)
    return "did three of ten"


def break_down(run: Run) -> str:
    del run
    raise RuntimeError("the disk is full\nand so on")


def look_at_itself(run: Run) -> str:
    """Says what is noted of the run while it is under way."""
    row = JobRun.objects.get(job="made_up", outcome="running")
    return f"{row.job.holder == row.holder} {row.started_at == run.began_at}"
