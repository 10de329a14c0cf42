"""Admin of failover rules."""

from __future__ import annotations

from django.contrib import admin
from unfold.decorators import display

from failover.models import FailoverRule
from providers.managed.admin import LinesField, ManagedAdmin, ManagedForm


class FailoverRuleForm(ManagedForm):
    fallback_models = LinesField(
        label="Fallbacks",
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

    @display(description="fallbacks")
    def chain(self, row: FailoverRule) -> str:
        return " → ".join(map(str, row.fallback_models))
