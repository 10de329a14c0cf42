"""Whether what was accepted has helped: errors and failovers before and after, by the rollups."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Sum

from controlplane.advice.finding.values import ERRORS, LOST, share
from controlplane.advice.models import Suggestion, SuggestionKind, SuggestionState
from controlplane.records.models import CallMinute, FaultMinute, RequestMinute
from providers.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

LENGTHS: Final = (timedelta(hours=24), timedelta(hours=1))  # the longer one replaces the shorter
LOOKED_AT_FOR: Final = timedelta(hours=49)


def fill_outcomes(now: datetime) -> int:
    """Fill or renew the outcome of each accepted suggestion that has had time; how many."""
    filled = 0
    rows = Suggestion.objects.filter(
        state=SuggestionState.ACCEPTED, decided_at__gte=now - LOOKED_AT_FOR
    )
    for row in rows.only("pk", "kind", "target", "decided_at", "outcome"):
        for length in LENGTHS:
            if row.decided_at is None or now - row.decided_at < length:
                continue
            if (row.outcome or {}).get("window_s") == length.total_seconds():
                break
            outcome = _outcome(row, row.decided_at, length)
            if outcome is not None:
                filled += Suggestion.objects.filter(pk=row.pk).update(outcome=outcome)
            break
    return filled


def _outcome(row: Suggestion, at: datetime, length: timedelta) -> dict[str, Any] | None:
    """Before and after, over equal lengths; None while nothing was asked of it afterwards."""
    middle = at.replace(second=0, microsecond=0)  # its own minute counts as after
    count = _calls if row.kind == SuggestionKind.FAILURE_DOMAIN else _requests
    before = count(row.target, middle - length, middle)
    after = count(row.target, middle, middle + length)
    if not after["requests"]:
        return None
    return {
        "window_s": int(length.total_seconds()),
        "text": "; ".join(_words(before, after)),
        "before": before,
        "after": after,
    }


def _words(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    for name, word in (("error_rate", "errors"), ("failover_rate", "failovers")):
        if after[name] is not None:
            was = "unknown" if before[name] is None else share(before[name])
            yield f"{word} {was} before, {share(after[name])} after"


def _requests(pool: str, since: datetime, until: datetime) -> dict[str, Any]:
    rows = RequestMinute.objects.filter(pool=pool, minute__gte=since, minute__lt=until)
    sums = {name: Sum(name, default=0) for name in ("requests", "failovers", *LOST)}
    found = rows.aggregate(**sums)
    requests, errors = found["requests"], sum(found[name] for name in LOST)
    return _rates(requests, errors, found["failovers"])


def _calls(providers: str, since: datetime, until: datetime) -> dict[str, Any]:
    """Of providers, what was called: their requests are those of many pools."""
    of_them = {"provider__in": providers.split(", "), "minute__gte": since, "minute__lt": until}
    calls = CallMinute.objects.filter(**of_them).aggregate(n=Sum("calls", default=0))["n"]
    faults = FaultMinute.objects.filter(**of_them, fault__in=(*ERRORS, Fault.RATE_LIMITED))
    return _rates(calls, faults.aggregate(n=Sum("calls", default=0))["n"], None)


def _rates(requests: int, errors: int, failovers: int | None) -> dict[str, Any]:
    def rate(number: int | None) -> float | None:
        return None if not requests or number is None else round(number / requests, 4)

    return {
        "requests": requests,
        "errors": errors,
        "error_rate": rate(errors),
        "failovers": failovers,
        "failover_rate": rate(failovers),
    }
