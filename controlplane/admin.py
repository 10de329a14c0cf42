"""Admin of keys, teams, people, the settings, and the control plane's own notes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth.models import Group, User
from django.http import HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from controlplane.access.people import GroupAdmin, UserAdmin
from controlplane.advice.admin import SuggestionAdmin
from controlplane.advice.models import Suggestion
from controlplane.advice.scene import settings_cautions
from controlplane.alerts.admin import AlertAdmin, WebhookAdmin
from controlplane.alerts.models import Alert, Webhook
from controlplane.benches.admin import BenchAdmin
from controlplane.config.general import SETTING_OF_KEY, effective_settings, setting_sources
from controlplane.decisions import admin as decisions_admin  # noqa: F401 - it registers its lists
from controlplane.edits.models import Revision
from controlplane.health import admin as health_admin  # noqa: F401 - it registers its pages
from controlplane.keys import admin as keys_admin  # noqa: F401 - as above
from controlplane.models import ConfigSource, PublishedSnapshot, Settings, Team
from controlplane.publishing.admin import PublishedSnapshotAdmin
from controlplane.records.admin import RequestRecordAdmin
from controlplane.records.captured_admin import CapturedAdmin, CapturedLookAdmin
from controlplane.records.models import Captured, CapturedLook, RequestRecord
from controlplane.revisions.admin import RevisionAdmin
from failover.models import Bench
from providers.managed.admin import (
    HistoryAdmin,
    LinesField,
    ReadOnly,
    StatusesField,
    lines,
)
from providers.managed.versioned_admin import VersionedForm

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.http import HttpRequest, HttpResponse

admin.site.index_title = "Overview"
admin.site.register(Alert, AlertAdmin)
admin.site.register(Webhook, WebhookAdmin)
admin.site.register(RequestRecord, RequestRecordAdmin)
admin.site.register(Captured, CapturedAdmin)
admin.site.register(CapturedLook, CapturedLookAdmin)
admin.site.register(PublishedSnapshot, PublishedSnapshotAdmin)
admin.site.register(Revision, RevisionAdmin)
admin.site.register(Bench, BenchAdmin)
admin.site.register(Suggestion, SuggestionAdmin)
for _model, _page in ((User, UserAdmin), (Group, GroupAdmin)):
    admin.site.unregister(_model)
    admin.site.register(_model, _page)


@admin.register(Team)
class TeamAdmin(HistoryAdmin):
    list_display = ["name", "description"]
    search_fields = ["name", "description"]


class OneRowAdmin(ModelAdmin):
    """A table of one row: its list is its page."""

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        del request, extra_context  # there is no list to put it into
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
        return HttpResponseRedirect(reverse(name, args=[1]))

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        """The row as it is or would be: opening its page does not make it."""
        found = super().get_object(request, object_id, from_field)
        return self.model.load() if found is None and object_id == "1" else found

    def has_add_permission(self, request: HttpRequest) -> bool:
        del request
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        del request, obj
        return False


class SettingsForm(VersionedForm):
    disabled_models = LinesField(
        required=False,
        label="Models without failover",
        help_text="Names of pools or aliases, or provider/model, one a line. Default: none.",
    )
    alerts_email = LinesField(
        required=False,
        label="E-mail addresses",
        help_text="Who gets alerts by e-mail, one a line. EMAIL_URL says by which server."
        " Default: nobody.",
    )
    retry_on_statuses = StatusesField(
        required=False,
        label="Go on after these statuses",
        widget=UnfoldAdminTextInputWidget,
        help_text="Between commas."
        " Default: 408, 424, 429, 500, 502, 503, 504, 520-527, 529 and 530.",
    )

    retry_first_statuses = StatusesField(
        required=False,
        label="Ask the same again after these statuses",
        widget=UnfoldAdminTextInputWidget,
        help_text="Between commas. Default: 429, 500, 502, 503 and 504.",
    )

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        for name, value in self.initial.items():
            if isinstance(value, float) and value.is_integer():
                self.initial[name] = int(value)  # 600, not 600.0


@admin.register(Settings)
class SettingsAdmin(HistoryAdmin, OneRowAdmin):
    form = SettingsForm
    _inherits = False
    change_form_before_template = "admin/managed_note.html"
    change_form_after_template = "admin/change_reason.html"
    warn_unsaved_form = True
    fieldsets = [
        (
            "Choice",
            {
                "fields": [
                    "strategy",
                    "session_affinity",
                    "session_affinity_ttl_s",
                    "stay_after_failover",
                    "inventory_mode",
                ],
            },
        ),
        ("Requests", {"fields": ["native_first", "params"]}),
        (
            "Failover",
            {
                "fields": [
                    "failover_enabled",
                    "failover_in_pools",
                    "disabled_models",
                    "max_attempts",
                    "same_candidate_retries",
                    "retry_on_statuses",
                    "retry_on_model_errors",
                    "retry_on_timeouts",
                    "retry_on_content_filter",
                    "retry_first_times",
                    "retry_first_statuses",
                    "retry_first_max_wait_s",
                ],
            },
        ),
        (
            "Times",
            {
                "fields": [
                    "deadline_s",
                    "hold_s",
                    "gate",
                    "exhausted_status",
                    "hedge_after_ms",
                    "backoff_base_ms",
                    "backoff_factor",
                    "backoff_max_ms",
                    "timeouts",
                ],
            },
        ),
        (
            "Alerts",
            {"fields": ["alerts_email", "alerts_failover_rate", "alerts_quiet_hours"]},
        ),
        (
            "Benches",
            {
                "fields": [
                    "bench_failures",
                    "bench_failure_ratio",
                    "bench_window_s",
                    "bench_cooldown_s",
                    "bench_max_outage_s",
                    "bench_max_cooldown_s",
                    "bench_auth_cooldown_s",
                ],
            },
        ),
        (
            "Keeping",
            {
                "description": "What is older is deleted within an hour.",
                "fields": [
                    "keep_records_days",
                    "keep_sums_days",
                    "keep_checks_days",
                    "keep_alerts_days",
                    "keep_suggestions_days",
                    "keep_history_days",
                ],
            },
        ),
    ]

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        for caution in settings_cautions(form.instance):
            messages.warning(request, caution)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """The fields, with what the configuration took over in place of the stored value."""
        over = setting_sources(given_values())

        def shown(field: str) -> list[str]:
            if field not in over:
                return [field]
            # The configuration gives single timeouts; the others are still edited here.
            return [field, f"effective_{field}"] if field == "timeouts" else [f"effective_{field}"]

        return [
            (title, {**options, "fields": [name for f in options["fields"] for name in shown(f)]})
            for title, options in super().get_fieldsets(request, obj)
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[str]:
        del request, obj
        return [f"effective_{field}" for field in setting_sources(given_values())]


def given_values() -> dict[str, Any]:
    """What the configuration says of the settings: ConfigSource.values."""
    row = ConfigSource.objects.filter(pk=1).first()
    return dict(row.values) if row else {}


def _effective(field: str, key: str) -> Callable[[SettingsAdmin, Settings], str]:
    def show(self: SettingsAdmin, row: Settings) -> str:
        del self
        values = given_values()
        value = effective_settings(row, values)[field]
        return format_html(
            "<strong>{}</strong> from the {} ({})",
            value if isinstance(value, str) else json.dumps(value),
            setting_sources(values)[field],
            key,
        )

    label = {f.name: str(f.verbose_name) for f in Settings._meta.fields}[field]  # noqa: SLF001 - Django's own API
    return display(description=label)(show)  # type: ignore[no-any-return]


for _key, _field in {**SETTING_OF_KEY, "routing.defaults.timeouts": "timeouts"}.items():
    setattr(SettingsAdmin, f"effective_{_field}", _effective(_field, _key))


@admin.register(ConfigSource)
class ConfigSourceAdmin(ReadOnly, OneRowAdmin):
    fieldsets = [
        (None, {"fields": ["file", "applied_at", "checksum"]}),
        ("Last refused edit", {"fields": ["refused_at", "reasons"]}),
        ("Warnings", {"fields": ["notes"]}),
        ("Values that win over the settings", {"fields": ["winners"]}),
    ]
    readonly_fields = ["file", "reasons", "notes", "winners"]

    @display(description="file")
    def file(self, row: ConfigSource) -> str:
        return row.path or "none"

    @display(description="reasons")
    def reasons(self, row: ConfigSource) -> str:
        return lines(row.refused_errors)

    @display(description="warnings")
    def notes(self, row: ConfigSource) -> str:
        return lines(row.warnings)

    @display(description="values")
    def winners(self, row: ConfigSource) -> str:
        return lines(
            f"{key} = {json.dumps(entry['value'])} ({entry['source']})"
            for key, entry in sorted(row.values.items())
        )
