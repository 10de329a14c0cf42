"""How providers were when they were looked at last, and before."""

from __future__ import annotations

from django.db import models


class HealthStatus(models.TextChoices):
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


class HealthSnapshot(models.Model):
    """
    A provider as the last checks found it. `checked_at` moves with every check, `updated_at` only
    when something else has changed.

    `failures` counts the checks in a row that could not reach it or got 5xx. `last_error` is why
    the check at `last_error_at` got no list, `availability_error` what makes it less than healthy
    now ("" nothing). After `stale_at` it is stale, unless it is checked again. `probed_at` is when
    it was called last to check it, `probe_error` what was wrong then. `page_*` is what its status
    page said at `page_read_at`, or why it could not be read; no status comes of it.
    """

    provider = models.CharField(max_length=100, primary_key=True)
    status = models.CharField(
        max_length=10, choices=HealthStatus.choices, default=HealthStatus.UNKNOWN
    )
    reason = models.CharField(max_length=500, blank=True)
    registered = models.BooleanField(default=True)
    discovered_models = models.PositiveIntegerField(null=True)
    using_cached_list = models.BooleanField(default=False)
    failures = models.PositiveIntegerField(default=0)
    availability_error = models.CharField(max_length=500, blank=True)
    last_success_at = models.DateTimeField(null=True)
    last_error_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=500, blank=True)
    latency_ms = models.FloatField(null=True)
    checked_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True)
    stale_at = models.DateTimeField(null=True)
    probed_at = models.DateTimeField(null=True)
    probe_error = models.CharField(max_length=500, blank=True)
    updated_at = models.DateTimeField(null=True)
    page_indicator = models.CharField(max_length=20, blank=True)
    page_says = models.CharField(max_length=200, blank=True)
    page_error = models.CharField(max_length=200, blank=True)
    page_read_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["provider"]
        verbose_name = "health"
        verbose_name_plural = "health"

    def __str__(self) -> str:
        return self.provider


class HealthVersion(models.Model):
    """One row. Moves whenever a provider's status does: a cheap question for every host."""

    value = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.value)

    @classmethod
    def move(cls) -> None:
        """Call it in the transaction of the change that it tells of."""
        if not cls._default_manager.filter(pk=1).update(value=models.F("value") + 1):
            cls._default_manager.get_or_create(pk=1, defaults={"value": 0})
            cls._default_manager.filter(pk=1).update(value=models.F("value") + 1)


class HealthCheck(models.Model):
    """One check, for the strips that show how a provider was."""

    provider = models.CharField(max_length=100)
    at = models.DateTimeField()
    status = models.CharField(max_length=10, choices=HealthStatus.choices)
    latency_ms = models.FloatField(null=True)
    error = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["-at"]
        indexes = [models.Index(fields=["provider", "at"], name="health_check_by_provider")]

    def __str__(self) -> str:
        return f"{self.provider} at {self.at:%Y-%m-%d %H:%M:%S}: {self.status}"
