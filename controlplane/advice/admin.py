"""The page of suggestions: what is proposed and why, beside what there is; and the word on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from unfold.admin import ModelAdmin

from controlplane.advice.accepting import (
    DoesNotFit,
    IsConfigured,
    NotAllowed,
    accept,
    dismiss,
    in_file,
    permissions_for,
    seen_as,
    shown,
)
from controlplane.advice.models import Suggestion, SuggestionKind, SuggestionState
from controlplane.edits.kinds import KINDS
from controlplane.jobs.models import JobRun, RunOutcome
from providers.managed.models import ManagedSource, cautions_of
from providers.saying.counting import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from django.http import HttpRequest, HttpResponse

    from controlplane.advice.accepting import Edit

PAGE: Final = 25
JOB: Final = "suggestions"
KIND_WORDS: Final = {
    "failover_rule": "failover rule",
    "pool_candidate": "pool member",
    "order": "order",
    "weight": "weights",
    "limit": "limit",
    "failure_domain": "failure domain",
}
COLOURS: Final = {
    "open": "info",
    "accepted": "success",
    "dismissed": "default",
    "expired": "default",
}
FIELD_WORDS: Final = {
    "candidate": "in the pool",
    "fallback_models": "fallbacks",
    "failure_domain": "failure domain",
    "max_parallel": "calls at once",
    "rpm": "requests a minute",
    "tpm": "tokens a minute",
}


class WordOnSuggestion(forms.Form):
    """What a button of the page sends. `seen` says which change was on it."""

    act = forms.ChoiceField(choices=[("accept", "accept"), ("dismiss", "dismiss")])
    number = forms.IntegerField(min_value=1, max_value=2**63 - 1)
    seen = forms.CharField(max_length=16)
    reason = forms.CharField(max_length=500, required=False)

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        if given.get("act") == "dismiss" and not given.get("reason"):
            self.add_error("reason", "Say why it is dismissed: others will want to know.")
        return given


class SuggestionAdmin(ModelAdmin):
    def get_urls(self) -> list[Any]:
        page = self.admin_site.admin_view(self.changelist_view)
        return [path("", page, name="controlplane_suggestion_changelist")]

    def has_add_permission(self, request: HttpRequest) -> bool:
        del request
        return False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        del extra_context
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            return self._act(request)
        state = _chosen(request, "state", SuggestionState.values, SuggestionState.OPEN.value)
        kind = _chosen(request, "kind", SuggestionKind.values, "")
        rows = Suggestion.objects.order_by("-confidence", "-pk")
        if state != SuggestionState.OPEN:
            rows = Suggestion.objects.order_by("-decided_at", "-pk")
        rows = rows.filter(state=state, **({"kind": kind} if kind else {}))
        found = Paginator(rows, PAGE).get_page(request.GET.get("p"))
        configured = _configured(found.object_list)
        return TemplateResponse(
            request,
            "admin/suggestions.html",
            {
                **self.admin_site.each_context(request),
                "title": "Suggestions",
                "opts": self.opts,
                "rows": [self._shown(request, row, configured) for row in found.object_list],
                "page": found,
                "state": state,
                "kind": kind,
                "states": _choices("state", SuggestionState.values, state, {"kind": kind}),
                "kinds": _choices("kind", ["", *SuggestionKind.values], kind, {"state": state}),
                "query": urlencode({"state": state, "kind": kind}),
                "last": JobRun.objects.filter(job_id=JOB, outcome=RunOutcome.DONE).first(),
            },
        )

    def _act(self, request: HttpRequest) -> HttpResponse:
        if not self.has_change_permission(request):
            raise PermissionDenied
        form = WordOnSuggestion(request.POST)
        if not form.is_valid():
            said = " ".join(str(word) for words in form.errors.values() for word in words)
            messages.error(request, said)
            return HttpResponseRedirect(request.get_full_path())
        given = form.cleaned_data
        try:
            if given["act"] == "accept":
                row, edited = accept(given["number"], request.user.has_perm, seen=given["seen"])
                messages.success(request, _accepted(row, edited))
                for each in edited:
                    for caution in cautions_of(each):
                        messages.warning(request, f"{each}: {caution}")
            else:
                row = dismiss(given["number"], given["reason"], seen=given["seen"])
                said = f"Dismissed, and not proposed again for 30 days: {row.change['text']}"
                messages.success(request, said)
        except Suggestion.DoesNotExist as error:
            raise Http404 from error
        except NotAllowed as error:
            raise PermissionDenied(str(error)) from error
        except (DoesNotFit, IsConfigured) as error:
            messages.error(request, str(error))
        return HttpResponseRedirect(request.get_full_path())

    def _shown(
        self, request: HttpRequest, row: Suggestion, configured: set[tuple[str, str]]
    ) -> dict[str, Any]:
        edits: list[Edit] = row.change["edits"]
        may = row.state == SuggestionState.OPEN and self.has_change_permission(request)
        is_configured = any((edit["object"], edit["name"]) in configured for edit in edits)
        may_edit = all(request.user.has_perm(name) for name in permissions_for(edits))
        return {
            "row": row,
            "kind": KIND_WORDS[row.kind],
            "colour": COLOURS[row.state],
            "text": row.change["text"],
            "edits": [_edit(edit) for edit in edits],
            "grounds": [_ground(ground) for ground in row.evidence],
            "confidence": f"{100 * row.confidence:.0f} %",
            "price": _price(row.price_change),
            "is_late": row.state == SuggestionState.OPEN and row.expires_at <= timezone.now(),
            "may_dismiss": may,
            "may_accept": may and may_edit and not is_configured,
            "in_file": in_file(edits) if is_configured and may else "",
            "seen": seen_as(row),
        }


def _chosen(request: HttpRequest, name: str, allowed: Iterable[str], usual: str) -> str:
    given = request.GET.get(name, usual)
    return given if given in (*allowed, usual) else usual


def _choices(
    name: str, values: Iterable[str], chosen: str, others: Mapping[str, str]
) -> list[dict[str, Any]]:
    words = {"": "all kinds", **KIND_WORDS}
    return [
        {
            "word": words.get(value, value),
            "url": f"?{urlencode({**others, name: value})}",
            "is_chosen": value == chosen,
        }
        for value in values
    ]


def _configured(rows: Iterable[Suggestion]) -> set[tuple[str, str]]:
    """The objects that they would change and that come from the configuration."""
    wanted: dict[str, set[str]] = {}
    for row in rows:
        for edit in row.change["edits"]:
            wanted.setdefault(edit["object"], set()).add(edit["name"])
    found = set()
    for kind, names in wanted.items():
        model = KINDS[kind].rows
        by = {f"{model.identity}__in": names, "managed_source": ManagedSource.CONFIG}
        found |= {(kind, name) for name in model.rows().filter(**by).values_list(
            model.identity, flat=True)}  # fmt: skip
    return found


def _edit(edit: Edit) -> dict[str, Any]:
    what = edit["candidate"] or f"{edit['object']} {edit['name']}"
    return {
        "what": f"{what}: {FIELD_WORDS.get(edit['field'], edit['field'])}",
        "old": _entries(edit["from"]),
        "new": _entries(edit["to"]),
        "is_list": isinstance(edit["to"], list),
    }


def _entries(value: Any) -> list[str]:
    if isinstance(value, list):
        return [str(entry) for entry in value]
    return [] if value is None else [shown(value)]


def _ground(ground: dict[str, Any]) -> dict[str, Any]:
    figures = dict(ground["figures"])
    until = str(figures.pop("until", "")).replace("T", " ").replace("Z", " UTC")
    seconds = ground["window_s"]
    length = counted(seconds // 86400, "day") if seconds > 86400 else "24 hours"
    return {
        "text": ground["text"],
        "figures": [
            (name.replace("_", " "), shown(value) if value is not None else "unknown")
            for name, value in figures.items()
        ],
        "window": f"{length} up to {until}" if seconds else "",
    }


def _price(change: float | None) -> str:
    if change is None:
        return "not known"
    if not change:
        return "none"
    return f"{abs(change):.4g} US dollars {'more' if change > 0 else 'less'} a million tokens"


def _accepted(row: Suggestion, edited: Iterable[Any]) -> str:
    """What was done, with links to what was edited."""
    links = format_html_join(
        ", ",
        '<a class="decision-link" href="{}">{}</a>',
        (
            (
                reverse(f"admin:{o._meta.app_label}_{o._meta.model_name}_change", args=[o.pk]),  # noqa: SLF001 - Django's own API
                f"{o._meta.verbose_name} {o}",  # noqa: SLF001 - as above
            )
            for o in edited
        ),
    )
    return format_html("Accepted: {} Edited: {}.", row.change["text"], links)
