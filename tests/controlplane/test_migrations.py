"""Every table, filled at its first migration, is whole after the last."""

from __future__ import annotations

import subprocess
import sys
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from django.apps import apps as django_apps
from django.db import IntegrityError, connection, models, transaction
from django.db.migrations.executor import MigrationExecutor

from controlplane.records.models import RequestRecord
from tests.support.gateways import ROOT, environment

if TYPE_CHECKING:
    from pathlib import Path

OURS = ("providers", "failover", "routing", "controlplane")
MOMENT = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)


def value_of(field: models.Field[Any, Any], number: int) -> Any:
    """Something that the field holds, and that is not its default."""
    if field.choices:
        return [value for value, _ in field.flatchoices][-1]
    match field:
        case models.UUIDField():
            return uuid.UUID(int=number + 1)
        case models.BooleanField():
            return True
        case models.DateTimeField():
            return MOMENT
        case models.DateField():
            return date(2026, 11, 21)
        case models.DurationField():
            return timedelta(seconds=number)
        case models.DecimalField():
            return Decimal("1.25")
        case models.FloatField():
            return 1.5
        case models.IntegerField():
            return number
        case models.JSONField():
            return field.get_default() if field.has_default() else []
        case models.BinaryField():
            return b"packed"
    return f"text{number}"[: field.max_length]


def fill(apps: Any, labels: set[str]) -> dict[str, list[Any]]:
    """Two rows in each table of `labels`; those that others point to first. Their keys by table."""
    made: dict[str, list[Any]] = {}

    def make(model: type[models.Model]) -> None:
        label = model._meta.label
        if label in made or label not in labels:
            return
        made[label] = []
        for field in model._meta.concrete_fields:
            if field.is_relation and field.related_model is not model:
                make(field.related_model)
        for number in (1, 2):
            values = {}
            for field in model._meta.concrete_fields:
                if isinstance(field, models.AutoField) or (field.is_relation and field.null):
                    continue
                if field.is_relation:
                    keys = made.get(field.related_model._meta.label)
                    values[field.attname] = keys[number - 1] if keys else number
                else:
                    values[field.attname] = value_of(field, number)
            row = model(**values)
            try:
                with transaction.atomic():
                    models.Model.save_base(row, raw=True)
            except IntegrityError:
                assert made[label], f"{label} takes no row"
                break  # a table of one row
            made[label].append(row.pk)

    for model in apps.get_models(include_auto_created=False):
        make(model)
    return made


def migrated_to(targets: list[tuple[str, str]]) -> Any:
    executor = MigrationExecutor(connection)
    executor.migrate(targets)
    there = [target for target in targets if target[1] is not None]
    return MigrationExecutor(connection).loader.project_state(there).apps


@pytest.mark.django_db(transaction=True)
def test_no_row_is_lost_from_its_first_migration_to_the_last() -> None:
    graph = MigrationExecutor(connection).loader.graph
    leaves = [leaf for leaf in graph.leaf_nodes() if leaf[0] in OURS]
    plan = [node for node in dict.fromkeys(n for leaf in leaves for n in graph.forwards_plan(leaf))
            if node[0] in OURS]  # fmt: skip
    try:
        migrated_to([(app, None) for app in OURS])  # type: ignore[list-item]
        kept: dict[str, list[Any]] = {}
        for node in plan:
            apps = migrated_to([node])
            labels = {
                model._meta.label for model in apps.get_models() if model._meta.app_label in OURS
            }
            kept |= fill(apps, labels - kept.keys() - {"controlplane.WideRequestRecord"})
        apps = migrated_to(leaves)
        for label, keys in kept.items():
            assert set(apps.get_model(label).objects.values_list("pk", flat=True)) >= set(keys), (
                label
            )
        assert kept.keys() >= {"providers.Provider", "controlplane.RequestRecord"}
    finally:
        migrated_to(leaves)
        for app in reversed(OURS):
            for model in django_apps.get_app_config(app).get_models():
                model.objects.all().delete()


@pytest.mark.django_db(transaction=True)
def test_a_record_of_the_wide_table_says_the_same_in_the_narrow_one() -> None:
    leaves = list(MigrationExecutor(connection).loader.graph.leaf_nodes())
    try:
        apps = migrated_to([("controlplane", "0002_request_record")])
        wide = apps.get_model("controlplane", "RequestRecord")
        ids = [uuid.UUID(int=1), uuid.UUID(int=2)]
        call = {
            "provider": "a", "model": "x", "credential": "main", "started_ms": 1.0, "status": 503,
            "fault": "status", "message": "boom",
        }  # fmt: skip
        for own, given in zip(ids, [f"req_{ids[0].hex}", "the-callers-own"], strict=True):
            wide.objects.create(
                id=own, request_id=given, started_at=MOMENT, duration_ms=12.5, outcome="answered",
                endpoint="/v1/chat/completions", provider="b", model="y", status=200, stream=True,
                needs=["tools"], planned=["a/x", "b/y"], strategy="priority_failover",
                rejected=[{"candidate": "c/z", "reason": "benched"}], attempts=[call], generation=7,
            )  # fmt: skip
    finally:
        migrated_to(leaves)

    first, second = RequestRecord.objects.order_by("pk")
    assert (first.request_id, second.request_id) == ("", "the-callers-own")
    assert (first.provider, first.model, first.calls, first.duration_ms) == ("b", "y", 1, 12.5)
    told = first.told
    assert told.endpoint == "/v1/chat/completions"
    assert told.features.needs == ("tools",)
    assert told.decision.planned == ("a/x", "b/y")
    assert told.decision.rejected[0].reason == "benched"
    (attempt,) = told.attempts
    assert (attempt.provider, attempt.model) == ("a", "x")
    assert (attempt.status, attempt.fault, attempt.message) == (503, "status", "boom")
    RequestRecord.objects.all().delete()


def test_the_same_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:randomly",
            "-k", "not postgresql", __file__,
        ],
        cwd=ROOT, env=environment(tmp_path, DATABASE_URL=postgres_url),
        text=True, capture_output=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
