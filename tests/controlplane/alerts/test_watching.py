"""The job as a whole: from the state of the world to a message, and to the next."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from controlplane.alerts.models import Alert, Notice, Webhook
from controlplane.alerts.watching import watch
from controlplane.health.models import HealthSnapshot
from controlplane.jobs.models import Job, JobRun
from controlplane.jobs.running import Run, run_job
from controlplane.models import Settings
from controlplane.publishing.publisher import publish
from tests.support import rows
from tests.support.receiver import receiving

pytestmark = pytest.mark.django_db


@pytest.fixture
def receiver():
    with receiving() as found:
        Webhook.objects.create(name="ops", url=found.url, managed_source="config")
        yield found


def run(seconds: float) -> str:
    job, _made = Job.objects.get_or_create(name="alerts")
    started_at = timezone.now() + timedelta(seconds=seconds)
    return watch(Run(JobRun(job=job, holder="w", started_at=started_at)))


def test_a_provider_that_dies_is_told_once_and_once_more_when_it_is_back(receiver, tmp_path):
    rows.provider("lab", secret="sk-lab-key")
    publish(tmp_path)
    sick = HealthSnapshot.objects.create(
        provider="lab", status="unhealthy", reason="Nobody answers.", checked_at=timezone.now()
    )
    assert run(0) == "1 begun, 1 sent"
    assert run(5) == ""

    sick.status = "healthy"
    sick.save()
    assert [run(10), run(69)] == ["", ""]
    assert run(70) == "1 ended, 1 sent"
    told = [json.loads(got.body) for got in receiver.posted]
    assert [one["text"] for one in told] == [
        "Provider lab is unhealthy. Nobody answers.",
        "Provider lab is back.",
    ]
    assert [one["ended_at"] is None for one in told] == [True, False]
    assert len({one["id"] for one in told}) == 1


def test_quiet_hours_hold_back_what_is_not_urgent(receiver):
    settings = Settings.load()
    now = timezone.now()
    begin, end = now - timedelta(hours=1), now + timedelta(hours=1)
    settings.alerts_quiet_hours = f"{begin:%H:%M}-{end:%H:%M} UTC"
    settings.save()
    Alert.objects.create(kind="job_missed", subject="health", text="t", since=now)
    Alert.objects.create(
        kind="pool_unavailable", subject="small", text="t", since=now, is_urgent=True
    )

    assert run(0) == "1 sent"
    assert run(2 * 3600).endswith("1 sent") or Notice.objects.filter(sent_at=None).exists()


def test_with_nowhere_to_send_it_is_noted_all_the_same():
    job = Job.objects.create(name="health", due_at=timezone.now() - timedelta(seconds=70))
    JobRun.objects.create(job=job, holder="w", started_at=timezone.now() - timedelta(seconds=75))

    assert run(0) == "1 begun"
    assert not Notice.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_schedule_knows_the_job(receiver):
    Job.objects.create(name="alerts")

    assert run_job("alerts").outcome == "done"
