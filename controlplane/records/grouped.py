"""
What went wrong in many requests, as few lines: "503 from alpha, 41 times", and whom it hit.

Records are read, not sums: those know no keys and no messages. So only the newest are looked at,
and the page says how many.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from providers.errors import Fault
from routing.gateway.records.record import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from django.db.models import QuerySet

    from controlplane.records.models import RequestRecord

LOOKED_AT: Final = 2_000
NAMED: Final = 3
READ: Final = ("outcome", "status", "code", "key", "requested_model", "canonical_model", "detail")
OURSELVES: Final = "this gateway"
_NOT_ANSWERED: Final = [str(outcome) for outcome in Outcome if outcome is not Outcome.ANSWERED]
_NO_ERROR: Final = frozenset({Outcome.ANSWERED.value, Outcome.ABANDONED.value})


@dataclass(slots=True, kw_only=True)
class ErrorGroup:
    """One kind of error of one provider. `newest` is the id of the last record that met it."""

    what: str
    who: str
    last: datetime
    first: datetime
    newest: Any
    message: str = ""
    times: int = 0
    requests: int = 0
    models: Counter[str] = field(default_factory=Counter)
    pools: Counter[str] = field(default_factory=Counter)
    keys: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """`is_all` unless there were more requests than have been looked at."""

    groups: list[ErrorGroup]
    requests: int
    is_all: bool


def errors_of(rows: QuerySet[RequestRecord], most: int = LOOKED_AT) -> Errors:
    """The errors that requests of `rows` met, the most frequent first."""
    found = _with_errors(rows, most + 1)
    groups: dict[tuple[str, str], ErrorGroup] = {}
    for row in found[:most]:
        _count(row, groups)
    ordered = sorted(groups.values(), key=lambda group: (-group.times, group.who, group.what))
    return Errors(groups=ordered, requests=min(len(found), most), is_all=len(found) <= most)


def _with_errors(rows: QuerySet[RequestRecord], most: int) -> list[RequestRecord]:
    """The newest that ended badly or were called more than once; each part has its index."""
    ids = rows.order_by("-pk").values_list("pk", flat=True)
    # Named, because else SQLite goes through all records in their order.
    badly = ids.filter(outcome__in=_NOT_ANSWERED).exclude(outcome=Outcome.ANSWERED.value)
    parts = badly, ids.filter(calls__gt=1)
    newest = sorted({pk for part in parts for pk in part[:most]}, reverse=True)[:most]
    found = rows.model._default_manager.filter(pk__in=newest)  # noqa: SLF001 - Django documents it
    return list(found.order_by("-pk").only(*READ))


def _count(row: RequestRecord, groups: dict[tuple[str, str], ErrorGroup]) -> None:
    at, seen = row.started_at, set()
    for what, who, model, message in _met(row):
        group = groups.get((what, who))
        if group is None:
            group = groups[what, who] = ErrorGroup(
                what=what, who=who, last=at, first=at, newest=row.pk, message=message
            )
        group.times += 1
        group.first, group.last = min(group.first, at), max(group.last, at)
        group.message = group.message or message
        if model:
            group.models[model] += 1
        if (what, who) not in seen:
            seen.add((what, who))
            group.requests += 1
            group.pools[row.canonical_model or row.requested_model] += 1
            group.keys[row.key] += 1


def _met(row: RequestRecord) -> Iterator[tuple[str, str, str, str]]:
    """What went wrong, with whom, with which model, and the words."""
    has_called = False
    for attempt in row.told.attempts:
        has_called = True
        if attempt.fault and attempt.fault != Fault.HEDGED:
            said = what(attempt.fault, attempt.status)
            yield said, attempt.provider, attempt.model, attempt.message
    if not has_called and row.outcome not in _NO_ERROR:
        yield what(row.code or row.outcome, row.status), OURSELVES, "", ""


def what(fault: str, status: int | None) -> str:
    """ "503", "429 rate limited", "timeout"."""
    words = "" if fault == Fault.STATUS else fault.replace("_", " ")
    return " ".join(filter(None, ["" if status is None else str(status), words]))


def named(counted: Counter[str]) -> tuple[list[tuple[str, int]], int]:
    """The most frequent names, and how many others there are."""
    known = Counter({name: number for name, number in counted.items() if name})
    return known.most_common(NAMED), max(len(known) - NAMED, 0)


def shown(groups: Iterable[ErrorGroup]) -> list[dict[str, Any]]:
    """For the page: names of those that were hit, the most frequent first."""
    return [
        {
            "group": group,
            "models": named(group.models),
            "pools": named(group.pools),
            "keys": named(group.keys),
        }
        for group in groups
    ]
