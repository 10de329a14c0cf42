"""Admin of model pools and aliases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponseRedirect
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from failover.cautions import unable
from providers.destinations import is_withheld
from providers.managed.admin import (
    KNOWN,
    ManagedAdmin,
    ManagedInline,
    OrderedFormSet,
    known_attrs,
)
from providers.models import Provider
from routing import rules_admin  # noqa: F401 - it registers its page
from routing.blocks import CAPTURE, FAILOVER
from routing.models import Alias, AliasTarget, Candidate, CanonicalModel
from routing.switches.admin import (
    ENABLED,
    SCRIPT,
    SwitchColumn,
    attach_flags,
    attach_switches,
    control_of,
    flag_of,
)

if TYPE_CHECKING:
    from django.db.models import Field, QuerySet
    from django.http import HttpRequest, HttpResponse

SHOWN = 3


class TargetInline(ManagedInline):
    """Rows that name a provider and one of its models."""

    widths = {
        "model": "11rem",
        "priority": "3.5rem",
        "weight": "3.5rem",
        "rpm": "4.5rem",
        "tpm": "4.5rem",
        "max_parallel": "3.5rem",
        "position": "3.5rem",
    }

    def formfield_for_dbfield(
        self, db_field: Field[Any, Any], request: HttpRequest, **options: Any
    ) -> Any:
        if db_field.name == "provider_name":
            # Names in use stay choosable though their provider is gone: clean() says so.
            known = set(Provider.objects.values_list("name", flat=True))
            used = set(self.model.objects.values_list("provider_name", flat=True))
            return forms.ChoiceField(
                label="provider",
                choices=[
                    ("", "choose one"),
                    *((n, n if n in known else f"{n} (missing)") for n in sorted(known | used)),
                ],
                widget=UnfoldAdminSelectWidget(attrs={"style": "min-width: 9rem"}),
            )
        if db_field.name == "model":
            attrs = {
                **known_attrs("ids"),
                "data-known-of": "provider_name",
                "autocomplete": "off",
            }
            options["widget"] = UnfoldAdminTextInputWidget(attrs=attrs)
        return super().formfield_for_dbfield(db_field, request, **options)


class CandidateInline(TargetInline):
    model = Candidate
    fields = [
        "provider_name",
        "model",
        "priority",
        "weight",
        "enabled",
        "switch",
        "flag",
        "rpm",
        "tpm",
        "max_parallel",
        "timeouts",
        "position",
    ]
    readonly_fields = ["switch", "flag"]
    verbose_name_plural = "candidates: dragged into the order in which they are tried"

    def formfield_for_dbfield(
        self, db_field: Field[Any, Any], request: HttpRequest, **options: Any
    ) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **options)
        if db_field.name == "enabled":
            field.help_text = ENABLED
        return field

    def get_formset(self, request: HttpRequest, obj: Any = None, **options: Any) -> Any:
        formset = super().get_formset(request, obj, **options)
        self.request, self.pool = request, obj  # an inline lives for one request
        return formset

    @cached_property
    def _shown(self) -> dict[int, tuple[str, str]]:
        """Of each candidate its switch and its flag."""
        pool = self.pool
        rows = [] if pool is None else list(pool.candidates.select_related("canonical_model"))
        attach_switches(rows, self.request)
        attach_flags(rows)
        return {row.pk: (control_of(row), flag_of(row)) for row in rows}

    @display(description="switch")
    def switch(self, row: Candidate) -> str:
        return self._shown.get(row.pk, ("", ""))[0]

    @display(description="flag")
    def flag(self, row: Candidate) -> str:
        return self._shown.get(row.pk, ("", ""))[1]


@admin.register(CanonicalModel)
class CanonicalModelAdmin(SwitchColumn, ManagedAdmin):
    inlines = [CandidateInline]
    blocks = {**ManagedAdmin.blocks, "failover": FAILOVER, "capture": CAPTURE}
    actions = ["switch_off", "switch_on"]
    actions_detail = ["explain", "try_it"]
    list_display = ["name", "pool", "how", "switch", "source"]
    list_filter = ["enabled", "strategy", "managed_source"]
    search_fields = ["name", "candidates__provider_name", "candidates__model"]
    fieldsets = [
        (None, {"fields": ["name", "strategy", "enabled"]}),
        (
            "Sessions",
            {
                "classes": ["collapse"],
                "fields": [
                    "session_affinity",
                    "session_affinity_ttl_s",
                    "affinity_key",
                    "stay_after_failover",
                ],
            },
        ),
        ("Failover", {"classes": ["collapse"], "fields": ["failover"]}),
        ("Times", {"classes": ["collapse"], "fields": ["timeouts"]}),
        ("Requests", {"classes": ["collapse"], "fields": ["params", "native_first"]}),
        ("Capture", {"classes": ["collapse"], "fields": ["capture"]}),
    ]

    class Media:
        js = [SCRIPT, KNOWN]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).prefetch_related("candidates")

    @action(description="Explain", url_path="explain", permissions=["view"])
    def explain(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ask("explain", request, object_id)

    @action(description="Try it", url_path="try", permissions=["view"])
    def try_it(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ask("try-it", request, object_id)

    def _ask(self, page: str, request: HttpRequest, object_id: str) -> HttpResponse:
        """That page, with the pool's name filled in."""
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        return HttpResponseRedirect(f"{reverse(page)}?{urlencode({'model': row.name})}")

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changes = super().get_changelist_instance(request)
        able = _able_providers()
        for row in changes.result_list:
            row.is_served = any(c.provider_name in able for c in row.candidates.all())
        return changes

    @display(description="candidates")
    def pool(self, row: CanonicalModel) -> str:
        said = summary(list(row.candidates.all()))
        if row.is_served:  # type: ignore[attr-defined] # this list's own note
            return said
        return format_html('{} <strong class="text-red-600">nobody can serve it</strong>', said)

    @display(description="strategy", ordering="strategy")
    def how(self, row: CanonicalModel) -> str:
        return row.get_strategy_display() if row.strategy else "as in the settings"


class AliasTargetFormSet(OrderedFormSet):
    """Holds the rule that an alias has either what it stands for or targets of its own."""

    def clean(self) -> None:
        super().clean()
        if any(self.errors):
            return
        number = sum(
            1
            for form in self.forms
            if (form.has_changed() or form.instance.pk) and not self._should_delete_form(form)
        )
        try:
            self.instance.check_targets(number)
        except ValidationError as error:
            raise forms.ValidationError(error.messages) from error


class AliasTargetInline(TargetInline):
    model = AliasTarget
    formset = AliasTargetFormSet
    fields = ["provider_name", "model", "priority", "weight", "position"]
    verbose_name_plural = "targets of its own, if it stands for nothing else"


@admin.register(Alias)
class AliasAdmin(ManagedAdmin):
    inlines = [AliasTargetInline]
    list_display = ["name", "stands_for", "status", "source"]
    list_filter = ["enabled", "managed_source"]
    search_fields = ["name", "target", "targets__provider_name", "targets__model"]
    fields = ["name", "target", "strategy", "enabled"]

    class Media:
        js = [KNOWN]

    def formfield_for_dbfield(
        self, db_field: Field[Any, Any], request: HttpRequest, **options: Any
    ) -> Any:
        if db_field.name == "target":
            pools = CanonicalModel.objects.values_list("name", flat=True)
            aliases = Alias.objects.values_list("name", flat=True)
            return forms.ChoiceField(
                label="Stands for",
                required=False,
                choices=[
                    ("", "targets of its own, below"),
                    ("model pools", [(name, name) for name in sorted(set(pools))]),
                    ("aliases", [(name, name) for name in sorted(set(aliases))]),
                ],
                widget=UnfoldAdminSelectWidget,
            )
        return super().formfield_for_dbfield(db_field, request, **options)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).prefetch_related("targets")

    @display(description="stands for", ordering="target")
    def stands_for(self, row: Alias) -> str:
        return row.target or summary(list(row.targets.all()))


def _able_providers() -> frozenset[str]:
    """The names of those that can be called at all, whoever switched them off; two queries."""
    rows = Provider.effective().prefetch_related("credentials")
    return frozenset(
        row.name
        for row in rows
        if not is_withheld(row)
        and not unable(
            row.kind,
            row.base_url,
            row.headers,
            has_key=any(credential.enabled for credential in row.credentials.all()),
        )
    )


def summary(targets: list[Any]) -> str:
    """The first few targets in order, each with its weight if that is not 1."""
    if not targets:
        return "none"
    words = [f"{t}" if t.weight == 1 else f"{t} (weight {t.weight})" for t in targets[:SHOWN]]
    rest = len(targets) - SHOWN
    return ", ".join(words) + (f" and {rest} more" if rest > 0 else "")
