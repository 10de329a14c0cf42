"""API of the worker's jobs: what ran, what is next, and run now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import Http404
from django.urls import re_path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.response import Response
from rest_framework.views import APIView

from controlplane.jobs.lease import want
from controlplane.jobs.models import Job, RunOutcome
from controlplane.jobs.schedule import SCHEDULE
from controlplane.jobs.standing import standings

if TYPE_CHECKING:
    from rest_framework.request import Request


class RunView(serializers.Serializer[Any]):
    """A run. `done` of `total` is its progress, where it tells of any."""

    started_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
    duration_s = serializers.FloatField(source="took_s", allow_null=True)
    outcome = serializers.ChoiceField(choices=RunOutcome.choices)
    told = serializers.CharField(allow_blank=True, help_text="What it did.")
    error = serializers.CharField(allow_blank=True)
    done = serializers.IntegerField()
    total = serializers.IntegerField()
    worker = serializers.CharField(source="holder")


class JobView(serializers.Serializer[Any]):
    """A job. `last` is its newest run, also one under way; null before the first."""

    name = serializers.CharField()
    about = serializers.CharField()
    every_s = serializers.FloatField()
    paused = serializers.BooleanField(source="is_paused")
    next_at = serializers.DateTimeField(source="due_at", allow_null=True)
    late_s = serializers.FloatField()
    last = RunView(allow_null=True)


class JobsView(APIView):
    permission_model = Job

    @extend_schema(operation_id="jobs", responses=JobView(many=True))
    def get(self, request: Request) -> Response:
        del request
        return Response(JobView(standings(), many=True).data)


class RunJobView(APIView):
    permission_model = Job
    permission_verbs = ("change",)

    @extend_schema(
        operation_id="run_job",
        request=None,
        responses={202: JobView},
        description="A worker runs it within two seconds.",
    )
    def post(self, request: Request, name: str) -> Response:
        del request
        if name not in SCHEDULE:
            raise Http404
        want(name)
        told = next(job for job in standings() if job.name == name)
        return Response(JobView(told).data, status=status.HTTP_202_ACCEPTED)


urlpatterns = [
    re_path(r"^jobs/?$", JobsView.as_view()),
    re_path(r"^jobs/(?P<name>[^/]+)/run/?$", RunJobView.as_view()),
]
