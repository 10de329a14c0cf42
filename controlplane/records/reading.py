"""
What the sums of request records say: over a window, or step by step through it.

    totals(CallMinute, since, until, by=("provider", "model"))     {("lab", "m"): CallSums}
    series(RequestMinute, since, until, step_s=300, pool="small")  {(): [RequestSums, …]}
    faults(since, until, provider="lab")                           {("timeout",): 3}
    percentile(sums.durations, 0.95)                               milliseconds

RequestHour has the same as RequestMinute for windows of days, in whole hours and without keys; of
the hour under way it is up to a minute behind. `what` are the sums that are wanted, where not all
are: the others are zeros.

`by` are names of columns, and the keys are their values in that order; without `by` there is one
key, (). Other keywords choose rows: a name, or a list of them. A window has every minute that it
touches. Sums are as late as ingest and rollup: some twelve seconds after a request has ended it is
in.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, overload

from django.db.models import BigIntegerField, F, Func, Max, Sum

from controlplane.records.models import (
    BOUNDS_MS,
    CONTENT,
    DURATION,
    CallMinute,
    FaultMinute,
    NeedMinute,
    RequestHour,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from django.db.models import Model, QuerySet

    from controlplane.records.models import RequestCounts

MINUTE_S: Final = 60
_NOTHING: Final = (0,) * (len(BOUNDS_MS) + 1)

Names = tuple[Any, ...]
Chosen = str | int | list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sums:
    """What sums of requests and of calls have in common. `*_ms` are sums, too."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float = 0.0
    duration_ms: float = 0.0
    content_ms: float = 0.0
    durations: tuple[int, ...] = _NOTHING
    contents: tuple[int, ...] = _NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSums(_Sums):
    """Sums of RequestMinute or RequestHour."""

    requests: int = 0
    answered: int = 0
    caller_error: int = 0
    refused: int = 0
    unavailable: int = 0
    failed: int = 0
    interrupted: int = 0
    abandoned: int = 0
    internal_error: int = 0
    lost: int = 0
    failovers: int = 0
    streams: int = 0
    calls: int = 0
    most_input_tokens: int = 0

    @property
    def errors(self) -> int:
        """Requests that got no answer, or a broken one, and that was not their callers' doing."""
        broken = self.interrupted + self.internal_error + self.lost
        return self.unavailable + self.failed + broken

    @property
    def error_share(self) -> float | None:
        """Of 1; None where there were no requests."""
        return self.errors / self.requests if self.requests else None

    @property
    def failover_share(self) -> float | None:
        return self.failovers / self.requests if self.requests else None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSums(_Sums):
    """Sums of CallMinute."""

    calls: int = 0
    served: int = 0
    failed: int = 0

    @property
    def error_share(self) -> float | None:
        """Of 1; None where there were no calls."""
        return self.failed / self.calls if self.calls else None


@overload
def totals(
    of: type[RequestCounts],
    since: datetime,
    until: datetime,
    *,
    by: Sequence[str] = (),
    what: Collection[str] = (),
    **only: Chosen,
) -> dict[Names, RequestSums]: ...
@overload
def totals(
    of: type[CallMinute],
    since: datetime,
    until: datetime,
    *,
    by: Sequence[str] = (),
    what: Collection[str] = (),
    **only: Chosen,
) -> dict[Names, CallSums]: ...
def totals(
    of: type[RequestCounts | CallMinute],
    since: datetime,
    until: datetime,
    *,
    by: Sequence[str] = (),
    what: Collection[str] = (),
    **only: Chosen,
) -> Any:
    """The sums of the window, by names. Without `by`, there is always one."""
    kind, rows, sums = _kind(of), _rows(of, since, until, only), _columns(of, what)
    if not by:
        row = rows.aggregate(**sums)
        return {(): kind() if None in row.values() else _sums(kind, row)}
    return {_names(row, by): _sums(kind, row) for row in rows.values(*by).annotate(**sums)}


@overload
def series(
    of: type[RequestCounts],
    since: datetime,
    until: datetime,
    *,
    step_s: int = MINUTE_S,
    by: Sequence[str] = (),
    what: Collection[str] = (),
    **only: Chosen,
) -> dict[Names, list[RequestSums]]: ...
@overload
def series(
    of: type[CallMinute],
    since: datetime,
    until: datetime,
    *,
    step_s: int = MINUTE_S,
    by: Sequence[str] = (),
    what: Collection[str] = (),
    **only: Chosen,
) -> dict[Names, list[CallSums]]: ...
def series(
    of: type[RequestCounts | CallMinute],
    since: datetime,
    until: datetime,
    *,
    step_s: int = MINUTE_S,
    by: Sequence[str] = (),
    what: Collection[str] = (),
    **only: Chosen,
) -> Any:
    """
    The sums of each step of the window, by names: as many as `steps` has, zeros where nothing was.

    `step_s` is a multiple of a minute, or of an hour.
    """
    kind, zero = _kind(of), _kind(of)()
    begins = steps(since, until, step_s)
    found: dict[Names, list[Any]] = {} if by else {(): [zero] * len(begins)}
    if not begins:
        return found
    first = _number(begins[0], step_s)
    rows = _rows(of, begins[0], until, only).annotate(step=_Step(F("minute"), step_s))
    for row in rows.values("step", *by).annotate(**_columns(of, what)):
        line = found.setdefault(_names(row, by), [zero] * len(begins))
        line[row["step"] - first] = _sums(kind, row)
    return found


def steps(since: datetime, until: datetime, step_s: int = MINUTE_S) -> list[datetime]:
    """When the steps of a series begin: the first holds `since`, the last ends with `until`."""
    first, end = _number(since, step_s), -_number(until, -step_s)
    return [datetime.fromtimestamp(n * step_s, UTC) for n in range(first, end)]


def faults(
    since: datetime, until: datetime, *, by: Sequence[str] = ("fault",), **only: Chosen
) -> dict[Names, int]:
    """Calls that ended in a fault; `by`: pool, provider, model, fault, status."""
    return _counts(_rows(FaultMinute, since, until, only), "calls", by)


def needs(
    since: datetime, until: datetime, *, by: Sequence[str] = ("need",), **only: Chosen
) -> dict[Names, int]:
    """Requests that needed something of a candidate; `by`: pool, need."""
    return _counts(_rows(NeedMinute, since, until, only), "requests", by)


def percentile(counts: Sequence[int], share: float) -> float | None:
    """
    The milliseconds below which `share` of what was counted by BOUNDS_MS lies; None: nothing was.

    It is taken as evenly spread within a bucket. The last bound means that long or longer.
    """
    total = sum(counts)
    if not total:
        return None
    wanted, seen, low = share * total, 0, 0.0
    for bound, count in zip(BOUNDS_MS, counts, strict=False):
        if count and seen + count >= wanted:
            return low + (bound - low) * max(wanted - seen, 0) / count
        seen, low = seen + count, float(bound)
    return float(BOUNDS_MS[-1])


def added(sums: Iterable[Any], zero: Any) -> Any:
    """The sum of several of one kind; `zero` is RequestSums() or CallSums()."""
    kind = type(zero)
    total = {field.name: getattr(zero, field.name) for field in fields(kind)}
    for one in sums:
        for name, value in total.items():
            other = getattr(one, name)
            if name == "most_input_tokens":
                total[name] = max(value, other)
            elif isinstance(value, tuple):
                total[name] = tuple(a + b for a, b in zip(value, other, strict=True))
            else:
                total[name] = value + other
    return replace(zero, **total)


class _Step(Func):
    """Which step of `step_s` seconds since 1970 a moment is in."""

    output_field = BigIntegerField()

    def __init__(self, moment: Any, step_s: int) -> None:
        super().__init__(moment, step_s=int(step_s))

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "CAST(strftime('%%%%s', %(expressions)s) AS INTEGER) / %(step_s)s"
        return super().as_sql(compiler, connection, template=template, **context)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "CAST(EXTRACT(EPOCH FROM %(expressions)s) AS bigint) / %(step_s)s"
        return super().as_sql(compiler, connection, template=template, **context)


def _number(moment: datetime, step_s: int) -> int:
    return int(moment.timestamp() // step_s)


def _rows(
    of: type[Model], since: datetime, until: datetime, only: dict[str, Chosen]
) -> QuerySet[Any]:
    minute = 0 if of is RequestHour else since.minute
    begin = since.replace(minute=minute, second=0, microsecond=0)
    rows = of._default_manager.order_by().filter(minute__gte=begin, minute__lt=until)  # noqa: SLF001 - Django's own API
    chosen = {
        f"{name}__in" if isinstance(value, list) else name: value for name, value in only.items()
    }
    return rows.filter(**chosen)


def _counts(rows: QuerySet[Any], column: str, by: Sequence[str]) -> dict[Names, int]:
    summed = rows.values(*by).annotate(sum_of=Sum(column))
    return {_names(row, by): row["sum_of"] for row in summed}


def _names(row: dict[str, Any], by: Sequence[str]) -> Names:
    return tuple([row[name] for name in by])


def _kind(of: type[RequestCounts | CallMinute]) -> type[RequestSums | CallSums]:
    return CallSums if of is CallMinute else RequestSums


_LISTS: Final = {"durations": DURATION, "contents": CONTENT}
_MOST: Final = "most_input_tokens"


def _columns(of: type[RequestCounts | CallMinute], what: Collection[str]) -> dict[str, Any]:
    """The sum of each column, under its name after an underscore: the name itself is taken."""
    names = [field.name for field in fields(_kind(of)) if not what or field.name in what]
    columns = [column for name in names for column in _LISTS.get(name, (name,))]
    return {f"_{name}": (Max if name == _MOST else Sum)(name) for name in columns}


def _sums(kind: type[RequestSums | CallSums], row: dict[str, Any]) -> RequestSums | CallSums:
    names = (field.name for field in fields(kind))
    values = {name: row[f"_{name}"] for name in names if f"_{name}" in row}
    if "cost_usd" in values:
        values["cost_usd"] = float(values["cost_usd"])
    for name, columns in _LISTS.items():
        if f"_{columns[0]}" in row:
            values[name] = tuple([row[f"_{column}"] for column in columns])
    return kind(**values)
