"""Admin of request records: what became of requests, of one or of many, and who was tried when."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import Q
from django.http import StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from unfold.admin import ModelAdmin
from unfold.decorators import display

from controlplane.models import ApiKey
from controlplane.records.api import names_model, with_id
from controlplane.records.choosing import CHOICES, BoundedPaginator, bar
from controlplane.records.grouped import errors_of, shown
from controlplane.records.models import Captured, RequestRecord
from controlplane.records.table import as_csv
from controlplane.records.trails import duration, left_out, trail_of
from providers.managed.admin import ReadOnly, lines
from providers.models import Provider
from providers.saying.ages import aged
from routing.gateway.explain.reasons import read_of
from routing.gateway.records.record import Outcome
from routing.models import CanonicalModel

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

# What the outcome's word is coloured as.
COLOURS = {
    Outcome.ANSWERED.value: "healthy",
    Outcome.CALLER_ERROR.value: "degraded",
    Outcome.REFUSED.value: "degraded",
    Outcome.ABANDONED.value: "unknown",
}
SHORT = 8  # characters of an id that tell it from its neighbours
GROUPS = 100


def told(path: str, label: str = "", *, is_claim: bool = False) -> Any:
    """A readonly field from a record's detail; `path` leads there."""

    @display(description=label or path.rpartition(".")[2].replace("_", " "))
    def show(_admin: Any, row: RequestRecord) -> Any:
        value = attrgetter(path)(row.told)
        return ("yes" if value else "") if is_claim else value

    return show


class RequestRecordAdmin(ReadOnly, ModelAdmin):
    list_display = [
        "began",
        "short_id",
        "ended",
        "http",
        "pool",
        "served_by",
        "asked_by",
        "of_team",
        "took",
        "first_token",
        "tokens",
        "cost",
        "tried",
    ]
    list_display_links = ["began"]
    list_filter = CHOICES
    list_per_page = 50
    list_before_template = "admin/request_choices.html"
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
                    ("of_key", "team"),
                    ("user_path", "worker"),
                    ("requested_model", "of_pool"),
                    ("streamed", "needs"),
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
                    ("code", "took"),
                    ("of_provider", "model"),
                    ("moved", "fallback_target"),
                    ("first_token", "cost"),
                    ("input_tokens", "output_tokens"),
                    ("cached_tokens", "reasoning_tokens"),
                    "is_estimated",
                ]
            },
        ),
    ]
    readonly_fields = [
        "of_key", "of_pool", "of_provider", "streamed", "moved", "took", "first_token", "cost",
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

    class Media:
        js = ["switchyard/lists.js"]
        css = {"all": ["switchyard/health.css", "switchyard/requests.css"]}

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("errors/", view(self.errors_view), name="controlplane_requestrecord_errors"),
            path("csv/", view(self.csv_view), name="controlplane_requestrecord_csv"),
            *super().get_urls(),
        ]

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changes = super().get_changelist_instance(request)
        changes.has_filters = False  # their bar stands above the list, and not beside it
        changes.bar = bar(changes)
        return changes

    def _chosen(self, request: HttpRequest) -> Any:
        """What the list of the same address would show."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            return self.get_changelist_instance(request)
        except IncorrectLookupParameters as error:
            raise BadRequest("The address asks for what no list of requests knows.") from error

    def errors_view(self, request: HttpRequest) -> HttpResponse:
        """Errors of the chosen requests, grouped by what they are and whose."""
        changes = self._chosen(request)
        found = errors_of(changes.get_queryset(request))
        return TemplateResponse(
            request,
            "admin/request_errors.html",
            {
                **self.admin_site.each_context(request),
                "title": "Errors",
                "opts": self.opts,
                "cl": changes,
                "errors": found,
                "groups": shown(found.groups[:GROUPS]),
                "list_url": f"{reverse('admin:controlplane_requestrecord_changelist')}",
            },
        )

    def csv_view(self, request: HttpRequest) -> StreamingHttpResponse:
        """The chosen requests as a file."""
        changes = self._chosen(request)
        now = timezone.now()
        return StreamingHttpResponse(
            as_csv(changes.get_queryset(request)),
            content_type="text/csv; charset=utf-8",
            headers={
                "Content-Disposition": f'attachment; filename="requests-{now:%Y%m%d-%H%M%S}.csv"',
                "Cache-Control": "no-store",
            },
        )

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

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Only what there is something to say of."""
        groups = super().get_fieldsets(request, obj)
        if obj is None:
            return groups
        return [
            (title, {**options, "fields": list(self._with_values(options["fields"], obj))})
            for title, options in groups
        ]

    def _with_values(self, fields: Any, row: RequestRecord) -> Any:
        for entry in fields:
            names = (entry,) if isinstance(entry, str) else entry
            if kept := tuple(name for name in names if self._value(name, row) not in (None, "")):
                yield kept

    def _value(self, name: str, row: RequestRecord) -> Any:
        shown_by = getattr(self, name, None)
        return getattr(row, name) if shown_by is None else shown_by(row)

    # The list

    @display(description="time (UTC)")
    def began(self, row: RequestRecord) -> str:
        return aged(row.started_at)

    @display(description="request")
    def short_id(self, row: RequestRecord) -> str:
        whole = row.public_id
        short = whole if len(whole) <= 2 * SHORT else f"…{whole[-SHORT:]}"
        return format_html(
            '<span class="copied" title="{}">{}</span> '
            '<button class="copy" type="button" data-copy="{}" aria-label="Copy {}"><span '
            'class="material-symbols-outlined" aria-hidden="true">content_copy</span></button>',
            whole,
            short,
            whole,
            whole,
        )

    @display(description="outcome")
    def ended(self, row: RequestRecord) -> str:
        colour = COLOURS.get(row.outcome, "unhealthy")
        words = row.outcome.replace("_", " ")
        return format_html('<span class="health-word health-{}">{}</span>', colour, words)

    @display(description="status")
    def http(self, row: RequestRecord) -> str:
        return "" if row.status is None else str(row.status)

    @display(description="model")
    def pool(self, row: RequestRecord) -> str:
        name = row.canonical_model
        return _narrowed("canonical_model", name) if name else row.requested_model

    @display(description="served by")
    def served_by(self, row: RequestRecord) -> str:
        if not row.provider:
            return "nobody"
        return _narrowed("provider", row.provider, f"{row.provider}/{row.model}")

    @display(description="key")
    def asked_by(self, row: RequestRecord) -> str:
        return _narrowed("key", row.key) if row.key else "none"

    @display(description="team")
    def of_team(self, row: RequestRecord) -> str:
        return _narrowed("team", row.team) if row.team else ""

    @display(description="duration")
    def took(self, row: RequestRecord) -> str:
        return duration(row.duration_ms)

    @display(description="first token")
    def first_token(self, row: RequestRecord) -> str:
        return "" if row.first_content_ms is None else duration(row.first_content_ms)

    @display(description="tokens in, out")
    def tokens(self, row: RequestRecord) -> str:
        if row.input_tokens is None and row.output_tokens is None:
            return ""
        return f"{row.input_tokens or 0:,}, {row.output_tokens or 0:,}"

    @display(description="cost")
    def cost(self, row: RequestRecord) -> str:
        return "" if row.cost_usd is None else dollars(float(row.cost_usd))

    @display(description="calls")
    def tried(self, row: RequestRecord) -> str:
        return f"{row.calls}, failover" if row.failover else str(row.calls)

    # The page

    @display(description="key")
    def of_key(self, row: RequestRecord) -> str:
        return _linked(ApiKey, row.key)

    @display(description="canonical model")
    def of_pool(self, row: RequestRecord) -> str:
        return _linked(CanonicalModel, row.canonical_model)

    @display(description="provider")
    def of_provider(self, row: RequestRecord) -> str:
        return _linked(Provider, row.provider)

    @display(description="streamed")
    def streamed(self, row: RequestRecord) -> str:
        return "yes" if row.stream else "no"

    @display(description="failover")
    def moved(self, row: RequestRecord) -> str:
        return "yes: another served than the first choice" if row.failover else "no"

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
        told = left_out((*row.told.decision.rejected, *row.told.skipped))
        return format_html_join("", "<div>{}: {}</div>", told) or "nobody"

    @display(description="the decision went by")
    def inputs(self, row: RequestRecord) -> str:
        return lines(read_of(row.told.decision.inputs))


def _narrowed(name: str, value: str, words: str = "") -> str:
    """A cell that leads to the requests that have it in common."""
    return format_html('<a href="?{}">{}</a>', urlencode({name: value}), words or value)


def _linked(model: Any, name: str) -> str:
    """`name`, and if there is an object of that name now a link to its page."""
    row = model.named(name) if name else None
    if row is None:
        return name
    options = row._meta  # noqa: SLF001 - Django's own API
    page = reverse(f"admin:{options.app_label}_{options.model_name}_change", args=[row.pk])
    return format_html('<a class="decision-link" href="{}">{}</a>', page, name)


def dollars(value: float) -> str:
    """A price, to the digits that count."""
    return f"${value:,.2f}" if value >= 1 or value == 0 else f"${value:.6f}".rstrip("0")
