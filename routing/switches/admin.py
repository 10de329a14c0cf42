"""
Operators' switches in admin: a column with one click in lists, their own list, their history.

The click is switch.js, which asks the API. Without it the same control is a link to the form of
the switch, and the lists have actions.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.db import transaction
from django.http import Http404, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.decorators import display

from providers.admin import ProviderAdmin
from providers.listed import flags
from providers.managed.admin import ReadOnly
from providers.models import Provider
from providers.saying.ages import aged_column
from routing.models import Candidate, CanonicalModel, RoutingState
from routing.switches.state import end, identity_of, note_author, set_state, warnings_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

MAY_SWITCH: Final = ("routing.add_routingstate", "routing.change_routingstate")
SCRIPT: Final = "switchyard/switch.js"
ENABLED: Final = (
    "Part of the configuration: off until somebody edits it again. To take it out for a while,"
    " turn its switch in the lists."
)
LISTED: Final = 5
TURNED: Final = aged_column("history_date", "turned at")
UNTIL: Final = aged_column("until", "until")
SINCE: Final = aged_column("updated_at", "since")

Switched = Provider | CanonicalModel | Candidate


def may_switch(request: HttpRequest) -> bool:
    return bool(request.user.has_perms((*MAY_SWITCH, "routing.delete_routingstate")))


def attach_switches(rows: Iterable[Any], request: HttpRequest) -> None:
    """Have each row know its switch and whether this person may turn it, for one query in all."""
    found = {tuple(row.identity.values()): row for row in RoutingState.standing()}
    may = may_switch(request)
    for row in rows:
        row.switched = found.get(tuple(identity_of(row).values()))
        row.may_switch = may


def attach_flags(rows: Iterable[Any]) -> None:
    """Have each candidate know what is odd about it, for two queries in all."""
    rows = list(rows)
    found = flags({(row.provider_name, row.model) for row in rows})
    for row in rows:
        row.flag = found.get((row.provider_name, row.model), "")


def flag_of(row: Any) -> str:
    """The flag of a candidate that attach_flags() has seen."""
    return (
        format_html('<strong class="text-orange-700 dark:text-orange-400">{}</strong>', row.flag)
        if row.flag
        else ""
    )


def control_of(row: Any) -> str:
    """The control of a row that attach_switches() has seen."""
    state: RoutingState | None = row.switched
    owner = row.canonical_model if isinstance(row, Candidate) else row
    if not row.enabled:
        where = "the configuration" if owner.is_managed_by_config else "its settings"
        return format_html('<span class="switch-fixed">off in {}</span>', where)
    is_on = state is None or state.enabled
    note = "" if state is None else said_of(state)
    if not row.may_switch:
        return format_html(
            '<span class="switch-fixed">{}</span> <span class="switch-note">{}</span>',
            "on" if is_on else "off",
            note,
        )
    identity = {name: value for name, value in identity_of(row).items() if value}
    return format_html(
        '<span class="switch"><a class="switch-toggle" href="{}" data-switch="{}" data-entry="{}"'
        ' data-on="{}" title="{}"><i aria-hidden="true"></i><span class="switch-word">{}</span></a>'
        ' <span class="switch-note">{}</span></span>',
        form_url(identity, state),
        json.dumps(identity),
        json.dumps(entry_of(state)),
        "true" if is_on else "false",
        RoutingState(**identity_of(row)),
        "on" if is_on else "off",
        note,
    )


def form_url(identity: dict[str, str], state: RoutingState | None) -> str:
    """The page of its switch, or the one that makes it."""
    if state is not None:
        return reverse("admin:routing_routingstate_change", args=[state.pk])
    return f"{reverse('admin:routing_routingstate_add')}?{urlencode(identity)}"


def entry_of(state: RoutingState | None) -> dict[str, Any] | None:
    """What the script sends to have it as it was."""
    if state is None:
        return None
    until = state.until.isoformat() if state.until else None
    return {"enabled": state.enabled, "reason": state.reason, "until": until}


def said_of(state: RoutingState) -> str:
    """Who switched it when, why, and how long."""
    words = f"{state.updated_at:%Y-%m-%d %H:%M} by {state.set_by or 'somebody'}"
    if state.reason:
        words += f": {state.reason}"
    return words + (f", until {state.until:%Y-%m-%d %H:%M:%S} UTC" if state.until else "")


class SwitchColumn:
    """For lists of what has a switch: the column, and the actions; for forms, what it is not."""

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **options)  # type: ignore[misc]
        if db_field.name == "enabled":
            field.help_text = ENABLED
        return field

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changes = super().get_changelist_instance(request)  # type: ignore[misc]
        attach_switches(changes.result_list, request)
        return changes

    @display(description="switch")
    def switch(self, row: Any) -> str:
        return control_of(row)

    def has_switch_permission(self, request: HttpRequest) -> bool:
        return may_switch(request)

    @admin.action(description="Switch off", permissions=["switch"])
    def switch_off(self, request: HttpRequest, rows: QuerySet[Any]) -> None:
        self._turn(request, rows, is_on=False)

    @admin.action(description="Switch on", permissions=["switch"])
    def switch_on(self, request: HttpRequest, rows: QuerySet[Any]) -> None:
        self._turn(request, rows, is_on=True)

    def _turn(self, request: HttpRequest, rows: QuerySet[Any], *, is_on: bool) -> None:
        by = request.user.get_username()
        turned: list[str] = []
        warnings: list[str] = []
        with transaction.atomic():
            for row in rows:
                identity = identity_of(row)
                if is_on:
                    state = RoutingState.objects.filter(**identity, enabled=False).first()
                    if state is not None:
                        end(state, by)
                        turned.append(str(state))
                    continue
                state = set_state(identity, {"enabled": False}, by)
                turned.append(str(state))
                warnings += warnings_of(state)
        word = "on" if is_on else "off"
        listed = ", ".join(turned[:LISTED]) or "nothing: it was so already"
        more = f" and {len(turned) - LISTED} more" if len(turned) > LISTED else ""
        messages.success(request, f"Switched {word}: {listed}{more}.")
        for warning in sorted(set(warnings)):
            messages.warning(request, warning)


class SwitchForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = RoutingState
        fields = ["kind", "provider_name", "canonical_model", "model", "enabled", "reason", "until"]


@admin.register(RoutingState)
class RoutingStateAdmin(ModelAdmin):
    """Everything that is switched, and the form of a switch."""

    form = SwitchForm
    fields = ["kind", "provider_name", "canonical_model", "model", "enabled", "reason", "until"]
    list_display = ["what", "state", "reason", UNTIL, "set_by", SINCE]
    list_filter = ["kind", "enabled"]
    search_fields = ["provider_name", "canonical_model", "model", "reason", "set_by"]
    list_per_page = 50

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[Any]:
        del request
        return RoutingState.IDENTITY if obj is not None else ()

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        """Switches are no part of revisions: they have a history of their own."""
        del extra_context
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        names = {f"{name}__exact": value for name, value in row.identity.items() if value}
        page = reverse("admin:routing_historicalroutingstate_changelist")
        return HttpResponseRedirect(f"{page}?{urlencode(names)}")

    def save_model(self, request: HttpRequest, obj: RoutingState, form: Any, change: bool) -> None:
        note_author(obj, request.user.get_username())
        super().save_model(request, obj, form, change)
        for warning in warnings_of(obj):
            messages.warning(request, warning)

    def delete_model(self, request: HttpRequest, obj: RoutingState) -> None:
        end(obj, request.user.get_username())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[RoutingState]) -> None:
        for row in queryset:
            end(row, request.user.get_username())

    @display(description="switches")
    def what(self, row: RoutingState) -> str:
        return str(row)

    @display(description="state", label={"on": "success", "off": "danger"})
    def state(self, row: RoutingState) -> str:
        return "on" if row.enabled else "off"


@admin.register(RoutingState.history.model)
class SwitchHistoryAdmin(ReadOnly, ModelAdmin):
    """Who switched what, when and why: what has ended, too."""

    rows_called = ("turn of a switch", "turns of switches")
    list_display = [TURNED, "what", "did", "reason", UNTIL, "set_by"]
    list_filter = ["kind"]
    search_fields = ["provider_name", "canonical_model", "model", "reason", "set_by"]
    ordering = ["-history_date", "-history_id"]
    fields = ["history_date", "what", "did", "reason", "until", "set_by"]
    readonly_fields = ["what", "did"]
    list_per_page = 50

    @display(description="switch")
    def what(self, row: Any) -> str:
        return str(row.instance)

    @display(
        description="turned",
        label={"on": "success", "off": "danger", "as configured": "default"},
    )
    def did(self, row: Any) -> str:
        if row.history_type == "-":
            return "as configured"
        return "on" if row.enabled else "off"


admin.site.unregister(Provider)


@admin.register(Provider)
class SwitchedProviderAdmin(SwitchColumn, ProviderAdmin):
    list_display = ["name", "kind", "base_url", "keys", "inventory", "switch", "source"]
    actions = [*ProviderAdmin.actions, "switch_off", "switch_on"]

    class Media:
        js = [SCRIPT]


@admin.register(Candidate)
class CandidateAdmin(SwitchColumn, ReadOnly, ModelAdmin):
    """Every candidate of every pool, to be switched; they are edited on their pool's page."""

    list_display = ["provider_model", "canonical_model", "priority", "weight", "flag", "switch"]
    list_display_links = None
    list_select_related = ["canonical_model"]
    list_filter = ["provider_name", "canonical_model__managed_source"]
    search_fields = ["provider_name", "model", "canonical_model__name"]
    ordering = ["canonical_model__name", "canonical_model", "position", "pk"]
    list_per_page = 50
    actions = ["switch_off", "switch_on"]

    class Media:
        js = [SCRIPT]

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changes = super().get_changelist_instance(request)
        attach_flags(changes.result_list)
        return changes

    @display(description="flag")
    def flag(self, row: Candidate) -> str:
        return flag_of(row)

    @display(description="candidate", ordering="provider_name")
    def provider_model(self, row: Candidate) -> str:
        page = reverse("admin:routing_canonicalmodel_change", args=[row.canonical_model_id])
        return format_html('<a href="{}">{}</a>', page, row)
