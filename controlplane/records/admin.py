"""Admin of request records: what became of a request, and who was tried when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Q
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html_join
from unfold.admin import ModelAdmin
from unfold.decorators import display

from controlplane.records.api import names_model, of_outcome, with_id
from controlplane.records.models import Captured, RequestRecord
from providers.errors import Fault
from providers.managed.admin import ReadOnly, lines
from providers.models import Provider
from routing.gateway.explain.reasons import read_of
from routing.gateway.records.record import AttemptRecord, Outcome
from routing.models import CanonicalModel

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

COLOURS = {
    Outcome.ANSWERED.value: "success",
    Outcome.CALLER_ERROR.value: "warning",
    Outcome.REFUSED.value: "warning",
    Outcome.ABANDONED.value: "info",
    Outcome.UNAVAILABLE.value: "danger",
    Outcome.FAILED.value: "danger",
    Outcome.INTERRUPTED.value: "danger",
    Outcome.INTERNAL_ERROR.value: "danger",
    Outcome.LOST.value: "danger",
}


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than `most`: counting millions would take longer than showing them."""

    most = 10_000

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return len(rows.order_by().values_list("pk")[: self.most])


class ChoiceFilter(admin.SimpleListFilter):
    """One of a few values, each found by an index."""

    field = ""

    def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        del request
        return rows.filter(**{self.field: self.value()}) if self.value() else rows


class OutcomeChoice(ChoiceFilter):
    title = parameter_name = field = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        del request, model_admin
        return [(name, name.replace("_", " ")) for name in RequestRecord.OUTCOMES]

    def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        del request
        return of_outcome(rows, self.value() or "") if self.value() else rows


class FailoverChoice(ChoiceFilter):
    title = parameter_name = field = "failover"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        del request, model_admin
        return [("True", "another served")]

    def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        del request
        return rows.filter(failover=True) if self.value() else rows


class ProviderChoice(ChoiceFilter):
    title = parameter_name = field = "provider"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        del request, model_admin
        names = Provider.effective().order_by("name").values_list("name", flat=True)
        return [(name, name) for name in names[:200]]


class ModelChoice(ChoiceFilter):
    title = "model"
    parameter_name = field = "canonical_model"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        del request, model_admin
        names = CanonicalModel.effective().order_by("name").values_list("name", flat=True)
        return [(name, name) for name in names[:200]]


class TimeChoice(admin.SimpleListFilter):
    title = "time"
    parameter_name = "last"
    _minutes = {"15": "15 minutes", "60": "hour", "1440": "day", "10080": "7 days"}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        del request, model_admin
        return [(minutes, f"the last {words}") for minutes, words in self._minutes.items()]

    def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        del request
        if self.value() not in self._minutes:
            return rows
        begin = timezone.now() - timedelta(minutes=int(self.value() or 0))
        return rows.filter(pk__gte=RequestRecord.first_id_at(begin))


def told(path: str, label: str = "", *, is_claim: bool = False) -> Any:
    """A readonly field from a record's detail; `path` leads there."""

    @display(description=label or path.rpartition(".")[2].replace("_", " "), boolean=is_claim)
    def show(_admin: Any, row: RequestRecord) -> Any:
        return attrgetter(path)(row.told)

    return show


class RequestRecordAdmin(ReadOnly, ModelAdmin):
    list_display = [
        "began",
        "public_id",
        "key",
        "canonical_model",
        "served_by",
        "ended",
        "took",
        "calls",
        "moved",
    ]
    list_filter = [OutcomeChoice, FailoverChoice, TimeChoice, ProviderChoice, ModelChoice]
    list_filter_submit = False
    list_per_page = 50
    search_fields = ["request_id"]
    search_help_text = "Request id, key, model, provider or provider/model, in full"
    sortable_by = ()
    ordering = ["-id"]
    paginator = BoundedPaginator
    show_full_result_count = False
    change_form_before_template = "admin/request_trail.html"
    fieldsets = [
        (
            "Request",
            {
                "fields": [
                    ("public_id", "id"),
                    ("began", "endpoint"),
                    ("key", "team"),
                    ("user_path", "worker"),
                    ("requested_model", "canonical_model"),
                    ("stream", "needs"),
                    ("estimated_input_tokens", "max_output_tokens"),
                    ("preferred_provider", "no_failover"),
                    ("session", "strict_params"),
                ]
            },
        ),
        (
            "Decision",
            {
                "fields": [
                    ("resolved_by", "strategy"),
                    ("config_primary", "effective"),
                    ("planned", "rejected"),
                    ("last_standing", "pin"),
                    ("generation", "inputs"),
                ]
            },
        ),
        (
            "Answer",
            {
                "fields": [
                    ("outcome", "status"),
                    ("code", "duration_ms"),
                    ("provider", "model"),
                    ("failover", "fallback_target"),
                    ("first_content_ms", "cost_usd"),
                    ("input_tokens", "output_tokens"),
                    ("cached_tokens", "reasoning_tokens"),
                    "is_estimated",
                ]
            },
        ),
    ]
    readonly_fields = [
        "public_id", "began", "worker", "endpoint", "user_path", "fallback_target", "needs",
        "estimated_input_tokens", "max_output_tokens", "preferred_provider", "no_failover",
        "session", "strict_params", "resolved_by", "strategy", "config_primary", "effective",
        "planned", "rejected", "last_standing", "pin", "inputs", "is_estimated",
    ]  # fmt: skip
    worker = told("worker")
    endpoint = told("endpoint")
    user_path = told("user_path")
    fallback_target = told("fallback_target", "served by rule target")
    estimated_input_tokens = told("features.estimated_input_tokens")
    max_output_tokens = told("features.max_output_tokens")
    preferred_provider = told("features.preferred_provider")
    no_failover = told("features.no_failover", is_claim=True)
    session = told("features.session", "session (digest)")
    strict_params = told("features.strict_params", is_claim=True)
    resolved_by = told("decision.resolved_by")
    strategy = told("decision.strategy")
    config_primary = told("decision.config_primary", "configured first")
    effective = told("decision.effective", "effective first")
    last_standing = told("decision.last_standing", is_claim=True)
    pin = told("decision.pin", "pinned to")
    is_estimated = told("is_estimated", "answered by an estimate of ours", is_claim=True)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Whole words only: each of them is found by an index, however many records there are."""
        del request
        text = search_term.strip()
        if not text:
            return queryset, False
        by_id = with_id(queryset, text)
        if by_id.exists():
            return by_id, False
        return queryset.filter(Q(key=text) | Q(provider=text) | names_model(text)), False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        context = {**(extra_context or {})}
        if row is not None:
            context |= {"trail": trail_of(row), "outcome": row.outcome.replace("_", " ")}
            if request.user.has_perm("controlplane.view_captured"):
                context["is_captured"] = Captured.objects.filter(pk=row.pk).exists()
        response: HttpResponse = super().change_view(request, object_id, form_url, context)
        return response

    @display(description="time (UTC)")
    def began(self, row: RequestRecord) -> str:
        return f"{row.started_at:%Y-%m-%d %H:%M:%S}"

    @display(description="served by")
    def served_by(self, row: RequestRecord) -> str:
        return f"{row.provider}/{row.model}" if row.provider else "nobody"

    @display(description="outcome", label=COLOURS)
    def ended(self, row: RequestRecord) -> tuple[str, str]:
        return row.outcome, row.outcome.replace("_", " ")

    @display(description="duration")
    def took(self, row: RequestRecord) -> str:
        return duration(row.duration_ms)

    @display(description="failover", label={"failover": "info"})
    def moved(self, row: RequestRecord) -> str | None:
        return "failover" if row.failover else None

    @display(description="request id")
    def public_id(self, row: RequestRecord) -> str:
        return row.public_id

    @display(description="needs")
    def needs(self, row: RequestRecord) -> str:
        return ", ".join(row.told.features.needs) or "nothing in particular"

    @display(description="planned, in this order")
    def planned(self, row: RequestRecord) -> str:
        return lines(row.told.decision.planned)

    @display(description="left out, and why")
    def rejected(self, row: RequestRecord) -> str:
        left_out = (*row.told.decision.rejected, *row.told.skipped)
        return (
            format_html_join("", "<div>{}: {}</div>", ((e.candidate, e.reason) for e in left_out))
            or "nobody"
        )

    @display(description="the decision went by")
    def inputs(self, row: RequestRecord) -> str:
        return lines(read_of(row.told.decision.inputs))


def duration(ms: float | None) -> str:
    """A time in words."""
    if ms is None:
        return "never"
    if ms >= 10_000:
        return f"{ms / 1000:.1f} s"
    return f"{ms:.0f} ms" if ms >= 10 else f"{ms:.1f} ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A stretch of an attempt on the time axis, in percent of it."""

    phase: str
    left: str
    width: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownAttempt:
    """An attempt as the page shows it."""

    number: int
    candidate: str
    credential: str
    verdict: str
    is_good: bool
    message: str
    bars: tuple[Bar, ...]
    times: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTrail:
    calls: tuple[ShownAttempt, ...]
    ticks: tuple[tuple[str, str], ...]


def trail_of(row: RequestRecord) -> RequestTrail:
    """The attempts laid out on a time axis from the request's start to its end."""
    attempts = row.told.attempts
    total = max([row.duration_ms, 0.001, *(a.ended_ms or 0.0 for a in attempts)])
    return RequestTrail(
        calls=tuple(_call(number, a, row, total) for number, a in enumerate(attempts, 1)),
        ticks=tuple((f"{part}%", duration(total * part / 100)) for part in (0, 25, 50, 75, 100)),
    )


def _call(number: int, attempt: AttemptRecord, row: RequestRecord, total: float) -> ShownAttempt:
    end = row.duration_ms if attempt.ended_ms is None else attempt.ended_ms
    marks = [
        ("waiting for headers", attempt.started_ms),
        ("waiting for content", attempt.headers_ms),
        ("content", attempt.content_ms),
    ]
    reached = [(phase, at) for phase, at in marks if at is not None]
    ends = [at for _, at in reached[1:]] + [end]
    bars = [
        Bar(
            phase=phase.split()[-1],
            left=f"{100 * at / total:.2f}%",
            width=f"{max(100 * (until - at) / total, 0):.2f}%",
        )
        for (phase, at), until in zip(reached, ends, strict=True)
    ]
    if attempt.fault == Fault.HEDGED:
        verdict = "called off: the one beside it was first"
    elif attempt.fault:
        status = "" if attempt.status is None else str(attempt.status)
        verdict = " ".join(filter(None, [attempt.fault.replace("_", " "), status]))
    elif attempt.ended_ms is None:
        verdict = "given up: the request ended first"
    else:
        verdict = "answered"
    if attempt.simulated:
        verdict += f" (simulated: {attempt.simulated})"
    if attempt.dropped:
        verdict += f" (left out: {', '.join(attempt.dropped)})"
    if attempt.is_hedge:
        verdict += " (hedge)"
    return ShownAttempt(
        number=number,
        candidate=f"{attempt.provider}/{attempt.model}",
        credential=attempt.credential or "none",
        verdict=verdict,
        is_good=attempt.fault in ("", Fault.HEDGED),
        message=attempt.message,
        bars=tuple(bars),
        times=(
            ("begun", duration(attempt.started_ms)),
            ("headers", duration(attempt.headers_ms)),
            ("first content", duration(attempt.content_ms)),
            ("end", duration(attempt.ended_ms)),
        ),
    )
