"""What has been kept long enough goes, and nothing else; whoever is killed has deleted a part."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connection

from controlplane.models import Alert, HealthCheck, Settings, Suggestion, Team
from controlplane.records import retention
from controlplane.records.ingest import store
from controlplane.records.models import (
    CallMinute,
    Captured,
    CapturedLook,
    DirtyMinute,
    FaultMinute,
    NeedMinute,
    RecordHorizon,
    RequestMinute,
    RequestRecord,
)
from controlplane.records.retention import prune
from controlplane.records.rollups import roll_up
from routing.gateway.records.record import row_of
from tests.support.builders import request_record
from tests.support.runs import Told

NOW = datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)

pytestmark = pytest.mark.django_db
_numbers = iter(range(10**6))


def keep(*ages: timedelta) -> None:
    """A record of so long ago for each."""
    for age in ages:
        number = next(_numbers)
        at_ms = int((NOW - age).timestamp() * 1000)
        made = request_record(id=f"{at_ms:012x}7{number & 0xFFF:03x}a{number:015x}")
        store([row_of(made)])


def pruned() -> str:
    return prune(Told(NOW))


def ages() -> list[timedelta]:
    return [NOW - row.started_at for row in RequestRecord.objects.order_by("-id")]


def test_records_go_after_the_settings_days_by_whole_minutes() -> None:
    keep(DAY, 30 * DAY, 30 * DAY + 29 * MINUTE / 60, 30 * DAY + MINUTE, 31 * DAY)

    assert "2 requests" in pruned()
    assert ages() == [DAY, 30 * DAY, 30 * DAY + 29 * MINUTE / 60]
    Settings.objects.update_or_create(pk=1, defaults={"keep_records_days": 2})
    pruned()
    assert ages() == [DAY]


def test_sums_outlive_their_records_and_go_when_their_own_time_comes() -> None:
    keep(31 * DAY, 401 * DAY)
    roll_up(Told())
    pruned()

    assert not RequestRecord.objects.exists()
    for table in (RequestMinute, CallMinute):
        assert [NOW - row.minute < 32 * DAY for row in table.objects.all()] == [True]


def test_what_has_not_been_summed_is_summed_before_it_goes() -> None:
    keep(31 * DAY, 31 * DAY)
    pruned()

    assert RequestMinute.objects.get().requests == 2
    assert not DirtyMinute.objects.exists()


def test_sums_stay_when_records_of_a_deleted_minute_come_late() -> None:
    keep(31 * DAY, 31 * DAY)
    pruned()
    keep(31 * DAY)
    roll_up(Told())
    Settings.objects.update_or_create(pk=1, defaults={"keep_records_days": 60})
    keep(31 * DAY)  # nor when they would be kept longer now
    pruned()
    roll_up(Told())

    assert RequestMinute.objects.get().requests == 2


def test_the_sums_of_all_four_tables_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    old = NOW - 401 * DAY
    for number in range(5):
        names = {"minute": old + number * MINUTE, "pool": "p"}
        RequestMinute.objects.create(key="k", **names)
        CallMinute.objects.create(provider="x", model="m", **names)
        FaultMinute.objects.create(provider="x", model="m", fault="status", **names)
        NeedMinute.objects.create(need="tools", **names)
    NeedMinute.objects.create(minute=NOW, pool="p", need="tools")
    told = Told(NOW)
    prune(told)

    for table in (RequestMinute, CallMinute, FaultMinute):
        assert not table.objects.exists()
    assert NeedMinute.objects.get().minute == NOW
    assert told.progressed[-1] == (20, 20)


def test_captured_bodies_go_when_they_expire() -> None:
    for expires_at in (NOW - MINUTE, NOW + MINUTE):
        Captured.objects.create(record=uuid4(), key="k", pool="p", expires_at=expires_at)
    pruned()

    assert Captured.objects.get().expires_at == NOW + MINUTE


def test_health_checks_go_from_the_oldest_on_batch_by_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    for days in (20, 19, 18, 17, 15, 14, 1):
        HealthCheck.objects.create(provider="lab", at=NOW - days * DAY, status="healthy")
    pruned()

    assert [(NOW - row.at).days for row in HealthCheck.objects.order_by("pk")] == [14, 1]


def test_alerts_that_last_and_open_suggestions_stay_however_old() -> None:
    old, young = NOW - 500 * DAY, NOW - DAY
    for kind, ended_at in (("open", None), ("over", old), ("just over", young)):
        Alert.objects.create(kind=kind, subject="x", text="t", since=old, ended_at=ended_at)
    for state, decided_at in (("open", None), ("expired", None), ("dismissed", old),
                              ("accepted", young)):  # fmt: skip
        Suggestion.objects.create(
            kind="order", fingerprint=state, target="t", state=state,
            decided_at=decided_at, created_at=old, expires_at=old,
        )  # fmt: skip
    told = pruned()

    assert set(Alert.objects.values_list("kind", flat=True)) == {"open", "just over"}
    assert set(Suggestion.objects.values_list("state", flat=True)) == {"open", "accepted"}
    assert "1 alert, 2 suggestions" in told


def test_history_goes_of_every_kind_of_object() -> None:
    team = Team.objects.create(name="one")
    team.name = "two"
    team.save()
    user = User.objects.create_user("ada")
    for model, field in ((Team.history.model, "history_date"), (LogEntry, "action_time"),
                         (CapturedLook, "at")):  # fmt: skip
        if model is LogEntry:
            for _ in range(2):
                LogEntry.objects.create(user=user, object_repr="x", action_flag=ADDITION)
        if model is CapturedLook:
            for _ in range(2):
                CapturedLook.objects.create(record=uuid4(), who="ada", place="admin")
        first = model.objects.order_by("pk").first()
        model.objects.filter(pk=first.pk).update(**{field: NOW - 366 * DAY})
        model.objects.exclude(pk=first.pk).update(**{field: NOW - 364 * DAY})
    pruned()

    assert Team.history.count() == LogEntry.objects.count() == CapturedLook.objects.count() == 1
    assert Team.history.get().name == "two"


def test_sign_ins_that_are_over_go() -> None:
    for name, expire_date in (("over", NOW - MINUTE), ("valid", NOW + MINUTE)):
        Session.objects.create(session_key=name, session_data="", expire_date=expire_date)
    pruned()

    assert Session.objects.get().session_key == "valid"


def test_a_transaction_deletes_no_more_than_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    keep(*[31 * DAY + number * MINUTE for number in range(5)], DAY)
    deleted: list[int] = []

    def watch(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        result = execute(sql, params, many, context)
        if sql.startswith('DELETE FROM "controlplane_requestrecord"'):
            deleted.append(context["cursor"].rowcount)
        return result

    with connection.execute_wrapper(watch):
        pruned()

    assert deleted == [2, 2, 1]
    assert ages() == [DAY]


def test_who_is_killed_has_deleted_a_part_and_the_next_run_does_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    keep(*[31 * DAY + number * MINUTE for number in range(5)], DAY)
    roll_up(Told())
    told = Told(NOW)

    def killed(done: int, total: int) -> None:
        raise KeyboardInterrupt

    told.progress = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        prune(told)

    assert len(ages()) == 4
    pruned()
    assert ages() == [DAY]


def test_a_run_that_finds_nothing_says_nothing() -> None:
    keep(DAY)
    before = RecordHorizon.passed()

    assert pruned() == ""
    assert RecordHorizon.passed() > before
