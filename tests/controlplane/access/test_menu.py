"""Admin's menu: an entry is there if its page would let one in, and else not."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from controlplane.settings import UNFOLD

pytestmark = pytest.mark.django_db
ENTRIES = {
    str(item["link"]): str(item["title"])
    for group in UNFOLD["SIDEBAR"]["navigation"]
    for item in group["items"]
}
# Without a gateway in this process they are not found, whoever asks.
NEED_A_GATEWAY = {"/admin/pools-now/", "/admin/explain/", "/admin/try/"}


def somebody(*permissions: str) -> Client:
    user = User.objects.create_user(f"with {len(permissions)}", is_staff=True)
    for permission in permissions:
        label, _, codename = permission.partition(".")
        user.user_permissions.add(
            Permission.objects.get(content_type__app_label=label, codename=codename)
        )
    client = Client()
    client.force_login(user)
    return client


def menu(client: Client) -> set[str]:
    html = client.get("/admin/").content.decode()
    nav = html[html.index('id="nav-sidebar-apps"') :]
    return {link for link in re.findall(r'<a href="([^"]+)"', nav) if link in ENTRIES}


def test_who_may_do_everything_sees_every_entry():
    client = Client()
    client.force_login(User.objects.create_superuser("ada"))
    assert menu(client) == set(ENTRIES)


def test_an_entry_is_there_if_and_only_if_its_page_opens():
    client = somebody(
        "controlplane.view_captured", "routing.view_canonicalmodel", "auth.change_user"
    )
    shown = menu(client)
    for link in ENTRIES:
        opens = {200, 404} if link in NEED_A_GATEWAY else {200}
        assert (client.get(link, follow=True).status_code in opens) == (link in shown), link
    assert {ENTRIES[link] for link in shown} == {
        "Overview", "Captured", "Pools now", "Explain", "Model pools", "Users",
    }  # fmt: skip
