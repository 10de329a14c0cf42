"""
The bench board: who sits out, why and until when, and an operator's word to it.

Its rows are the control child's. The page is whole without scripts; benches.js asks for the rows
again, counts the seconds down and sends the forms without leaving the page.
"""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseRedirect, JsonResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from controlplane.benches.api import LONGEST, subject_problem
from controlplane.benches.remembered import past
from controlplane.benches.store import digest_of, readers, versions_of
from controlplane.edits.poke import hub_request
from failover.engine.bench_entries import BenchEntry
from providers.errors import Fault
from providers.managed.admin import known_attrs
from routing.gateway.link.channel import BenchByHand, Benched, Board, BoardTold, Release, Released
from routing.names import unknown_subject

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

LENGTHS: Final = (
    (600, "10 minutes"),
    (3600, "1 hour"),
    (8 * 3600, "8 hours"),
    (86400, "1 day"),
    (7 * 86400, "1 week"),
    (30 * 86400, "30 days"),
)
NO_ANSWER: Final = "The control process of this host does not answer: benches cannot be changed."


class Wanted(forms.Form):
    """What a form of the page says. `for_s` and `reason` are asked where `act` needs them."""

    act = forms.ChoiceField(choices=[(word, word) for word in ("bench", "extend", "release")])
    model = forms.CharField(max_length=500)
    credential = forms.CharField(max_length=200, required=False)
    manual = forms.BooleanField(required=False)
    for_s = forms.ChoiceField(choices=LENGTHS, required=False)
    reason = forms.CharField(max_length=500, required=False)

    def clean_model(self) -> str:
        subject: str = self.cleaned_data["model"]
        if problem := subject_problem(subject):
            raise forms.ValidationError(problem)
        return subject

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        if given.get("act") != "release":
            if not given.get("for_s"):
                self.add_error("for_s", "Say for how long.")
            if not given.get("reason"):
                self.add_error("reason", "Say why: it is shown to everybody who asks.")
        return given


class NewBench(forms.Form):
    """The form at the head of the page."""

    model = forms.CharField(
        label="Who",
        max_length=500,
        widget=UnfoldAdminTextInputWidget(
            attrs={**known_attrs("subjects"), "autocomplete": "off", "required": True}
        ),
        help_text="provider/model, or provider/* for all models of a provider.",
    )
    credential = forms.CharField(
        max_length=200,
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text="The label of one credential. Empty: whichever.",
    )
    for_s = forms.ChoiceField(
        label="For", choices=LENGTHS, initial=3600, widget=UnfoldAdminSelectWidget
    )
    reason = forms.CharField(
        max_length=500, widget=UnfoldAdminTextInputWidget(attrs={"required": True})
    )

    @classmethod
    def with_errors_of(cls, given: Any, wanted: Wanted) -> NewBench:
        """The form as it was sent, with what is wrong at its fields."""
        form = cls(given)
        for field, problems in wanted.errors.items():
            if field in form.fields and field not in form.errors:
                form.add_error(field, list(problems))
        return form


class BenchAdmin(ModelAdmin):  # type: ignore[misc] # unfold carries no types
    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("", view(self.changelist_view), name="failover_bench_changelist"),
            path("rows/", view(self.rows_view), name="failover_bench_rows"),
        ]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        del request, obj  # a row of the table is nothing that a person edits
        return False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        del extra_context
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            return self._act(request)
        return self._page(request, NewBench(initial={"model": request.GET.get("model", "")}))

    def _page(self, request: HttpRequest, form: NewBench) -> HttpResponse:
        rows = self._rows(request)
        return TemplateResponse(
            request,
            "admin/benches.html",
            {
                **self.admin_site.each_context(request),
                "title": "Bench board",
                "rows": rows,
                "past": _past(),
                "form": form,
                "may_bench": self.has_add_permission(request),
                "no_answer": NO_ANSWER if rows is None else "",
                "rows_url": reverse("admin:failover_bench_rows"),
                "now": time.time(),
            },
        )

    def rows_view(self, request: HttpRequest) -> HttpResponse:
        """
        The rows as JSON: {"now", "problem", "rows": [{"id", "stamp", "html"}]}; with ?past what is
        over, too: "past" is its HTML.
        """
        if not self.has_view_permission(request):
            raise PermissionDenied
        answer = self._answer(request)
        if "past" in request.GET:
            context = {"past": _past()}
            answer["past"] = render_to_string("admin/benches_past.html", context, request)
        return JsonResponse(answer)

    def _answer(self, request: HttpRequest) -> dict[str, Any]:
        rows = self._rows(request)
        return {
            "now": time.time(),
            "problem": NO_ANSWER if rows is None else "",
            "rows": [
                {
                    "id": row["id"],
                    "stamp": row["stamp"],
                    "html": render_to_string("admin/bench_row.html", {"row": row}, request),
                }
                for row in rows or ()
            ],
        }

    def _act(self, request: HttpRequest) -> HttpResponse:
        form = Wanted(request.POST)
        is_script = request.headers.get("accept") == "application/json"
        if form.is_valid():
            is_good, said = self._obey(request, form.cleaned_data)
        elif is_script or request.POST.get("act") != "bench":
            is_good = False
            said = " ".join(str(word) for words in form.errors.values() for word in words)
        else:
            return self._page(request, NewBench.with_errors_of(request.POST, form))
        if is_script:
            errors = {field: [str(word) for word in words] for field, words in form.errors.items()}
            told = {"is_good": is_good, "said": said, "errors": errors}
            return JsonResponse({**self._answer(request), **told})
        messages.add_message(request, messages.SUCCESS if is_good else messages.ERROR, said)
        back = request.POST.get("next", "")
        is_ours = url_has_allowed_host_and_scheme(back, {request.get_host()}, request.is_secure())
        return HttpResponseRedirect(back if is_ours else request.path)

    def _obey(self, request: HttpRequest, wanted: dict[str, Any]) -> tuple[bool, str]:
        """Do what the form says: whether it was done, and what to say of it."""
        is_release = wanted["act"] == "release"
        verb = self.has_delete_permission if is_release else self.has_add_permission
        if not verb(request):
            raise PermissionDenied
        author = request.user.get_username()
        credential = wanted["credential"] or None
        who = name_of(wanted["model"], credential)
        if is_release:
            answer = hub_request(
                Release(
                    subject=wanted["model"],
                    credential=credential,
                    manual=wanted["manual"],
                    exact=True,
                    by=author,
                    reason=wanted["reason"],
                ),
                Released,
            )
            if answer is None:
                return False, NO_ANSWER
            return (
                bool(answer.released),
                f"{who} is released." if answer.released else f"{who} was not benched any more.",
            )
        is_new = wanted["act"] == "bench"  # who sits out already may be gone from every list
        if is_new and (problems := unknown_subject(wanted["model"], wanted["credential"])):
            return False, " ".join(problems.values())
        now = time.time()
        begins_at = now
        if not is_new:
            key = (wanted["model"], credential)
            board = hub_request(Board(), BoardTold)
            if board is None:
                return False, NO_ANSWER
            ends = [e.until for e in (row.entry for row in board.rows) if e.key == key]
            if not ends:
                return False, f"{who} was not benched any more."
            begins_at = max(now, *ends)
        until = min(begins_at + int(wanted["for_s"]), now + LONGEST.total_seconds())
        entry = BenchEntry(
            subject=wanted["model"],
            credential=credential,
            since=now,
            until=until,
            reason=wanted["reason"],
            manual=True,
            by=author,
        )
        if hub_request(BenchByHand(entry=entry), Benched) is None:
            return False, NO_ANSWER
        return True, f"{who} is benched until {_utc(until)}."

    def _rows(self, request: HttpRequest) -> list[dict[str, Any]] | None:
        """Everybody who sits out; None if the control child does not answer."""
        answer = hub_request(Board(), BoardTold)
        if answer is None:
            return None
        now = time.time()
        versions = versions_of(row.entry.place for row in answer.rows)
        others = [reader for reader in readers(now) if reader.host != answer.host]
        may = {
            "may_release": self.has_delete_permission(request),
            "may_extend": self.has_add_permission(request),
        }
        rows = []
        for known in answer.rows:
            entry = known.entry
            version = versions.get(entry.place)
            told = [o for o in others if version is not None and o.version >= version]
            seen = known.seen + sum(other.workers for other in told)
            workers = answer.workers + sum(other.workers for other in others)
            rows.append({**_shown(entry, now), "seen": seen, "workers": workers, **may})
            rows[-1]["hosts"] = 1 + len(others)
            rows[-1]["stamp"] = _stamp(rows[-1])
        return rows


def _shown(entry: BenchEntry, now: float) -> dict[str, Any]:
    colour, state = ("danger", "benched")
    if entry.manual:
        colour, state = ("info", "by hand")
    elif now >= entry.until:
        colour, state = ("warning", "on trial")
    return {
        "id": digest_of(entry.place)[:16],
        "who": entry.subject,
        "scope": scope_of(entry),
        "credential": entry.credential or "",
        "manual": entry.manual,
        "colour": colour,
        "state": state,
        "why": why_of(entry.reason, entry.status, is_manual=entry.manual),
        "sample_error": entry.sample_error,
        "by": entry.by,
        "request_id": entry.request_id,
        "record_url": record_url(entry.request_id),
        "since": datetime.fromtimestamp(entry.since, UTC),
        "until": datetime.fromtimestamp(entry.until, UTC),
        "until_s": entry.until,
        "count": entry.count,
        "lengths": LENGTHS,
    }


def _stamp(row: dict[str, Any]) -> str:
    told = [value for name, value in sorted(row.items()) if name != "lengths"]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def scope_of(entry: BenchEntry) -> str:
    """What of a provider sits out, in words."""
    return scope_of_place(entry.subject, entry.credential)


def scope_of_place(subject: str, credential: str | None) -> str:
    is_endpoint = subject.endswith("/*")
    if not credential:
        return "all models of the provider" if is_endpoint else "this model"
    return f"credential {credential}" + ("" if is_endpoint else ", at this model")


def name_of(subject: str, credential: str | None) -> str:
    return subject if credential is None else f"{subject}, credential {credential},"


def _past() -> list[dict[str, Any]]:
    """What is over of the last day."""
    return [
        {
            "who": one.row.subject,
            "scope": scope_of_place(one.row.subject, one.row.credential),
            "why": why_of(one.row.reason, one.row.status, is_manual=one.row.manual),
            "sample_error": one.row.sample_error,
            "by": one.row.by,
            "request_id": one.row.request_id,
            "record_url": record_url(one.row.request_id),
            "count": one.row.count,
            "began_at": one.row.began_at,
            "ended_at": one.ended_at,
            "lasted": one.lasted,
            "ending": one.ending,
        }
        for one in past(timezone.now())
    ]


def why_of(reason: str, status: int | None, *, is_manual: bool) -> str:
    """What made a bench, in words."""
    if is_manual:
        return reason
    fault = "" if reason == Fault.STATUS.value else reason.replace("_", " ")
    said = "" if status is None else f"status {status}"
    return ", ".join(filter(None, [fault, said])) or "failures"


def record_url(request_id: str) -> str:
    records = reverse("admin:controlplane_requestrecord_changelist")
    return f"{records}?{urlencode({'q': request_id})}"


def _utc(wall: float) -> str:
    return f"{datetime.fromtimestamp(wall, UTC):%Y-%m-%d %H:%M:%S} UTC"
