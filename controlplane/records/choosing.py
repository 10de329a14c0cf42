"""
What chooses request records in admin: filters that stand in the address, and the chips of them.

Each is found by an index, however many records there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin
from django.core.paginator import Paginator
from django.utils import timezone
from django.utils.functional import cached_property

from controlplane.models import ApiKey, Team
from controlplane.records.api import of_outcome
from controlplane.records.models import ERRORS, SLOW_MS, RequestRecord
from providers.models import Provider
from routing.models import CanonicalModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from django.db.models import QuerySet
    from django.http import HttpRequest

SUGGESTED: Final = 200
ROWS: Final = 10_000
ANY_ERROR: Final = "errors"
LAST: Final = {"15": "15 minutes", "60": "hour", "1440": "day", "10080": "7 days"}


class RecordChoice(admin.SimpleListFilter):
    """One value of the address. It is shown by the bar of chips, not by a list of links."""

    field = ""
    words = ""  # of its chip; the value comes after it

    def has_output(self) -> bool:
        return True

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        del request, model_admin
        return []

    def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        del request
        return rows.filter(**{self.field: self.value()}) if self.value() else rows

    def said(self) -> str:
        """What its chip says."""
        return f"{self.words or self.title}: {self.value()}"


class OutcomeChoice(RecordChoice):
    title = parameter_name = field = "outcome"

    def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        del request
        value = self.value() or ""
        if value == ANY_ERROR:
            return rows.filter(outcome__in=ERRORS).exclude(outcome="answered")
        return of_outcome(rows, value) if value in RequestRecord.OUTCOMES else rows

    def said(self) -> str:
        return (self.value() or "").replace("_", " ")


class FailoverChoice(RecordChoice):
    title = parameter_name = field = "failover"

    def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        del request
        return rows.filter(failover=True) if self.value() else rows

    def said(self) -> str:
        return "failover"


class SlowChoice(RecordChoice):
    title = parameter_name = "slow"

    def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        del request
        return rows.filter(first_content_ms__gte=SLOW_MS) if self.value() else rows

    def said(self) -> str:
        return "slow"


class TimeChoice(RecordChoice):
    title = "time"
    parameter_name = "last"

    def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        del request
        if self.value() not in LAST:
            return rows
        begin = timezone.now() - timedelta(minutes=int(self.value() or 0))
        return rows.filter(pk__gte=RequestRecord.first_id_at(begin))

    def said(self) -> str:
        return f"last {LAST.get(self.value() or '', 'time')}"


class ProviderChoice(RecordChoice):
    title = parameter_name = field = "provider"
    words = "served by"


class PoolChoice(RecordChoice):
    title = "pool"
    parameter_name = field = "canonical_model"


class KeyChoice(RecordChoice):
    title = parameter_name = field = "key"


class TeamChoice(RecordChoice):
    title = parameter_name = field = "team"

    def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        rows = super().queryset(request, rows)
        return rows.exclude(team="") if self.value() else rows  # the index's condition


CHOICES: Final = [
    OutcomeChoice,
    FailoverChoice,
    SlowChoice,
    TimeChoice,
    PoolChoice,
    ProviderChoice,
    KeyChoice,
    TeamChoice,
]
QUICK: Final = (
    ("failed", {"outcome": ANY_ERROR}, "no answer, or a broken one"),
    ("failover", {"failover": "True"}, "another served than the first choice"),
    ("slow", {"slow": "True"}, f"the first token after {SLOW_MS // 1000} s or later"),
    ("last 15 minutes", {"last": "15"}, ""),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    words: str
    url: str
    is_on: bool = False
    title: str = ""


def bar(changes: Any) -> dict[str, Any]:
    """What stands above a list of records: quick choices, those that hold, and a form of all."""
    quick = [
        Chip(words=words, url=url, is_on=is_on, title=title)
        for words, params, title in QUICK
        for is_on in [all(changes.params.get(name) == value for name, value in params.items())]
        for url in [_url(changes, {name: None if is_on else params[name] for name in params})]
    ]
    standing = {
        chosen.parameter_name: chosen.value() for chosen in changes.filter_specs if chosen.value()
    }
    shown_above = {name: value for _, params, _ in QUICK for name, value in params.items()}
    return {
        "quick": quick,
        "chips": [
            Chip(words=chosen.said(), url=_url(changes, {chosen.parameter_name: None}))
            for chosen in changes.filter_specs
            if chosen.value() and shown_above.get(chosen.parameter_name) != chosen.value()
        ],
        "standing": standing,
        "is_any": bool(standing or changes.query),
        "outcomes": [
            (ANY_ERROR, "any error"),
            *((name, name.replace("_", " ")) for name in RequestRecord.OUTCOMES),
        ],
        "last": LAST.items(),
        "fields": list(_fields(standing)),
        "kept": [
            (name, value)
            for name, value in [("q", changes.query), *standing.items()]
            if value and name in {"q", "failover", "slow"}
        ],
        "query": changes.get_query_string(remove=["p"]),
    }


def _url(changes: Any, new: dict[str, str | None]) -> str:
    return str(changes.get_query_string(new, remove=["p"]))


def _fields(standing: dict[str, Any]) -> Iterator[dict[str, Any]]:
    named: list[tuple[str, str, Any]] = [
        ("canonical_model", "Pool", CanonicalModel.objects.all()),
        ("provider", "Served by", Provider.objects.all()),
        ("key", "Key", ApiKey.objects.all()),
        ("team", "Team", Team.objects.all()),
    ]
    for name, label, rows in named:
        yield {
            "name": name,
            "label": label,
            "value": standing.get(name, ""),
            "known": _names(rows),
        }


def _names(rows: QuerySet[Any]) -> Iterable[str]:
    return sorted(set(rows.order_by("name").values_list("name", flat=True)[:SUGGESTED]))


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than `most`: counting millions would take longer than showing them."""

    most = ROWS
    template_name = "admin/bounded_pages.html"

    @cached_property
    def _counted(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by().values("pk")[: self.most + 1].count())

    @cached_property
    def count(self) -> int:
        return min(self._counted, self.most)

    @property
    def said(self) -> str:
        """How many there are, in words."""
        return f"{self.count:,}" if self._counted <= self.most else f"more than {self.most:,}"
