"""A key's other text: who it opens for, until when, and that it stays one key."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from controlplane.models import ApiKey, digest_of
from controlplane.publishing.content import Builder
from routing.gateway.auth import authenticate
from routing.gateway.deciding.table import compile_table
from routing.gateway.errors import Refused
from tests.support import rows
from tests.support.api import ADMIN_KEY, Api
from tests.support.builders import snapshot
from tests.support.forms import address

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db
FORMER = "sy_of-before-0123456789-0123456789"


@pytest.fixture(autouse=True)
def caller(db: None) -> ApiKey:
    rows.api_key("operator", ADMIN_KEY, scopes=["admin"])
    return rows.api_key("caller", FORMER, rpm=5)


def named_by(text: str, in_s: float = 0) -> str:
    """The key that a worker takes `text` for, so many seconds from now; "" if for none."""
    content = Builder().build()
    table = compile_table(snapshot(content), decrypt=str, environ={})
    now = timezone.now().timestamp() + in_s
    try:
        key = authenticate({b"x-api-key": text.encode()}, table.keys, master=None, now=now)
    except Refused:
        return ""
    assert key.spec.digest.hex() == ApiKey.objects.get(name=key.spec.name).digest
    return f"{key.spec.name} {key.spec.rpm}"


def rotate(**order: Any) -> dict[str, Any]:
    answer = Api()("post", "keys/caller/rotate", order)
    assert answer.status_code == 200, answer.content
    return dict(answer.json())


def test_both_texts_open_until_the_time_chosen_and_count_as_one_key() -> None:
    made = rotate(overlap_s=600)

    assert named_by(made["key"]) == named_by(FORMER) == "caller 5"
    assert named_by(made["key"], in_s=601) == "caller 5"
    assert named_by(FORMER, in_s=601) == ""
    assert "key" not in Api()("get", "keys/caller").json()


def test_without_an_overlap_the_former_text_ends_at_once() -> None:
    made = rotate(overlap_s=0)

    assert made["former_until"] is None
    assert (named_by(made["key"]), named_by(FORMER)) == ("caller 5", "")


def test_a_second_rotation_ends_the_text_before_the_present_one() -> None:
    first = rotate()["key"]
    second = rotate()["key"]

    assert [named_by(text) for text in (FORMER, first, second)] == ["", "caller 5", "caller 5"]


def test_the_api_itself_takes_both_texts_of_an_admin_key_until_then() -> None:
    made = Api()("post", "keys/operator/rotate", {"overlap_s": 60}).json()["key"]
    assert Api()("get", "failover").status_code == Api(made)("get", "failover").status_code == 200

    ApiKey.objects.filter(name="operator").update(former_until=timezone.now())

    assert Api()("get", "failover").status_code == 401
    assert Api(made)("get", "failover").status_code == 200


def test_the_former_text_may_end_sooner_and_never_later() -> None:
    until = rotate(overlap_s=600)["former_until"]
    api = Api()
    sooner = (timezone.now() + timedelta(seconds=60)).isoformat()
    later = (timezone.now() + timedelta(seconds=900)).isoformat()

    refused = api("patch", "keys/caller", {"former_until": later})
    assert (refused.status_code, list(refused.json())) == (400, ["former_until"])
    assert api("patch", "keys/caller", {"former_until": until}).status_code == 200
    assert api("patch", "keys/caller", {"former_until": sooner}).status_code == 200
    assert named_by(FORMER, in_s=61) == ""
    assert api("patch", "keys/caller", {"former_until": None}).status_code == 200
    assert named_by(FORMER) == ""
    assert api("post", "keys", {"name": "new", "former_until": sooner}).status_code == 400


def test_admin_rotates_and_shows_the_key_once_with_a_call_to_copy(admin_client: Client) -> None:
    row = ApiKey.objects.get(name="caller")
    rows.pool("small", "lab/a")

    asked = admin_client.get(address("controlplane_apikey", "rotate", row.pk))
    assert "is valid for 1 day more" in asked.content.decode()
    made = admin_client.post(
        address("controlplane_apikey", "rotate", row.pk), {"overlap_s": "3600"}
    )

    shown, row = made.content.decode(), ApiKey.objects.get(name="caller")
    text = made.context["key"]
    assert row.digest == digest_of(text)
    assert shown.count(text) == 2  # itself, and in the call
    assert "curl http://testserver/v1/chat/completions" in shown
    assert '"model": "small"' in shown.replace("&quot;", '"')
    assert "no-store" in made["Cache-Control"]
    assert (named_by(text), named_by(FORMER)) == ("caller 5", "caller 5")
    form = admin_client.get(address("controlplane_apikey", "change", row.pk)).content.decode()
    assert "The former text opens until" in form


def test_a_key_of_the_configuration_is_not_rotated(admin_client: Client) -> None:
    row = rows.api_key("filed", "sy_filed", managed_source="config")

    page = admin_client.post(
        address("controlplane_apikey", "rotate", row.pk), {"overlap_s": "3600"}
    )
    assert page.status_code == 403
    assert Api()("post", "keys/filed/rotate", {}).status_code == 400
    assert ApiKey.objects.get(name="filed").digest == digest_of("sy_filed")


def test_a_key_whose_name_ends_like_an_act_is_read_edited_rotated_and_deleted() -> None:
    api = Api()
    for name in ("caller/rotate", "caller/rotate/rotate"):
        made = api("post", "keys", {"name": name})
        assert made.status_code == 201, made.content
        assert api("get", f"keys/{name}").json()["name"] == name
        assert api("get", f"keys/{name}/").json()["name"] == name
        assert api("patch", f"keys/{name}", {"rpm": 7}).json()["rpm"] == 7
    assert named_by(api("post", "keys/caller/rotate", {}).json()["key"]) == "caller 5"
    again = api("post", "keys/caller/rotate/rotate", {}).json()["key"]
    assert named_by(again) == "caller/rotate 7"
    assert api("delete", "keys/caller/rotate").status_code == 204
    assert api("get", "keys/caller").json()["name"] == "caller"
    assert api("get", "keys/caller/rotate").status_code == 404


def test_a_pool_or_alias_may_have_any_such_name_too() -> None:
    rows.pool("small/test")
    rows.alias("small/rotate", "small/test")
    assert Api()("get", "pools/small/test").json()["name"] == "small/test"
    assert Api()("get", "aliases/small/rotate").json()["name"] == "small/rotate"
