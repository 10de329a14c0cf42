"""What was captured of requests: on its way to the database, shown to few, and to nobody unseen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission, User
from django.db import OperationalError, connection
from django.test import Client

from controlplane.config.document import parse
from controlplane.config.mirror import mirror
from controlplane.models import ApiKey
from controlplane.publishing.content import Builder
from controlplane.records.ingest import Ingester, store
from controlplane.records.models import Captured, CapturedLook
from routing.gateway.deciding.snapshot import CaptureSpec
from routing.gateway.records.capture import CaptureRow
from routing.gateway.records.record import row_of
from routing.gateway.records.spool import CAPTURED, SPOOL_DIR, SpoolWriter, spool_files
from tests.support import rows
from tests.support.builders import request_record

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.django_db

ADMIN_KEY = "sy_admin-key-of-the-captures-012345"
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
ID = f"{int(AT.timestamp() * 1000):012x}7abca123456789abcdef"
ROW = CaptureRow(ID, "team", "gpt", '{"prompt": "p"}', '{"answer": "a"}', False, 3)


@pytest.fixture
def spool(tmp_path: Path) -> SpoolWriter:
    return SpoolWriter(tmp_path / SPOOL_DIR, worker="1").for_captures()


@pytest.fixture
def captured() -> Captured:
    store([row_of(request_record(id=ID, request_id="mine"))])
    return Captured.objects.create(
        record=UUID(ID), key="team", pool="gpt", request="a <b>prompt</b>", response="an answer",
        expires_at=AT + timedelta(days=3),
    )  # fmt: skip


@pytest.fixture
def api() -> Client:
    rows.api_key("operator", ADMIN_KEY, scopes=["admin"])
    return Client(headers={"authorization": f"Bearer {ADMIN_KEY}"})


def staff(client: Client, *permissions: str) -> Client:
    user = User.objects.create_user("ada", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(user)
    return client


def looks() -> list[tuple[str, str, str]]:
    found = CapturedLook.objects.order_by("pk").values_list("who", "place", "record")
    return [(who, place, record.hex) for who, place, record in found]


PAGE = f"/admin/controlplane/captured/{UUID(ID)}/change/"


# On its way


def test_what_was_captured_comes_into_the_database_once(spool: SpoolWriter, tmp_path: Path) -> None:
    ingester = Ingester(tmp_path)
    for _ in range(2):  # as when it died after the commit
        spool.append([ROW])
        spool.close()
        ingester.round()

    row = Captured.objects.get()
    assert (row.record.hex, row.key, row.pool) == (ID, "team", "gpt")
    assert (row.request, row.response, row.is_cut) == (ROW.request, ROW.response, False)
    assert row.expires_at == AT + timedelta(days=3)
    assert list(spool_files(tmp_path / SPOOL_DIR, CAPTURED)) == []


def test_a_time_beyond_all_reason_is_a_century(spool: SpoolWriter, tmp_path: Path) -> None:
    spool.append([CaptureRow(ID, "team", "gpt", keep_days=1e12)])
    spool.close()
    ingester = Ingester(tmp_path)
    ingester.round()

    assert ingester.error == ""
    assert Captured.objects.get().expires_at.year == 2126


def test_a_torn_file_costs_what_was_torn(spool: SpoolWriter, tmp_path: Path) -> None:
    spool.append([ROW])
    spool.append([CaptureRow("1" * 32, "team", "gpt")])
    spool.close()
    [path] = spool_files(tmp_path / SPOOL_DIR, CAPTURED)
    path.write_bytes(path.read_bytes()[:-5])
    ingester = Ingester(tmp_path)
    ingester.round()

    assert ingester.error == ""
    assert Captured.objects.get().record.hex == ID


# Who asks for it


def test_keys_pools_and_the_file_say_what_is_captured() -> None:
    rows.api_key("k", ADMIN_KEY, capture={"requests": True, "keep_days": 1})
    rows.api_key("silent", "sy_another-key-of-the-captures-01")
    rows.pool("p", "lab/m", capture={"responses": False})
    rows.pool("quiet", "lab/m")
    text = "capture: {requests: false, responses: true, keep_days: 5}"
    mirror(parse(text, filename="c.yaml", environ={}))

    content = Builder().build()
    assert {spec.name: spec.capture for spec in content.keys} == {
        "k": CaptureSpec(requests=True, keep_days=1),
        "silent": None,
    }
    assert {spec.name: spec.capture for spec in content.pools} == {
        "p": CaptureSpec(responses=False),
        "quiet": None,
    }
    assert content.capture == CaptureSpec(requests=False, responses=True, keep_days=5)


def test_a_setting_of_an_earlier_version_counts() -> None:
    ApiKey.objects.create(name="k", digest="ab" * 32, capture={})

    assert Builder().build().capture is None


# Who sees it


def test_the_page_shows_both_as_text_and_notes_who_looked(client: Client, captured: Any) -> None:
    staff(client, "view_captured", "view_requestrecord")
    answer = client.get(PAGE)
    html = answer.content.decode()

    assert "a &lt;b&gt;prompt&lt;/b&gt;" in html
    assert "an answer" in html
    assert "no-store" in answer["Cache-Control"]
    assert looks() == [("ada", "admin", ID)]


def test_the_requests_page_leads_there_for_those_who_may(client: Client, captured: Any) -> None:
    page = f"/admin/controlplane/requestrecord/{ID}/change/"
    user = staff(client, "view_requestrecord")
    without = user.get(page).content.decode()
    ada = User.objects.get(username="ada")
    ada.user_permissions.add(Permission.objects.get(codename="view_captured"))
    with_it = user.get(page).content.decode()

    assert PAGE not in without
    assert PAGE in with_it
    assert "a <b>prompt" not in with_it
    assert "prompt&lt;" not in with_it
    assert looks() == []


def test_who_may_only_see_requests_sees_no_prompt(client: Client, captured: Any) -> None:
    staff(client, "view_requestrecord")

    assert client.get(PAGE).status_code == 403
    assert client.get(f"/api/requests/{ID}/captured").status_code == 403
    assert looks() == []


def test_the_list_shows_no_prompt_and_nobody_writes_one(client: Client, captured: Any) -> None:
    client.force_login(User.objects.create_superuser("root"))
    answer = client.get("/admin/controlplane/captured/").content.decode()

    assert "team" in answer
    assert "prompt&lt;" not in answer
    assert looks() == []
    assert client.get("/admin/controlplane/captured/add/").status_code == 403
    assert client.post(PAGE, {"request": "x"}).status_code == 403
    assert client.post(PAGE.replace("change", "delete"), {"post": "yes"}).status_code == 403
    assert Captured.objects.get().request == captured.request


def test_looks_are_listed_and_cannot_be_taken_back(client: Client, captured: Any) -> None:
    client.force_login(User.objects.create_superuser("root"))
    client.get(PAGE)
    page = "/admin/controlplane/capturedlook/"
    mine = client.get(page, {"record": ID}).content.decode()
    others = client.get(page, {"record": "1" * 32}).content.decode()

    assert "req_" + ID in mine
    assert "req_" + ID not in others
    look = CapturedLook.objects.get()
    assert client.post(f"{page}{look.pk}/delete/", {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("name", [ID, "mine"])
def test_the_api_gives_it_by_either_id_and_notes_the_key(
    api: Client, captured: Any, name: str
) -> None:
    answer = api.get(f"/api/requests/{name}/captured")

    assert answer.json() == {
        "record": str(Captured.objects.get().record),
        "key": "team",
        "pool": "gpt",
        "request": "a <b>prompt</b>",
        "response": "an answer",
        "is_cut": False,
        "expires_at": "2026-11-24T12:00:00Z",
    }
    assert answer["Cache-Control"] == "no-store"
    assert looks() == [("key operator", "API", ID)]


def test_of_a_request_that_was_not_captured_there_is_nothing(api: Client) -> None:
    store([row_of(request_record(id=ID))])

    assert api.get(f"/api/requests/{ID}/captured").status_code == 404
    assert looks() == []


def test_what_cannot_be_noted_is_not_shown(client: Client, captured: Any) -> None:
    staff(client, "view_captured")
    client.raise_request_exception = False

    def refuse(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        if sql.startswith('INSERT INTO "controlplane_capturedlook"'):
            raise OperationalError("the disk is full")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse):
        answer = client.get(PAGE)

    assert answer.status_code == 503
    assert b"an answer" not in answer.content
