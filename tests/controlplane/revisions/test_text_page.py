"""Admin's page of the configuration as text does what the commands do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from controlplane.config.yaml import MAX_BYTES
from controlplane.edits.models import Edit
from routing.models import CanonicalModel
from tests.support import rows

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db
PAGE = "/admin/configuration/"
POOLS = """\
routing:
  model_pools:
    small: {candidates: [{provider: lab, model: a}]}
"""


@pytest.fixture(autouse=True)
def stored(db: None) -> None:
    rows.provider("lab")


def send(client: Client, act: str, text: str, **more: Any) -> Any:
    return client.post(PAGE, {"act": act, "yaml": text, **more})


def pools() -> list[str]:
    return sorted(CanonicalModel.objects.values_list("name", flat=True))


def test_a_check_counts_what_is_there_and_names_mistakes_by_line(admin_client: Client) -> None:
    alone = "providers:\n  lab: {kind: openai, api_key: '${LAB_KEY}'}\n" + POOLS
    good = send(admin_client, "check", alone).content.decode()
    assert "1 provider, 1 pool, 1 candidate" in good

    wrong = send(admin_client, "check", "routing:\n  model_pool: {}\n").content.decode()
    assert "text:2" in wrong
    assert "unknown key" in wrong


def test_a_difference_changes_nothing_and_what_was_seen_can_be_applied(
    admin_client: Client,
) -> None:
    seen = send(admin_client, "diff", POOLS)
    assert "pool small" in seen.content.decode()
    assert "nobody can serve it" not in seen.content.decode()  # admin has its provider
    assert pools() == []

    done = send(admin_client, "apply", POOLS, seen=seen.context["seen"], change_reason="ticket 7")

    assert done.status_code == 302
    assert pools() == ["small"]
    assert {(edit.author, edit.reason) for edit in Edit.objects.filter(kind="pool")} == {
        ("admin", "ticket 7")
    }
    assert "Nothing differs." in send(admin_client, "diff", POOLS).content.decode()


def test_a_text_whose_difference_nobody_has_seen_is_not_applied(admin_client: Client) -> None:
    seen = send(admin_client, "diff", POOLS).context["seen"]
    other = POOLS.replace("small", "large")

    again = send(admin_client, "apply", other, seen=seen).content.decode()

    assert "another than the one whose difference was shown" in again
    assert pools() == []


def test_a_file_is_read_and_one_that_is_too_large_or_no_text_is_refused(
    admin_client: Client,
) -> None:
    def upload(raw: bytes) -> str:
        file = SimpleUploadedFile("a.yaml", raw)
        shown = admin_client.post(PAGE, {"act": "diff", "file": file}).content.decode()
        return str(shown)

    assert "pool small" in upload(b"\xef\xbb\xbf" + POOLS.encode())
    assert "It is not UTF-8." in upload(b"\xff\xfe")
    assert f"larger than {MAX_BYTES} bytes" in upload(b"#" * (MAX_BYTES + 1))


def test_the_export_is_a_file_that_changes_nothing(admin_client: Client) -> None:
    send(admin_client, "apply", POOLS, seen=send(admin_client, "diff", POOLS).context["seen"])

    file = admin_client.get(reverse("configuration-export"))

    assert file["Content-Disposition"] == 'attachment; filename="switchyard.yaml"'
    assert "Nothing differs." in send(admin_client, "diff", file.content.decode()).content.decode()


def test_who_may_only_look_may_export_and_nothing_else(client: Client) -> None:
    user = User.objects.create_user("bob", is_staff=True)
    client.force_login(user)
    assert client.get(PAGE).status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="view_revision"))

    assert client.get(PAGE).status_code == 200
    assert client.get(reverse("configuration-export")).status_code == 200
    assert send(client, "diff", POOLS).status_code == 403


def test_who_may_apply_and_not_change_pools_is_told_so(client: Client) -> None:
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="add_revision"))
    client.force_login(user)

    seen = send(client, "diff", POOLS)
    assert "needs the permission" in seen.content.decode()
    refused = send(client, "apply", POOLS, seen=seen.context["seen"]).content.decode()

    assert "You may not make all of this" in refused
    assert pools() == []
