"""What counts of the rows: a status that is stale is a matter of the past."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models.functions import Now

from controlplane.health.models import HealthSnapshot, HealthStatus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


def standing() -> Iterator[tuple[str, str, float]]:
    """
    Of whom something is known: provider, status, and for how many seconds that is not stale.

    By the database's clock, so that clocks of hosts need not agree.
    """
    rows = HealthSnapshot.objects.exclude(status=HealthStatus.UNKNOWN).filter(stale_at__gt=Now())
    for provider, status, stale_at, now in rows.annotate(now=Now()).values_list(
        "provider", "status", "stale_at", "now"
    ):
        if stale_at is not None:
            yield provider, status, (stale_at - now).total_seconds()


def is_stale(row: HealthSnapshot, now: datetime) -> bool:
    """Whether three intervals have passed since it was checked."""
    return row.stale_at is not None and row.stale_at <= now
