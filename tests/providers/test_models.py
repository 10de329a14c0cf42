from __future__ import annotations

import os
import stat
import threading

import pytest
from cryptography.fernet import Fernet
from django.core import serializers
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from providers.managed.models import counting
from providers.models import Credential, Provider, ProviderModel
from providers.secrets.encryption import CannotDecrypt, Keyring, load_keyring, read_or_create
from providers.secrets.fields import EncryptedText

CONFIG = {"managed_source": "config"}


def problems_of(**fields: object) -> dict[str, list[str]]:
    """What full_clean() says of a provider that is fine but for `fields`."""
    with pytest.raises(ValidationError) as caught:
        Provider(**{"name": "lab", "kind": "openai", **fields}).full_clean()
    return caught.value.message_dict


# Keys at rest


@pytest.mark.pure
def test_a_secret_survives_a_rotation_of_keys():
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    token = Keyring([old]).encrypt("sk-1")
    rotated = Keyring([new, old])
    assert rotated.decrypt(token) == "sk-1"
    with pytest.raises(CannotDecrypt):
        Keyring([old]).decrypt(rotated.encrypt("sk-2"))


@pytest.mark.pure
def test_a_keyring_without_keys_or_with_a_wrong_one_is_refused():
    for keys in ([], ["short"]):
        with pytest.raises(ValueError, match="ENCRYPTION_KEYS"):
            Keyring(keys)


def test_the_key_file_is_made_once_for_its_owner_alone(tmp_path):
    directory = tmp_path / "var"
    token = load_keyring({}, directory).encrypt("sk-1")
    assert load_keyring({}, directory).decrypt(token) == "sk-1"
    (file,) = directory.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_given_keys_count_before_the_file(tmp_path):
    keys = ",".join(Fernet.generate_key().decode() for _ in range(2))
    ring = load_keyring({"ENCRYPTION_KEYS": keys}, tmp_path)
    assert Keyring([keys.split(",")[0]]).decrypt(ring.encrypt("x")) == "x"
    assert list(tmp_path.iterdir()) == []


def test_many_that_start_at_once_agree_on_one_secret(tmp_path):
    gate, seen = threading.Barrier(8), []

    def start() -> None:
        gate.wait()
        seen.append(read_or_create(tmp_path / "key", lambda: os.urandom(8).hex()))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert set(seen) == {(tmp_path / "key").read_text().strip()}
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


# Secrets in rows


@pytest.fixture
def credential(db) -> Credential:
    provider = Provider.objects.create(name="lab", kind="openai")
    return Credential.objects.create(provider=provider, label="main", secret="sk-very-secret")


def test_a_secret_is_a_token_in_the_database_and_text_on_demand(credential):
    (stored,) = Credential.objects.values_list("secret", flat=True)
    assert isinstance(stored, EncryptedText)
    assert "sk-very-secret" not in stored.token
    assert stored.reveal() == "sk-very-secret"


def test_saving_an_untouched_row_keeps_its_token(credential):
    token = Credential.objects.get().secret.token
    row = Credential.objects.get()
    row.label = "renamed"
    row.full_clean()
    row.save()
    assert Credential.objects.get().secret.token == token


def test_a_secret_shows_itself_nowhere_by_accident(credential):
    shown = f"{credential.secret} {credential.secret!r} {credential!r} {vars(credential)}"
    assert "sk-very-secret" not in shown


def test_a_deferred_secret_is_fetched_when_it_is_asked_for(credential):
    assert Credential.objects.only("label").get().secret.reveal() == "sk-very-secret"


def test_a_row_whose_key_is_lost_can_be_listed_replaced_and_deleted(credential):
    lost = EncryptedText(Keyring([Fernet.generate_key().decode()]).encrypt("gone"))
    Credential.objects.update(secret=lost)
    row = Credential.objects.get()
    with pytest.raises(CannotDecrypt):
        row.secret.reveal()
    row.secret = "sk-2"
    row.save()
    assert Credential.objects.get().secret.reveal() == "sk-2"


def test_a_fixture_carries_the_token_there_and_back(credential):
    text = serializers.serialize("json", [credential])
    assert "sk-very-secret" not in text
    (loaded,) = serializers.deserialize("json", text)
    assert loaded.object.secret.reveal() == "sk-very-secret"


def test_a_credential_without_a_secret_is_refused(credential):
    with pytest.raises(ValidationError, match="blank"):
        Credential(provider=credential.provider, label="second", secret="").full_clean()


# What a provider may be


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "a/b", "not a provider name"),
        ("name", "a,b", "not a provider name"),
        ("name", "a b", "not a provider name"),
        ("name", "ä", "not a provider name"),
        ("kind", "nonsense", "known are"),
        ("base_url", "ftp://example.com", "http:// or https://"),
        ("base_url", "example.com", "http:// or https://"),
        ("base_url", "https://", "name a host"),
        ("base_url", "https://user:pw@example.com", "add a credential"),
        ("base_url", "https://example.com:99999", "not an address"),
        ("base_url", "https://example.com/ v1", "spaces"),
        ("base_url", "https://example.com/v1?key=1", "no ?"),
        ("base_url", "https://a.com/v1/chat/completions", "(/chat/completions): https://a.com/v1"),
        ("base_url", "https://a.com/v1/messages/", "(/messages/): https://a.com/v1"),
        ("base_url", "https://a.com/v1beta/models/g:generateContent", "https://a.com/v1beta"),
        ("proxy", "socks4://x", "http:// or https://"),
        ("headers", {"x-a": "b\r\nc: d"}, "line breaks"),
        ("headers", {"x a": "b"}, "not a header name"),
        ("headers", {"x-a": 1}, "must be a string"),
        ("headers", [], "JSON object"),
        ("timeouts", {"conect_s": 5}, "allowed are connect_s"),
        ("timeouts", {"connect_s": 0}, "above 0"),
        ("timeouts", {"connect_s": True}, "above 0"),
        ("timeouts", {"connect_s": "5"}, "above 0"),
        ("timeouts", {"connect_s": float("nan")}, "above 0"),
        ("timeouts", {"connect_s": None}, "above 0"),
        ("bench", {"failures": 1.5}, "whole number"),
        ("bench", {"failure_ratio": 1.5}, "at most 1"),
        ("bench", {"cooldown_s": 10, "max_cooldown_s": 5}, "less than cooldown_s"),
        ("health", {"intervall_s": 5}, "paid_probe_model, status_page"),
        ("health", {"status_page": "status.example.com"}, "status_page: the address must begin"),
        ("health", {"status_page": "http://127.1/"}, "loopback, which is refused here"),
        ("failure_domain", {"region": 1}, "must be a string"),
        ("fault", "status:503", "kind simulator"),
        ("auth", "basic", "known are bearer"),
        ("protocols", ["openai_chatt"], "openai_chat"),
        ("protocols", ["openai_chat", "openai_chat"], "twice"),
        ("protocols", "openai_chat", "must be a list"),
        ("protocols", [["openai_chat"]], "openai_chat"),
    ],
)
def test_what_cannot_work_is_refused_with_what_is_allowed(field, value, words):
    problems = problems_of(**{field: value})
    assert set(problems) == {field}
    assert words in " ".join(problems[field])


@pytest.mark.django_db
def test_a_simulator_takes_the_faults_that_it_knows():
    Provider(name="sim", kind="simulator", fault="status:503").full_clean()
    assert "fault" in problems_of(kind="simulator", fault="explode")


@pytest.mark.django_db
def test_a_password_in_an_address_is_not_repeated():
    problems = problems_of(base_url="gopher://user:very-secret@host", proxy="x://u:very-secret@h")
    assert "very-secret" not in str(problems)


@pytest.mark.django_db
def test_a_name_is_unique_within_its_source_by_constraint():
    Provider.objects.create(name="lab", kind="openai")
    Provider.objects.create(name="lab", kind="openai", **CONFIG)
    with pytest.raises(IntegrityError), transaction.atomic():
        Provider.objects.create(name="lab", kind="openai")


@pytest.mark.django_db
def test_a_provider_cannot_be_renamed():
    row = Provider.objects.create(name="lab", kind="openai")
    row.name = "other"
    with pytest.raises(ValidationError, match="cannot be renamed"):
        row.full_clean()


@pytest.mark.django_db
def test_the_configuration_shadows_the_dashboard_by_name():
    own = Provider.objects.create(name="lab", kind="openai")
    assert not own.is_shadowed
    config = Provider.objects.create(name="lab", kind="openai", **CONFIG)
    alone = Provider.objects.create(name="alone", kind="openai")
    assert own.is_shadowed
    assert not config.is_shadowed
    assert set(Provider.effective()) == {config, alone}
    known = {row.pk: row.is_shadowed for row in Provider.with_shadowed(Provider.objects.all())}
    assert known == {own.pk: True, config.pk: False, alone.pk: False}
    assert Provider.named("lab") == config
    assert Provider.named("alone") == alone
    assert Provider.named("nobody") is None


@pytest.mark.pure
@pytest.mark.parametrize("sources", [("config", "dashboard"), ("dashboard", "config")])
def test_what_has_been_read_counts_as_rows_do_in_whatever_order(sources):
    found = [("lab", source, source) for source in sources]

    assert counting([*found, ("alone", "dashboard", "own")]) == {"lab": "config", "alone": "own"}


@pytest.mark.django_db
def test_a_model_is_listed_once_per_provider():
    row = Provider.objects.create(name="lab", kind="openai")
    ProviderModel.objects.create(provider=row, model_id="meta/small")
    with pytest.raises(ValidationError, match="already"):
        ProviderModel(provider=row, model_id="meta/small").full_clean()
