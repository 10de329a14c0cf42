"""How providers and candidates were in the last hours, as strips of small fields."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from controlplane.health.models import HealthCheck, HealthStatus
from controlplane.health.rules import ERROR_SHARE
from controlplane.records.models import CallMinute
from controlplane.records.reading import series, steps
from providers.saying.counting import counted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from controlplane.records.reading import CallSums

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
NOT_CALLED: Final = "not called"
MOSTLY: Final = 0.5  # of a candidate's calls failed: nobody could rely on it


@dataclass(frozen=True, slots=True, kw_only=True)
class StripField:
    """`status` is a word of HealthStatus, "not checked" or "not called"; `note` says more."""

    began_at: datetime
    status: str
    note: str = ""

    @property
    def says_nothing(self) -> bool:
        return self.status in (NOT_CHECKED, NOT_CALLED)


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


def candidate_strips(
    pools: Collection[str], now: datetime
) -> Mapping[tuple[str, str, str], tuple[StripField, ...]]:
    """By pool, provider and model, of those that were called: what became of their calls."""
    window = (now - (FIELDS - 1) * FIELD, now)
    step_s = int(FIELD.total_seconds())
    begins = steps(*window, step_s)
    lines = series(
        CallMinute,
        *window,
        step_s=step_s,
        by=("pool", "provider", "model"),
        what=("calls", "failed"),
        pool=list(pools),
    )
    return {
        (pool, provider, model): tuple(map(_of_calls, begins, line))
        for (pool, provider, model), line in lines.items()
    }


def not_called(now: datetime) -> tuple[StripField, ...]:
    """The strip of a candidate that has none."""
    begins = steps(now - (FIELDS - 1) * FIELD, now, int(FIELD.total_seconds()))
    return tuple(StripField(began_at=at, status=NOT_CALLED) for at in begins)


def _of_calls(began_at: datetime, sums: CallSums) -> StripField:
    if not sums.calls:
        return StripField(began_at=began_at, status=NOT_CALLED)
    status = HealthStatus.HEALTHY
    if sums.failed > ERROR_SHARE * sums.calls:
        status = HealthStatus.DEGRADED
    if sums.failed >= MOSTLY * sums.calls:
        status = HealthStatus.UNHEALTHY
    note = f"{sums.failed:,} of {counted(sums.calls, 'call')} failed"
    return StripField(began_at=began_at, status=status.value, note=note)


def in_words(strip: Iterable[StripField]) -> str:
    """The same for those who do not see colours."""
    counts = Counter(field.status for field in strip)
    words = [
        f"{status} {100 * counts[status] // FIELDS} %"
        for status in (*(s.value for s in reversed(WORST_FIRST)), NOT_CHECKED, NOT_CALLED)
        if counts[status]
    ]
    return f"the last {HOURS} hours: {', '.join(words)}"
