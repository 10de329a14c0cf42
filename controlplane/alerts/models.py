"""Alerts, what was sent of them, and where they go."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.validators import MaxValueValidator
from django.db import models
from simple_history.models import HistoricalRecords

from controlplane.validation import (
    ADDRESS_LENGTH,
    HOURS_LENGTH,
    SIGNED,
    SLACK,
    emails_problems,
    quiet_hours_problems,
    webhook_host_problems,
    webhook_url_problems,
)
from providers.managed.models import ManagedModel
from providers.models import refuse
from providers.secrets.binding import Binding, owner_of
from providers.secrets.encryption import CannotDecrypt
from providers.secrets.fields import EncryptedText, EncryptedTextField
from providers.validation import secret_problems
from routing.models import above_nothing


class Alert(models.Model):
    """
    Something that needs an operator, for as long as it lasts: `ended_at` is empty until then.

    There is one open alert of a kind for a subject. `is_urgent`: what is unavailable, which quiet
    hours do not hold back. `gone_at` is since when its cause has not been seen.
    """

    kind = models.CharField(max_length=40)
    subject = models.CharField(max_length=300)
    text = models.CharField(max_length=1000)
    path = models.CharField("where to look", max_length=500, blank=True)
    is_urgent = models.BooleanField(default=False)
    since = models.DateTimeField()
    gone_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"],
                condition=models.Q(ended_at=None),
                name="alert_open_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject}"


class Notice(models.Model):
    """
    One message about an alert to one address: that it is there, or that it is over.

    It is tried again at `due_at` until it is sent or given up. `channel` names the address without
    its secrets.
    """

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="notices")
    channel = models.CharField(max_length=300)
    is_end = models.BooleanField(default=False)
    due_at = models.DateTimeField(null=True)
    tries = models.PositiveIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["alert", "channel", "is_end"], name="notice_once"),
        ]
        indexes = [models.Index(fields=["due_at"], name="notice_by_time")]

    def __str__(self) -> str:
        return f"{self.alert} to {self.channel}"


class Webhook(ManagedModel):
    """
    An address that alerts are posted to.

    All of it but the host counts as a secret: whoever knows the address of a chat's webhook may
    write there.
    """

    name = models.CharField(max_length=100, help_text="What operators call it.")
    url = EncryptedTextField(
        "address",
        help_text="https:// or http://. It is stored encrypted, and only its host is shown again.",
    )
    kind = models.CharField(
        max_length=10,
        choices=[(SIGNED, "signed JSON"), (SLACK, "a Slack-shaped message")],
        default=SIGNED,
        help_text="Default: signed JSON.",
    )
    secret = EncryptedTextField(
        blank=True,
        default="",
        help_text="What a signed message is signed with. Stored encrypted, and never shown again.",
    )
    enabled = models.BooleanField(default=True, help_text="Off: nothing is sent there.")
    history = HistoricalRecords(excluded_fields=["url", "secret"])

    class Meta:
        ordering = ["name", "managed_source"]
        verbose_name = "webhook"
        constraints = [
            models.UniqueConstraint(
                fields=["name", "managed_source"],
                name="webhook_name_per_source",
                violation_error_message="There is a webhook of this name already.",
            ),
        ]

    def binding_for(self, column: str) -> Binding:
        """What its address and secret are bound to: the secret to the host as well."""
        owner = owner_of("webhook", self.managed_source, self.name, column)
        return Binding(owner, self.destination if column == "secret" else "")

    @property
    def destination(self) -> str:
        """Which origin its messages go to."""
        from providers.destinations import origin_of  # noqa: PLC0415 - it loads the adapters

        return origin_of(revealed(self.url))

    @property
    def secret_problem(self) -> str:
        """Why its secret signs nothing, as a sentence; "" if it does, or if there is none."""
        bound = self.secret.bound
        if not self.secret or self.secret.is_new:
            return ""
        if bound is not None and bound.destination == self.destination:
            return ""
        was = bound.destination if bound is not None else "no address"
        return (
            f"its secret was entered for {was}, and signs nothing for {self.destination}:"
            " enter it again"
        )

    def unsent(self) -> list[str]:
        said = self.secret_problem
        return [f"{said[0].upper()}{said[1:]}."] if said else []

    @property
    def channel(self) -> str:
        """Its name among addresses of all kinds."""
        return f"webhook {self.name}"

    @property
    def is_guarded(self) -> bool:
        """Whether private addresses are refused: somebody entered it in admin or by the API."""
        return not (self.is_managed_by_config or settings.ALERTS_ALLOW_PRIVATE)

    @property
    def place(self) -> str:
        """As much of the address as may be shown."""
        try:
            parts = urlsplit(self.url.reveal())
        except (CannotDecrypt, ValueError):
            return "cannot be read"
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}/…" if parts.hostname else ""

    def clean(self) -> None:
        super().clean()
        problems: dict[str, list[str]] = {}
        try:
            url = self.url.reveal() if self.url else ""
            problems["secret"] = secret_problems(self.secret.reveal() if self.secret else "")
        except CannotDecrypt as error:
            refuse({"url": [str(error)]})
            return
        if url:
            problems["url"] = webhook_url_problems(url) or (
                webhook_host_problems(url) if self.is_guarded else []
            )
            if len(url) > ADDRESS_LENGTH:
                problems["url"] = [f"an address has at most {ADDRESS_LENGTH} characters"]
        refuse(problems)


def revealed(stored: EncryptedText) -> str:
    """The text; "" where it cannot be read."""
    try:
        return stored.reveal()
    except CannotDecrypt:
        return ""


class AlertSettings(models.Model):
    """The part of the settings that is about alerts."""

    alerts_email = models.JSONField(
        "e-mail addresses",
        default=list,
        blank=True,
        help_text="Who gets alerts by e-mail. EMAIL_URL says by which server. Default: nobody.",
    )
    alerts_failover_rate = models.FloatField(
        "share of failovers",
        default=0.2,
        validators=[above_nothing, MaxValueValidator(1)],
        help_text="An alert if more than this share of a pool's requests of 5 minutes failed over,"
        " up to 1. Default: 0.2.",
    )
    alerts_quiet_hours = models.CharField(
        "quiet hours",
        max_length=HOURS_LENGTH,
        blank=True,
        default="",
        help_text="Only what is unavailable is sent then, for example 22:00-07:00 Europe/Lisbon."
        " Empty: none.",
    )

    class Meta:
        abstract = True

    def alerts_problems(self) -> dict[str, Any]:
        return {
            "alerts_email": emails_problems(self.alerts_email),
            "alerts_quiet_hours": quiet_hours_problems(self.alerts_quiet_hours),
        }
