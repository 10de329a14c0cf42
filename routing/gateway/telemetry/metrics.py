"""
What a worker counts: from request records, in batches, after the answers have gone out.

routing.gateway.telemetry.ledger adds up the workers of a host.
"""

from __future__ import annotations

import os
import secrets
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from failover.engine.benches import BenchEntry
from providers.errors import Fault
from routing.gateway.records.record import AttemptRecord, Outcome, RequestRecord
from routing.gateway.telemetry.promtext import (
    ATTEMPT_FIRST_CONTENT,
    ATTEMPTS,
    BENCHES,
    BENCHINGS,
    CPU,
    DURATION,
    FAILOVERS,
    FIRST_TOKEN,
    HEDGES,
    MEMORY,
    OTHER,
    REQUESTS,
    SECONDS,
    STARTED,
    TOKENS,
    Labels,
    MetricFamily,
    Sample,
    Series,
)

if TYPE_CHECKING:
    from routing.gateway.deciding.table import Table

NO_FAULT: Final = "none"
_BY_HAND: Final = "manual"
_MILLISECONDS: Final = tuple([seconds * 1e3 for seconds in SECONDS])
_FAULTS: Final = frozenset(fault.value for fault in Fault)


class _Cell:
    """The series that requests of one kind move; each a list that is changed in place."""

    __slots__ = ("attempts", "cached", "content", "duration", "first", "input", "keys", "new",
                 "output", "reasoning", "requests")  # fmt: skip

    def __init__(self, find: Callable[[MetricFamily, Labels], list[float]], labels: _Kind) -> None:
        self.keys: list[Series] = []
        self.new: list[RequestRecord] = []  # that are not counted yet

        def series(family: MetricFamily, *values: str) -> list[float]:
            self.keys.append((family.name, values))
            return find(family, values)

        stream = "true" if labels.stream else "false"
        served = (labels.provider, labels.served)
        self.requests = series(REQUESTS, labels.protocol, labels.model, labels.outcome)
        self.duration = series(DURATION, labels.model, stream)
        self.first = series(FIRST_TOKEN, labels.model) if labels.stream else None
        self.attempts = series(ATTEMPTS, *served, NO_FAULT)
        self.content = series(ATTEMPT_FIRST_CONTENT, *served, stream)
        self.input = series(TOKENS, *served, "input")
        self.output = series(TOKENS, *served, "output")
        self.cached = series(TOKENS, *served, "cached")
        self.reasoning = series(TOKENS, *served, "reasoning")

    def count(self) -> None:
        """Count what is new: a field of all of them at a time takes half of one by one."""
        records, self.new = self.new, []
        self.requests[0] += len(records)
        self.attempts[0] += len(records)
        _observe(self.duration, [r.duration_ms for r in records])
        begun = [r for r in records if r.first_content_ms is not None]
        waits = [r.first_content_ms - r.detail.attempts[0].started_ms for r in begun]  # type: ignore[operator]
        _observe(self.content, waits)
        if self.first is not None:
            _observe(self.first, [r.first_content_ms for r in begun])  # type: ignore[misc]
        told = [r for r in records if r.input_tokens is not None]
        self.input[0] += sum([r.input_tokens for r in told])  # type: ignore[misc]
        self.output[0] += sum([r.output_tokens or 0 for r in told])
        self.cached[0] += sum([r.cached_tokens or 0 for r in told])
        self.reasoning[0] += sum([r.reasoning_tokens or 0 for r in told])


class _Kind(Struct, frozen=True):
    protocol: str
    model: str
    outcome: str
    stream: bool
    provider: str
    served: str


class Meter:
    """
    Counts for one worker.

    `table` gives the routing table of the moment: only names that it knows become labels.
    `instance` tells this worker's counts from those of any other that ever was.
    """

    def __init__(self, table: Callable[[], Table | None]) -> None:
        self.instance = secrets.token_hex(8)
        self._table = table
        self._series: dict[Series, list[float]] = {}
        self._touched: set[Series] = set()
        self._cells: dict[tuple[str | bool, ...], _Cell] = {}
        self._touched_cells: set[_Cell] = set()
        self._cells_table: Table | None = None

    def observe(self, records: Iterable[RequestRecord]) -> None:
        """Count requests that have ended."""
        table = self._table()
        if table is not self._cells_table:
            self._cells.clear()
            self._cells_table = table
        cells, touched = self._cells, set[_Cell]()
        for record in records:
            if record.calls != 1 or record.failover or record.outcome != Outcome.ANSWERED:
                self._count(record)
                continue
            detail = record.detail
            attempt = detail.attempts[0]
            if attempt.fault or attempt.simulated:
                self._count(record)
                continue
            # The usual case by one lookup.
            kind = (
                detail.protocol,
                record.canonical_model,
                record.stream,
                record.provider,
                record.model,
            )
            cell = cells.get(kind)
            if cell is None:
                cell = self._make_cell(table, record, kind)
            cell.new.append(record)
            touched.add(cell)
        for cell in touched:
            cell.count()
        self._touched_cells |= touched

    def note_bench(self, entry: BenchEntry) -> None:
        """Count a bench that traffic of this worker has set."""
        if not (entry.released or entry.manual):
            provider = _provider(self._table(), entry.subject.partition("/")[0])
            self.add(BENCHINGS, provider, _reason(entry))

    def add(self, family: MetricFamily, *labels: str, by: float = 1) -> None:
        """Move a counter. `labels` must come from a bounded set."""
        self._find(family, labels)[0] += by
        self._touched.add((family.name, labels))

    def put(self, family: MetricFamily, value: float) -> None:
        """Set a counter without labels that somebody else counts."""
        values = self._find(family, ())
        if values[0] != value:
            values[0] = value
            self._touched.add((family.name, ()))

    def samples(self) -> tuple[Sample, ...]:
        """Every counter and histogram as it stands."""
        return tuple((name, labels, tuple(v)) for (name, labels), v in self._series.items())

    def news(self) -> tuple[Sample, ...]:
        """Those that have moved since this was last asked."""
        touched, self._touched = self._touched, set()
        for cell in self._touched_cells:
            touched.update(cell.keys)
        self._touched_cells.clear()
        return tuple((name, labels, tuple(self._series[name, labels])) for name, labels in touched)

    def _find(self, family: MetricFamily, labels: Labels) -> list[float]:
        key = (family.name, labels)
        found = self._series.get(key)
        if found is None:
            found = self._series[key] = [0.0] * family.width
        return found

    def _make_cell(
        self, table: Table | None, record: RequestRecord, kind: tuple[str | bool, ...]
    ) -> _Cell:
        provider, served = _candidate(table, record.provider, record.model)
        labels = _Kind(
            protocol=record.detail.protocol or OTHER,
            model=_model(table, record.canonical_model),
            outcome=record.outcome,
            stream=record.stream,
            provider=provider,
            served=served,
        )
        cell = _Cell(self._find, labels)
        # A name that only a caller knows must not be remembered, or callers could fill memory.
        if OTHER not in (labels.model, provider, served):
            self._cells[kind] = cell
        return cell

    def _count(self, record: RequestRecord) -> None:
        """Count a request that needed more than one attempt, or was not answered."""
        table = self._table()
        model = _model(table, record.canonical_model)
        stream = "true" if record.stream else "false"
        self.add(REQUESTS, record.detail.protocol or OTHER, model, record.outcome)
        self._time(DURATION, record.duration_ms, model, stream)
        if record.stream and record.first_content_ms is not None:
            self._time(FIRST_TOKEN, record.first_content_ms, model)
        for attempt in record.detail.attempts:
            if not attempt.simulated:  # nothing was asked of the provider, or less than it seems
                self._count_attempt(table, attempt, stream)
            if attempt.is_hedge:
                has_won = bool(record.provider) and not attempt.fault
                self.add(HEDGES, model, "won" if has_won else "lost")
        if not record.provider:
            return
        provider, served = _candidate(table, record.provider, record.model)
        if record.failover:
            failed = next((a for a in record.detail.attempts if a.fault), None)
            reason = "skipped"
            if failed is not None:
                reason = "simulated" if failed.simulated else failed.fault
            self.add(FAILOVERS, model, provider, reason)
        if record.input_tokens is not None:
            self.add(TOKENS, provider, served, "input", by=record.input_tokens)
            self.add(TOKENS, provider, served, "output", by=record.output_tokens or 0)
            self.add(TOKENS, provider, served, "cached", by=record.cached_tokens or 0)
            self.add(TOKENS, provider, served, "reasoning", by=record.reasoning_tokens or 0)

    def _count_attempt(self, table: Table | None, attempt: AttemptRecord, stream: str) -> None:
        provider, model = _candidate(table, attempt.provider, attempt.model)
        self.add(ATTEMPTS, provider, model, attempt.fault or NO_FAULT)
        if attempt.content_ms is not None:
            waited_ms = attempt.content_ms - attempt.started_ms
            self._time(ATTEMPT_FIRST_CONTENT, waited_ms, provider, model, stream)

    def _time(self, family: MetricFamily, milliseconds: float, *labels: str) -> None:
        _observe(self._find(family, labels), [milliseconds])
        self._touched.add((family.name, labels))


def _observe(values: list[float], milliseconds: Sequence[float]) -> None:
    for bucket in map(bisect_left, repeat(_MILLISECONDS), milliseconds):
        values[bucket] += 1
    values[-1] += sum(milliseconds) * 1e-3


# Labels


def _model(table: Table | None, name: str) -> str:
    return name if table is not None and table.names(name) else OTHER


def _provider(table: Table | None, name: str) -> str:
    return name if table is not None and name in table.providers else OTHER


def _candidate(table: Table | None, provider: str, model: str) -> tuple[str, str]:
    """(provider, provider model)"""
    is_known = table is not None and f"{provider}/{model}" in table.known
    return _provider(table, provider), model if is_known else OTHER


def _reason(entry: BenchEntry) -> str:
    if entry.manual:
        return _BY_HAND
    return entry.reason if entry.reason in _FAULTS else OTHER


# Gauges


def bench_samples(entries: Iterable[BenchEntry]) -> list[Sample]:
    """How many sit out, by reason."""
    counts: dict[str, int] = {}
    for entry in entries:
        reason = _reason(entry)
        counts[reason] = counts.get(reason, 0) + 1
    return [(BENCHES.name, (reason,), (count,)) for reason, count in counts.items()]


_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_STARTED_AT: Final = time.time()


def process_samples(labels: Labels) -> list[Sample]:
    """What this process uses."""
    found: list[Sample] = [
        (CPU.name, labels, (round(time.process_time(), 3),)),
        (STARTED.name, labels, (round(_STARTED_AT, 3),)),
    ]
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return found  # not on Linux
    found.append((MEMORY.name, labels, (pages * _PAGE,)))
    return found
