"""The documentation as pages of admin, and the way to it from the page that it is about."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from controlplane.overview.docs import ABOUT, PAGES
from tests.support.forms import address

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db
HREF = re.compile(r'href="([^"]*)"')


def article(client: Client, name: str) -> str:
    shown = client.get(reverse("docs-page", args=[name])).content.decode()
    return shown.partition('<article class="docs-text">')[2].partition("</article>")[0]


def test_every_page_is_shown_and_every_link_in_it_leads_to_a_part_that_is_there(
    admin_client: Client,
) -> None:
    shown = {name: article(admin_client, name) for name in PAGES}
    ids = {name: set(re.findall(r'id="([^"]*)"', text)) for name, text in shown.items()}

    lost = [
        (name, link)
        for name, text in shown.items()
        for link in HREF.findall(text)
        if link.startswith(("/", "#")) and link != "#"
        for page, _, part in [link.partition("#")]
        if part and part not in ids.get(page.rstrip("/").rpartition("/")[2] or name, ())
    ]
    assert lost == []
    assert all(shown.values())
    assert "<table" in shown["failover"]


def test_each_part_that_a_page_of_admin_leads_to_is_there(admin_client: Client) -> None:
    parts = {about.partition("#")[::2] for _, about in ABOUT}
    missing = [
        (page, part)
        for page, part in parts
        if part and f'id="{part}"' not in article(admin_client, page)
    ]
    assert missing == []


def test_a_page_leads_to_what_is_said_of_it(admin_client: Client) -> None:
    shown = admin_client.get(address("failover_bench", "changelist")).content.decode()
    assert f'href="{reverse("docs-page", args=["failover"])}#benches"' in shown
    add = admin_client.get(address("controlplane_apikey", "add")).content.decode()
    assert f'href="{reverse("docs-page", args=["access"])}"' in add


def test_the_menu_leads_to_the_documentation_and_the_apis(admin_client: Client) -> None:
    menu = admin_client.get(reverse("docs")).content.decode()
    assert f'href="{reverse("docs")}"' in menu
    assert f'href="{reverse("api-docs")}"' in menu


def test_what_admin_does_not_show_is_not_there_and_strangers_see_nothing(
    admin_client: Client, client: Client
) -> None:
    assert admin_client.get("/admin/docs/nosuch/").status_code == 404
    assert client.get(reverse("docs")).status_code == 302
