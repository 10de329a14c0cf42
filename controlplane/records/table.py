"""Records as a table for other programs: CSV, row by row, of whatever a list was filtered to."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, Final

from asgiref.sync import sync_to_async

from controlplane.records.models import moment_of, public_id_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from django.db.models import QuerySet

    from controlplane.records.models import RequestRecord

AT_ONCE: Final = 1_000
MOST: Final = 100_000
COLUMNS: Final = (
    "outcome",
    "status",
    "code",
    "key",
    "team",
    "requested_model",
    "canonical_model",
    "provider",
    "model",
    "stream",
    "failover",
    "calls",
    "duration_ms",
    "first_content_ms",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "cost_usd",
    "generation",
)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


async def as_csv(
    rows: QuerySet[RequestRecord], most: int = MOST, at_once: int = AT_ONCE
) -> AsyncIterator[str]:
    """
    The newest `most` of `rows`, so many at once that no query and no answer is a long one.

    What is asked for in pieces cannot hold the database, and stays the same while records come in.
    """
    yield _lines([("started_at", "request_id", *COLUMNS)])
    cells = rows.order_by("-pk").values_list("pk", "request_id", *COLUMNS)
    sent, last = 0, None
    while sent < most:
        part = cells if last is None else cells.filter(pk__lt=last)
        found = await _read(part[: min(at_once, most - sent)])
        if not found:
            return
        yield _lines([_cells(*row) for row in found])
        sent, last = sent + len(found), found[-1][0]


@sync_to_async
def _read(part: QuerySet[Any, Any]) -> list[Any]:
    return list(part)


def _cells(record: UUID, request_id: str, *values: Any) -> tuple[Any, ...]:
    began = moment_of(record).isoformat(timespec="milliseconds")
    return (began, plain(public_id_of(record, request_id)), *map(plain, values))


def plain(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: names come from callers."""
    if isinstance(value, float):
        return round(value, 3)
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _lines(rows: list[tuple[Any, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
