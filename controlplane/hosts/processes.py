"""Every process of every host: the page in admin, and the API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.template.response import TemplateResponse
from django.urls import path, re_path
from django.views.decorators.http import require_safe
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from controlplane.hosts.fleet import fleet
from controlplane.hosts.models import HostReport
from routing.gateway.link.fleet import BEHIND, CURRENT, SILENT, TROUBLED

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from rest_framework.request import Request

    from routing.gateway.link.fleet import Fleet, HostSeen, WorkerSeen

VIEW: Final = "controlplane.view_hostreport"
SHOWN_ENDS: Final = 3  # of each process
STATES: Final = {
    CURRENT: ("success", "up to date"),
    BEHIND: ("warning", "behind"),
    TROUBLED: ("danger", "needs attention"),
    SILENT: ("danger", "silent"),
}


class ProcessView(serializers.Serializer[Any]):
    """A worker: what it serves, and by how many generations and seconds it is behind."""

    worker = serializers.CharField()
    pid = serializers.IntegerField()
    plane = serializers.CharField()
    version = serializers.CharField()
    generation = serializers.IntegerField(allow_null=True)
    behind = serializers.IntegerField()
    lag_s = serializers.FloatField()
    error = serializers.CharField(allow_null=True)


class EndView(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    how = serializers.CharField()


class ChildView(serializers.Serializer[Any]):
    """A process of a host. `ends` are those of the last ten minutes that nobody asked for."""

    name = serializers.CharField()
    pid = serializers.IntegerField(allow_null=True)
    ends = EndView(many=True)


class HostView(serializers.Serializer[Any]):
    """
    A host. `differs` names what is not as its peers have it, `refused` are the mistakes of the last
    edit of its configuration file. A host that is silent has told nothing for ten seconds.
    """

    host = serializers.CharField()
    data_dir = serializers.CharField()
    pid = serializers.IntegerField(help_text="Of its control child.")
    version = serializers.CharField()
    state = serializers.ChoiceField(choices=list(STATES))
    silent_s = serializers.FloatField(help_text="Seconds since its last word.")
    generation = serializers.IntegerField(allow_null=True)
    config_file = serializers.CharField(allow_blank=True)
    config_checksum = serializers.CharField(allow_blank=True)
    keys_fingerprint = serializers.CharField()
    differs = serializers.ListField(child=serializers.CharField())
    refused = serializers.ListField(child=serializers.CharField())
    refused_at = serializers.DateTimeField(allow_null=True)
    error = serializers.CharField(allow_blank=True)
    children = ChildView(many=True)
    child_errors = serializers.ListField(
        child=serializers.CharField(), help_text="Of processes that end again and again."
    )
    expected_workers = serializers.IntegerField()
    workers = ProcessView(many=True)


class ProcessesAnswer(serializers.Serializer[Any]):
    """`serving` is as in "3 of 3 on 412"; `generation` is the newest."""

    generation = serializers.IntegerField(allow_null=True)
    serving = serializers.CharField()
    hosts = HostView(many=True)


class ProcessesView(APIView):
    permission_model = HostReport

    @extend_schema(operation_id="processes", responses=ProcessesAnswer)
    def get(self, request: Request) -> Response:
        del request
        return Response(ProcessesAnswer(_shown(fleet())).data)


def _shown(found: Fleet) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(found)
    for host in told["hosts"]:
        host["refused_at"] = _moment(host["refused_at"])
        for child in host["children"]:
            for end in child["ends"]:
                end["at"] = _moment(end["at"])
    return told


def _moment(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)


@require_safe
def processes_page(request: HttpRequest) -> HttpResponse:
    """Every process. With ?part only what changes, for the page's own script."""
    if not request.user.has_perm(VIEW):
        raise PermissionDenied
    found = fleet()
    is_well = all(host.state == CURRENT and not host.differs for host in found.hosts)
    context = {
        "fleet": found,
        "colour": "success" if is_well else "warning",
        "hosts": [_host(host) for host in found.hosts],
    }
    if "part" in request.GET:
        return TemplateResponse(request, "admin/processes_part.html", context)
    return TemplateResponse(
        request,
        "admin/processes.html",
        {**admin.site.each_context(request), "title": "Processes", **context},
    )


def _host(host: HostSeen) -> dict[str, Any]:
    colour, words = STATES[host.state]
    return {
        "seen": host,
        "colour": colour,
        "state": f"{words} for {host.silent_s:.0f} s" if host.state == SILENT else words,
        "config": host.config_checksum[:12] or "no file",
        "refused_at": _moment(host.refused_at),
        "ends": [
            {"name": child.name, "how": end.how, "at": _moment(end.at)}
            for child in host.children
            for end in child.ends[-SHOWN_ENDS:]
        ],
        "missing": max(0, host.expected_workers - len(host.workers)),
        "workers": [_worker(worker, is_silent=host.state == SILENT) for worker in host.workers],
    }


def _worker(worker: WorkerSeen, *, is_silent: bool) -> dict[str, Any]:
    colour, words = "success", "up to date"
    if worker.behind:
        colour, words = "warning", f"{worker.behind} behind for {worker.lag_s:.1f} s"
    if worker.error:
        colour = "danger"
    if is_silent:
        colour, words = "default", "not known"
    return {"seen": worker, "colour": colour, "state": words}


pages = [path("admin/processes/", admin.site.admin_view(processes_page), name="processes")]
urlpatterns = [re_path(r"^processes/?$", ProcessesView.as_view())]
