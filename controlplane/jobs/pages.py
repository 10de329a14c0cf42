"""The page of jobs: what the worker does, when, and how it went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.views.decorators.http import require_http_methods

from controlplane.jobs.lease import want
from controlplane.jobs.models import Job, JobRun, RunOutcome
from controlplane.jobs.schedule import SCHEDULE
from controlplane.jobs.standing import LATE_S, is_silent, standings

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from controlplane.jobs.standing import JobStanding

VIEW: Final = "controlplane.view_job"
CHANGE: Final = "controlplane.change_job"
SHOWN_RUNS: Final = 30
COLOURS: Final = {
    RunOutcome.RUNNING: "info",
    RunOutcome.DONE: "success",
    RunOutcome.FAILED: "danger",
    RunOutcome.LOST: "danger",
}


@require_http_methods(["GET", "HEAD", "POST"])
def jobs_page(request: HttpRequest) -> HttpResponse:
    """Every job, and its runs with ?job=NAME. With ?part only what changes, for the script."""
    if not request.user.has_perm(VIEW):
        raise PermissionDenied
    if request.method == "POST":
        return _act(request)
    found = standings()
    chosen = request.GET.get("job", "")
    context: dict[str, Any] = {
        "jobs": [_shown(job) for job in found],
        "is_silent": is_silent(found),
        "may_change": request.user.has_perm(CHANGE),
        "chosen": chosen if chosen in SCHEDULE else "",
        "runs": [
            {"run": run, "colour": COLOURS[RunOutcome(run.outcome)]}
            for run in JobRun.objects.filter(job=chosen)[:SHOWN_RUNS]
        ],
    }
    if "part" in request.GET:
        return TemplateResponse(request, "admin/jobs_part.html", context)
    return TemplateResponse(
        request,
        "admin/jobs.html",
        {**admin.site.each_context(request), "title": "Jobs", **context},
    )


def _act(request: HttpRequest) -> HttpResponse:
    """Run now, pause or go on, as the button that was pressed says: VERB NAME."""
    if not request.user.has_perm(CHANGE):
        raise PermissionDenied
    verb, _, name = request.POST.get("act", "").partition(" ")
    if name in SCHEDULE:
        if verb == "run":
            want(name)
            messages.success(request, f"A worker runs {name} within two seconds.")
        elif verb in ("pause", "resume"):
            Job.objects.get_or_create(name=name)
            Job.objects.filter(name=name).update(is_paused=verb == "pause")
            words = "is paused until somebody resumes it" if verb == "pause" else "goes on"
            messages.success(request, f"{name.capitalize()} {words}.")
    return HttpResponseRedirect(reverse("jobs"))


def _shown(job: JobStanding) -> dict[str, Any]:
    last = job.last
    state, colour = "not run yet", "default"
    if job.is_paused:
        state, colour = "paused", "warning"
    elif last is not None:
        outcome = RunOutcome(last.outcome)
        state, colour = str(outcome.label), COLOURS[outcome]
        if outcome is RunOutcome.RUNNING and last.total:
            state = f"running: {last.done:,} of {last.total:,}"
    late = f"{job.late_s:.0f} s late" if job.late_s > LATE_S and not job.is_paused else ""
    return {"job": job, "state": state, "colour": colour, "late": late}


pages = [path("admin/jobs/", admin.site.admin_view(jobs_page), name="jobs")]
