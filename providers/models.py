"""Providers, their credentials and their configured inventories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError
from django.db import models
from simple_history.models import HistoricalRecords

from providers.catalog.metadata import metadata_problems
from providers.managed.models import ManagedModel
from providers.secrets.binding import Binding, credential_owner, header_owner, proxy_owner
from providers.secrets.encryption import CannotDecrypt
from providers.secrets.fields import EncryptedTextField, EncryptedTexts, EncryptedTextsField
from providers.validation import (
    ADDRESS_LENGTH,
    AUTH_SCHEMES,
    PROTOCOL_NAMES,
    base_url_problems,
    bench_problems,
    choice_problems,
    headers_problems,
    health_problems,
    model_name_problems,
    provider_name_problems,
    proxy_problems,
    text_map_problems,
    timeouts_problems,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def refuse(problems: dict[str, list[str]]) -> None:
    """Raise a ValidationError if any field has a problem."""
    found = {field: messages for field, messages in problems.items() if messages}
    if found:
        raise ValidationError(found)


# Functions from a provider's name to what uses it, as sentences. The apps above add theirs,
# since this one may not import them.
uses_of_providers: list[Callable[[str], list[str]]] = []


class Provider(ManagedModel):
    is_referred_to_by_name = True
    versioned_parts = ("credentials", "models")

    name = models.CharField(
        max_length=100,
        help_text="How pools, rules and callers name it: letters, digits, . _ and -."
        " It cannot be changed later.",
    )
    kind = models.CharField(
        max_length=50,
        help_text="Which vendor's or protocol's rules it follows, for example openai.",
    )
    base_url = models.CharField(
        "address",
        max_length=500,
        blank=True,
        help_text="http or https, up to and with the version, for example"
        " https://api.openai.com/v1. Empty: the kind's usual address.",
    )
    auth = models.CharField(
        "sends its key as",
        max_length=30,
        blank=True,
        help_text="Empty: the kind's usual way.",
    )
    enabled = models.BooleanField(default=True, help_text="Off: no call goes to it.")
    headers = EncryptedTextsField(
        "extra headers",
        default=dict,
        blank=True,
        help_text="Sent with every call: a JSON object of strings. The values are stored"
        " encrypted and not shown again; ••• keeps the stored one. Default: none.",
    )
    timeouts = models.JSONField(
        default=dict,
        blank=True,
        help_text="Seconds, as JSON. Defaults: connect_s 5, first_token_s 60,"
        " reasoning_first_token_s 300, idle_s 90, total_s 600, stream_total_s 3600.",
    )
    health = models.JSONField(
        "health checks",
        default=dict,
        blank=True,
        help_text='As JSON. Default: {"interval_s": 60, "paid_probe_model": "",'
        ' "status_page": ""}.',
    )
    failure_domain = models.JSONField(
        default=dict,
        blank=True,
        help_text='What it shares with others when it fails, for example {"vendor": "anthropic",'
        ' "region": "us"}. Default: nothing known.',
    )
    proxy = EncryptedTextField(
        blank=True,
        default="",
        help_text="http or https address. It is stored encrypted, and its password is not shown"
        " again. Empty: none of its own.",
    )
    trust_env_proxy = models.BooleanField(
        "use the environment's proxy",
        default=True,
        help_text="Without a proxy of its own, go by HTTPS_PROXY and NO_PROXY. Default: on.",
    )
    protocols = models.JSONField(
        "also speaks",
        default=list,
        blank=True,
        help_text="Protocols besides its kind's usual, as a JSON list, for example"
        ' ["openai_chat"]. Default: none.',
    )
    bench = models.JSONField(
        "benches",
        default=dict,
        blank=True,
        help_text="What differs from the general bench settings, as JSON: failures,"
        " failure_ratio, window_s, cooldown_s, max_outage_s, max_cooldown_s, auth_cooldown_s.",
    )
    fault = models.CharField(
        "simulated fault",
        max_length=100,
        blank=True,
        help_text="For kind simulator only, for example status:503 or stall. Empty: it answers.",
    )
    # Headers and proxy addresses carry secrets; the change history holds none.
    history = HistoricalRecords(excluded_fields=["headers", "proxy"])

    class Meta:
        ordering = ["name", "managed_source"]
        constraints = [
            models.UniqueConstraint(
                fields=["name", "managed_source"],
                name="provider_name_per_source",
                violation_error_message="There is a provider of this name already.",
            ),
        ]

    def clean(self) -> None:
        super().clean()
        # Here, not above: every command would pay for loading the adapters.
        from providers.adapters.registry import KNOWN_KINDS, address_problems  # noqa: PLC0415
        from providers.adapters.simulator.faults import parse_fault  # noqa: PLC0415

        problems: dict[str, list[str]] = {
            "name": provider_name_problems(self.name) if self.name else [],
            "base_url": base_url_problems(self.base_url)
            if self.base_url
            else address_problems(self.kind, self.base_url),
            "proxy": self._proxy_problems(),
            "headers": self._headers_problems(),
            "timeouts": timeouts_problems(self.timeouts),
            "bench": bench_problems(self.bench),
            "health": health_problems(self.health, is_guarded=not self.is_managed_by_config),
            "protocols": choice_problems(self.protocols, PROTOCOL_NAMES),
            "failure_domain": text_map_problems(self.failure_domain),
        }
        if self.kind and self.kind not in KNOWN_KINDS:
            problems["kind"] = [
                f"{self.kind!r} is not a known kind; known are {', '.join(sorted(KNOWN_KINDS))}"
            ]
        if self.auth and self.auth not in AUTH_SCHEMES:
            allowed = ", ".join(AUTH_SCHEMES)
            problems["auth"] = [f"{self.auth!r} is not known; known are {allowed}"]
        if self.fault and self.kind != "simulator":
            problems["fault"] = ["only a provider of kind simulator can be told to fail"]
        elif self.fault:
            try:
                parse_fault(self.fault)
            except ValueError as error:
                problems["fault"] = [str(error)]
        refuse(problems)

    def _proxy_problems(self) -> list[str]:
        if not self.proxy.is_new:
            return []  # it was looked at when it was entered
        proxy = self.proxy.reveal()
        if len(proxy) > ADDRESS_LENGTH:
            return [f"an address has at most {ADDRESS_LENGTH} characters"]
        return proxy_problems(proxy)

    def _headers_problems(self) -> list[str]:
        if not isinstance(self.headers, EncryptedTexts):
            return headers_problems(self.headers)
        new = {name: text for name, text in self.headers.items() if text.is_new or not text}
        return headers_problems({name: text.reveal() for name, text in new.items()})

    def binding_for(self, column: str, name: str = "") -> Binding:
        """What the values of its encrypted columns are bound to."""
        if column == "headers":
            owner = header_owner(self.managed_source, self.name, name)
            return Binding(owner, self.destination)
        return Binding(proxy_owner(self.managed_source, self.name))

    @property
    def destination(self) -> str:
        """Where its secrets go now; see providers.destinations."""
        from providers.destinations import destination_of  # noqa: PLC0415 - as in clean()

        try:
            return destination_of(self.kind, self.base_url, self.proxy.reveal())
        except CannotDecrypt:
            return "by a proxy that cannot be read"

    @property
    def unconfirmed_headers(self) -> list[str]:
        """Those that were entered for another destination: no call goes out while there is one."""
        headers = self.headers
        if not headers or not isinstance(headers, EncryptedTexts):
            return []
        to = self.destination
        return [
            name
            for name, text in headers.items()
            if text and not text.is_new and (text.bound is None or text.bound.destination != to)
        ]

    def unsent(self) -> list[str]:
        from providers.destinations import unconfirmed  # noqa: PLC0415 - as in clean()

        return unconfirmed(self)

    def deletion_problems(self) -> list[str]:
        problems = super().deletion_problems()
        if problems or self.has_twin:
            return problems
        return [use for uses in uses_of_providers for use in uses(self.name)]


class Credential(models.Model):
    """One key of one provider. Several are used side by side and benched one by one."""

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="credentials")
    label = models.CharField(
        max_length=100, help_text="What operators see instead of the key, for example main."
    )
    secret = EncryptedTextField(
        help_text="The key itself. It is stored encrypted and never shown again."
    )
    enabled = models.BooleanField(default=True)
    position = models.PositiveIntegerField(default=0, db_index=True)
    history = HistoricalRecords(excluded_fields=["secret"])

    class Meta:
        ordering = ["position", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "label"],
                name="credential_label_per_provider",
                violation_error_message="This provider has a credential of this label already.",
            ),
        ]

    def __str__(self) -> str:
        return self.label

    def binding_for(self, _column: str) -> Binding:
        """What its secret is bound to."""
        provider = self.provider
        owner = credential_owner(provider.managed_source, provider.name, self.label)
        return Binding(owner, provider.destination)

    @property
    def confirmed_for(self) -> str:
        """The destination that its secret was entered or confirmed for; "" is none."""
        return self.secret.bound.destination if self.secret.bound is not None else ""

    @property
    def is_confirmed(self) -> bool:
        """Whether its secret may go where its provider is now."""
        bound = self.secret.bound
        return bound is not None and bound.destination == self.provider.destination


class ProviderModel(models.Model):
    """A model that a provider is configured to have, by the provider's exact id."""

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="models")
    model_id = models.CharField(
        "model id", max_length=200, help_text="Exactly as the provider spells it."
    )
    metadata = models.JSONField(
        default=dict,
        blank=True,
        help_text="What you know better than the catalogue, as JSON: catalog, family,"
        " context_window and max_output_tokens (tokens), capabilities, reasons, pricing (US"
        " dollars a million tokens).",
    )
    position = models.PositiveIntegerField(default=0, db_index=True)
    history = HistoricalRecords()

    class Meta:
        ordering = ["position", "pk"]
        verbose_name_plural = "model facts"
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "model_id"],
                name="provider_model_once",
                violation_error_message="This provider lists this model already.",
            ),
        ]

    def __str__(self) -> str:
        return self.model_id

    def clean(self) -> None:
        problems: dict[str, list[str]] = {
            "model_id": model_name_problems(self.model_id) if self.model_id else []
        }
        problems["metadata"] = metadata_problems(self.metadata)
        refuse(problems)


class ListedModel(models.Model):
    """
    A model that a provider's own list had when it was read last, or has had (`vanished_at`).

    By the provider's name: configuration's and admin's provider of one name have one list.
    """

    provider = models.CharField(max_length=100)
    model_id = models.CharField("model id", max_length=200)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    vanished_at = models.DateTimeField(null=True)
    catalog_match = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["provider", "model_id"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "model_id"], name="listed_model_once"),
        ]

    def __str__(self) -> str:
        return f"{self.provider}/{self.model_id}"


class CatalogEntry(models.Model):
    """
    What an imported file says of one vendor's model. It wins over what the project ships.

    `facts` is a providers.catalog.entry.Entry without its vendor, id and sources.
    """

    vendor = models.CharField(max_length=50)
    model_id = models.CharField("model id", max_length=200)
    facts = models.JSONField(default=dict)
    source = models.CharField(max_length=300, help_text="The file that it came from.")
    as_of = models.DateField("as of")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["vendor", "model_id"]
        verbose_name_plural = "imported facts"
        constraints = [
            models.UniqueConstraint(fields=["vendor", "model_id"], name="catalog_entry_once"),
        ]

    def __str__(self) -> str:
        return f"{self.vendor}/{self.model_id}"
