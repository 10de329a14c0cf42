"""Ctrl-K finds what is there, by a part of its name, for whoever may see it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import reverse

from controlplane.records.ingest import store
from controlplane.records.models import RequestRecord
from routing.gateway.records.record import row_of
from tests.support import rows
from tests.support.builders import request_record

pytestmark = pytest.mark.django_db


@pytest.fixture
def things():
    rows.provider("lab-provider")
    pool = rows.pool("lab-pool", "lab-provider/a")
    rows.alias("lab-alias", "lab-pool")
    rows.rule("lab-pool", "lab-provider/b")
    rows.api_key("lab-key", "sy_key")
    return pool


def found(client, asked: str) -> str:
    answer = client.get(reverse("admin:search"), {"s": asked, "extended": "1"})
    assert answer.status_code == 200
    return answer.content.decode()


def test_pages_and_objects_of_every_kind_are_found_by_a_part_of_their_name(client, things):
    client.force_login(User.objects.create_superuser("ada"))
    page = found(client, "LAB")
    for name in ("lab-provider", "lab-pool", "lab-alias", "lab-key"):
        assert f">{name}<" in page
    assert reverse("admin:routing_canonicalmodel_change", args=[things.pk]) in page
    assert "failover rule" in page
    assert reverse("processes") in found(client, "proc")


def test_a_request_is_found_by_its_id(client):
    client.force_login(User.objects.create_superuser("ada"))
    store([row_of(request_record(request_id="req_0123"))])
    record = RequestRecord.objects.get()
    assert reverse("admin:controlplane_requestrecord_change", args=[record.pk]) in found(
        client, "req_0123"
    )


def test_what_nobody_may_see_is_not_found(client, things):
    user = User.objects.create_user("sam", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_canonicalmodel"))
    client.force_login(user)
    page = found(client, "lab")
    assert ">lab-pool<" in page
    assert "lab-key" not in page
    assert "lab-provider" not in page
    assert reverse("processes") not in found(client, "proc")


def test_that_nothing_is_found_is_said_and_markup_stays_text(client):
    client.force_login(User.objects.create_superuser("ada"))
    page = found(client, "<b>nosuch")
    assert "Nothing is called" in page
    assert "&lt;b&gt;nosuch" in page
    assert "Nothing is called" not in found(client, "   ")
    assert found(client, "%" * 5000)
