"""What would lose an object is said before it is deleted, in admin and API alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape

from controlplane.advice.uses import DAY, uses_of
from controlplane.models import Team
from controlplane.records.models import CallMinute, RequestMinute
from routing.models import CanonicalModel
from tests.support import rows
from tests.support.api import ADMIN_KEY, Api

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db

OF_A_POOL = [
    "Failover rules that nobody could follow any more: those for small.",
    "Failover rules that would lose a fallback: those for large.",
    "Keys that may use it by name: narrow.",
    "In the last 24 hours 1,210 requests, by key: narrow 1,200, wide 10.",
]
OF_A_PROVIDER = [
    "Failover rules that would lose a fallback: those for small.",
    "Keys that may use it by name: direct.",
    "In the last 24 hours 7 calls, by pool: small 7.",
]
OF_A_TEAM = [
    "Keys that would be of no team, and go on: narrow.",
    "In the last 24 hours 1,200 requests, by key: narrow 1,200.",
]


@pytest.fixture(autouse=True)
def world(db: None) -> dict[str, Any]:
    now = timezone.now().replace(second=0, microsecond=0)
    team = Team.objects.create(name="search")
    rows.api_key("operator", ADMIN_KEY, scopes=["admin"])
    rows.api_key("narrow", "sy_1", models=["small"], team=team)
    rows.api_key("wide", "sy_2", models=["s*"])
    rows.api_key("direct", "sy_3", models=["lab/a"])
    provider = rows.provider("lab")
    rows.rule("small", "lab/a", "other")
    rows.rule("large", "small")
    for ago, key, number in (
        (now - DAY / 2, "narrow", 1200),
        (now, "wide", 10),
        (now - 2 * DAY, "wide", 5000),
    ):
        RequestMinute.objects.create(minute=ago, pool="small", key=key, requests=number)
    CallMinute.objects.create(minute=now, pool="small", provider="lab", model="a", calls=7)
    return {"pool": rows.pool("small", "other/a"), "provider": provider, "team": team}


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("pool", "small", OF_A_POOL),
        ("provider", "lab", OF_A_PROVIDER),
        ("team", "search", OF_A_TEAM),
    ],
)
def test_admins_confirmation_and_the_api_say_the_same(
    world: dict[str, Any], admin_client: Client, kind: str, name: str, said: list[str]
) -> None:
    row = world[kind]
    place = f"admin:{row._meta.app_label}_{row._meta.model_name}"

    one = admin_client.get(reverse(f"{place}_delete", args=[row.pk])).content.decode()
    order = {"action": "delete_selected", ACTION_CHECKBOX_NAME: [row.pk]}
    several = admin_client.post(reverse(f"{place}_changelist"), order).content.decode()

    assert uses_of(row) == said
    assert Api()("get", f"uses?kind={kind}&name={name}").json() == {"uses": said}
    for sentence in said:
        assert escape(sentence) in one
        assert escape(sentence) in several


def test_a_delete_by_api_says_in_its_header_what_has_lost_the_object() -> None:
    gone = Api()("delete", "pools/small")

    assert gone.status_code == 204
    assert gone["x-switchyard-warning"] == "; ".join(OF_A_POOL)
    rows.pool("idle", "other/a")
    assert "x-switchyard-warning" not in Api()("delete", "pools/idle")


def test_nothing_is_lost_where_the_configuration_has_one_of_the_name(world: dict[str, Any]) -> None:
    CanonicalModel.objects.create(name="small", managed_source="config")

    assert uses_of(world["pool"]) == []


def test_what_keeps_an_object_from_being_deleted_stands_before_what_would_lose_it() -> None:
    rows.alias("little", "small")

    said = Api()("get", "uses?kind=pool&name=small").json()["uses"]

    assert said == ["The alias little stands for it.", *OF_A_POOL]
    assert Api()("get", "uses?kind=thing&name=small").status_code == 400
    assert Api()("get", "uses?kind=pool&name=none").status_code == 404
