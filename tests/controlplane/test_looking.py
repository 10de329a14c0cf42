"""Looking writes nothing: every page and every GET of the API, with and without rows."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib.admin import site
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import NoReverseMatch, reverse

from controlplane.edits.models import Revision
from controlplane.menu.entries import MENU
from controlplane.publishing.publisher import publish
from providers.models import Provider
from tests.support.configuration import a_bit_of_everything

pytestmark = pytest.mark.django_db


OF_ALL = {"changelist", "add"}


def everything_stored() -> dict[str, list[object]]:
    return {
        model._meta.label: list(model._default_manager.order_by("pk").values())
        for model in apps.get_models(include_auto_created=True)
        if model._meta.managed and model._meta.label != "sessions.Session"
    }


def admin_pages() -> set[str]:
    pages = {"/admin/", *(reverse(item["name"]) for part in MENU for item in part["items"])}
    for model in site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        row = model._default_manager.first()
        of_row = [row.pk] if row is not None else []
        for page in ("changelist", "add", "change", "history", "delete", "rollback", "undo"):
            try:
                pages.add(reverse(f"{name}_{page}", args=[] if page in OF_ALL else of_row))
            except NoReverseMatch:
                continue  # not every table has such a page, or a row
    return pages


def api_paths(client: Client) -> list[str]:
    found = client.get("/api/schema/", headers={"accept": "application/json"}).json()["paths"]
    names = {
        **dict.fromkeys(["name", "primary_model"], "small"),
        **dict.fromkeys(["number", "id"], str(Revision.objects.count())),
        **dict.fromkeys(["request_id", "generation"], "1"),
    }
    return [path.format_map(names) for path, methods in found.items() if "get" in methods]


@pytest.mark.parametrize("is_empty", [True, False])
def test_looking_writes_nothing(client, tmp_path, is_empty):
    if not is_empty:
        a_bit_of_everything()
        publish(tmp_path)
        Provider.objects.filter(name="sim").update(fault="")
        publish(tmp_path)
    client.force_login(User.objects.create_superuser("ada"))
    before = everything_stored()
    with CaptureQueriesContext(connection) as asked:
        pages = [*admin_pages(), *([] if is_empty else api_paths(client))]
        seen = {page: client.get(page, follow=True).status_code for page in sorted(pages)}
    assert [page for page, status in seen.items() if status == 500] == []
    assert sum(status == 200 for status in seen.values()) > 40
    wrote = [sql for sql in (q["sql"] for q in asked) if not sql.startswith(("SELECT", "PRAGMA"))]
    assert wrote == []
    assert everything_stored() == before
