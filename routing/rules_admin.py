"""Admin of failover rules, which name pools, aliases and candidates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from unfold.decorators import display

from failover.models import FailoverRule
from providers.managed.admin import KNOWN, LinesField, ManagedAdmin, ManagedForm
from routing.names import unknown_names

if TYPE_CHECKING:
    from django.http import HttpRequest


class FailoverRuleForm(ManagedForm):
    fallback_models = LinesField(
        label="Fallbacks",
        known="models",
        help_text="Model pools, aliases or provider/model, one a line, tried from first to last"
        " after the model's own candidates.",
    )


@admin.register(FailoverRule)
class FailoverRuleAdmin(ManagedAdmin):
    form = FailoverRuleForm
    fields = ["primary_model", "fallback_models", "enabled"]
    list_display = ["primary_model", "chain", "status", "source"]
    list_filter = ["enabled", "managed_source"]
    search_fields = ["primary_model", "fallback_models"]

    class Media:
        js = [KNOWN]

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changes = super().get_changelist_instance(request)
        rules = list(changes.result_list)
        names = {name for rule in rules for name in (rule.primary_model, *rule.fallback_models)}
        unknown = unknown_names(names)
        for rule in rules:
            rule.unknown = unknown
        return changes

    @display(description="fallbacks")
    def chain(self, row: Any) -> str:
        return format_html_join(
            mark_safe(" → "),
            "{}",
            ((_marked(name) if name in row.unknown else name,) for name in row.fallback_models),
        )

    @display(
        description="status",
        ordering="enabled",
        label={"enabled": "success", "disabled": "danger", "unknown": "warning"},
    )
    def status(self, row: Any) -> tuple[str, str] | str:
        if row.enabled and row.primary_model in row.unknown:
            return ("unknown", "never followed: no such model")
        return "enabled" if row.enabled else "disabled"


def _marked(name: str) -> str:
    return format_html(
        '{} <strong class="text-orange-700 dark:text-orange-400">no such model</strong>', name
    )
