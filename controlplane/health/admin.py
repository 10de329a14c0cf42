"""Health in admin: its own list, and what providers' list and pages say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin, messages
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from unfold.admin import ModelAdmin
from unfold.decorators import display

from controlplane.health.checks import check_now
from controlplane.health.models import HealthCheck, HealthSnapshot
from controlplane.health.status_pages import words_of
from controlplane.health.statuses import is_stale
from controlplane.health.strips import (
    NOT_CHECKED,
    candidate_strips,
    in_words,
    not_called,
    strips,
)
from providers.listed import recent
from providers.managed.admin import ReadOnly
from providers.models import Provider
from providers.saying.ages import age, aged, aged_column
from routing.admin import CanonicalModelAdmin
from routing.models import Candidate, CanonicalModel
from routing.switches.admin import SCRIPT, CandidateAdmin, SwitchedProviderAdmin

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from django.db.models import QuerySet
    from django.http import HttpRequest

    from controlplane.health.strips import StripField

STYLE: Final = "switchyard/health.css"
CHECKS: Final = 20  # the newest, on a provider's page
HEALTH_FIELDS: Final = ("health_now", "hours", "status_page", "own_list")  # of a provider's page
CHECK: Final = "providers.change_provider"
SUCCESS: Final = aged_column("last_success_at", "last success at")
ERROR: Final = aged_column("last_error_at", "last error at")


def word_of(row: HealthSnapshot | None, now: datetime) -> str:
    """The status in colour and words, and how old it is."""
    if row is None:
        return format_html('<span class="health-word health-unknown">{}</span>', NOT_CHECKED)
    if row.checked_at is None:
        said = row.reason or "it has not been checked yet"
        return format_html(
            '<span class="health-word health-unknown">{}</span><span class="health-note">{}</span>',
            NOT_CHECKED,
            said,
        )
    if is_stale(row, now):
        return format_html(
            '<span class="health-word health-stale">stale</span>'
            '<span class="health-note">{} {}; nothing has looked since</span>',
            row.status,
            age(row.checked_at, now),
        )
    latency = "" if row.latency_ms is None else f", {row.latency_ms:.0f} ms"
    why = "" if row.status == "healthy" else f". {row.reason}"
    return format_html(
        '<span class="health-word health-{}">{}</span><span class="health-note">{}{}{}</span>',
        row.status,
        row.status,
        age(row.checked_at, now),
        latency,
        why,
    )


def page_of(row: HealthSnapshot | None) -> str:
    """What its own status page says, or why nobody knows."""
    if row is None or row.page_read_at is None:
        return "none is read"
    if row.page_error:
        return f"It could not be read at {row.page_read_at:%Y-%m-%d %H:%M} UTC: {row.page_error}"
    return words_of(row)


def models_of(row: HealthSnapshot | None) -> str:
    if row is None or row.discovered_models is None:
        return "none listed"
    return f"{row.discovered_models} listed{' earlier' if row.using_cached_list else ''}"


def strip_of(fields: Iterable[StripField]) -> str:
    fields = tuple(fields)
    return format_html(
        '<span class="health-strip" role="img" aria-label="{}" title="{}">{}</span>',
        in_words(fields),
        in_words(fields),
        format_html_join(
            "",
            '<i class="health-{}" title="{} {}"></i>',
            (
                (
                    "none" if field.says_nothing else field.status,
                    f"{field.began_at:%H:%M}",
                    field.note or field.status,
                )
                for field in fields
            ),
        ),
    )


class CheckAction:
    """For lists of providers: have those chosen checked now."""

    def has_check_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(CHECK))

    @admin.action(description="Check now", permissions=["check"])
    def check_now(self, request: HttpRequest, rows: QuerySet[Any]) -> None:
        names = sorted({str(row) for row in rows})
        check_now(names)
        words = "is" if len(names) == 1 else "are"
        messages.success(
            request, f"{', '.join(names)} {words} checked within seconds, where a worker runs."
        )


class HealthAdmin(CheckAction, ReadOnly, ModelAdmin):  # type: ignore[misc] # unfold carries no types
    rows_called = ("provider", "providers")
    list_display = ["provider", "health", "listed", "hours", SUCCESS, ERROR]
    list_filter = ["status", "registered", "using_cached_list"]
    search_fields = ["provider", "reason", "last_error"]
    list_per_page = 50
    actions = ["check_now"]
    fields = [
        "provider_page",
        "health",
        "hours",
        "registered",
        "status_page",
        "listed",
        "own_list",
        SUCCESS,
        ERROR,
        "last_error",
        "due_at",
        "updated_at",
        "checks",
    ]
    readonly_fields = [
        "provider_page",
        "health",
        "hours",
        "status_page",
        "listed",
        "own_list",
        "checks",
        SUCCESS,
        ERROR,
    ]

    class Media:
        css = {"all": [STYLE]}

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changes = super().get_changelist_instance(request)
        now = timezone.now()
        found = strips([row.provider for row in changes.result_list], now)
        for row in changes.result_list:
            row.strip = found[row.provider]
        return changes

    @display(description="provider")
    def provider_page(self, row: HealthSnapshot) -> str:
        provider = Provider.named(row.provider)
        if provider is None:
            return row.provider
        page = reverse("admin:providers_provider_change", args=[provider.pk])
        return format_html('<a class="decision-link" href="{}">{}</a>', page, row.provider)

    @display(description="health", ordering="status")
    def health(self, row: HealthSnapshot) -> str:
        return word_of(row, timezone.now())

    @display(description="status page")
    def status_page(self, row: HealthSnapshot) -> str:
        return page_of(row)

    @display(description="models", ordering="discovered_models")
    def listed(self, row: HealthSnapshot) -> str:
        return models_of(row)

    @display(description="last hours")
    def hours(self, row: Any) -> str:
        known = getattr(row, "strip", None)
        return strip_of(known or strips([row.provider], timezone.now())[row.provider])

    @display(description="its list lately")
    def own_list(self, row: HealthSnapshot) -> str:
        return recent_of(row.provider)

    @display(description="newest checks")
    def checks(self, row: HealthSnapshot) -> str:
        return checks_of(row.provider)


def checks_of(provider: str) -> str:
    rows = HealthCheck.objects.filter(provider=provider)[:CHECKS]
    return format_html(
        '<table class="health-table"><thead><tr><th scope="col">when</th><th scope="col">then</th>'
        '<th scope="col">latency</th><th scope="col">error</th></tr></thead>'
        "<tbody>{}</tbody></table>",
        format_html_join(
            "",
            '<tr><td class="health-when">{}</td><td>{}</td><td>{}</td><td>{}</td></tr>',
            (
                (
                    aged(row.at),
                    row.status,
                    "" if row.latency_ms is None else f"{row.latency_ms:.0f} ms",
                    row.error,
                )
                for row in rows
            ),
        ),
    )


def recent_of(provider: str) -> str:
    told = recent(provider, timezone.now())
    return format_html_join("", "<div>{}</div>", ((line,) for line in told)) or "nothing new"


admin.site.register(HealthSnapshot, HealthAdmin)
admin.site.unregister(Provider)


@admin.register(Provider)
class CheckedProviderAdmin(CheckAction, SwitchedProviderAdmin):
    list_display = [
        "name",
        "said_kind",
        "base_url",
        "keys",
        "inventory",
        "health_now",
        "switch",
        "source",
    ]
    actions = [*SwitchedProviderAdmin.actions, "check_now"]

    class Media:
        js = [SCRIPT]
        css = {"all": [STYLE]}

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changes = super().get_changelist_instance(request)
        names = [row.name for row in changes.result_list]
        found = HealthSnapshot.objects.in_bulk(names)
        for row in changes.result_list:
            row.seen = found.get(row.name)
        return changes

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        groups = list(super().get_fieldsets(request, obj))
        if obj is not None:
            groups.insert(1, ("Health", {"fields": HEALTH_FIELDS}))
        return groups

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[Any]:
        own = HEALTH_FIELDS if obj is not None else []
        return [*super().get_readonly_fields(request, obj), *own]

    @display(description="status page")
    def status_page(self, row: Any) -> str:
        return page_of(HealthSnapshot.objects.filter(pk=row.name).first())

    @display(description="health")
    def health_now(self, row: Any) -> str:
        seen = (
            row.seen if hasattr(row, "seen") else HealthSnapshot.objects.filter(pk=row.name).first()
        )
        word = word_of(seen, timezone.now())
        if seen is None:
            return word
        page = reverse("admin:controlplane_healthsnapshot_change", args=[seen.pk])
        return format_html(
            '{}<span class="health-note">{}; <a class="decision-link" href="{}"'
            ' aria-label="Checks of {}">checks</a></span>',
            word,
            models_of(seen),
            page,
            row.name,
        )

    @display(description="last hours")
    def hours(self, row: Any) -> str:
        return strip_of(strips([row.name], timezone.now())[row.name])

    @display(description="its list lately")
    def own_list(self, row: Any) -> str:
        return recent_of(row.name)


admin.site.unregister(Candidate)


@admin.register(Candidate)
class CheckedCandidateAdmin(CandidateAdmin):
    list_display = [*CandidateAdmin.list_display, "hours"]

    class Media:
        js = [SCRIPT]
        css = {"all": [STYLE]}

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changes = super().get_changelist_instance(request)
        attach_strips(changes.result_list, timezone.now())
        return changes

    @display(description="last hours")
    def hours(self, row: Any) -> str:
        return strip_of(row.strip)


admin.site.unregister(CanonicalModel)


@admin.register(CanonicalModel)
class CheckedPoolAdmin(CanonicalModelAdmin):
    class Media:
        js = [SCRIPT]
        css = {"all": [STYLE]}

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        groups = list(super().get_fieldsets(request, obj))
        if obj is not None:
            groups.insert(1, ("Candidates lately", {"fields": ["hours"]}))
        return groups

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[Any]:
        own = ["hours"] if obj is not None else []
        return [*super().get_readonly_fields(request, obj), *own]

    @display(description="last hours")
    def hours(self, row: CanonicalModel) -> str:
        candidates: list[Any] = list(row.candidates.select_related("canonical_model"))
        attach_strips(candidates, timezone.now())
        shown = ((str(candidate), strip_of(candidate.strip)) for candidate in candidates)
        rows = format_html_join("", "<tr><td>{}</td><td>{}</td></tr>", shown)
        return format_html('<table class="health-table"><tbody>{}</tbody></table>', rows)


def attach_strips(candidates: Iterable[Any], now: datetime) -> None:
    """Each gets its `strip`: of its calls in its pool."""
    rows = list(candidates)
    found = candidate_strips({row.canonical_model.name for row in rows}, now) if rows else {}
    for row in rows:
        key = (row.canonical_model.name, row.provider_name, row.model)
        row.strip = found.get(key) or not_called(now)
