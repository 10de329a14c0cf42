"""Delete works in admin: each kind of object, populated, singly and in bulk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.urls import reverse

from controlplane.models import Team
from failover.models import FailoverRule
from providers.models import ProviderModel
from routing.models import Alias, AliasTarget, RoutingState
from tests.support import rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import Model
    from django.test import Client

pytestmark = pytest.mark.django_db


def a_provider() -> Model:
    row = rows.provider("lab", secret="a-key-of-it")
    ProviderModel.objects.create(provider=row, model_id="m-1", position=0)
    ProviderModel.objects.create(provider=row, model_id="m-2", position=1)
    return row


def a_pool() -> Model:
    rows.provider("lab")
    return rows.pool("small", "lab/a", "lab/b")


def an_alias() -> Model:
    rows.provider("lab")
    row = Alias.objects.create(name="own")
    AliasTarget.objects.create(alias=row, provider_name="lab", model="a", position=0)
    return row


def a_rule() -> Model:
    return rows.rule("small", "large")


def a_key() -> Model:
    team = Team.objects.create(name="a")
    return rows.api_key("of-a", "sy_of-a-0123456789", team=team)


def a_team() -> Model:
    return Team.objects.create(name="b")


def a_switch() -> Model:
    rows.provider("lab")
    return RoutingState.objects.create(kind="provider", provider_name="lab", enabled=False)


def a_user() -> Model:
    user = User.objects.create_user("bob", password="pw")
    user.groups.add(Group.objects.create(name="g"))
    return user


MADE: dict[str, Callable[[], Any]] = {
    make.__name__: make
    for make in (a_provider, a_pool, an_alias, a_rule, a_key, a_team, a_switch, a_user)
}


def page(row: Model, what: str) -> str:
    meta = row._meta
    place = f"admin:{meta.app_label}_{meta.model_name}_{what}"
    return reverse(place, args=[] if what == "changelist" else [row.pk])


@pytest.mark.parametrize("name", MADE)
def test_one_object_is_deleted_with_all_that_belongs_to_it(admin_client: Client, name: str) -> None:
    row = MADE[name]()

    asked = admin_client.get(page(row, "delete"))
    assert asked.status_code == 200
    assert "permission to delete" not in asked.content.decode()
    done = admin_client.post(page(row, "delete"), {"post": "yes"})

    assert done.status_code == 302
    assert not type(row).objects.filter(pk=row.pk).exists()


@pytest.mark.parametrize("name", sorted(set(MADE) - {"a_switch"}))
def test_several_objects_are_deleted_with_all_that_belongs_to_them(
    admin_client: Client, name: str
) -> None:
    row = MADE[name]()
    order = {"action": "delete_selected", admin.helpers.ACTION_CHECKBOX_NAME: [row.pk]}

    asked = admin_client.post(page(row, "changelist"), order)
    assert asked.status_code == 200
    assert "permission to delete" not in asked.content.decode()
    done = admin_client.post(page(row, "changelist"), {**order, "post": "yes"})

    assert done.status_code == 302
    assert not type(row).objects.filter(pk=row.pk).exists()


def test_whoever_may_not_delete_a_pool_may_not_delete_its_candidates_by_it(client: Client) -> None:
    user = User.objects.create_user("staff", password="pw", is_staff=True)
    client.force_login(user)
    row = a_pool()
    assert client.post(page(row, "delete"), {"post": "yes"}).status_code == 403
    assert FailoverRule.objects.count() == 0
    assert type(row).objects.filter(pk=row.pk).exists()
