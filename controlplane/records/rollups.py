"""
The sums of records by the minute, made anew for every minute that records have come in for.

A minute is read, and then its old sums are replaced in one short transaction, in which its mark
(DirtyMinute) goes, too, if no more has come meanwhile. Whoever is killed in between leaves the
mark; of two at the same minute the second waits, and finds no mark or makes the sums once more.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec
from django.db import connection, transaction
from msgspec import Struct

from controlplane.records.models import (
    BOUNDS_MS,
    CONTENT,
    DURATION,
    OTHER,
    CallMinute,
    DirtyMinute,
    FaultMinute,
    NeedMinute,
    RecordHorizon,
    RequestMinute,
    RequestRecord,
)
from failover.engine.verdicts import VERDICTS, Scope
from providers.errors import Fault
from routing.gateway.records.record import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from controlplane.jobs.running import Run

MINUTE: Final = timedelta(minutes=1)
CHUNK: Final = 2000  # records in memory
MOST_ROWS: Final = 5000  # of one table in one minute: callers may make names up
BATCH: Final = 500
MOST: Final = 2**53  # a provider that states mad figures does not overflow a column
TIME_S: Final = 120.0  # of one run; what is left is the next one's

# What nobody is benched for is no failure of the provider.
BLAMELESS: Final = frozenset(
    fault.value for fault in Fault if VERDICTS[fault].bench.scope is Scope.NOBODY
)


def roll_up(run: Run) -> str:
    """Sum the minutes that records have come in for, oldest first."""
    end = time.monotonic() + TIME_S
    minutes = list(DirtyMinute.objects.order_by("minute").values_list("minute", flat=True))
    for number, minute in enumerate(minutes):
        if time.monotonic() > end:
            return f"{number} minutes summed, {len(minutes) - number} are left for the next run"
        sum_minute(minute)
        run.progress(number + 1, len(minutes))
    return f"{len(minutes)} minutes summed" if minutes else ""


def sum_minute(minute: datetime) -> None:
    """Make the minute's sums anew, if it is marked and its records are all there."""
    token = DirtyMinute.objects.filter(minute=minute).values_list("token", flat=True).first()
    if token is None:
        return
    is_whole = minute >= RecordHorizon.passed()
    sums = MinuteSums()
    if is_whole:
        for row in _records(minute):
            sums.add(row)
    with transaction.atomic():
        mark = DirtyMinute.objects.select_for_update().filter(minute=minute).first()
        if mark is None:
            return  # another worker was quicker
        # Asked again: deleting begins only after it is noted here.
        if is_whole and minute >= RecordHorizon.passed():
            _replace(minute, sums)
        if mark.token == token:
            mark.delete()


_COLUMNS: Final = (
    "id", "canonical_model", "key", "outcome", "provider", "model", "failover", "stream",
    "duration_ms", "first_content_ms", "input_tokens", "output_tokens", "cached_tokens",
    "cost_usd", "detail",
)  # fmt: skip
_SELECT: Final = (
    f"SELECT {', '.join(_COLUMNS)} FROM {RequestRecord._meta.db_table}"  # noqa: S608, SLF001 - our own names
    f" WHERE id > %s AND id < %s ORDER BY id LIMIT {CHUNK}"
)


def _records(minute: datetime) -> Iterator[Sequence[Any]]:
    """The minute's rows of _COLUMNS, some at a time: no model objects, which would take longer."""
    field = RequestRecord._meta.pk  # noqa: SLF001 - Django's own API
    # No id is as low as the lowest: its version's digit is 7.
    last = field.get_db_prep_value(RequestRecord.first_id_at(minute), connection)
    end = field.get_db_prep_value(RequestRecord.first_id_at(minute + MINUTE), connection)
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_SELECT, [last, end])
            rows = cursor.fetchall()
        yield from rows
        if len(rows) < CHUNK:
            return
        last = rows[-1][0]


class _Call(Struct, frozen=True, array_like=True, gc=False):
    """The beginning of a routing.gateway.records.record.AttemptRecord."""

    provider: str
    model: str
    credential: str
    started_ms: float
    headers_ms: float | None = None
    content_ms: float | None = None
    ended_ms: float | None = None
    status: int | None = None
    fault: str = ""
    message: str = ""
    simulated: str = ""


class _Features(Struct, frozen=True, gc=False):
    needs: tuple[str, ...] = ()


class _Detail(Struct, frozen=True, gc=False):
    """What is read of a routing.gateway.records.record.Detail: the rest is not even decoded."""

    features: _Features = _Features()
    attempts: tuple[_Call, ...] = ()


_to_detail: Final = msgspec.json.Decoder(_Detail).decode

# Sums of both kinds: some numbers, and from _TIMES on the buckets of both times.
_SUMMED: Final = (
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cost_usd",
    "duration_ms",
    "content_ms",
    *DURATION,
    *CONTENT,
)
_INPUT, _OUTPUT, _CACHED, _COST, _DURATION, _CONTENT, _TIMES = range(7)
_BUCKETS: Final = len(BOUNDS_MS) + 1
_OWN: Final = len(_SUMMED)

_REQUEST_COUNTS: Final = (
    "requests", "failovers", "streams", "calls", "most_input_tokens",
    *[outcome.value for outcome in Outcome],
)  # fmt: skip
_REQUESTS, _FAILOVERS, _STREAMS, _CALLS, _MOST = range(_OWN, _OWN + 5)
_OUTCOMES: Final = {str(name): _OWN + n for n, name in enumerate(_REQUEST_COUNTS) if n >= 5}
_REQUEST_WIDTH: Final = _OWN + len(_REQUEST_COUNTS)

_CALL_COUNTS: Final = ("calls", "served", "failed")
_MADE, _SERVED, _FAILED = range(_OWN, _OWN + 3)
_CALL_WIDTH: Final = _OWN + 3


class MinuteSums:
    """The sums of one minute's records."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, ...], list[Any]] = {}
        self.calls: dict[tuple[str, ...], list[Any]] = {}
        self.faults: dict[tuple[Any, ...], int] = {}
        self.needs: dict[tuple[str, ...], int] = {}

    def add(self, row: Sequence[Any]) -> None:
        """Count one record, given as its _COLUMNS."""
        (
            _id, pool, key, outcome, provider, model, failover, stream, duration_ms, content_ms,
            input_tokens, output_tokens, cached_tokens, cost_usd, detail,
        ) = row  # fmt: skip
        try:
            told = _to_detail(detail)
        except msgspec.DecodeError:
            told = _Detail()  # no worker wrote that; what the columns say is counted
        tokens = (input_tokens or 0, output_tokens or 0, cached_tokens or 0, float(cost_usd or 0))
        sums = _found(self.requests, (pool, key), (OTHER, key), (OTHER, OTHER), _REQUEST_WIDTH)
        sums[_REQUESTS] += 1
        if outcome in _OUTCOMES:
            sums[_OUTCOMES[outcome]] += 1
        if failover:
            sums[_FAILOVERS] += 1
        if stream:
            sums[_STREAMS] += 1
        sums[_CALLS] += len(told.attempts)
        sums[_MOST] = max(sums[_MOST], tokens[0])
        _add(sums, tokens, duration_ms, content_ms)
        for need in told.features.needs:
            names = (pool, need)
            if names not in self.needs and len(self.needs) >= MOST_ROWS:
                names = (OTHER, need)
            self.needs[names] = self.needs.get(names, 0) + 1
        if told.attempts:
            self._count_calls(pool, told.attempts, provider, model, duration_ms, tokens)

    def _count_calls(
        self,
        pool: str,
        attempts: Sequence[_Call],
        provider: str,
        model: str,
        duration_ms: float,
        tokens: Sequence[float],
    ) -> None:
        is_served = not provider
        for call in reversed(attempts):
            fault = call.fault
            serves = (
                not is_served
                and call.provider == provider
                and call.model == model
                and fault != Fault.HEDGED
            )
            is_served |= serves
            if call.simulated:
                continue  # the provider was not asked, or pretended
            names = (pool, call.provider, call.model)
            sums = _found(
                self.calls, names, (OTHER, call.provider, OTHER), (OTHER, OTHER, OTHER), _CALL_WIDTH
            )
            sums[_MADE] += 1
            if fault:
                if fault not in BLAMELESS:
                    sums[_FAILED] += 1
                self._count_fault(names, fault, call.status or 0)
            if serves:
                sums[_SERVED] += 1
                began_ms, content_ms = call.started_ms, call.content_ms
                ended_ms = duration_ms if call.ended_ms is None else call.ended_ms
                waited_ms = None if content_ms is None else content_ms - began_ms
                _add(sums, tokens, ended_ms - began_ms, waited_ms)

    def _count_fault(self, names: tuple[str, ...], fault: str, status: int) -> None:
        named = (*names, fault, status)
        if named not in self.faults and len(self.faults) >= MOST_ROWS:
            named = (OTHER, OTHER, OTHER, fault, status)
        self.faults[named] = self.faults.get(named, 0) + 1


def _found(
    rows: dict[tuple[str, ...], list[Any]],
    names: tuple[str, ...],
    fewer: tuple[str, ...],
    fewest: tuple[str, ...],
    width: int,
) -> list[Any]:
    """The row of `names`, or of less exact ones where there are too many already."""
    found = rows.get(names)
    if found is None:
        if len(rows) >= MOST_ROWS:
            names = fewer if fewer in rows or len(rows) < 2 * MOST_ROWS else fewest
            found = rows.get(names)
        if found is None:
            found = rows[names] = [0] * width
    return found


def _add(
    sums: list[Any], tokens: Sequence[float], duration_ms: float, content_ms: float | None
) -> None:
    """What is of both kinds."""
    sums[_INPUT] += tokens[0]
    sums[_OUTPUT] += tokens[1]
    sums[_CACHED] += tokens[2]
    sums[_COST] += tokens[3]
    sums[_DURATION] += duration_ms
    sums[_TIMES + bisect_left(BOUNDS_MS, duration_ms)] += 1
    if content_ms is not None:
        sums[_CONTENT] += content_ms
        sums[_TIMES + _BUCKETS + bisect_left(BOUNDS_MS, content_ms)] += 1


def _replace(minute: datetime, sums: MinuteSums) -> None:
    """The minute's rows of all four tables. Inside a transaction."""
    for model, names, columns, rows in (
        (RequestMinute, ("pool", "key"), (*_SUMMED, *_REQUEST_COUNTS), sums.requests),
        (CallMinute, ("pool", "provider", "model"), (*_SUMMED, *_CALL_COUNTS), sums.calls),
    ):
        _write(model, minute, (*names, *columns), [(*key, *row) for key, row in rows.items()])
    faults = [(*key, count) for key, count in sums.faults.items()]
    needs = [(*key, count) for key, count in sums.needs.items()]
    _write(FaultMinute, minute, ("pool", "provider", "model", "fault", "status", "calls"), faults)
    _write(NeedMinute, minute, ("pool", "need", "requests"), needs)


def _write(
    model: Any, minute: datetime, columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    model.objects.filter(minute=minute).delete()
    if not rows:
        return
    marks = ", ".join(["%s"] * (len(columns) + 1))
    sql = (
        f"INSERT INTO {model._meta.db_table} (minute, {', '.join(columns)})"  # noqa: S608, SLF001 - our own names
        f" VALUES ({marks})"
    )
    adapted = connection.ops.adapt_datetimefield_value(minute)
    rows = [[min(v, MOST) if v.__class__ is int else v for v in row] for row in rows]
    with connection.cursor() as cursor:
        for start in range(0, len(rows), BATCH):
            cursor.executemany(sql, [(adapted, *row) for row in rows[start : start + BATCH]])
