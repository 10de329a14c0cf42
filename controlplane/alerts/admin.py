"""Admin of alerts, and of the webhooks that they go to."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from django import forms
from django.contrib import admin
from django.db.models import F
from django.utils.html import format_html, format_html_join
from django.utils.timesince import timesince
from unfold.admin import ModelAdmin
from unfold.decorators import display

from controlplane.alerts.kinds import KINDS
from controlplane.validation import webhook_host_problems, webhook_url_problems
from providers.destinations import origin_of
from providers.managed.admin import ManagedAdmin, ManagedForm, ReadOnly, SecretField
from providers.saying.ages import aged
from providers.secrets.binding import owner_of
from providers.secrets.fields import EncryptedText
from providers.transport.guard import refusal_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.db.models import QuerySet
    from django.http import HttpRequest

    from controlplane.alerts.models import Alert, Notice, Webhook

OPEN, PAST = "open", "past"
RESOLVED: Final = 16  # addresses of one name that are looked at


class StateChoice(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        del request, model_admin
        return [(OPEN, "open"), (PAST, "over")]

    def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        del request
        if self.value() in {OPEN, PAST}:
            return rows.filter(ended_at__isnull=self.value() == OPEN)
        return rows


class KindChoice(admin.SimpleListFilter):
    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        del request, model_admin
        return [(name, name.replace("_", " ")) for name in KINDS]

    def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        del request
        return rows.filter(kind=self.value()) if self.value() else rows


class AlertAdmin(ReadOnly, ModelAdmin):
    list_display = ["state", "what", "text", "lasts", "sent", "look"]
    list_display_links = ["what"]
    list_filter = [StateChoice, KindChoice]
    list_filter_submit = False
    search_fields = ["subject", "text"]
    list_per_page = 50
    fields = ["state", "what", "text", "since", "ended_at", "look", "notices"]
    readonly_fields = ["state", "what", "look", "notices"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request).prefetch_related("notices")
        return rows.order_by(F("ended_at").desc(nulls_first=True), "-since", "-pk")

    def get_ordering(self, request: HttpRequest) -> Any:
        del request
        return (F("ended_at").desc(nulls_first=True), "-since", "-pk")

    @display(description="state", label={"urgent": "danger", "open": "warning", "over": "success"})
    def state(self, row: Alert) -> str:
        if row.ended_at is not None:
            return "over"
        return "urgent" if row.is_urgent else "open"

    @display(description="what")
    def what(self, row: Alert) -> str:
        return f"{row.kind.replace('_', ' ')}: {row.subject}"

    @display(description="since")
    def lasts(self, row: Alert) -> str:
        if row.ended_at is None:
            return aged(row.since)
        lasted = timesince(row.since, row.ended_at)
        return format_html('{}<div class="text-subtle">lasted {}</div>', aged(row.since), lasted)

    @display(description="messages")
    def sent(self, row: Alert) -> str:
        notices = list(row.notices.all())
        taken = sum(notice.sent_at is not None for notice in notices)
        if not notices:
            return "none"
        failed = sum(notice.sent_at is None and bool(notice.error) for notice in notices)
        return f"{taken} of {len(notices)} sent" + (f", {failed} not taken" if failed else "")

    @display(description="where to look")
    def look(self, row: Alert) -> str:
        if not row.path:
            return ""
        return format_html(
            '<a class="text-primary-600 dark:text-primary-500 underline" href="{}"'
            ' aria-label="Look at {}">look</a>',
            row.path,
            row.subject,
        )

    @display(description="messages")
    def notices(self, row: Alert) -> Any:
        told = ((told_of(notice),) for notice in row.notices.all())
        return format_html_join("", "<div>{}</div>", told) or "none"


def told_of(notice: Notice) -> str:
    """What became of a message, in words."""
    what = "recovery" if notice.is_end else "alert"
    tries = f" after {notice.tries} tries" if notice.tries > 1 else ""
    if notice.sent_at is not None:
        return f"{what} to {notice.channel}: sent {notice.sent_at:%Y-%m-%d %H:%M:%S}{tries}"
    said = f": {notice.error}" if notice.error else ""
    if notice.due_at is None:
        return f"{what} to {notice.channel}: not sent{tries}{said}"
    return f"{what} to {notice.channel}: due {notice.due_at:%Y-%m-%d %H:%M:%S}{tries}{said}"


class WebhookForm(ManagedForm):
    url = SecretField(
        label="Address",
        help_text="https:// or http://. It is stored encrypted, and only its host is shown again."
        " Private addresses are refused: those may stand in the configuration file.",
    )
    secret = SecretField(
        help_text="What a signed message is signed with; a Slack-shaped one needs none."
        " Stored encrypted, and never shown again.",
    )

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if self.instance.pk is None:
            for name in ("url", "secret"):
                self.fields[name].widget.attrs.pop("placeholder")

    def clean_url(self) -> Any:
        text = self.cleaned_data["url"]
        if text and self.instance.is_guarded:
            url_problems = webhook_url_problems(text) or webhook_host_problems(text)
            if problems := url_problems or resolved_problems(text):
                raise forms.ValidationError(problems)
        if not text and not self.instance.url:
            raise forms.ValidationError("An address is needed.")
        return text or self.instance.url

    def clean_secret(self) -> Any:
        return self.cleaned_data["secret"] or self.instance.secret

    def clean(self) -> dict[str, Any] | None:
        """What is kept belongs to the name and the host that it was entered for."""
        cleaned = super().clean()
        given = self.cleaned_data
        names = ("url", "secret")
        kept = [n for n in names if isinstance(given.get(n), EncryptedText) and given[n]]
        if self.instance.pk is None or not kept:
            return cleaned
        if isinstance(given.get("url"), str) and "secret" in kept:
            old, new = self.instance.destination, origin_of(given["url"])
            if old != new:
                self.add_error("secret", f"It was entered for {old}: enter it again for {new}.")
        if "name" in self.changed_data and given.get("name"):
            source = self.instance.managed_source
            for name in kept:
                owner = owner_of("webhook", source, given["name"], name)
                self.cleaned_data[name] = given[name].moved_to(owner)
        return cleaned


def resolved_problems(
    url: str, resolve: Callable[..., Sequence[Any]] = socket.getaddrinfo
) -> list[str]:
    """
    Whether the host's name stands for an address that is refused.

    One that does not resolve may come to be: it is looked at again with every message.
    """
    parts = urlsplit(url)
    try:
        found = resolve(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    for entry in found[:RESOLVED]:
        if refusal := refusal_of(str(entry[4][0])):
            return [f"the host stands for an address that is refused: {refusal}"]
    return []


class WebhookAdmin(ManagedAdmin):
    form = WebhookForm
    list_display = ["name", "place", "kind", "status", "source"]
    list_filter = ["kind", "enabled", "managed_source"]
    search_fields = ["name"]
    readonly_fields = ["place"]
    fieldsets = [(None, {"fields": ["name", "place", "url", "kind", "secret", "enabled"]})]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """What the file manages shows no field for what is never shown."""
        fields = ["name", "place", "kind", "enabled"]
        if obj is None:
            fields = ["name", "url", "kind", "secret", "enabled"]
        elif self.has_change_permission(request, obj):
            fields = ["name", "place", "url", "kind", "secret", "enabled"]
        return [(None, {"fields": fields})]

    @display(description="goes to")
    def place(self, row: Webhook) -> str:
        return row.place
