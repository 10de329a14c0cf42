"""Records to be counted, and what a meter then says."""

from __future__ import annotations

from typing import Any

from routing.gateway.deciding.table import Table, compile_table
from routing.gateway.records.record import AttemptRecord, Outcome, RequestRecord
from routing.gateway.telemetry.metrics import Meter
from routing.gateway.telemetry.promtext import render
from tests.support.builders import content, request_record, snapshot
from tests.support.promtext import Read, read


def table(*pools: Any) -> Table:
    return compile_table(snapshot(content(*pools)), decrypt=str, environ={})


def attempt(candidate: str, *, start: float = 1, fault: str = "", **more: Any) -> AttemptRecord:
    provider, _, model = candidate.partition("/")
    content_ms = None if fault else start + 20
    return AttemptRecord(
        provider=provider,
        model=model,
        credential="",
        started_ms=start,
        content_ms=content_ms,
        ended_ms=start + 30,
        fault=fault,
        **more,
    )


def record(model: str = "chat", *attempts: AttemptRecord, **more: Any) -> RequestRecord:
    served = next((a for a in attempts if not a.fault), None)
    fields = {
        "outcome": Outcome.ANSWERED.value,
        "duration_ms": 40.0,
        "provider": served.provider if served else "",
        "model": served.model if served else "",
        "first_content_ms": served.content_ms if served else None,
        **more,
    }
    return request_record(
        protocol="openai_chat", canonical_model=model, attempts=attempts, **fields
    )


def counted(meter: Meter) -> Read:
    return read(render(meter.samples()))
