"""Revisions: what each published configuration changed, by whom, and the way back."""

from __future__ import annotations

import zlib
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from controlplane.config.document import parse
from controlplane.config.mirror import mirror, refuse
from controlplane.config.objects import collect
from controlplane.edits.kinds import ObjectKey
from controlplane.edits.noting import as_author
from controlplane.models import ApiKey, Edit, PublishedSnapshot, RecordedObject, Revision, Settings
from controlplane.publishing.publisher import publish
from controlplane.revisions import history
from controlplane.revisions.history import NoSuchRevision, changes_of, edits_of, record, since
from controlplane.revisions.returning import roll_back, undo
from providers.models import Credential, Provider
from routing.models import Alias, AliasTarget, Candidate, CanonicalModel
from tests.support import rows
from tests.support.configuration import ENVIRON, EXAMPLE_TEXT, a_bit_of_everything

pytestmark = pytest.mark.django_db


@pytest.fixture
def published(tmp_path):
    """Publishes, and gives the newest revision."""

    def go() -> Revision:
        publish(tmp_path)
        revision = Revision.objects.first()
        assert revision is not None
        return revision

    return go


def told(revision: Revision) -> dict[str, list[str]]:
    return {str(change): [str(f) for f in change.fields] for change in changes_of(revision)}


def test_an_edit_of_a_candidate_is_told_by_object_and_field(published):
    rows.provider("lab")
    pool = rows.pool("small", "lab/a", "lab/b")
    published()
    pool.candidates.filter(model="a").delete()
    Candidate.objects.create(
        canonical_model=pool, provider_name="lab", model="c", weight=2, position=5
    )
    row = pool.candidates.get(model="b")
    row.priority = 7
    row.save()
    assert told(published()) == {
        "changed pool small": [
            "candidates[lab/a]: listed → not listed",
            "candidates[lab/b].priority: 1 → 7",
            'candidates[lab/c]: not listed → {"weight":2}',
        ]
    }


def test_a_generation_has_a_revision_and_publishing_the_same_again_adds_none(published):
    rows.provider("lab")
    first = published()
    assert first.generation == PublishedSnapshot.objects.get().generation
    assert published() == first
    rows.pool("small", "lab/s")
    second = published()
    assert (second.generation, Revision.objects.count()) == (first.generation + 1, 2)


def test_what_no_generation_shows_is_recorded_as_well(published):
    provider = rows.provider("lab")
    first = published()
    provider.health = {"interval_s": 5}
    provider.save()
    second = published()
    assert second.generation == first.generation
    assert told(second) == {"changed provider lab": ["health.interval_s: 60 → 5"]}


def test_an_edit_that_told_nobody_is_found(published):
    rows.provider("lab")
    published()
    Provider.objects.update(kind="groq")
    assert told(published()) == {"changed provider lab": ["kind: openai → groq"]}


def test_authors_are_people_keys_files_and_commands_each_with_their_reason(published):
    rows.provider("lab")
    rows.pool("small", "lab/s")
    rows.api_key("robot", "sy_robot", scopes=["admin"])
    published()
    by_key = Client(headers={"authorization": "Bearer sy_robot", "x-switchyard-reason": "drill 7"})
    change = {"data": {"strategy": "round_robin"}, "content_type": "application/json"}
    assert by_key.patch("/api/pools/small", **change).status_code == 200
    person = Client()
    person.force_login(User.objects.create_superuser("ada"))
    assert person.delete("/api/pools/small").status_code == 204
    mirror(parse("bench: {failures: 4}", filename="/etc/s.yaml", environ={}))
    with as_author("command", "root"):
        rows.pool("more", "lab/s")
    revision = published()
    assert revision.authors == [
        {"kind": "key", "name": "robot"},
        {"kind": "user", "name": "ada"},
        {"kind": "file", "name": "/etc/s.yaml"},
        {"kind": "command", "name": "root"},
    ]
    assert revision.reason == "drill 7"
    noted = [(e.author, e.kind, e.name, e.reason) for e in edits_of(revision)]
    assert noted[0] == ("robot", "pool", "small", "drill 7")
    assert ("ada", "pool", "small", "") in noted


def test_an_edit_that_is_rolled_back_leaves_no_trace(published):
    rows.provider("lab")
    published()
    before = Edit.objects.count()
    with transaction.atomic():
        rows.pool("small", "lab/s")
        assert Edit.objects.count() > before
        transaction.set_rollback(True)
    assert Edit.objects.count() == before


def test_a_secret_is_never_in_a_revision(published):
    a_bit_of_everything()
    published()
    Credential.objects.filter(label="main").update(secret="sk-another")
    row = Provider.objects.get(name="lab")
    row.headers = {**row.headers, "x-api-token": "whisper"}
    row.save()
    revision = published()
    assert told(revision) == {
        "changed provider lab": [
            "api_keys[main].key: secret → changed",
            "headers.x-api-token: secret → changed",
        ]
    }
    for kept in Revision.objects.all():
        text = zlib.decompress(kept.packed).decode() + str(kept.summary)
        for secret in ("hush", "whisper", "sk-"):
            assert secret not in text
    for secret in ("hush", "whisper", "sk-"):
        assert not RecordedObject.objects.filter(block__contains=secret).exists()


def test_every_revision_can_be_had_again(published):
    states = {}
    a_bit_of_everything()
    states[published().pk] = collect()
    for number in range(12):
        pool = CanonicalModel.objects.filter(name=f"pool{number % 4}")
        if number % 3 == 2 and pool.exists():
            pool.get().delete()
        elif pool.exists():
            row = pool.get()
            row.failover = {"max_attempts": number + 1}
            row.save()
        else:
            rows.pool(f"pool{number % 4}", f"lab/m{number}")
        states[published().pk] = collect()
    assert len(states) == 13
    numbers = list(states)
    for number in (numbers[2], numbers[11], numbers[0], numbers[12], numbers[6]):
        roll_back(number)
        assert collect() == states[number]
        published()
    with pytest.raises(NoSuchRevision, match="no revision 999"):
        roll_back(999)


def test_rolling_back_is_a_revision_with_its_author_and_reason(published):
    rows.provider("lab")
    rows.pool("small", "lab/s")
    good = published()
    settings = Settings.load()
    settings.max_attempts = 1
    settings.save()
    CanonicalModel.objects.all().delete()
    published()
    seen = roll_back(good.pk, is_preview=True)
    assert not CanonicalModel.objects.exists()
    with as_author("user", "ada"):
        done = roll_back(good.pk, reason="ticket 7")
    assert seen == done
    revision = published()
    assert revision.reason == f"roll back to revision {good.pk}: ticket 7"
    assert revision.authors == [{"kind": "user", "name": "ada"}]
    assert told(revision) == {
        "added pool small": ["candidates[lab/s]: not listed → listed"],
        "changed settings": [
            "routing.defaults.failover.max_attempts: 1 → 3",
        ],
    }


def test_rolling_back_undoes_an_edit_that_cannot_even_be_published(published):
    rows.provider("lab")
    rows.pool("small", "lab/s")
    good = published()
    row = Provider.objects.get()
    row.timeouts = {"connect_s": "soon"}
    row.save()
    with pytest.raises(ValueError, match="provider lab"):
        published()
    roll_back(good.pk)
    assert Provider.objects.get().timeouts == {}


def test_secrets_that_are_gone_are_named_and_those_that_are_there_stay(published):
    rows.provider("lab", secret="sk-1", headers={"x-key": "hush"}, proxy="http://u:p@h:1")
    rows.provider("other", secret="sk-2")
    rows.api_key("gone", "sy_gone")
    good = published()
    Credential.objects.filter(provider__name="lab").delete()
    Provider.objects.filter(name="lab").update(headers={}, proxy="")
    Credential.objects.create(provider=Provider.objects.get(name="lab"), label="new", secret="n")
    row = Credential.objects.get(provider__name="other")
    row.secret = "sk-3"
    row.save()
    ApiKey.objects.all().delete()
    published()
    gone = "was deleted and cannot come back, because secrets are not kept: make it anew"
    assert roll_back(good.pk).notes == [
        f"key gone {gone}",
        f"provider lab: its key main {gone}",
        f"provider lab: its proxy {gone}",
        f"provider lab: its header x-key {gone}",
        "provider other: its key main has another secret than then; it is kept",
    ]
    assert Credential.objects.get().secret.reveal() == "sk-3"


def test_what_the_configuration_manages_is_left_by_a_roll_back_and_named(published):
    rows.provider("mine")
    rows.pool("small", "mine/s")
    good = published()
    mirror(parse(EXAMPLE_TEXT, filename="e.yaml", environ=ENVIRON))
    CanonicalModel.objects.get(name="small").delete()
    published()
    before = {key: block for key, block in collect().items() if key.source == "config"}
    outcome = roll_back(good.pk)
    assert [str(change) for change in outcome.changes] == ["added pool small"]
    assert "pool gpt-4o-mini is managed by configuration: it stays as it is" in outcome.notes
    assert before == {key: block for key, block in collect().items() if key.source == "config"}


def test_of_an_old_state_what_cannot_be_had_again_is_left_out_and_named(published):
    mirror(parse("providers: {lab: {kind: openai}}", filename="e.yaml", environ={}))
    rows.pool("small", "lab/s")
    rows.provider("own")
    rows.pool("large", "own/s")
    # As an earlier version let it be saved, and no validator would today.
    Provider.objects.create(name="broken", kind="openai_compatible")
    settings = Settings.load()
    settings.deadline_s, settings.max_attempts = 1e9, 7
    settings.save()
    old = published()
    CanonicalModel.objects.all().delete()
    mirror(parse("", filename="", environ={}))
    Provider.objects.filter(name="broken").delete()
    Settings.objects.all().delete()
    rows.provider("new")
    published()
    # The file's reader knows no provider of admin's, so its alias is made by hand.
    Alias.objects.create(name="x", managed_source="config")
    AliasTarget.objects.create(alias=Alias.objects.get(), provider_name="new", model="m")
    seen = roll_back(old.pk, is_preview=True)
    done = roll_back(old.pk)
    assert seen == done
    assert [str(change) for change in done.changes] == ["added pool large", "changed settings"]
    first = "routing.model_pools.small.candidates[0]"
    nobody = 'no such provider ("lab"), allowed: a name under providers'
    assert {str(left.key): left.reasons for left in done.left_out} == {
        "pool small": [f"{first}.provider: {nobody}"],
        "provider broken": [
            "providers.broken.base_url: missing, kind openai_compatible has no address of its own"
        ],
        "provider new": ["providers.new: it is in use. The alias x targets it."],
        "settings": [
            (
                "routing.defaults.failover.deadline_s: out of range (number 1000000000), allowed:"
                " 3.1536e+08 or less"
            )
        ],
    }
    assert [left.fields for left in done.left_out][-1] == ("routing.defaults.failover.deadline_s",)
    assert (Settings.load().max_attempts, Settings.load().deadline_s) == (7, 600)
    assert Provider.objects.filter(name="new").exists()


def test_a_preview_writes_nothing_and_takes_no_lock(published):
    a_bit_of_everything()
    good = published()
    pool = CanonicalModel.objects.get(name="small")
    pool.strategy = "fill_first"
    pool.save()
    rows.provider("new")
    published()
    with CaptureQueriesContext(connection) as asked:
        assert len(roll_back(good.pk, is_preview=True).changes) == 2
    reads = ("SELECT", "DECLARE")  # a cursor of PostgreSQL's
    said = [query["sql"] for query in asked]
    assert [sql for sql in said if not sql.startswith(reads) or "FOR UPDATE" in sql] == []
    assert len(asked) < 60


def test_undoing_one_change_leaves_what_came_later(published):
    rows.provider("lab")
    pool = rows.pool("small", "lab/a", "lab/b")
    published()
    pool.strategy, pool.enabled = "fill_first", False
    pool.save()
    pool.candidates.filter(model="a").delete()
    wrong = published()
    pool.native_first, pool.enabled = True, True
    pool.save()
    Candidate.objects.create(canonical_model=pool, provider_name="lab", model="c", position=9)
    published()
    seen = undo(wrong.pk, is_preview=True)
    done = undo(wrong.pk, reason="ticket 8")
    assert seen == done
    pool.refresh_from_db()
    assert (pool.strategy, pool.enabled, pool.native_first) == ("", True, True)
    assert [row.model for row in pool.candidates.all()] == ["a", "b", "c"]
    assert published().reason == f"undo revision {wrong.pk}: ticket 8"
    assert undo(wrong.pk).changes == []


def test_what_was_changed_again_since_stays_and_is_named(published):
    rows.provider("lab")
    pool = rows.pool("small", "lab/a")
    made = published()
    pool.strategy = "fill_first"
    pool.save()
    first = published()
    pool.strategy = "round_robin"
    pool.save()
    published()
    done = undo(first.pk)
    assert (done.changes, done.notes) == (
        [],
        ["pool small: strategy was changed again since: it stays as it is"],
    )
    gone = undo(made.pk, only=ObjectKey("pool", "small", "dashboard"), is_preview=True)
    assert [str(change) for change in gone.changes] == ["removed pool small"]
    assert gone.notes == ["pool small was changed again since; it is removed all the same"]


def test_a_refused_file_makes_no_revision(published):
    rows.provider("lab")
    first = published()
    refuse("c.yaml", ["c.yaml:1: wrong"])
    assert published() == first
    assert Edit.objects.filter(pk__gt=first.last_edit).count() == 0


def test_old_revisions_go_but_those_that_records_refer_to_stay(published, monkeypatch):
    monkeypatch.setattr(history, "NEWEST", 3)
    rows.provider("lab")
    for number in range(8):
        rows.pool(f"pool{number}", "lab/s")
        published()
    assert Revision.objects.count() == 8
    Revision.objects.update(created_at=timezone.now() - timedelta(days=400))
    generations = list(PublishedSnapshot.objects.values_list("generation", flat=True))
    PublishedSnapshot.objects.filter(generation__lt=generations[4]).delete()
    rows.pool("last", "lab/s")
    published()
    kept = list(Revision.objects.values_list("generation", flat=True))
    assert kept == [generations[0] + 1, *generations[:5]]
    assert Edit.objects.order_by("pk").first() == edits_of(Revision.objects.last())[0]
    oldest = Revision.objects.last()
    assert since(oldest.pk)


def test_recording_twice_records_once(published):
    rows.provider("lab")
    revision = published()
    assert record(revision.generation) is None


def test_a_request_that_saves_an_object_with_its_parts_is_one_edit(published):
    rows.provider("lab")
    rows.api_key("robot", "sy_robot", scopes=["admin"])
    first = published()
    client = Client(headers={"authorization": "Bearer sy_robot"})
    parts = [{"provider_name": "lab", "model": model} for model in "abc"]
    body = {"data": {"name": "small", "candidates": parts}, "content_type": "application/json"}
    assert client.post("/api/pools", **body).status_code == 201
    assert client.put("/api/pools/small", **body).status_code == 200
    noted = Edit.objects.filter(pk__gt=first.last_edit).values_list("kind", "name")
    assert list(noted) == [("pool", "small")] * 2
