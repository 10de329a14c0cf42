"""
One line for every request that was not answered, and for every bench that is set or ends.

Requests are told of from their records, a moment after they have ended. A flood of failures costs
a bounded number of lines; how many were left out is said.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Final

from failover.engine.benches import BenchEntry
from routing.gateway.records.record import AttemptRecord, Outcome, RequestRecord
from routing.gateway.telemetry.logs import about

LINES_A_SECOND: Final = 100
_REASON_LIMIT: Final = 200

requests = logging.getLogger("switchyard.requests")
benches = logging.getLogger("switchyard.benches")


class FailureLog:
    """An observer of records. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._second = 0
        self._lines = 0
        self._left_out = 0

    def observe(self, records: Iterable[RequestRecord]) -> None:
        for record in records:
            if record.outcome != Outcome.ANSWERED:
                self._tell(record)

    def _tell(self, record: RequestRecord) -> None:
        second = int(self._clock())
        if second != self._second:
            if self._left_out:
                requests.info("%d more requests were not answered", self._left_out)
            self._second, self._lines, self._left_out = second, 0, 0
        if self._lines >= LINES_A_SECOND:
            self._left_out += 1
            return
        self._lines += 1
        requests.info(
            "request %s",
            record.outcome.replace("_", " "),
            extra=about(
                record.request_id,
                outcome=str(record.outcome),
                status=record.status,
                code=record.code,
                model=record.requested_model,
                canonical_model=record.canonical_model,
                key=record.key,
                endpoint=record.detail.endpoint,
                duration_ms=record.duration_ms,
                attempts="; ".join(map(_summary, record.detail.attempts)),
                rejected="; ".join(
                    f"{r.candidate} {r.reason}" for r in record.detail.decision.rejected[:10]
                ),
            ),
        )


def _summary(attempt: AttemptRecord) -> str:
    """`provider/model status fault ms: message`"""
    words = [f"{attempt.provider}/{attempt.model}"]
    if attempt.status is not None:
        words.append(str(attempt.status))
    words.append(attempt.fault or "ok")
    if attempt.simulated:
        words.append("simulated")
    if attempt.ended_ms is not None:
        words.append(f"{attempt.ended_ms - attempt.started_ms:.0f}ms")
    told = " ".join(words)
    return f"{told}: {attempt.message[:_REASON_LIMIT]}" if attempt.message else told


def note_bench(entry: BenchEntry) -> None:
    """Say who sits out from now on, why and until when; or that it is over."""
    who = entry.subject if entry.credential is None else f"{entry.subject} key {entry.credential}"
    if entry.released:
        extra = about(entry.request_id, reason=entry.reason, by=entry.by)
        benches.warning("bench ended: %s", who, extra=extra)
        return
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(entry.until))
    benches.warning(
        "benched: %s",
        who,
        extra=about(
            entry.request_id,
            reason=entry.reason,
            until=until,
            status=entry.status,
            by_hand=entry.manual or None,
            by=entry.by,
            count=entry.count,
            error=entry.sample_error[:_REASON_LIMIT],
        ),
    )
