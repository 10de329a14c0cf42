"""
What has been kept long enough is deleted: how long is said in the settings, a field a table.

Every table is gone through from its oldest end along an index, some rows a transaction, so that
whoever is killed has deleted a part, and ingest and admin go on meanwhile.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from simple_history.models import HistoricalChanges

from controlplane.models import Settings
from controlplane.records.models import (
    CallMinute,
    Captured,
    CapturedLook,
    DirtyMinute,
    FaultMinute,
    NeedMinute,
    RecordHorizon,
    RequestHour,
    RequestMinute,
    RequestRecord,
)
from controlplane.records.rollups import sum_marked
from providers.saying.counting import counted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from django.db.models import Model, QuerySet

    from controlplane.jobs.running import Run

BATCH: Final = 2000
COUNTED: Final = 1_000_000  # for the progress; counting more would take too long
BREATH_S: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiring:
    """
    Rows of `model` that may go: those of before `before` by the column `time`.

    `is_indexed`: `time` has an index, and is gone along. Otherwise rows were written in the order
    of time, and are gone along by their keys up to the first that stays.
    """

    model: type[Model]
    time: str
    before: Any
    is_indexed: bool = False


def prune(run: Run) -> str:
    """Delete what is older than the settings say; how much of what, in words."""
    now, settings = run.began_at, Settings.objects.filter(pk=1).first() or Settings()
    told = []
    _forget_records(run, _before(now, settings.keep_records_days))
    done = total = 0
    for kept in _tables(now, settings):
        total += _expected(kept)
        deleted = 0
        for count in _deleting(kept):
            deleted += count
            run.progress(done + deleted, max(total, done + deleted))
        done += deleted
        if deleted:
            named = kept.model._meta  # noqa: SLF001 - Django's own API
            one, many = str(named.verbose_name), str(named.verbose_name_plural)
            told.append(counted(deleted, one, many))
    for one, rows in _few(now, settings):
        deleted, _by_model = rows.delete()
        if deleted:
            told.append(counted(deleted, one))
    return "deleted: " + ", ".join(told) if told else ""


def _before(now: datetime, days: int) -> datetime:
    """Whole minutes: a minute of sums has all of its records, or none."""
    return (now - timedelta(days=days)).replace(second=0, microsecond=0)


def _forget_records(run: Run, before: datetime) -> None:
    """
    Sum what has not been summed of before then, and note that its records go.

    Noted first: a rollup that reads a minute while its records are deleted finds that out before
    it writes. A moment once noted stays, whatever the settings say later.
    """
    sum_marked(run, before)
    first = DirtyMinute.objects.order_by("minute").values_list("minute", flat=True).first()
    if first is not None:
        before = min(before, first)  # the next run does the rest
    if before > RecordHorizon.passed():
        RecordHorizon.objects.update_or_create(pk=1, defaults={"moment": before})


def _tables(now: datetime, settings: Settings) -> Iterator[Expiring]:
    records = RequestRecord.first_id_at(RecordHorizon.passed())
    yield Expiring(model=RequestRecord, time="id", before=records, is_indexed=True)
    sums = _before(now, settings.keep_sums_days)
    for model in (RequestMinute, RequestHour, CallMinute, FaultMinute, NeedMinute):
        yield Expiring(model=model, time="minute", before=sums, is_indexed=True)
    yield Expiring(model=Captured, time="expires_at", before=now, is_indexed=True)
    checks = _before(now, settings.keep_checks_days)
    yield Expiring(model=_others("HealthCheck"), time="at", before=checks)
    history = _before(now, settings.keep_history_days)
    yield Expiring(model=CapturedLook, time="at", before=history)
    yield Expiring(model=LogEntry, time="action_time", before=history)
    for historical in apps.get_models():
        if issubclass(historical, HistoricalChanges):
            yield Expiring(model=historical, time="history_date", before=history)
    yield Expiring(model=Session, time="expire_date", before=now, is_indexed=True)


def _few(now: datetime, settings: Settings) -> Iterator[tuple[str, QuerySet[Any]]]:
    """Tables that stay small."""
    alerts = _before(now, settings.keep_alerts_days)
    yield "alert", _rows(_others("Alert")).filter(ended_at__lt=alerts)
    suggestions = _before(now, settings.keep_suggestions_days)
    over = _rows(_others("Suggestion")).exclude(state="open")
    yield (
        "suggestion",
        over.filter(decided_at__lt=suggestions)
        | over.filter(decided_at=None, expires_at__lt=suggestions),
    )


def _others(name: str) -> type[Model]:
    """A model of another room; rooms of one storey do not enter each other."""
    return apps.get_model("controlplane", name)


def _rows(model: type[Model]) -> QuerySet[Any]:
    return model._default_manager.all()  # noqa: SLF001 - Django's own API


def _expected(kept: Expiring) -> int:
    return _old(kept)[:COUNTED].count() if kept.is_indexed else 0


def _old(kept: Expiring) -> QuerySet[Any]:
    rows = _rows(kept.model).filter(**{f"{kept.time}__lt": kept.before})
    return rows.order_by(kept.time)


def _deleting(kept: Expiring) -> Iterator[int]:
    """Delete, a batch a step; each yields how many rows went."""
    step = _indexed_batch if kept.is_indexed else _ordered_batch
    while True:
        began = time.monotonic()
        with transaction.atomic():
            deleted, is_last = step(kept)
        if deleted:
            yield deleted
        if is_last:
            return
        # SQLite has one writer at a time: half of the time is others'.
        if connection.vendor == "sqlite":
            time.sleep(max(time.monotonic() - began, BREATH_S))


def _indexed_batch(kept: Expiring) -> tuple[int, bool]:
    rows = _old(kept)
    last = rows.values_list(kept.time, flat=True)[BATCH - 1 : BATCH].first()
    if last is not None:
        # Those of one minute go together, so it may be some more.
        rows = rows.filter(**{f"{kept.time}__lte": last})
    return _delete(rows), last is None


def _ordered_batch(kept: Expiring) -> tuple[int, bool]:
    rows = _rows(kept.model).order_by("pk")
    oldest = rows.values_list("pk", kept.time)[:BATCH]
    old = [pk for pk, moment in oldest if moment < kept.before]
    if not old:
        return 0, True
    deleted = _delete(rows.filter(pk__lte=old[-1], **{f"{kept.time}__lt": kept.before}))
    return deleted, len(old) < BATCH


def _delete(rows: QuerySet[Any]) -> int:
    deleted, _by_model = rows.order_by().delete()
    return deleted
