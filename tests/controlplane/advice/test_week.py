"""A seeded week: each planted problem is found, nothing else is, and every figure is a query's."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, transaction

from controlplane.advice.evidence import Picture
from controlplane.advice.keeping import keep
from controlplane.advice.models import Suggestion
from controlplane.advice.suggesting import found_in
from tests.controlplane.advice import seeded
from tests.support.gateways import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db

QUERY = re.compile(r"```sql\n(.*?)```", re.DOTALL)
NAMES = frozenset({"until", "candidate", "providers", "model"})  # of figures that choose rows


@pytest.fixture(scope="module")
def week(django_db_setup, django_db_blocker):
    """The week, looked at once; what is found stands in the database for all tests here."""
    with django_db_blocker.unblock(), transaction.atomic():
        seeded.seed()
        keep(found_in(Picture(seeded.NOW)), seeded.NOW)
        yield {(row.kind, row.target): row for row in Suggestion.objects.all()}
        transaction.set_rollback(True)


def test_each_planted_problem_is_found_and_nothing_else(week):
    assert {*week} == seeded.PLANTED
    assert Suggestion.objects.count() == len(seeded.PLANTED)


@pytest.mark.parametrize(
    ("planted", "edits"),
    [
        (("pool_candidate", "lonely"), [("south/lonely-1", "candidate")]),
        (("pool_candidate", "haunted"), [("west/haunted-1", "enabled")]),
        (("order", "failing-first"), [("", "order")]),
        (("weight", "lopsided"), [("south/lop-1", "weight")]),
        (("weight", "cramped"), [("north/cramped-1", "weight")]),
        (("limit", "throttled"), [("east/throttled-1", "rpm")]),
        (("failure_domain", "alpha, beta"), [("", "failure_domain")] * 2),
    ],
)
def test_each_names_what_would_change(week, planted, edits):
    said = week[planted].change["edits"]
    assert [(edit["candidate"], edit["field"]) for edit in said] == edits


def test_a_rule_names_the_nearest_and_nobody_who_lacks_what_traffic_used(week):
    (edit,) = week["failover_rule", "ruleless"].change["edits"]
    assert (edit["from"], edit["to"][0]) == (None, "west/ruleless-2")
    assert not {"east/ruleless-mini", "south/ruleless-short"} & {*edit["to"]}


def test_a_dearer_first_candidate_says_what_the_other_saves(week):
    row = week["order", "dear-first"]
    assert row.price_change == -7
    assert row.change["edits"][0]["to"] == ["north/dear-1", "south/dear-1"]


def queries() -> list[str]:
    return QUERY.findall((ROOT / "docs/suggestions.md").read_text("utf-8"))


def answers(values: dict[str, Any]) -> dict[str, Any]:
    """What the document's queries say of these values; a column of several rows is a list."""
    found: dict[str, Any] = {}
    for query in queries():
        wanted = set(re.findall(r":(\w+)", query))
        if not wanted <= values.keys():
            continue
        with connection.cursor() as cursor:
            cursor.execute(re.sub(r":(\w+)", r"%(\1)s", query), values)
            columns = [column[0] for column in cursor.description]
            rows = cursor.fetchall()
        if columns == ["needs"]:
            found["needs"] = [need for (need,) in rows]
        else:
            found |= dict(zip(columns, rows[0], strict=True))
    return found


def named(row: Suggestion, figures: dict[str, Any]) -> dict[str, Any]:
    """The values that choose a figure's rows, as the document says."""
    if "candidate" in figures:
        provider, _, model = figures["candidate"].partition("/")
        pool = "" if row.kind == "limit" else row.target
        return {"provider": provider, "model": model, "pool": pool}
    if "providers" in figures:
        return dict(zip(("first", "second"), figures["providers"], strict=True))
    return {"name": figures["model"]}


def told() -> Iterator[tuple[Suggestion, dict[str, Any], int]]:
    for row in Suggestion.objects.all():
        for ground in row.evidence:
            if ground["figures"]:
                yield row, ground["figures"], ground["window_s"]


def test_every_figure_is_what_the_documents_query_says(week):
    compared = set()
    for row, figures, seconds in told():
        until = datetime.fromisoformat(figures["until"])
        times = {"since": until - timedelta(seconds=seconds), "until": until}
        words = {name: f"{at:%Y-%m-%d %H:%M:%S}" for name, at in times.items()}
        found = answers(words | named(row, figures))
        for name, value in figures.items():
            if name in NAMES:
                continue
            compared.add(name)
            told_value = found[name]
            assert (
                told_value == value
                or float(told_value) == pytest.approx(value, abs=1e-4)
            ), f"{row}: {name}"  # fmt: skip
    assert compared >= {
        "calls", "served", "errors", "rate_limited", "minutes", "error_minutes", "usd_per_mtok",
        "rate_limited_minutes", "content_p50_ms", "content_p95_ms", "passed_rpm", "hours",
        "bad_minutes_of_first", "bad_minutes_of_second", "bad_minutes_of_both", "requests", "lost",
        "failovers", "most_input_tokens", "needs",
    }  # fmt: skip
