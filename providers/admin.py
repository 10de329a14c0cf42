"""Admin of providers, with their credentials and inventories."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django import forms
from django.contrib import admin, messages
from django.db.models import Count
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from providers.adapters.registry import ADAPTERS, KNOWN_KINDS
from providers.adapters.spec import CAPABILITIES
from providers.catalog.entry import PRICES
from providers.catalog.metadata import metadata_problems
from providers.catalog_admin import known_of, summary
from providers.catalog_rows import lookup
from providers.destinations import confirm, unconfirmed
from providers.managed.admin import (
    LinesField,
    ManagedAdmin,
    ManagedForm,
    ManagedInline,
    SecretField,
)
from providers.managed.block_field import FLAG, JSON, TEXT, BlockMember, BlockMembers
from providers.managed.rights import rights_of
from providers.models import Credential, Provider, ProviderModel
from providers.secrets.binding import credential_owner
from providers.secrets.encryption import CannotDecrypt
from providers.secrets.fields import EncryptedText
from providers.secrets.masking import kept_proxy, shown_proxy, unmasked
from providers.trial import try_stored
from providers.validation import AUTH_SCHEMES

if TYPE_CHECKING:
    from django.db.models import Field, QuerySet
    from django.http import HttpRequest, HttpResponse

    from providers.catalog.effective import Lookup


BENCH: Final[BlockMembers] = {
    key: BlockMember(words, setting=f"bench_{key}")
    for key, words in (
        ("failures", "failures at least"),
        ("failure_ratio", "share of failures (0 to 1)"),
        ("window_s", "within (seconds)"),
        ("cooldown_s", "sits out, at first (seconds)"),
        ("max_outage_s", "sits out while it is away, at most (seconds)"),
        ("max_cooldown_s", "sits out, at most (seconds)"),
        ("auth_cooldown_s", "a refused key sits out (seconds)"),
    )
}
HEALTH: Final[BlockMembers] = {
    "interval_s": BlockMember("checked every (seconds)", usual=60),
    "paid_probe_model": BlockMember("model to call where only a paid call shows it", TEXT),
    "status_page": BlockMember("address of its status page", TEXT),
}
METADATA: Final[BlockMembers] = {
    "catalog": BlockMember('in the catalogue as (vendor/model, or "none")', TEXT),
    "family": BlockMember("family", TEXT),
    "context_window": BlockMember("context window (tokens)"),
    "max_output_tokens": BlockMember("longest answer (tokens)"),
    "reasons": BlockMember("reasons by itself, unasked", FLAG),
    **{f"capabilities.{name}": BlockMember(name.replace("_", " "), FLAG) for name in CAPABILITIES},
    **{
        f"pricing.{name}_per_mtok": BlockMember(f"{name.replace('_', ' ')} ($ a million tokens)")
        for name in PRICES
    },
    "pricing.tiers": BlockMember("other prices above so many tokens, as JSON", JSON),
}
SHOWN: Final = 50  # of the models that a test has found


class CredentialForm(forms.ModelForm):  # type: ignore[type-arg]
    secret = SecretField(label="key", help_text="Stored encrypted, and never shown again.")

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if self.instance.pk is None:
            self.fields["secret"].widget.attrs.pop("placeholder")

    def clean_secret(self) -> Any:
        return SecretField.kept(self, "secret")

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        kept, label = self.cleaned_data.get("secret"), self.cleaned_data.get("label")
        if isinstance(kept, EncryptedText) and label and "label" in self.changed_data:
            provider = self.instance.provider
            owner = credential_owner(provider.managed_source, provider.name, label)
            try:
                self.cleaned_data["secret"] = kept.moved_to(owner)
            except CannotDecrypt as error:
                self.add_error("secret", str(error))
        return cleaned


class CredentialInline(ManagedInline):
    model = Credential
    form = CredentialForm
    fields = ["label", "secret", "enabled", "goes_to", "position"]
    readonly_fields = ["goes_to"]
    verbose_name_plural = "credentials: used side by side, each benched by itself"

    @display(description="may be sent to")
    def goes_to(self, row: Credential) -> str:
        """Where the key may go; in words if that is not where its provider is."""
        if row.pk is None:
            return ""
        to = row.provider.destination
        if row.is_confirmed:
            return to
        return format_html(
            '<strong class="text-orange-700 dark:text-orange-400">unconfirmed</strong>'
            " entered for {}, not sent to {}",
            row.confirmed_for or "no address",
            to,
        )


class ProviderModelInline(ManagedInline):
    model = ProviderModel
    blocks: ClassVar = {"metadata": METADATA}
    _unsaid = "from the catalogue"
    fields = ["model_id", "metadata", "known", "position"]
    readonly_fields = ["known"]
    verbose_name_plural = "models: the configured inventory"

    @cached_property
    def catalogs(self) -> Lookup:
        return lookup(timezone.now())  # an inline lives for one request

    @display(description="known")
    def known(self, row: ProviderModel) -> str:
        """The facts that count in short; the row's own page has them all, with their sources."""
        if row.pk is None or metadata_problems(row.metadata):
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

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if "proxy" in self.fields:
            self.initial["proxy"] = shown_proxy(self.instance.proxy)

    def clean_headers(self) -> Any:
        try:
            return unmasked(self.cleaned_data["headers"], self.instance.headers)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error

    def clean_proxy(self) -> Any:
        try:
            return kept_proxy(self.cleaned_data["proxy"].strip(), self.instance.proxy)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error


@admin.register(Provider)
class ProviderAdmin(ManagedAdmin):
    form = ProviderForm
    blocks = {**ManagedAdmin.blocks, "bench": BENCH, "health": HEALTH}
    inlines = [CredentialInline, ProviderModelInline]
    actions = ["confirm_keys"]
    actions_detail = ["test"]
    actions_submit_line = ["save_and_test"]
    list_display = ["name", "said_kind", "base_url", "keys", "inventory", "status", "source"]
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
                choices=[
                    ("", "choose one"),
                    *((kind, said_kind(kind)) for kind in sorted(KNOWN_KINDS)),
                ],
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
        if db_field.name == "proxy":
            options["widget"] = UnfoldAdminTextInputWidget
        return super().formfield_for_dbfield(db_field, request, **options)

    def has_test_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        del object_id  # to call one of the configuration's changes nothing of it
        return bool(request.user.has_perm("providers.change_provider"))

    @action(description="Test", url_path="test", permissions=["test"])
    def test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """One cheap call, by POST, and what it showed."""
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        trial = try_stored(row) if request.method == "POST" else None
        context = {
            **self.admin_site.each_context(request),
            "title": f"Test {row.name}",
            "opts": self.opts,
            "original": row,
            "trial": trial,
            "shown": (trial.listed or ())[:SHOWN] if trial else (),
        }
        return TemplateResponse(request, "admin/provider_test.html", context)

    @action(description="Save and test", permissions=["test"])
    def save_and_test(self, request: HttpRequest, obj: Provider) -> None:
        request.to_test = obj  # type: ignore[attr-defined] # once it is saved, with its keys

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        more = dict(extra_context or {})
        if object_id is None:  # Unfold has none of them here
            more["actions_submit_line"] = self.get_actions_submit_line(request, object_id)
        response: HttpResponse = super().changeform_view(request, object_id, form_url, more)
        row = getattr(request, "to_test", None)
        if row is None or response.status_code != HTTPStatus.FOUND:
            return response
        # Outside of the transaction: nobody else's write waits for a provider.
        trial = try_stored(Provider.objects.get(pk=row.pk))
        say = messages.error if trial.ok is False else messages.success
        say(request, f"{row.name}: {trial.message}")
        return HttpResponseRedirect(reverse("admin:providers_provider_change", args=[row.pk]))

    def has_confirm_permission(self, request: HttpRequest) -> bool:
        return rights_of(request).may("providers.change_credential")

    @admin.action(description="Confirm keys for their new address", permissions=["confirm"])
    def confirm_keys(self, request: HttpRequest, rows: QuerySet[Any]) -> None:
        """Let keys and headers go where their provider is now."""
        for row in rows:
            waiting = unconfirmed(row)
            if not waiting or row.is_managed_by_config:
                messages.info(request, f"{row}: there is nothing to confirm.")
                continue
            try:
                confirm(row)
            except ValueError as error:
                messages.error(request, f"{row}: {error}.")
                continue
            messages.success(request, f"{row}: its keys and headers go to {row.destination} now.")

    @display(description="kind", ordering="kind")
    def said_kind(self, row: Provider) -> str:
        return said_kind(row.kind)

    @display(description="credentials", ordering="credential_count")
    def keys(self, row: Any) -> int:
        return int(row.credential_count)

    @display(description="models", ordering="model_count")
    def inventory(self, row: Any) -> int:
        return int(row.model_count)


def said_kind(kind: str) -> str:
    return kind if kind in ADAPTERS else f"{kind} (cannot be called yet)"
