"""Admin of captured prompts and answers, and of who looked at them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.urls import reverse
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.decorators import display

from controlplane.records.choosing import BoundedPaginator
from controlplane.records.looking import look
from controlplane.records.models import Captured, CapturedLook, RequestRecord
from providers.managed.admin import ReadOnly
from providers.saying.ages import aged, aged_column

if TYPE_CHECKING:
    from uuid import UUID

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse


EXPIRES: Final = aged_column("expires_at", "expires at", is_sorted=False)
LOOKED: Final = aged_column("at", "looked at", is_sorted=False)


class CapturedAdmin(ReadOnly, ModelAdmin):
    """The list shows no content; a row's page does, and notes who opened it."""

    list_display = ["shown_id", "began", "key", "pool", EXPIRES]
    list_display_links = ["shown_id"]
    list_filter_submit = False
    list_per_page = 50
    search_fields = ["key", "pool"]
    search_help_text = "Key or pool, in full"
    sortable_by = ()
    paginator = BoundedPaginator
    show_full_result_count = False
    fieldsets = [
        (None, {"fields": [("of_request", "began"), ("key", "pool"), (EXPIRES, "looks")]}),
        ("Request", {"fields": ["request_text"]}),
        ("Answer", {"fields": ["response_text", "is_cut"]}),
    ]
    readonly_fields = ["of_request", "began", EXPIRES, "looks", "request_text", "response_text"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Captured]:
        rows: QuerySet[Captured] = super().get_queryset(request)
        return rows.defer("request", "response")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        del request
        text = search_term.strip()
        found = queryset.filter(key=text) | queryset.filter(pool=text)
        return (found if text else queryset), False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is not None and self.has_view_permission(request, row):
            look(row.pk, request, "admin")
        response: HttpResponse = super().change_view(request, object_id, form_url, extra_context)
        response["Cache-Control"] = "no-store"
        return response

    @display(description="request")
    def shown_id(self, row: Captured) -> str:
        return f"req_{row.record.hex}"

    @display(description="request")
    def of_request(self, row: Captured) -> str:
        words = f"req_{row.record.hex}"
        if not RequestRecord.objects.filter(pk=row.pk).exists():
            return words
        url = reverse("admin:controlplane_requestrecord_change", args=[row.pk])
        return format_html('<a class="underline" href="{}">{}</a>', url, words)

    @display(description="time (UTC)")
    def began(self, row: Captured) -> str:
        return began(row.pk)

    @display(description="looked at")
    def looks(self, row: Captured) -> str:
        url = reverse("admin:controlplane_capturedlook_changelist")
        count = CapturedLook.objects.filter(record=row.pk).count()
        words = "once" if count == 1 else f"{count} times"
        return format_html('<a class="underline" href="{}?record={}">{}</a>', url, row.pk, words)

    @display(description="body")
    def request_text(self, row: Captured) -> str:
        return _body(row.request)

    @display(description="body")
    def response_text(self, row: Captured) -> str:
        return _body(row.response)


class CapturedLookAdmin(ReadOnly, ModelAdmin):
    rows_called = ("look", "looks")
    list_display = [LOOKED, "who", "place", "shown_id"]
    list_display_links = None
    list_filter_submit = False
    list_per_page = 50
    search_fields = ["who"]
    sortable_by = ()
    paginator = BoundedPaginator
    show_full_result_count = False

    def lookup_allowed(self, lookup: str, value: str, request: Any = None) -> bool:
        # One record's are asked for by the link from its page.
        return lookup == "record" or super().lookup_allowed(lookup, value, request)

    @display(description="request")
    def shown_id(self, row: CapturedLook) -> str:
        return f"req_{row.record.hex}"


def began(record: UUID) -> str:
    """When the record's request came in."""
    return aged(RequestRecord(pk=record).started_at)


def _body(text: str) -> str:
    if not text:
        return "not captured"
    return format_html('<pre class="whitespace-pre-wrap break-words">{}</pre>', text)
