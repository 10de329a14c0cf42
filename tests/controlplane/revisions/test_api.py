"""The configuration as text and its revisions, by API, in admin and by command."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from controlplane.config.document import parse
from controlplane.config.mirror import mirror
from controlplane.config.objects import collect
from controlplane.models import Revision, Settings
from controlplane.publishing.publisher import publish
from providers.models import Provider
from routing.models import Alias, AliasTarget, CanonicalModel
from tests.support import rows
from tests.support.configuration import EXAMPLE_TEXT, a_bit_of_everything, exported

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(db) -> Client:
    rows.api_key("operator", "sy_operator", scopes=["admin"])
    return Client(headers={"authorization": "Bearer sy_operator"})


def post(
    client: Client, path: str, body: object, content_type: str = "application/json", **more: Any
):
    return client.post(f"/api/{path}", data=body, content_type=content_type, **more)


# By API


def test_what_is_exported_can_be_applied_as_it_is(api):
    a_bit_of_everything()
    answer = api.get("/api/config/export", headers={"accept": "application/yaml"})
    assert answer["content-type"] == "application/yaml; charset=utf-8"
    text = answer.content.decode()
    assert text == exported()
    for kind, body in (("application/yaml", text), ("application/json", {"yaml": text})):
        done = post(api, "config/apply", body, kind)
        assert (done.status_code, done.json()["changes"]) == (200, [])
        assert done.json()["applied"]


def test_a_preview_shows_the_difference_and_applying_makes_it(api):
    rows.provider("lab")
    body = {"yaml": "routing: {model_pools: {small: {candidates: [{provider: lab, model: m}]}}}"}
    seen = post(api, "config/preview", body).json()
    assert not CanonicalModel.objects.exists()
    assert seen["applied"] is False
    assert seen["changes"] == [
        {
            "kind": "pool",
            "name": "small",
            "managed_source": "dashboard",
            "action": "added",
            "fields": [{"field": "candidates[lab/m]", "old": None, "new": "listed"}],
        }
    ]
    done = post(api, "config/apply", body).json()
    assert done == {**seen, "applied": True}
    assert CanonicalModel.objects.get().candidates.get().model == "m"


def test_mistakes_are_400_with_line_and_key_and_nothing_is_applied(api):
    before = collect()
    answer = post(
        api, "config/apply", "bench: {failures: 4}\nrouting:\n  model_pool: {}", "application/yaml"
    )
    assert answer.status_code == 400
    (said,) = answer.json()["yaml"]
    assert said.startswith("yaml:3: routing.model_pool: unknown key")
    assert collect() == before
    assert post(api, "config/apply", b"\xff", "application/yaml").status_code == 400


def test_what_configuration_manages_is_400_with_these_words(api):
    mirror(parse("providers: {lab: {kind: openai}}", filename="c.yaml", environ={}))
    answer = post(api, "config/preview", {"yaml": "providers: {lab: {kind: groq}}"})
    assert answer.status_code == 400
    assert "managed by configuration" in answer.json()["yaml"][0]


def test_the_servers_variables_cannot_be_read_by_applying(api, monkeypatch):
    monkeypatch.setenv("OF_THE_SERVER", "http://inside")
    body = {"yaml": "providers: {lab: {kind: openai, base_url: '${OF_THE_SERVER}'}}"}
    answer = post(api, "config/apply", body)
    assert answer.status_code == 400
    assert "OF_THE_SERVER is not set" in answer.json()["yaml"][0]
    assert "inside" not in answer.content.decode()


def test_revisions_are_listed_shown_and_rolled_back(api, tmp_path):
    rows.provider("lab")
    rows.pool("small", "lab/a")
    publish(tmp_path)
    change = {"data": {"enabled": False}, "content_type": "application/json"}
    api.patch("/api/pools/small", headers={"x-switchyard-reason": "drill"}, **change)
    publish(tmp_path)
    newest, first = api.get("/api/revisions").json()
    assert (newest["changed"], newest["objects"]) == (1, ["changed pool small"])
    assert newest["authors"] == [{"kind": "key", "name": "operator"}]
    assert newest["reason"] == "drill"
    query = f"/api/revisions?before={newest['revision']}&limit=5"
    assert api.get(query).json() == [first]
    one = api.get(f"/api/revisions/{newest['revision']}").json()
    assert one["changes"][0]["fields"] == [{"field": "enabled", "old": None, "new": False}]
    assert [(edit["name"], edit["object"]) for edit in one["edits"]] == [("operator", "pool small")]
    path = f"revisions/{first['revision']}/rollback"
    seen = post(api, path, {"preview": True}).json()
    assert (seen["applied"], CanonicalModel.objects.get().enabled) == (False, False)
    done = post(api, path, {"reason": "drill over"})
    assert done.status_code == 200
    assert CanonicalModel.objects.get().enabled
    publish(tmp_path)
    assert (
        Revision.objects.first().reason == f"roll back to revision {first['revision']}: drill over"
    )
    assert api.get("/api/revisions?before=x").status_code == 400


def test_what_cannot_be_had_again_is_told_and_an_unknown_revision_is_404(api, tmp_path):
    mirror(parse("providers: {lab: {kind: openai}}", filename="c.yaml", environ={}))
    rows.pool("small", "lab/a")
    publish(tmp_path)
    number = Revision.objects.first().pk
    CanonicalModel.objects.all().delete()
    mirror(parse("", filename="", environ={}))
    answer = post(api, f"revisions/{number}/rollback", {}).json()
    assert answer["changes"] == []
    assert [entry["name"] for entry in answer["left_out"]] == ["small"]
    assert "no such provider" in answer["left_out"][0]["reasons"][0]
    assert post(api, "revisions/999/rollback", {}).status_code == 404


# In admin


def test_a_person_sees_revisions_and_rolls_back_after_a_preview_with_a_reason(client, tmp_path):
    client.force_login(User.objects.create_superuser("ada"))
    rows.provider("lab")
    rows.pool("small", "lab/a")
    publish(tmp_path)
    good = Revision.objects.first().pk
    Settings.objects.create(pk=1, max_attempts=9)
    CanonicalModel.objects.all().delete()
    publish(tmp_path)
    page = client.get(reverse("admin:controlplane_revision_changelist")).content.decode()
    assert "removed pool small" in page
    newest = reverse("admin:controlplane_revision_change", args=[Revision.objects.first().pk])
    assert "routing.defaults.failover.max_attempts: 3 → 9" in client.get(newest).content.decode()
    url = reverse("admin:controlplane_revision_rollback", args=[good])
    page = client.get(url).content.decode()
    assert "added pool small" in page
    assert "max_attempts: 9 → 3" in page
    assert not CanonicalModel.objects.exists()
    assert "This will change: 1 added, 1 changed" in page
    done = client.post(url, {"change_reason": "ticket 7"}, follow=True)
    assert f"Returned to revision {good}: 2 objects changed." in done.content.decode()
    assert CanonicalModel.objects.exists()
    publish(tmp_path)
    assert Revision.objects.first().line.endswith(f"roll back to revision {good}: ticket 7")
    assert Revision.objects.first().who == "ada"
    assert "as it was then" in client.get(url).content.decode()


def test_nobody_adds_changes_or_deletes_a_revision(tmp_path, admin_client):
    rows.provider("lab")
    publish(tmp_path)
    number = Revision.objects.get().pk
    page = "/admin/controlplane/revision/"
    for path in (f"{page}add/", f"{page}{number}/change/", f"{page}{number}/delete/"):
        assert admin_client.post(path, {"reason": "forged", "post": "yes"}).status_code == 403
    api = Client(headers={"authorization": "Bearer sy_admin"})
    rows.api_key("admin", "sy_admin", scopes=["admin"])
    for method in ("post", "put", "patch", "delete"):
        assert getattr(api, method)(f"/api/revisions/{number}").status_code == 405
    assert Revision.objects.get().reason == ""


def test_what_stands_in_the_way_is_listed_with_links_and_the_rest_is_done(client, tmp_path):
    client.force_login(User.objects.create_superuser("ada"))
    rows.provider("lab")
    publish(tmp_path)
    used = rows.provider("used")
    rows.provider("unused")
    publish(tmp_path)
    by_file = Alias.objects.create(name="x", managed_source="config")
    AliasTarget.objects.create(alias=by_file, provider_name="used", model="m")
    url = reverse("admin:controlplane_revision_rollback", args=[1])
    page = client.get(url).content.decode()
    link = reverse("admin:providers_provider_change", args=[used.pk])
    assert f'href="{link}">provider used</a>' in page
    assert "The alias x targets it." in page
    assert "Return to this state, all but these" in page
    assert page.count('text-red-700 dark:text-red-400">removed provider unused<') == 1
    said = client.post(url, follow=True).content.decode()
    assert "Returned to revision 1: 1 object changed." in said
    assert "provider used is left as it is" in said
    assert sorted(Provider.objects.values_list("name", flat=True)) == ["lab", "used"]


def test_who_may_only_look_cannot_roll_back(client, tmp_path):
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_revision"))
    client.force_login(user)
    rows.provider("lab")
    publish(tmp_path)
    number = Revision.objects.first().pk
    page = reverse("admin:controlplane_revision_change", args=[number])
    assert client.get(page).status_code == 200
    url = reverse("admin:controlplane_revision_rollback", args=[number])
    assert client.get(url).status_code == client.post(url).status_code == 403


# By command


def command(*arguments: str) -> tuple[str, int]:
    """What it prints, and its exit code."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("config", *arguments, stdout=out, stderr=err)
    except CommandError as error:
        return out.getvalue() + err.getvalue() + str(error), error.returncode
    except SystemExit as error:
        return out.getvalue(), int(error.code or 0)
    return out.getvalue(), 0


def test_export_diff_and_apply_tell_by_their_exit_codes(tmp_path):
    a_bit_of_everything()
    file = tmp_path / "c.yaml"
    assert command("export", str(file)) == ("", 0)
    assert file.read_text() == command("export")[0] == exported()
    said, code = command("diff", str(file))
    assert ("nothing differs" in said, code) == (True, 0)
    file.write_text("providers: {sim: {kind: simulator}, lab: {kind: openai}}\n")
    said, code = command("diff", str(file))
    assert code == 2
    assert "changed provider sim\n  fault: status:503 → none\n" in said.replace(
        "  enabled: false → true\n", ""
    )
    assert Provider.objects.get(name="sim").fault
    assert command("apply", str(file), "--reason", "less")[0] == said
    assert not Provider.objects.get(name="sim").fault
    publish(tmp_path)
    assert Revision.objects.first().reason == "less"
    assert Revision.objects.first().authors[-1]["kind"] == "command"


def test_mistakes_exit_1_with_file_line_and_key(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("aliases:\n  a: a\n")
    for action in ("check", "diff", "apply"):
        said, code = command(action, str(file))
        assert code == 1
        assert f"{file}:2: aliases.a: a cycle of aliases (a -> a)" in said
    assert command("apply", str(tmp_path / "none.yaml"))[1] == 1
    assert command("rollback", "99") == ("There is no revision 99, or it is not kept any more.", 1)


def test_the_example_file_applies_to_admin(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(EXAMPLE_TEXT)
    assert command("apply", str(file))[1] == 0
    assert Provider.objects.filter(managed_source="dashboard").count() == 5


def test_revisions_are_listed_and_rolled_back_by_command(tmp_path):
    rows.provider("lab")
    publish(tmp_path)
    number = str(Revision.objects.first().pk)
    Provider.objects.update(kind="groq")
    publish(tmp_path)  # told by nobody, and found
    newest = Revision.objects.first()
    assert command("revisions")[0].splitlines()[0] == newest.line
    assert "  kind: openai → groq" in command("revisions", str(newest.pk))[0]
    assert command("rollback", number, "--preview") == (
        "changed provider lab\n  kind: groq → openai\n",
        2,
    )
    assert command("rollback", number)[1] == 0
    assert Provider.objects.get().kind == "openai"
