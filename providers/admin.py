"""Admin of providers, with their credentials and inventories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db.models import Count
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget

from providers.adapters.registry import KNOWN_KINDS
from providers.catalog_admin import known_of, summary
from providers.catalog_rows import lookup
from providers.managed.admin import (
    LinesField,
    ManagedAdmin,
    ManagedForm,
    ManagedInline,
    OneLineJson,
    SecretField,
)
from providers.models import Credential, Provider, ProviderModel
from providers.validation import AUTH_SCHEMES

if TYPE_CHECKING:
    from django.db.models import Field, QuerySet
    from django.http import HttpRequest

    from providers.catalog.effective import Lookup


class CredentialForm(forms.ModelForm):  # type: ignore[type-arg]
    secret = SecretField(label="key", help_text="Stored encrypted, and never shown again.")

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if self.instance.pk is None:
            self.fields["secret"].widget.attrs.pop("placeholder")

    def clean_secret(self) -> Any:
        return SecretField.kept(self, "secret")


class CredentialInline(ManagedInline):
    model = Credential
    form = CredentialForm
    fields = ["label", "secret", "enabled", "position"]
    verbose_name_plural = "credentials: used side by side, each benched by itself"


class ProviderModelInline(ManagedInline):
    model = ProviderModel
    fields = ["model_id", "metadata", "known", "position"]
    readonly_fields = ["known"]
    verbose_name_plural = "models: the configured inventory"

    def formfield_for_dbfield(
        self, db_field: Field[Any, Any], request: HttpRequest, **options: Any
    ) -> Any:
        if db_field.name == "metadata":
            options["widget"] = OneLineJson
        return super().formfield_for_dbfield(db_field, request, **options)

    @cached_property
    def catalogs(self) -> Lookup:
        return lookup(timezone.now())  # an inline lives for one request

    @display(description="known")
    def known(self, row: ProviderModel) -> str:
        """The facts that count in short; the row's own page has them all, with their sources."""
        if row.pk is None:
            return ""
        page = reverse("admin:providers_providermodel_change", args=[row.pk])
        told = summary(known_of(row, self.catalogs).values)
        return format_html('<a href="{}">{}</a>', page, told)


class ProviderForm(ManagedForm):
    protocols = LinesField(
        required=False,
        label="Also speaks",
        help_text="Protocols besides its kind's usual, one a line, for example openai_responses."
        " Default: none.",
    )


@admin.register(Provider)
class ProviderAdmin(ManagedAdmin):
    form = ProviderForm
    inlines = [CredentialInline, ProviderModelInline]
    list_display = ["name", "kind", "base_url", "keys", "inventory", "status", "source"]
    list_filter = ["kind", "enabled", "managed_source"]
    search_fields = ["name", "base_url", "models__model_id"]
    fieldsets = [
        (None, {"fields": ["name", "kind", "base_url", "enabled"]}),
        (
            "Times and benches",
            {"classes": ["collapse"], "fields": ["timeouts", "bench", "failure_domain"]},
        ),
        (
            "Health checks",
            {"classes": ["collapse"], "fields": ["health"]},
        ),
        (
            "Connection",
            {
                "classes": ["collapse"],
                "fields": ["auth", "headers", "protocols", "proxy", "trust_env_proxy"],
            },
        ),
        ("Simulator", {"classes": ["collapse"], "fields": ["fault"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = (
            super()
            .get_queryset(request)
            .annotate(
                credential_count=Count("credentials", distinct=True),
                model_count=Count("models", distinct=True),
            )
        )
        return rows

    def formfield_for_dbfield(
        self, db_field: Field[Any, Any], request: HttpRequest, **options: Any
    ) -> Any:
        if db_field.name == "kind":
            return forms.ChoiceField(
                choices=[("", "choose one"), *((kind, kind) for kind in sorted(KNOWN_KINDS))],
                widget=UnfoldAdminSelectWidget,
                help_text=db_field.help_text,
            )
        if db_field.name == "auth":
            return forms.ChoiceField(
                label="Sends its key as",
                required=False,
                choices=[("", "the kind's usual way"), *((auth, auth) for auth in AUTH_SCHEMES)],
                widget=UnfoldAdminSelectWidget,
            )
        return super().formfield_for_dbfield(db_field, request, **options)

    @display(description="credentials", ordering="credential_count")
    def keys(self, row: Any) -> int:
        return int(row.credential_count)

    @display(description="models", ordering="model_count")
    def inventory(self, row: Any) -> int:
        return int(row.model_count)
