"""One table of kinds: what it has is noted, collected, compared and written; what not fails."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured

from controlplane.config.changes import changes_between
from controlplane.config.objects import collect
from controlplane.config.text import text_of
from controlplane.edits.kinds import KINDS, ObjectKey, owners
from controlplane.edits.noting import note_row, object_of
from controlplane.models import Edit, Team
from tests.support import rows
from tests.support.badges import BADGE

pytestmark = pytest.mark.django_db


def test_a_made_up_kind_takes_a_package_and_a_line(monkeypatch):
    monkeypatch.setitem(KINDS, BADGE.name, BADGE)
    before = collect()

    Team.objects.create(name="gold")

    edit = Edit.objects.latest("pk")
    assert (edit.kind, edit.name) == ("badge", "gold")
    after = collect()
    (change,) = changes_between(before, after)
    assert change.key == ObjectKey("badge", "gold", "dashboard")
    assert collect({"badge": {"gold"}}) == {change.key: {"shape": "round"}}
    assert "badges:\n  gold: {shape: round}\n" in text_of(after)


def test_every_row_that_is_noted_is_of_a_kind_and_any_other_fails_loudly():
    provider = rows.provider("lab", secret="a-key-of-it")
    assert object_of(provider.credentials.get()) == ("provider", "lab")
    assert all(label.split(".")[0] in {"providers", "routing", "failover", "controlplane"}
               for label in owners())  # fmt: skip
    with pytest.raises(LookupError):
        note_row(sender=User, instance=User(username="somebody"), using="default")


def test_a_configuration_model_that_no_kind_names_stops_the_start(monkeypatch):
    monkeypatch.delitem(KINDS, "alias")

    with pytest.raises(ImproperlyConfigured, match=r"names routing\.Alias, routing\.AliasTarget$"):
        apps.get_app_config("controlplane").ready()


def test_a_part_that_its_kind_does_not_name_stops_the_start(monkeypatch):
    monkeypatch.setitem(KINDS, "pool", replace(KINDS["pool"], parts={}))

    with pytest.raises(ImproperlyConfigured, match=r"names routing\.Candidate$"):
        apps.get_app_config("controlplane").ready()
