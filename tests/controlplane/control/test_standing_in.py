"""The control child looks for alerts in the place of a worker that is away."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from controlplane.alerts.models import Alert
from controlplane.control.standing_in import StandIn
from controlplane.jobs.models import Job, JobRun
from tests.support.builders import FakeClock

# Its lease is moved on from a thread, over a connection of its own.
pytestmark = pytest.mark.django_db(transaction=True)


def later(seconds: float) -> None:
    """Everything that was noted lies so much further back."""
    shift = timedelta(seconds=seconds)
    for row in JobRun.objects.all():
        JobRun.objects.filter(pk=row.pk).update(started_at=row.started_at - shift)
    for job in Job.objects.exclude(due_at=None):
        Job.objects.filter(pk=job.pk).update(due_at=job.due_at - shift)


def test_while_the_worker_runs_it_does_nothing():
    job = Job.objects.create(name="health", due_at=timezone.now())
    JobRun.objects.create(job=job, holder="w", started_at=timezone.now())

    assert not StandIn().look()
    assert not JobRun.objects.filter(job_id="alerts").exists()


def test_it_runs_the_job_of_a_worker_that_has_gone_silent_which_tells_that():
    job = Job.objects.create(name="health", due_at=timezone.now() - timedelta(seconds=65))
    JobRun.objects.create(job=job, holder="w", started_at=timezone.now() - timedelta(seconds=70))

    assert StandIn().look()
    assert [row.kind for row in Alert.objects.filter(ended_at=None)] == ["worker_silent"]
    assert JobRun.objects.filter(job_id="alerts", outcome="done").count() == 1
    assert not StandIn().look()  # another host: it is not due again yet


def test_a_worker_that_was_never_started_is_missed_after_a_minute():
    clock = FakeClock()
    stand_in = StandIn(clock=clock)
    clock.now += 59
    assert not stand_in.look()

    clock.now += 2
    assert stand_in.look()
    later(61)
    assert stand_in.look()
    assert [row.kind for row in Alert.objects.filter(ended_at=None)] == ["worker_silent"]


def test_a_worker_that_comes_back_ends_it():
    job = Job.objects.create(name="health", due_at=timezone.now() - timedelta(seconds=65))
    JobRun.objects.create(job=job, holder="w", started_at=timezone.now() - timedelta(seconds=70))
    StandIn().look()
    JobRun.objects.create(job=job, holder="w", started_at=timezone.now())

    assert not StandIn().look()
