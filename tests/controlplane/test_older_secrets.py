"""What an older version stored in clear, or bound to nothing, is made what it is now."""

from __future__ import annotations

import json
import zlib
from importlib import import_module

import pytest
from cryptography.fernet import Fernet, MultiFernet
from django.apps import apps
from django.conf import settings
from django.db import connection

from controlplane.config.objects import Secret
from controlplane.control.child import Publisher
from controlplane.models import RecordedObject, Revision
from controlplane.revisions.history import changes_of
from providers.models import Credential, Provider
from providers.secrets.encryption import KEYS_FILE, read_or_create
from providers.secrets.fields import keyring
from providers.secrets.rebinding import bind_stored
from tests.support import rows

pytestmark = pytest.mark.django_db
HEADERS, PROXY = {"x-team": "hushed"}, "http://u:hushed@p:1"


def stored() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT headers, proxy FROM providers_provider")
        return str(cursor.fetchall())


@pytest.fixture
def lab() -> Provider:
    """As version 0.1 wrote it: headers and proxy in clear, a key that is bound to nothing."""
    row = rows.provider("lab", secret="sk-new")
    keyring()  # has the file made
    keys = read_or_create(settings.DATA_DIR / KEYS_FILE, str).split(",")
    older = MultiFernet([Fernet(key) for key in keys]).encrypt(b"sk-old").decode()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE providers_credential SET secret = %s", [older])
        said = [json.dumps(HEADERS), PROXY]
        cursor.execute("UPDATE providers_provider SET headers = %s, proxy = %s", said)
    assert "hushed" in stored()
    return row


def is_well() -> None:
    row = Provider.objects.get()
    assert "hushed" not in stored()
    assert (row.headers.revealed(), row.proxy.reveal()) == (HEADERS, PROXY)
    assert row.credentials.get().secret.reveal() == "sk-old"
    assert row.unsent() == []


def test_it_is_encrypted_and_bound_and_counts_as_confirmed_for_what_it_has(lab):
    assert not Credential.objects.get().is_confirmed
    bind_stored(Provider, Credential)
    is_well()

    tokens = (stored(), Credential.objects.get().secret.token)
    bind_stored(Provider, Credential)
    assert (stored(), Credential.objects.get().secret.token) == tokens


def test_the_control_process_does_it_where_the_migration_could_not(lab, tmp_path):
    said = Publisher(tmp_path, {}).round()

    assert said.error == ""
    is_well()


def test_what_cannot_be_decrypted_stays_as_it_is(lab):
    lost = Fernet(Fernet.generate_key()).encrypt(b"gone").decode()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE providers_credential SET secret = %s", [lost])

    bind_stored(Provider, Credential)

    assert Credential.objects.get().secret.token == lost
    assert not Credential.objects.get().is_confirmed


def test_what_is_bound_is_not_bound_anew_to_where_its_provider_went(lab):
    bind_stored(Provider, Credential)
    Provider.objects.update(base_url="https://elsewhere.example.com")

    bind_stored(Provider, Credential)

    assert len(Provider.objects.get().unsent()) == 2


def test_values_of_headers_go_out_of_what_revisions_keep():
    block = {"kind": "openai", "headers": {"x-team": "hushed", "x-key": {"$secret": "f"}}}
    changes = [["provider", "lab", "dashboard", None, block], ["rule", "a", "dashboard", None, {}]]
    named = {"kind": "provider", "name": "lab", "source": "dashboard"}
    RecordedObject.objects.create(**named, block=json.dumps(block))
    packed = zlib.compress(json.dumps(changes).encode())
    Revision.objects.create(generation=1, last_edit=0, packed=packed)

    import_module("controlplane.migrations.0011_headers_out_of_revisions").hide(apps, None)

    assert "hushed" not in RecordedObject.objects.get().block
    (change, rule) = changes_of(Revision.objects.get())
    assert change.after["headers"] == {"x-team": Secret.of("hushed"), "x-key": Secret("f")}
    assert rule.after == {}
