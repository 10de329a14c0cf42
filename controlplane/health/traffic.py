"""What traffic itself has found of providers, from the sums by the minute and the records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db.models import Sum

from controlplane.records.models import CallMinute, FaultMinute, RequestRecord
from providers.errors import Fault
from routing.gateway.records.record import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

WINDOW: Final = timedelta(minutes=5)
# Calls that say nothing of the provider: called off, or never made.
SAYS_NOTHING: Final = frozenset({Fault.HEDGED, Fault.OWN, Fault.BUSY, Fault.LOOP})
# An answer as it should be: what was wrong is the caller's.
CALLERS: Final = frozenset({Fault.CALLER, Fault.CONTENT_FILTER, Fault.CONTEXT_LENGTH})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderTraffic:
    """Calls of the last minutes that say something of the provider, and those that failed."""

    calls: int = 0
    faults: int = 0


NOTHING: Final = ProviderTraffic()


def traffic_of_all(now: datetime) -> Mapping[str, ProviderTraffic]:
    """By provider, of the minutes that began less than five minutes ago."""
    calls = dict(
        CallMinute.objects.filter(minute__gt=now - WINDOW)
        .values_list("provider")
        .annotate(sum=Sum("calls"))
    )
    faults: dict[str, int] = {}
    for provider, fault, count in (
        FaultMinute.objects.filter(minute__gt=now - WINDOW)
        .values_list("provider", "fault")
        .annotate(sum=Sum("calls"))
    ):
        if fault in SAYS_NOTHING:
            calls[provider] = calls.get(provider, 0) - count
        elif fault not in CALLERS:
            faults[provider] = faults.get(provider, 0) + count
    return {
        name: ProviderTraffic(calls=calls.get(name, 0), faults=faults.get(name, 0))
        for name in calls.keys() | faults.keys()
    }


def has_served(provider: str, since: datetime) -> bool:
    """Whether a request that came in since then was answered by it."""
    return (
        RequestRecord.since(since)
        .filter(provider=provider, outcome=Outcome.ANSWERED.value)
        .exists()
    )
