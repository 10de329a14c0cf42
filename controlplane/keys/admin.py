"""Admin of callers' keys."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminSelectWidget

from controlplane.access.reach import gain_problems
from controlplane.keys.rotating import USUAL, rotate
from controlplane.keys.use import uses
from controlplane.models import ApiKey
from providers.managed.admin import KNOWN, LinesField, ManagedAdmin, ManagedForm
from providers.managed.rights import Rights, rights_of
from providers.saying.ages import aged
from providers.saying.counting import counted
from routing.blocks import CAPTURE
from routing.gateway.auth import new_key
from routing.models import CanonicalModel

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

OVERLAPS: Final = (
    (0, "ends now"),
    (3600, "is valid for 1 hour more"),
    (86400, "is valid for 1 day more"),
    (7 * 86400, "is valid for 1 week more"),
    (30 * 86400, "is valid for 30 days more"),
)


class RotateForm(forms.Form):
    overlap_s = forms.ChoiceField(
        label="The text of before",
        choices=OVERLAPS,
        initial=int(USUAL.total_seconds()),
        widget=UnfoldAdminSelectWidget,
    )
    change_reason = forms.CharField(required=False, max_length=400)


class ApiKeyForm(ManagedForm):
    rights = Rights()  # of who sends it

    models = LinesField(
        required=False,
        known="models",
        label="Allowed models",
        help_text="Names or patterns such as claude-*, one a line. Empty: every model.",
    )
    scopes = forms.MultipleChoiceField(
        label="May be used for",
        choices=[("inference", "inference: calling models"), ("admin", "admin: the admin API")],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        initial=["inference"],
    )

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        before = ApiKey.objects.filter(pk=self.instance.pk).first()
        for field, problems in gain_problems(self.rights, before, self.instance).items():
            self.add_error(field if field in self.fields else None, problems)


@admin.register(ApiKey)
class ApiKeyAdmin(ManagedAdmin):
    form = ApiKeyForm
    blocks = {"capture": CAPTURE}
    list_display = [
        "name",
        "team",
        "shown_as",
        "allowed",
        "limits",
        "last_use",
        "today",
        "state",
        "source",
    ]
    actions_detail = ["rotate"]
    list_filter = ["enabled", "team", "managed_source"]
    list_select_related = ["team"]
    search_fields = ["name", "team__name", "user_path", "last4"]
    autocomplete_fields = ["team"]
    readonly_fields = ["shown_as", "last_use", "today"]
    fieldsets = [
        (None, {"fields": ["name", "shown_as", "team", "user_path", "enabled", "expires_at"]}),
        ("Use", {"fields": ["last_use", "today"]}),
        ("Rights", {"fields": ["models", "scopes"]}),
        ("Limits", {"classes": ["collapse"], "fields": ["rpm", "tpm", "max_parallel"]}),
        ("Capture", {"classes": ["collapse"], "fields": ["capture"]}),
    ]

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any
    ) -> Any:
        form = super().get_form(request, obj, change, **options)
        return type(form.__name__, (form,), {"rights": rights_of(request)})

    class Media:
        js = [KNOWN]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        groups = [(title, dict(more)) for title, more in super().get_fieldsets(request, obj)]
        if obj is None:
            return [group for group in groups if group[0] != "Use"]
        if obj.former_is_valid:
            groups[0][1]["fields"] = [*groups[0][1]["fields"], "former_until"]
        return groups

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changes = super().get_changelist_instance(request)
        found = uses([row.name for row in changes.result_list], timezone.now())
        for row in changes.result_list:
            row.used = found[row.name]
        return changes

    def has_rotate_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        row = None if object_id is None else self.get_object(request, str(object_id))
        return self.has_change_permission(request, row)

    @action(description="Rotate", url_path="rotate", permissions=["rotate"])
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Another text for the key; the one before goes on for a time."""
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        if not self.has_change_permission(request, row):
            raise PermissionDenied
        form = RotateForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            overlap = timedelta(seconds=int(form.cleaned_data["overlap_s"]))
            reason = form.cleaned_data["change_reason"]
            return self._made(request, row, rotate(row, overlap, rights_of(request), reason))
        context = {
            **self.admin_site.each_context(request),
            "title": f"Rotate key {row.name}",
            "opts": self.opts,
            "original": row,
            "form": form,
        }
        return TemplateResponse(request, "admin/key_rotate.html", context)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if not change:
            key = new_key()
            obj.set_key(key)
            request.made_key = key  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        del post_url_continue  # the key comes before anything else
        return self._made(request, obj, request.made_key)  # type: ignore[attr-defined]

    def _made(self, request: HttpRequest, row: ApiKey, key: str) -> HttpResponse:
        """Show the key in the answer itself: a message would put it into a cookie."""
        response = TemplateResponse(
            request,
            "admin/key_made.html",
            {
                **self.admin_site.each_context(request),
                "title": f"Key {row.name}",
                "opts": self.opts,
                "original": row,
                "key": key,
                "base_url": request.build_absolute_uri("/v1"),
                "model": _a_model_of(row),
                "next_url": reverse("admin:controlplane_apikey_changelist"),
            },
        )
        response["Cache-Control"] = "no-store"
        return response

    @display(description="key")
    def shown_as(self, row: ApiKey) -> str:
        if not row.digest:
            return "made when you save, and shown once"
        ends = {"ends": row.expires_at, "former text until": row.former_until}
        if not row.former_is_valid:
            del ends["former text until"]
        told = format_html_join(
            "; ", "{} {}", ((what, aged(at, "UTC")) for what, at in ends.items() if at is not None)
        )
        return format_html('{}<div class="text-subtle">{}</div>', row.hint, told)

    @display(description="models")
    def allowed(self, row: ApiKey) -> str:
        return ", ".join(row.models) or "every model"

    @display(description="limits")
    def limits(self, row: ApiKey) -> str:
        return limits_of(row) or "none"

    @display(description="last use")
    def last_use(self, row: Any) -> str:
        at = _use_of(row).last_at
        if at is None:
            return "none that is kept"
        return aged(at)

    @display(description="today (UTC)")
    def today(self, row: Any) -> str:
        use = _use_of(row)
        if not use.requests:
            return "nothing"
        told = counted(use.requests, "request"), counted(use.tokens, "token")
        return f"{', '.join(told)}, ${use.cost_usd:,.2f}"

    @display(
        description="status",
        label={"enabled": "success", "disabled": "danger", "expired": "warning"},
    )
    def state(self, row: ApiKey) -> tuple[str, str] | str:
        if row.expires_at and row.expires_at <= timezone.now():
            return "expired"
        if not row.enabled:
            return "disabled"
        if "admin" in row.scopes:
            return ("enabled", "admin and inference" if "inference" in row.scopes else "admin")
        return "enabled"


def limits_of(row: ApiKey) -> str:
    """In words; empty where there is none."""
    words = (
        (row.rpm, "request a minute", "requests a minute"),
        (row.tpm, "token a minute", "tokens a minute"),
        (row.max_parallel, "at once", "at once"),
    )
    return ", ".join(counted(most, one, many) for most, one, many in words if most is not None)


def _use_of(row: Any) -> Any:
    if not hasattr(row, "used"):
        row.used = uses([row.name], timezone.now())[row.name]
    return row.used


def _a_model_of(row: ApiKey) -> str:
    """A name for an example: one that the key may use."""
    named = [name for name in row.models if "*" not in name]
    pools = CanonicalModel.effective().filter(enabled=True).order_by("name")
    return str(named[0] if named else pools.values_list("name", flat=True).first() or "MODEL")
