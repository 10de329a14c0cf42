"""Whole lists of the API, which scripts read: the same as each object alone, and quick."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db.models.signals import post_init

from providers.models import ListedModel
from routing.models import Alias, AliasTarget, Candidate, CanonicalModel
from tests.support import rows
from tests.support.api import ADMIN_KEY, Api

pytestmark = pytest.mark.django_db
CONFIG = {"managed_source": "config"}


@pytest.fixture
def api(db) -> Api:
    rows.api_key("operator", ADMIN_KEY, scopes=["admin"])
    return Api()


def fill() -> None:
    rows.provider("lab", secret="sk-lab-0123456789", timeouts={"connect_s": 2})
    rows.provider("lab", **CONFIG)
    now = datetime(2026, 11, 28, tzinfo=UTC)
    ListedModel.objects.create(
        provider="lab", model_id="m", first_seen_at=now, last_seen_at=now, catalog_match=""
    )
    rows.pool("small", "lab/m", "lab/gone", failover={"max_attempts": 2}, native_first=True)
    rows.pool("small", "lab/m", **CONFIG)
    rows.pool("a/b", "lab/n", session_affinity_ttl_s=1.5)
    rows.pool("empty")
    rows.alias("nick", "small")
    own = rows.alias("own", "", strategy="round_robin")
    for position, model in enumerate(("x", "m")):
        AliasTarget.objects.create(alias=own, provider_name="lab", model=model, position=position)


@pytest.mark.parametrize("kind", ["pools", "providers", "aliases", "keys"])
def test_a_list_shows_each_object_as_it_shows_it_alone(api, kind):
    fill()
    whole = api("get", kind).json()
    assert whole
    for row in whole:
        path = f"{kind}/{row['name']}?managed_source={row['managed_source']}"
        assert row == api("get", path).json()
    assert api("get", f"{kind}?limit=100").json()["results"] == whole


def test_a_list_of_pools_shows_their_candidates_in_order_with_their_flags(api):
    fill()
    small = api("get", "pools?managed_source=dashboard").json()[-1]
    assert [(c["model"], c["flag"]) for c in small["candidates"]] == [
        ("m", ""),
        ("gone", "not in the provider's list"),
    ]
    assert small["is_shadowed"] is True


def test_a_whole_list_makes_no_model_of_a_row_and_asks_as_often_for_many(
    api, django_assert_num_queries
):
    fill()
    made: list[Any] = []

    def note(sender: Any, **_more: Any) -> None:
        if sender in {Alias, AliasTarget, Candidate, CanonicalModel}:
            made.append(sender)

    post_init.connect(note)
    try:
        for kind in ("pools", "aliases"):
            with django_assert_num_queries(5 if kind == "pools" else 3):
                api("get", kind)
    finally:
        post_init.disconnect(note)
    assert made == []
