"""What operators see of the jobs, and what they may do."""

from __future__ import annotations

from html import unescape

import pytest
from django.contrib.auth.models import Permission, User

from controlplane.jobs.models import Job, JobRun
from controlplane.jobs.running import run_job
from controlplane.jobs.schedule import SCHEDULE
from tests.support import made_up_jobs

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/admin/jobs/"


@pytest.fixture
def staff(client):
    """`staff("view", …)` signs somebody in who may do that with jobs."""

    def sign_in(*verbs: str) -> None:
        user = User.objects.create_user("op", is_staff=True)
        for verb in verbs:
            user.user_permissions.add(Permission.objects.get(codename=f"{verb}_job"))
        client.force_login(user)

    return sign_in


@pytest.fixture
def ran(monkeypatch):
    """The job `health` as one that has done something."""
    monkeypatch.setitem(SCHEDULE, "made_up", made_up_jobs.spec("work"))
    run_job("made_up")


def test_every_job_is_listed_also_before_there_is_a_worker(admin_client):
    told = admin_client.get("/api/jobs").json()
    assert [job["name"] for job in told] == list(SCHEDULE)
    assert all(job["last"] is None and job["next_at"] is None for job in told)


def test_the_last_run_and_the_next_are_told(admin_client, ran):
    job = next(job for job in admin_client.get("/api/jobs").json() if job["name"] == "made_up")
    assert job["last"]["outcome"] == "done"
    assert job["last"]["told"] == "did three of ten"
    assert job["last"]["duration_s"] >= 0
    assert job["next_at"] > job["last"]["started_at"]


def test_run_now_is_taken_note_of(admin_client):
    def run(name: str) -> int:
        sent = admin_client.post(f"/api/jobs/{name}/run", content_type="application/json")
        return sent.status_code

    assert run("health") == 202
    assert Job.objects.get(name="health").is_wanted
    assert run("nosuch") == 404


def test_the_page_shows_the_jobs_and_the_runs_of_one(admin_client, ran):
    text = unescape(admin_client.get(PAGE, {"job": "made_up"}).content.decode())
    assert "did three of ten" in text
    assert "The last runs of made_up" in text
    assert all(spec.about in text for spec in SCHEDULE.values())


def test_the_page_says_that_no_worker_runs(admin_client, ran):
    assert "No worker runs these jobs" not in admin_client.get(PAGE).content.decode()
    JobRun.objects.all().delete()
    assert "No worker runs these jobs" in admin_client.get(PAGE).content.decode()


def test_buttons_run_pause_and_resume(admin_client):
    def act(what: str) -> str:
        return admin_client.post(PAGE, {"act": what}, follow=True).content.decode()

    assert "A worker runs health within two seconds." in act("run health")
    assert Job.objects.get(name="health").is_wanted
    assert "Health is paused until somebody resumes it." in act("pause health")
    assert Job.objects.get(name="health").is_paused
    assert "Health goes on." in act("resume health")
    assert not Job.objects.get(name="health").is_paused
    act("run nosuch")
    assert not Job.objects.filter(name="nosuch").exists()


def test_who_may_only_look_has_no_buttons_and_does_nothing(client, staff):
    staff("view")
    text = client.get(PAGE).content.decode()
    assert "Looks whether providers can be reached." in text
    assert "Run now" not in text
    assert client.post(PAGE, {"act": "run health"}).status_code == 403
    assert not Job.objects.filter(is_wanted=True).exists()


def test_who_may_not_look_does_not(client, staff):
    staff()
    assert client.get(PAGE).status_code == 403
