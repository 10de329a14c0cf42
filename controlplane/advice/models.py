"""What the worker proposes, and what became of it."""

from __future__ import annotations

from django.db import models


class SuggestionKind(models.TextChoices):
    FAILOVER_RULE = "failover_rule"
    POOL_CANDIDATE = "pool_candidate"
    ORDER = "order"
    WEIGHT = "weight"
    LIMIT = "limit"
    FAILURE_DOMAIN = "failure_domain"


class SuggestionState(models.TextChoices):
    OPEN = "open"
    ACCEPTED = "accepted"
    DISMISSED = "dismissed"
    EXPIRED = "expired"


class Suggestion(models.Model):
    """
    One proposal; nothing of it touches traffic before it is accepted.

    `fingerprint` says which proposal it is: a later run that finds the same thing renews the open
    one, and does not open one again that was dismissed. `change` is what accepting does,
    `evidence` a list of {text, figures, window_s}, `outcome` what was seen before and after.
    """

    kind = models.CharField(max_length=20, choices=SuggestionKind.choices)
    fingerprint = models.CharField(max_length=64, unique=True, editable=False)
    target = models.CharField(max_length=300)
    change = models.JSONField(default=dict)
    evidence = models.JSONField(default=list)
    confidence = models.FloatField(default=0)
    price_change = models.FloatField(null=True)
    state = models.CharField(
        max_length=10, choices=SuggestionState.choices, default=SuggestionState.OPEN
    )
    reason = models.CharField(max_length=500, blank=True)
    decided_by = models.CharField(max_length=200, blank=True)
    decided_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    outcome = models.JSONField(null=True)

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["state", "kind"], name="suggestion_by_state")]

    def __str__(self) -> str:
        return f"{self.get_kind_display().capitalize()} for {self.target}"
