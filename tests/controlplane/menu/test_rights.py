"""Every entry of the menu is there for who may open its page, and for nobody else."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import reverse

from controlplane.menu.entries import MENU
from controlplane.menu.rights import needs

pytestmark = pytest.mark.django_db

ENTRIES = [item for group in MENU for item in group["items"]]


def staff(client, *permissions: str):
    user = User.objects.create_user("sam", is_staff=True)
    for name in permissions:
        app, codename = name.split(".")
        user.user_permissions.add(
            Permission.objects.get(content_type__app_label=app, codename=codename)
        )
    client.force_login(user)
    return client


def menu_of(client) -> set[str]:
    page = client.get(reverse("admin:password_change")).content.decode()
    return {reverse(item["name"]) for item in ENTRIES} & set(re.findall(r'href="([^"]+)"', page))


def test_who_may_nothing_sees_the_overview_and_what_explains_it(client):
    free = {reverse(name) for name in ("admin:index", "docs", "api-docs")}
    assert menu_of(staff(client)) == free


@pytest.mark.parametrize("item", ENTRIES, ids=lambda item: str(item["title"]))
def test_an_entry_is_seen_by_who_may_open_it(client, item):
    link = reverse(item["name"])
    wanted = needs(item["name"])
    client = staff(client, *wanted)
    assert link in menu_of(client)
    assert client.get(link).status_code in {200, 302, 404}  # 404: no gateway in this process
    for lacking in wanted:
        User.objects.all().delete()
        client = staff(client, *(set(wanted) - {lacking}))
        assert link not in menu_of(client)
        assert client.get(link, follow=True).status_code == 403


def test_what_is_not_there_or_not_allowed_is_a_page_of_ours(client):
    client = staff(client)
    for link, status in {"/admin/nothing/": 404, reverse("jobs"): 403}.items():
        answer = client.get(link)
        assert answer.status_code == status
        assert "To the overview" in answer.content.decode()
    client.logout()
    stranger = client.get("/nothing")
    assert stranger.status_code == 404
    assert "To the overview" not in stranger.content.decode()
