"""Two editors of one object: one wins, the other is told, and loses nothing."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from controlplane.edits.models import Edit
from controlplane.models import Settings
from failover.models import FailoverRule
from providers.models import Credential, Provider
from routing.models import CanonicalModel
from tests.support import rows
from tests.support.forms import address, candidate, inline, pool_form

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(db) -> Client:
    rows.api_key("operator", "sy_operator", scopes=["admin"])
    rows.provider("lab", secret="sk-1")
    rows.pool("small", "lab/a")
    return Client(headers={"authorization": "Bearer sy_operator"})


def send(client: Client, method: str, path: str, body: object, etag: str | None = None):
    headers = {} if etag is None else {"if-match": etag}
    return getattr(client, method)(
        f"/api/{path}", data=body, content_type="application/json", headers=headers
    )


# By API


def test_a_write_with_the_version_that_was_read_goes_through_and_has_a_new_one(api):
    first = api.get("/api/pools/small")["etag"]
    assert api.get("/api/pools/small")["etag"] == first
    answer = send(api, "patch", "pools/small", {"strategy": "round_robin"}, first)
    assert answer.status_code == 200
    assert answer["etag"] != first
    assert api.get("/api/pools/small")["etag"] == answer["etag"]


def test_a_write_with_an_old_version_is_412_with_both_and_writes_nothing(api):
    first = api.get("/api/pools/small")["etag"]
    ours = [{"provider_name": "lab", "model": "b"}]
    won = send(api, "patch", "pools/small", {"strategy": "round_robin"}, first)
    lost = send(
        api, "put", "pools/small", {"name": "small", "strategy": "", "candidates": ours}, first
    )
    assert (won.status_code, lost.status_code) == (200, 412)
    body = lost.json()
    assert body["etag"] == lost["etag"] == won["etag"]
    assert body["differing"] == ["strategy", "candidates"]
    assert body["stored"]["strategy"] == "round_robin"
    assert body["sent"]["candidates"] == ours
    assert CanonicalModel.objects.get().candidates.get().model == "a"
    assert send(api, "delete", "pools/small", {}, first).status_code == 412
    assert send(api, "delete", "pools/small", {}, won["etag"]).status_code == 204


@pytest.mark.parametrize("etag", [None, "*"])
def test_without_a_version_the_last_one_wins(api, etag):
    for strategy in ("round_robin", "fill_first"):
        assert send(api, "patch", "pools/small", {"strategy": strategy}, etag).status_code == 200
    assert CanonicalModel.objects.get().strategy == "fill_first"


def test_one_of_several_versions_is_enough(api):
    etag = api.get("/api/pools/small")["etag"]
    many = f'"0000", {etag}'
    assert send(api, "patch", "pools/small", {"enabled": False}, many).status_code == 200


def test_an_edit_of_a_part_or_of_a_secret_is_another_version(api):
    pool, provider = api.get("/api/pools/small")["etag"], api.get("/api/providers/lab")["etag"]
    row = CanonicalModel.objects.get().candidates.get()
    row.weight = 5
    row.save()
    assert api.get("/api/pools/small")["etag"] != pool
    Credential.objects.get().delete()
    Credential.objects.create(provider=Provider.objects.get(), label="main", secret="sk-2")
    assert api.get("/api/providers/lab")["etag"] != provider
    keys = [{"label": "main", "secret": "sk-3"}]
    answer = send(api, "patch", "providers/lab", {"credentials": keys}, provider)
    assert answer.status_code == 412
    assert "sk-" not in answer.content.decode()


def test_an_edit_without_a_change_is_the_same_version(api):
    first = api.get("/api/pools/small")["etag"]
    CanonicalModel.objects.get().save()
    assert api.get("/api/pools/small")["etag"] == first


def test_a_rule_has_versions_too(api):
    rule = {"primary_model": "small", "fallback_models": ["lab/b"]}
    made = send(api, "put", "failover", rule)
    changed = send(api, "put", "failover", {**rule, "fallback_models": ["lab/c"]}, made["etag"])
    assert changed.status_code == 200
    lost = send(api, "put", "failover", {**rule, "enabled": False}, made["etag"])
    assert lost.status_code == 412
    assert lost.json()["differing"] == ["fallback_models", "enabled"]
    assert FailoverRule.objects.get().fallback_models == ["lab/c"]
    named = {"primary_model": "small"}
    assert send(api, "delete", "failover", named, made["etag"]).status_code == 412
    assert send(api, "delete", "failover", named, changed["etag"]).status_code == 204


# In admin


@pytest.fixture
def admin(client) -> Client:
    client.force_login(User.objects.create_superuser("ada"))
    rows.provider("lab")
    rows.pool("small", "lab/a")
    return client


def seen(page) -> str:
    return re.search(r'name="seen_version" value="(\w+)"', page.content.decode())[1]


def test_who_saves_an_old_page_is_told_who_was_first_and_keeps_what_they_typed(admin):
    pool = CanonicalModel.objects.get()
    url = address("routing_canonicalmodel", "change", pool.pk)
    version = seen(admin.get(url))
    other = Client()
    other.force_login(User.objects.create_superuser("bob"))
    part = {**candidate("lab", "a", 0), "id": pool.candidates.get().pk, "canonical_model": pool.pk}
    fields = inline("candidates", part, stored=1)
    form = {**pool_form(), **fields, "seen_version": version}
    said = {"strategy": "round_robin", "change_reason": "ticket 7"}
    assert other.post(url, {**form, **said}).status_code == 302
    assert {(e.author, e.reason) for e in Edit.objects.filter(author="bob")} == {
        ("bob", "ticket 7")
    }
    page = admin.post(url, {**form, "strategy": "fill_first"})
    text = page.content.decode()
    assert page.status_code == 200
    assert "While you were editing, bob saved this" in text
    assert "is now round_robin" in text
    assert '<option value="fill_first" selected' in text
    assert CanonicalModel.objects.get().strategy == "round_robin"
    again = {**form, "strategy": "fill_first", "seen_version": seen(page)}
    assert admin.post(url, again).status_code == 302
    assert CanonicalModel.objects.get().strategy == "fill_first"


def test_an_edit_of_a_candidate_meanwhile_is_told_as_well(admin):
    pool = CanonicalModel.objects.get()
    url = address("routing_canonicalmodel", "change", pool.pk)
    version = seen(admin.get(url))
    pool.candidates.update(weight=9)
    part = {**candidate("lab", "a", 0), "id": pool.candidates.get().pk, "canonical_model": pool.pk}
    page = admin.post(
        url, {**pool_form(), **inline("candidates", part, stored=1), "seen_version": version}
    )
    assert "While you were editing" in page.content.decode()
    assert pool.candidates.get().weight == 9


def test_the_settings_are_guarded_too(admin):
    url = address("controlplane_settings", "change", 1)
    version = seen(admin.get(url))  # of a row that nobody has saved yet
    Settings.objects.create(pk=1, max_attempts=7)
    page = admin.post(url, {"seen_version": version, "max_attempts": 2})
    assert "While you were editing" in page.content.decode()
    assert Settings.objects.get().max_attempts == 7
