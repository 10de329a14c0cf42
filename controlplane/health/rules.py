"""
What is known of a provider, as one word: pure.

`status_of` goes down the rules of docs/health.md; the first that fits says it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from controlplane.health.models import HealthStatus

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

DOWN_AFTER: Final = 2  # checks in a row
ERROR_SHARE: Final = 0.1
INTERVAL_S: Final = 60.0
SOON_SHARE: Final = 6
SOONEST_S: Final = 5.0
JITTER: Final = 0.1
STALE_AFTER: Final = 3  # intervals
PROBE_EVERY_S: Final = 60.0  # at most, whatever the interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """
    What is known of a provider.

    `off` is why it is not checked ("" it is). `failures` are the checks in a row that could not
    reach it or got 5xx, `has_served` says whether a request that came in since the earlier of the
    last two was answered by it. `error` is what was wrong at the last check, `refuses` whether all
    that was wrong is that it would not list its models; `is_cached` that the list which serves
    is an earlier one. `calls` and `faults` are traffic's of the last minutes.
    """

    off: str = ""
    is_checked: bool = True
    failures: int = 0
    has_served: bool = False
    error: str = ""
    refuses: bool = False
    has_models: bool = False
    is_cached: bool = False
    calls: int = 0
    faults: int = 0


def status_of(signs: Signs) -> tuple[HealthStatus, str]:
    """The word, and why, in words."""
    if signs.off:
        return HealthStatus.UNKNOWN, f"Not checked: {signs.off}."
    if not signs.is_checked:
        return HealthStatus.UNKNOWN, "It has not been checked yet."
    if signs.failures >= DOWN_AFTER and not signs.has_served:
        return HealthStatus.UNHEALTHY, signs.error
    if signs.error:
        if signs.has_models:
            return HealthStatus.DEGRADED, signs.error
        return HealthStatus.UNKNOWN, f"{signs.error} None of its models is known."
    if signs.is_cached and signs.refuses:
        words = "It would not list its models at the last check; those that it listed before count."
        return HealthStatus.DEGRADED, words
    if signs.faults > signs.calls * ERROR_SHARE:
        return HealthStatus.DEGRADED, "More than 10 % of its calls failed in the last five minutes."
    if signs.refuses:
        return HealthStatus.UNKNOWN, "It answers, and does not list its models: it may serve."
    return HealthStatus.HEALTHY, "It answers."


def interval_of(block: dict[str, object]) -> float:
    """Seconds between two checks, of a provider's health block."""
    given = block.get("interval_s")
    is_number = isinstance(given, (int, float)) and given > 0
    return max(float(given), 1.0) if is_number else INTERVAL_S  # type: ignore[arg-type] # as above


def soon_s(interval_s: float) -> float:
    """Seconds between two checks of who is benched or failed."""
    return min(interval_s, max(SOONEST_S, interval_s / SOON_SHARE))


def due_after(
    checked_at: datetime, interval_s: float, *, is_hurried: bool, dice: Callable[[], float]
) -> datetime:
    """When the next check is due: with some jitter, so that not all come at once."""
    seconds = soon_s(interval_s) if is_hurried else interval_s
    return checked_at + timedelta(seconds=seconds * (1 - JITTER + 2 * JITTER * dice()))


def stale_after(checked_at: datetime, interval_s: float) -> datetime:
    return checked_at + timedelta(seconds=STALE_AFTER * interval_s)


def may_probe(probed_at: datetime | None, interval_s: float, now: datetime) -> bool:
    """Whether a call that costs something may be made again."""
    every = timedelta(seconds=max(interval_s, PROBE_EVERY_S) * (1 - JITTER))
    return probed_at is None or now >= probed_at + every
