"""A configuration in the database: written once, changed where it differs, refused whole."""

from __future__ import annotations

import socket
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from cryptography.fernet import Fernet
from django.apps import apps
from django.conf import settings
from django.utils import timezone

from controlplane.config.document import parse
from controlplane.config.file import sync_file
from controlplane.config.mirror import mirror, refuse
from controlplane.config.yaml import ConfigErrors
from controlplane.edits.kinds import owners
from controlplane.edits.models import EditCounter
from controlplane.hosts.models import HostReport
from controlplane.models import ApiKey, ConfigSource, Team, digest_of
from failover.models import FailoverRule
from providers.models import Credential, Provider, ProviderModel
from providers.secrets import fields
from providers.secrets.encryption import CannotDecrypt, Keyring
from routing.gateway.link.fleet import HostSeen
from routing.models import Alias, Candidate, CanonicalModel
from tests.support.configuration import ENVIRON, EXAMPLE_TEXT

if TYPE_CHECKING:
    from pathlib import Path

    from django.db.models import Model

pytestmark = pytest.mark.django_db


def apply(text: str, **environ: str) -> bool:
    return mirror(parse(text, filename="c.yaml", environ=environ))


def rows(model: type[Model]) -> list[dict[str, Any]]:
    return list(model._default_manager.order_by("pk").values())


def everything() -> dict[str, list[dict[str, Any]]]:
    """Every configuration table with its history."""
    found = {}
    for label in owners():
        model = apps.get_model(label)
        found[label] = rows(model)
        if history := getattr(model, "history", None):
            found[f"{label} history"] = rows(history.model)
    found["edits"] = rows(EditCounter)
    return found


def test_the_example_becomes_rows() -> None:
    assert apply(EXAMPLE_TEXT, **ENVIRON)
    assert Provider.objects.filter(managed_source="config").count() == 5
    primary = Provider.objects.get(name="anthropic_primary")
    assert primary.timeouts["reasoning_first_token_s"] == 300
    assert primary.failure_domain == {"vendor": "anthropic", "region": "us"}
    assert [(row.label, row.secret.reveal()) for row in primary.credentials.all()] == [
        ("key-1", "ak-1"),
        ("key-2", "ak-2"),
    ]
    listed = ProviderModel.objects.get(model_id="claude-opus-4-7")
    assert listed.metadata["pricing"] == {"input_per_mtok": 5, "output_per_mtok": 25}
    pool = CanonicalModel.objects.get(name="claude-sonnet-4-6")
    assert [(row.provider_name, row.priority, row.rpm) for row in pool.candidates.all()] == [
        ("anthropic_primary", 1, None),
        ("anthropic_backup", 2, 600),
    ]
    assert CanonicalModel.objects.get(name="gpt-4o-mini").failover == {"max_attempts": 2}
    assert dict(Alias.objects.values_list("name", "target")) == {
        "sonnet": "claude-sonnet-4-6",
        "fast": "gpt-4o-mini",
        "opus-4.5": "",
    }
    assert [row.model for row in Alias.objects.get(name="opus-4.5").targets.all()] == [
        "claude-opus-4-7",
        "kiro-claude-opus-4-5-agentic",
    ]
    rule = FailoverRule.objects.get()
    assert rule.fallback_models == ["openai_main/gpt-4o", "gpt-4o-mini"]
    key = ApiKey.objects.get()
    assert key.digest == digest_of(ENVIRON["TEAM_A_KEY"])
    assert key.team == Team.objects.get(name="a")
    source = ConfigSource.load()
    assert (source.path, source.refused_at) == ("c.yaml", None)
    assert any("failover.rules.claude-sonnet-4-6[0]" in text for text in source.warnings)
    assert source.applied_at is not None


def test_a_second_mirror_writes_nothing() -> None:
    apply(EXAMPLE_TEXT, **ENVIRON)
    before = everything()
    assert not apply(EXAMPLE_TEXT, **ENVIRON)
    assert everything() == before


def test_only_what_differs_is_written() -> None:
    apply(EXAMPLE_TEXT, **ENVIRON)
    before = everything()
    assert apply(EXAMPLE_TEXT.replace("rpm: 600, tpm: 400000", "rpm: 700, tpm: 400000"), **ENVIRON)
    after = everything()
    moved = {label for label in before if before[label] != after[label]}
    assert moved == {
        "routing.Candidate",
        "routing.Candidate history",
        "controlplane.ConfigSource",
        "edits",
    }
    assert len(after["routing.Candidate history"]) == len(before["routing.Candidate history"]) + 1


def test_everything_written_has_history() -> None:
    apply(EXAMPLE_TEXT, **ENVIRON)
    for model in (Provider, Credential, ProviderModel, CanonicalModel, Candidate, Alias, ApiKey):
        assert model.history.count() == model.objects.count() > 0


def test_a_token_stays_as_long_as_its_text_and_its_host_do() -> None:
    text = "providers: {a: {kind: openai, api_keys: ['${A}', '${B}']}}"
    apply(text, A="one", B="two")
    before = dict(Credential.objects.values_list("label", "secret"))
    moved = text.replace("openai", "openai, base_url: 'https://api.openai.com/other/v1'")
    apply(moved, A="one", B="three")
    after = dict(Credential.objects.values_list("label", "secret"))
    assert after["key-1"].token == before["key-1"].token
    assert after["key-2"].token != before["key-2"].token
    assert after["key-2"].reveal() == "three"


def test_a_secret_whose_encryption_key_is_lost_is_encrypted_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "providers: {a: {kind: openai, api_key: k}}"
    apply(text)
    other = Keyring([Fernet.generate_key().decode()])
    monkeypatch.setattr(fields, "keyring", lambda: other)
    assert apply(text)
    assert Credential.objects.get().secret.reveal() == "k"


def running(*, silent_s: float = 0, **more: Any) -> None:
    """A host that has told of itself."""
    fields = {"id": "h", "host": "peer", "data_dir": "/peer", "pid": 1, **more}
    HostReport.objects.update_or_create(
        host="h",
        defaults={
            "report": msgspec.json.encode(HostSeen(**fields)).decode(),
            "seen_at": timezone.now() - timedelta(seconds=silent_s),
        },
    )


def test_a_secret_that_a_running_host_can_open_is_not_taken_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "providers: {a: {kind: openai, api_key: k}}"
    apply(text)
    token = Credential.objects.get().secret.token
    other = Keyring([Fernet.generate_key().decode()])
    monkeypatch.setattr(fields, "keyring", lambda: other)
    running(keys_fingerprint="of other keys")
    with pytest.raises(CannotDecrypt, match="peer"):
        apply(text)
    assert Credential.objects.get().secret.token == token
    running(keys_fingerprint="of other keys", silent_s=30)
    assert apply(text)


def test_empty_and_repeated_keys_are_no_credentials() -> None:
    apply("providers: {a: {kind: openai, api_keys: ['', k, k]}, b: {kind: openai, api_key: ''}}")
    assert list(Credential.objects.values_list("provider__name", "label")) == [("a", "key-2")]


def test_what_leaves_the_file_leaves_the_database() -> None:
    apply(EXAMPLE_TEXT, **ENVIRON)
    assert apply("")
    for model in (Provider, Credential, CanonicalModel, Candidate, Alias, FailoverRule, ApiKey):
        assert not model.objects.exists()
    assert ConfigSource.load().values == {}


def test_dashboard_rows_are_left_alone() -> None:
    own = Provider.objects.create(name="openai_main", kind="groq")
    Provider.objects.create(name="mine", kind="openai")
    apply(EXAMPLE_TEXT, **ENVIRON)
    own.refresh_from_db()
    assert (own.kind, own.is_shadowed) == ("groq", True)
    apply("")
    assert set(Provider.objects.values_list("name", flat=True)) == {"openai_main", "mine"}
    own.refresh_from_db()
    assert not own.is_shadowed


def test_environment_rules_are_rows_without_any_file() -> None:
    assert sync_file({"FAILOVER_RULES_JSON": '{"a": ["b"]}', "FAILOVER_ENABLED": "off"}).applied
    rule = FailoverRule.objects.get()
    assert (rule.managed_source, rule.fallback_models) == ("config", ["b"])
    source = ConfigSource.load()
    assert source.path == ""
    assert source.values == {
        "failover.enabled": {"value": False, "source": "environment"},
        "failover.rules.a": {"value": ["b"], "source": "environment"},
    }


def test_a_refused_edit_changes_nothing_but_the_note_of_it(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(EXAMPLE_TEXT)
    environ = {**ENVIRON, "SWITCHYARD_CONFIG": str(file)}
    assert sync_file(environ).applied
    before = everything()
    file.write_text("providers: {}\nbench: {failures: 0}\n")
    result = sync_file(environ)
    assert not result.applied
    assert result.errors == (
        f"{file}:2: bench.failures: out of range (number 0), allowed: 1 or more",
    )
    after = everything()
    assert {label for label in before if before[label] != after[label]} == {
        "controlplane.ConfigSource",
        "edits",
    }
    source = ConfigSource.load()
    assert source.refused_errors == list(result.errors)
    assert source.refused_at is not None
    sync_file(environ)
    assert ConfigSource.load().refused_at == source.refused_at
    file.write_text(EXAMPLE_TEXT)
    assert sync_file(environ).applied
    assert (ConfigSource.load().refused_at, ConfigSource.load().refused_errors) == (None, [])


def test_a_missing_file_is_refused_and_removes_nothing(tmp_path: Path) -> None:
    apply(EXAMPLE_TEXT, **ENVIRON)
    gone = tmp_path / "gone.yaml"
    result = sync_file({"SWITCHYARD_CONFIG": str(gone)})
    assert result.errors == (f"{gone}: the file cannot be read: No such file or directory",)
    assert CanonicalModel.objects.count() == 2


def test_no_file_configured_removes_the_files_rows() -> None:
    apply(EXAMPLE_TEXT, **ENVIRON)
    assert sync_file({}).applied
    assert not CanonicalModel.objects.exists()


def test_without_a_file_the_rows_of_a_host_that_runs_with_one_stay() -> None:
    apply(EXAMPLE_TEXT, **ENVIRON)
    before = everything()
    running(config_file="/etc/switchyard.yaml")
    result = sync_file({})
    assert not result.applied
    assert "/etc/switchyard.yaml" in result.warnings[0]
    assert everything() == before


def test_what_this_host_told_before_its_restart_keeps_no_rows() -> None:
    apply(EXAMPLE_TEXT, **ENVIRON)
    here = {"host": socket.gethostname(), "data_dir": str(settings.DATA_DIR)}
    running(config_file="/etc/switchyard.yaml", **here)
    assert sync_file({}).applied
    assert not CanonicalModel.objects.exists()


def test_a_key_that_admin_knows_already_is_refused_before_anything_is_written() -> None:
    mine = ApiKey(name="mine")
    mine.set_key("sy_same")
    mine.save()
    with pytest.raises(ConfigErrors) as refused:
        apply("providers: {a: {kind: openai}}\nkeys: [{name: k, key: sy_same}]")
    assert refused.value.errors == (
        'c.yaml:2: keys[0].key: the same key as "mine" in admin, allowed: another key',
    )
    assert not Provider.objects.exists()


def test_aliases_of_file_and_admin_make_no_circle_together() -> None:
    CanonicalModel.objects.create(name="pool")
    Alias.objects.create(name="a", target="pool")
    Alias.objects.create(name="b", target="a")
    before = everything()
    with pytest.raises(ConfigErrors) as refused:
        apply("aliases: {a: b}")
    assert refused.value.errors == (
        "c.yaml: aliases.a: a cycle of aliases with admin's (a -> b -> a), allowed: an end",
    )
    assert everything() == before
    assert apply("aliases: {a: pool}")
    # What the file takes away may lay bare what admin has underneath.
    Alias.objects.filter(name="a", managed_source="dashboard").update(target="b")
    with pytest.raises(ConfigErrors, match="a -> b -> a"):
        apply("{}")


def test_two_keys_may_trade_places() -> None:
    apply("keys: [{name: a, key: one}, {name: b, key: two}]")
    apply("keys: [{name: a, key: two}, {name: b, key: one}]")
    assert dict(ApiKey.objects.values_list("name", "digest")) == {
        "a": digest_of("two"),
        "b": digest_of("one"),
    }
    apply("keys: [{name: c, key: two}]")
    assert ApiKey.objects.get().name == "c"


def test_an_alias_may_move_from_a_pool_to_targets_of_its_own() -> None:
    pool = (
        "providers: {a: {kind: openai}}\n"
        "routing: {model_pools: {m: {aliases: [%s], candidates: [{provider: a, model: x}]}}}\n"
    )
    apply(pool % "s")
    apply(pool % "" + "aliases: {s: {targets: [{provider: a, model: y}]}}\n")
    alias = Alias.objects.get()
    assert (alias.name, alias.target, alias.targets.get().model) == ("s", "", "y")


def test_candidates_follow_the_order_of_the_file() -> None:
    text = (
        "providers: {a: {kind: openai}}\n"
        "routing: {model_pools: {m: {candidates: [{provider: a, model: x},"
        " {provider: a, model: y}]}}}\n"
    )
    apply(text)
    apply(text.replace("model: x", "model: z").replace("model: y", "model: x"))
    pool = CanonicalModel.objects.get()
    assert [row.model for row in pool.candidates.all()] == ["z", "x"]


def test_a_long_error_list_is_kept_whole() -> None:
    refuse("c.yaml", [f"c.yaml:{n}: x" for n in range(500)])
    assert len(ConfigSource.load().refused_errors) == 500
