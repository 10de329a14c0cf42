"""Pages of admin that show decisions: explain, and try it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, JsonResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.views.decorators.http import require_http_methods, require_safe

from controlplane.decisions import pools_page
from controlplane.decisions.deciding import (
    ENDPOINTS,
    Question,
    Unanswerable,
    decide,
    decide_again,
    decide_now,
)
from controlplane.decisions.forms import ExplainForm, TryForm
from controlplane.decisions.local_worker import LocalWorker, worker_of
from controlplane.decisions.trying import KEPT_BYTES, ShownAnswer, try_request
from controlplane.models import ApiKey
from controlplane.records.api import with_id
from controlplane.records.models import RequestRecord
from controlplane.records.trails import duration, trail_of
from routing.gateway.records.record import OWN_PREFIX
from routing.models import Alias, CanonicalModel
from routing.names import suggested_ids, suggested_models, suggested_subjects

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

VIEW_POOLS: Final = "routing.view_canonicalmodel"
VIEW_KEYS: Final = "controlplane.view_apikey"
VIEW_RECORDS: Final = "controlplane.view_requestrecord"
TRY: Final = "controlplane.add_requestrecord"  # whoever sends a request adds a record
NAMES: Final = 500  # so many suggestions
RECORD_WITHIN_S: Final = 3.0


def _page(request: HttpRequest, template: str, title: str, **context: Any) -> HttpResponse:
    return TemplateResponse(
        request, template, {**admin.site.each_context(request), "title": title, **context}
    )


def _needs(request: HttpRequest, *permissions: str) -> None:
    # admin_view has seen that somebody of the staff is signed in.
    if not request.user.has_perms(permissions):
        raise PermissionDenied


def _worker(request: HttpRequest) -> LocalWorker:
    worker = worker_of(request)
    if worker is None:
        raise Http404("The gateway of this process has no routing snapshot yet.")
    return worker


def _names() -> list[str]:
    pools = CanonicalModel.effective().values_list("name", flat=True)[:NAMES]
    aliases = Alias.effective().values_list("name", flat=True)[:NAMES]
    return sorted({*pools, *aliases})


def _key_names(request: HttpRequest) -> list[str]:
    if not request.user.has_perm(VIEW_KEYS):
        return []
    return sorted(set(ApiKey.effective().values_list("name", flat=True)[:NAMES]))


@require_http_methods(["GET", "HEAD", "POST"])
def explain_page(request: HttpRequest) -> HttpResponse:
    """What would be decided; with ?request=ID, what was decided beside it."""
    _needs(request, VIEW_POOLS)
    worker = _worker(request)
    if asked := request.GET.get("request"):
        return _explain_record(request, worker, asked)
    is_asked = request.method == "POST" or "model" in request.GET
    form = ExplainForm((request.POST if request.method == "POST" else request.GET) or None)
    context: dict[str, Any] = {}
    if is_asked and form.is_valid():
        given = {name: value for name, value in form.cleaned_data.items() if value}
        try:
            decision = decide(worker, Question(**given))
        except Unanswerable as error:
            form.add_error(error.field, error.message)
        else:
            context = {"decision": decision.explanation, "key": decision.key}
    return _page(
        request,
        "admin/explain.html",
        "Explain",
        form=form,
        worker=worker,
        models=_names(),
        keys=_key_names(request),
        **context,
    )


def _explain_record(request: HttpRequest, worker: LocalWorker, asked: str) -> HttpResponse:
    _needs(request, VIEW_RECORDS)
    record = with_id(RequestRecord.objects.all(), asked).first()
    if record is None:
        raise Http404("There is no record of this request.")
    then = decide_again(record)
    now, now_problem = None, ""
    try:
        now = decide_now(worker, record).explanation
    except Unanswerable as error:
        now_problem = error.message
    planned = record.told.decision.planned
    same = planned == now.planned if now is not None else None
    return _page(
        request,
        "admin/explain.html",
        "Why was this so?",
        worker=worker,
        record={
            "url": reverse("admin:controlplane_requestrecord_change", args=[record.pk]),
            "public_id": record.public_id,
            "started_at": record.started_at,
            "generation": record.generation,
            "planned": planned,
            "rejected": record.told.decision.rejected,
        },
        then=then.explanation,
        problem=then.problem,
        decision=now,
        now_problem=now_problem,
        same=same,
    )


@require_http_methods(["GET", "HEAD", "POST"])
def try_page(request: HttpRequest) -> HttpResponse:
    """A real request, sent by whoever is signed in."""
    _needs(request, VIEW_POOLS, TRY)
    worker = _worker(request)
    form = TryForm(request.POST or None, initial={"model": request.GET.get("model", "")})
    context: dict[str, Any] = {}
    if request.method == "POST" and form.is_valid():
        answer = _send(request, worker, form.cleaned_data)
        context = {
            "answer": answer,
            "took": _seconds(answer.ended_s),
            "began": _seconds(answer.first_byte_s),
            "raw": answer.body.decode(errors="replace"),
            "kept": KEPT_BYTES,
            **_record_of(request, answer),
        }
    return _page(
        request,
        "admin/try_it.html",
        "Try it",
        form=form,
        models=_names(),
        providers=sorted(worker.gateway.table.providers) if worker.gateway.table else [],
        **context,
    )


def _send(request: HttpRequest, worker: LocalWorker, given: dict[str, Any]) -> ShownAnswer:
    body: dict[str, Any] = {
        "model": given["model"],
        "messages": [{"role": "user", "content": given["prompt"]}],
    }
    if given["stream"]:
        body["stream"] = True
    if given["max_tokens"]:
        body["max_tokens"] = given["max_tokens"]
    headers = {
        "x-switchyard-session": given["session"],
        "x-switchyard-provider": given["provider"],
        "x-switchyard-simulate": given["simulate"],
        "x-switchyard-timeout": str(given["timeout_s"]),
    }
    limit_s: int = given["timeout_s"]
    sent = try_request(
        worker.gateway,
        path=ENDPOINTS[0],
        body=body,
        headers={name: value for name, value in headers.items() if value},
        who=request.user.get_username(),
        limit_s=limit_s + 1,
    )
    # The gateway answers within its deadline; the margin is for streams, which may go on.
    return worker.run(sent, limit_s + 15)


def _seconds(seconds: float | None) -> str:
    return duration(None if seconds is None else 1000 * seconds)


def _record_of(request: HttpRequest, answer: ShownAnswer) -> dict[str, Any]:
    """The record of the request, if whoever asks may see it and it comes soon."""
    request_id = answer.headers.get("x-request-id", "")
    look = reverse("admin:controlplane_requestrecord_changelist")
    context = {"record_url": f"{look}?{urlencode({'q': request_id})}"}
    if not request_id.startswith(OWN_PREFIX) or not request.user.has_perm(VIEW_RECORDS):
        return context
    own = UUID(request_id.removeprefix(OWN_PREFIX))
    until = time.monotonic() + RECORD_WITHIN_S
    while (record := RequestRecord.objects.filter(pk=own).first()) is None:
        if time.monotonic() > until:
            return context
        time.sleep(0.1)
    return {
        "original": record,
        "trail": trail_of(record),
        "outcome": record.outcome.replace("_", " "),
        "record_url": reverse("admin:controlplane_requestrecord_change", args=[record.pk]),
    }


@require_safe
def names_page(request: HttpRequest) -> HttpResponse:
    """Names that have `q` in them, for a field while somebody types: {"names": […]}."""
    _needs(request, VIEW_POOLS)
    typed = request.GET.get("q", "").strip()[:300]
    match request.GET.get("of"):
        case "subjects":
            names = suggested_subjects(typed)
        case "ids":
            names = suggested_ids(request.GET.get("in", ""), typed)
        case _:
            names = suggested_models(typed)
    return JsonResponse({"names": names})


urlpatterns = [
    path("admin/explain/", admin.site.admin_view(explain_page), name="explain"),
    path("admin/try/", admin.site.admin_view(try_page), name="try-it"),
    path("admin/names/", admin.site.admin_view(names_page), name="known-names"),
    *pools_page.urlpatterns,
]
