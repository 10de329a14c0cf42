"""The queries of docs/records.md: figures can be had from the sums, and the sums from records."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection

from controlplane.records.ingest import store
from controlplane.records.models import CallMinute, RequestMinute
from controlplane.records.reading import faults, totals
from controlplane.records.rollups import roll_up
from routing.gateway.records.record import row_of
from tests.support.builders import attempt_record, request_record
from tests.support.imports import ROOT
from tests.support.runs import Told

NOON, ONE = datetime(2026, 11, 21, 12, tzinfo=UTC), datetime(2026, 11, 21, 13, tzinfo=UTC)
QUERIES = re.findall(r"```sql\n(.*?)```", (ROOT / "docs/records.md").read_text("utf-8"), re.DOTALL)

pytestmark = pytest.mark.django_db


def rows(sql: str) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@pytest.fixture(autouse=True)
def traffic() -> None:
    failed = attempt_record(
        provider="bad", started_ms=0.0, ended_ms=1.0, content_ms=None, status=503, fault="status"
    )
    made = []
    for number in range(60):  # some before noon, and some after one
        at_ms = int(NOON.timestamp() * 1000) + (number - 10) * 91_000
        calls = (failed, attempt_record()) if number % 3 == 0 else (attempt_record(),)
        made.append(
            request_record(
                id=f"{at_ms:012x}7{number:03x}a{number:015x}",
                canonical_model="small" if number % 2 else "large",
                attempts=calls,
                failover=len(calls) > 1,
                cost_usd=0.25,
            )
        )
    store([row_of(one) for one in made])
    roll_up(Told())


def test_candidates() -> None:
    expected = totals(CallMinute, NOON, ONE, by=("pool", "provider", "model"))
    found = rows(QUERIES[0])

    assert len(found) == len(expected) == 4
    for row in found:
        sums = expected[row["pool"], row["provider"], row["model"]]
        assert (row["calls"], row["failed"]) == (sums.calls, sums.failed)
        assert float(row["percent_failed"]) == 100 * (sums.error_share or 0)


def test_faults() -> None:
    found = rows(QUERIES[1])
    by = ("provider", "model", "fault", "status")

    assert {tuple(row[name] for name in by): row["calls"] for row in found} == faults(
        NOON, ONE, by=by
    )


def test_pools() -> None:
    expected = totals(RequestMinute, NOON, ONE, by=("pool",))
    for row in rows(QUERIES[2]):
        sums = expected[(row["pool"],)]
        assert (row["requests"], row["failovers"], row["errors"], float(row["cost_usd"])) == (
            sums.requests, sums.failovers, sums.errors, sums.cost_usd,
        )  # fmt: skip


def test_the_sums_from_the_records() -> None:
    expected = totals(CallMinute, NOON, ONE, by=("pool", "provider", "model"))
    found = rows(QUERIES[3 if connection.vendor == "postgresql" else 4])

    assert len(QUERIES) == 5
    assert {(row["pool"], row["provider"], row["model"]): row["calls"] for row in found} == {
        names: sums.calls for names, sums in expected.items()
    }
