"""A job is run once, by whoever takes it first, and what becomes of it is noted."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.db.models import F
from django.db.models.functions import Now

from controlplane.jobs import lease
from controlplane.jobs.lease import claim, due_jobs, finish, missed, want
from controlplane.jobs.models import Job, JobRun, RunOutcome
from controlplane.jobs.running import run_job
from controlplane.jobs.schedule import SCHEDULE
from tests.support import made_up_jobs

if TYPE_CHECKING:
    from collections.abc import Callable

    from controlplane.jobs.schedule import JobSpec

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> Callable[..., JobSpec]:
    """`made_up(function)` makes it the only job of the schedule."""

    def add(function: str = "work", **more: float) -> JobSpec:
        for name in list(SCHEDULE):
            monkeypatch.delitem(SCHEDULE, name)
        spec = made_up_jobs.spec(function, **more)
        monkeypatch.setitem(SCHEDULE, spec.name, spec)
        return spec

    return add


def later(seconds: float, **fields: object) -> None:
    """As if so much time had passed for the job."""
    passed = timedelta(seconds=seconds)
    Job.objects.update(
        **{"due_at": F("due_at") - passed, "held_until": F("held_until") - passed, **fields}
    )


def test_every_job_of_the_schedule_names_a_function():
    for spec in SCHEDULE.values():
        assert callable(spec.call), spec.name
        assert spec.soft_s < spec.hard_s
        assert spec.about


def test_a_new_job_is_due_at_once_and_then_after_its_interval(made_up):
    made_up(every_s=60)
    assert due_jobs() == ["made_up"]
    assert run_job("made_up") is not None
    assert due_jobs() == []
    assert run_job("made_up") is None
    later(61)
    assert due_jobs() == ["made_up"]


def test_what_a_run_did_is_noted(made_up):
    made_up()
    run_job("made_up")
    run = JobRun.objects.get()
    assert (run.outcome, run.told, run.error) == (RunOutcome.DONE, "did three of ten", "")
    assert (run.done, run.total) == (3, 10)
    assert run.ended_at >= run.started_at
    assert Job.objects.get().holder == ""


def test_a_run_under_way_is_seen_with_its_holder(made_up):
    made_up("look_at_itself")
    run_job("made_up")
    assert JobRun.objects.get().told == "True True"


def test_a_job_that_breaks_down_says_why_and_is_run_again_at_its_time(made_up, caplog):
    made_up("break_down", every_s=60)
    run_job("made_up")
    run = JobRun.objects.get()
    assert run.outcome == RunOutcome.FAILED
    assert run.error.startswith("RuntimeError: the disk is full")
    assert "job made_up failed" in caplog.text
    assert due_jobs() == []
    later(61)
    assert run_job("made_up") is not None


def test_of_two_who_would_run_a_job_one_does(made_up):
    spec = made_up()
    due_jobs()
    first, second = claim(spec), claim(spec)
    assert first is not None
    assert second is None


def test_whose_worker_died_is_noted_as_lost_and_run_by_another(made_up):
    spec = made_up()
    due_jobs()
    dead = claim(spec)
    later(lease.LEASE_S - 1, due_at=Now())
    assert claim(spec) is None
    later(2)
    assert claim(spec) is not None
    assert [run.outcome for run in JobRun.objects.order_by("pk")] == [
        RunOutcome.LOST,
        RunOutcome.RUNNING,
    ]
    # It was not dead, but slow: what it brings now is not taken.
    finish(dead, outcome=RunOutcome.DONE, told="too late", error="")
    assert not JobRun.objects.filter(told="too late").exists()
    assert Job.objects.get().holder != ""


def test_a_paused_job_is_run_only_when_somebody_wants_it(made_up):
    made_up()
    Job.objects.create(name="made_up", is_paused=True)
    assert due_jobs() == []
    want("made_up")
    assert due_jobs() == ["made_up"]
    assert run_job("made_up") is not None
    assert due_jobs() == []


def test_an_interval_of_ones_own_wins(made_up):
    made_up(every_s=60)
    Job.objects.create(name="made_up", every_s=10)
    run_job("made_up")
    later(11)
    assert due_jobs() == ["made_up"]


def test_runs_are_counted_from_the_begin_of_the_one_before(made_up):
    made_up(every_s=60)
    run_job("made_up")
    run = JobRun.objects.get()
    assert round((Job.objects.get().due_at - run.started_at).total_seconds()) == 60


def test_old_runs_are_forgotten(made_up, monkeypatch):
    made_up(every_s=0.001)
    monkeypatch.setattr(lease, "RUNS_KEPT", 3)
    for _ in range(6):
        later(1)
        run_job("made_up")
    assert JobRun.objects.count() == 3


def test_a_job_that_should_have_begun_twice_is_missed(made_up):
    made_up(every_s=60)
    run_job("made_up")
    later(60 + lease.LEASE_S + 1)
    assert missed(2) == []
    later(60)
    assert [job.name for job in missed(2)] == ["made_up"]
    Job.objects.update(is_paused=True)
    assert missed(2) == []
