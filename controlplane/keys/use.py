"""When a key was last used, and what it has taken today; from records and their sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db.models import OuterRef, Subquery

from controlplane.models import ApiKey
from controlplane.records.models import RequestMinute, RequestRecord
from controlplane.records.reading import totals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """`last_at` is None where no record is kept of a request of the key."""

    last_at: datetime | None = None
    requests: int = 0
    tokens: int = 0
    cost_usd: float = 0.0


def uses(names: Sequence[str], now: datetime) -> Mapping[str, Use]:
    """By the names of keys; two queries, however many there are."""
    newest = RequestRecord.objects.filter(key=OuterRef("name")).order_by("-id").values("id")[:1]
    rows = ApiKey.objects.filter(name__in=names).order_by().values_list("name", Subquery(newest))
    last: dict[str, Any] = dict(rows)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    found = totals(RequestMinute, midnight, now, by=["key"], key=list(names))
    uses = {}
    for name in names:
        sums, record = found.get((name,)), last.get(name)
        uses[name] = Use(
            last_at=None if record is None else RequestRecord(id=_uuid(record)).started_at,
            requests=sums.requests if sums else 0,
            tokens=sums.input_tokens + sums.output_tokens if sums else 0,
            cost_usd=sums.cost_usd if sums else 0.0,
        )
    return uses


def _uuid(value: Any) -> UUID:
    return value if isinstance(value, UUID) else UUID(str(value))
