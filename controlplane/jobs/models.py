"""What the worker has to do, and what it did."""

from __future__ import annotations

from django.db import models


class Job(models.Model):
    """
    One job of controlplane.jobs.schedule, as all workers of all hosts see it.

    Whoever runs it is its `holder` until `held_until`, and moves that on as long as it lives;
    times are by the database's clock.
    """

    name = models.CharField(max_length=30, primary_key=True)
    every_s = models.FloatField(
        "every (seconds)",
        null=True,
        blank=True,
        help_text="Seconds from one run's begin to the next. Empty: the job's usual.",
    )
    is_paused = models.BooleanField("paused", default=False, help_text="On: it is not run.")
    is_wanted = models.BooleanField(default=False, editable=False)
    due_at = models.DateTimeField("next run", null=True, editable=False)
    holder = models.CharField(max_length=100, blank=True, editable=False)
    held_until = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class RunOutcome(models.TextChoices):
    RUNNING = "running", "running"
    DONE = "done", "done"
    FAILED = "failed", "failed"
    LOST = "lost", "lost: its worker died"


class JobRun(models.Model):
    """One run of a job. `told` is what it says of what it did, `error` why it failed."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="runs")
    holder = models.CharField("worker", max_length=100)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    outcome = models.CharField(
        max_length=10, choices=RunOutcome.choices, default=RunOutcome.RUNNING
    )
    told = models.CharField("what it did", max_length=500, blank=True)
    error = models.CharField(max_length=1000, blank=True)
    done = models.PositiveBigIntegerField(default=0)
    total = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.job_id} at {self.started_at:%Y-%m-%d %H:%M:%S}"

    @property
    def took_s(self) -> float | None:
        return None if self.ended_at is None else (self.ended_at - self.started_at).total_seconds()
