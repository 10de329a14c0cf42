"""How providers were in the last hours, as strips of small fields."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from controlplane.health.models import HealthCheck, HealthStatus

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

FIELDS: Final = 36
FIELD: Final = timedelta(minutes=10)
HOURS: Final = FIELDS * FIELD // timedelta(hours=1)
# Of a field's checks the worst one shows.
WORST_FIRST: Final = (
    HealthStatus.UNHEALTHY,
    HealthStatus.DEGRADED,
    HealthStatus.UNKNOWN,
    HealthStatus.HEALTHY,
)
NOT_CHECKED: Final = "not checked"


@dataclass(frozen=True, slots=True, kw_only=True)
class StripField:
    """`status` is a word of HealthStatus, or "not checked"."""

    began_at: datetime
    status: str


def strips(providers: Collection[str], now: datetime) -> Mapping[str, tuple[StripField, ...]]:
    """The strip of each, oldest field first; one query in all."""
    since = now - FIELDS * FIELD
    seen: defaultdict[str, defaultdict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for provider, at, status in HealthCheck.objects.filter(
        provider__in=providers, at__gt=since, at__lte=now
    ).values_list("provider", "at", "status"):
        seen[provider][min((at - since) // FIELD, FIELDS - 1)].add(status)
    return {
        provider: tuple(
            StripField(
                began_at=since + number * FIELD,
                status=next((s.value for s in WORST_FIRST if s in here), NOT_CHECKED),
            )
            for number, here in ((n, seen[provider].get(n, set())) for n in range(FIELDS))
        )
        for provider in providers
    }


def in_words(strip: Iterable[StripField]) -> str:
    """The same for those who do not see colours."""
    counts = Counter(field.status for field in strip)
    words = [
        f"{status} {100 * counts[status] // FIELDS} %"
        for status in (*(s.value for s in reversed(WORST_FIRST)), NOT_CHECKED)
        if counts[status]
    ]
    return f"the last {HOURS} hours: {', '.join(words)}"
