"""What the records of one minute come to. Pure: rows in, rows of the four tables out."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from controlplane.records.models import BOUNDS_MS, CONTENT, DURATION, OTHER
from failover.engine.verdicts import VERDICTS, Scope
from providers.errors import Fault
from routing.gateway.records.record import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Of a record, in this order.
COLUMNS: Final = (
    "id", "canonical_model", "key", "outcome", "provider", "model", "failover", "stream",
    "duration_ms", "first_content_ms", "input_tokens", "output_tokens", "cached_tokens",
    "cost_usd", "detail",
)  # fmt: skip
MOST_ROWS: Final = 5000  # of one table in one minute: callers may make names up
MOST: Final = 2**53  # a provider that states mad figures does not overflow a column

# What nobody is benched for is no failure of the provider.
BLAMELESS: Final = frozenset(
    fault.value for fault in Fault if VERDICTS[fault].bench.scope is Scope.NOBODY
)


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
REQUEST_COLUMNS: Final = ("pool", "key", *_SUMMED, *_REQUEST_COUNTS)

_CALL_COUNTS: Final = ("calls", "served", "failed")
_MADE, _SERVED, _FAILED = range(_OWN, _OWN + 3)
_CALL_WIDTH: Final = _OWN + 3
CALL_COLUMNS: Final = ("pool", "provider", "model", *_SUMMED, *_CALL_COUNTS)
FAULT_COLUMNS: Final = ("pool", "provider", "model", "fault", "status", "calls")
NEED_COLUMNS: Final = ("pool", "need", "requests")


class MinuteSums:
    """The sums of one minute's records."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, ...], list[Any]] = {}
        self.calls: dict[tuple[str, ...], list[Any]] = {}
        self.faults: dict[tuple[Any, ...], int] = {}
        self.needs: dict[tuple[str, ...], int] = {}

    def __len__(self) -> int:
        """How many rows they make."""
        return len(self.requests) + len(self.calls) + len(self.faults) + len(self.needs)

    def request_rows(self) -> Iterator[tuple[Any, ...]]:
        """As REQUEST_COLUMNS; so the others."""
        return _rows(self.requests)

    def call_rows(self) -> Iterator[tuple[Any, ...]]:
        return _rows(self.calls)

    def fault_rows(self) -> Iterator[tuple[Any, ...]]:
        return ((*names, count) for names, count in self.faults.items())

    def need_rows(self) -> Iterator[tuple[Any, ...]]:
        return ((*names, count) for names, count in self.needs.items())

    def add(self, row: Sequence[Any]) -> None:
        """Count one record, given as its COLUMNS."""
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


def _rows(sums: dict[tuple[str, ...], list[Any]]) -> Iterator[tuple[Any, ...]]:
    for names, values in sums.items():
        for place in (_INPUT, _OUTPUT, _CACHED):
            values[place] = min(values[place], MOST)
        yield (*names, *values)


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
