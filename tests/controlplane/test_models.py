from __future__ import annotations

import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from importlib import import_module

import pytest
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, transaction

from controlplane.config.general import SETTING_OF_KEY
from controlplane.edits.kinds import owners
from controlplane.edits.models import EditCounter
from controlplane.models import ApiKey, ConfigSource, Settings, digest_of
from failover.engine.policy import DEFAULT_RETRY_STATUSES, BenchPolicy, FailoverPolicy
from providers.models import CatalogEntry
from providers.validation import timeouts_problems
from routing.gateway.auth import is_mistyped, new_key
from routing.gateway.deciding.snapshot import RoutingDefaults
from tests.support import rows

migration = import_module("controlplane.migrations.0008_outages_and_retry_first")


@pytest.mark.pure
def test_keys_are_random_and_of_one_shape():
    made = {new_key() for _ in range(50)}
    assert len(made) == 50
    assert {(key[:3], len(key)) for key in made} == {("sy_", 46)}


@pytest.mark.pure
def test_a_typing_error_in_a_key_of_ours_is_told_and_no_other_form_is_judged():
    key = new_key()
    wrong = [key[:place] + ("x" if key[place] != "x" else "y") + key[place + 1 :]
             for place in range(3, len(key))]  # fmt: skip
    swapped = key[:10] + key[11] + key[10] + key[12:]

    assert not is_mistyped(key.encode(), is_unknown=True)
    assert is_mistyped(key[:-1].encode() + (b"0" if key[-1] != "0" else b"1"))
    assert all(is_mistyped(text.encode(), is_unknown=True) or text[37] != "_" for text in wrong)
    assert is_mistyped(swapped.encode(), is_unknown=True) or swapped == key
    for other in ("sy_" + "A" * 43, "sy_short", "chosen-by-an-operator-" + "a" * 32, ""):
        assert not is_mistyped(other.encode(), is_unknown=True)


@pytest.mark.pure
def test_a_short_key_shows_almost_nothing_of_itself():
    row = ApiKey(name="k")
    row.set_key("hunter2")
    assert row.hint == "h…"
    row.set_key("sy_0123456789012345678901234567890")
    assert row.hint == "sy_0123…7890"
    assert row.digest == digest_of("sy_0123456789012345678901234567890")


@pytest.mark.django_db
def test_one_key_cannot_belong_to_two():
    rows.api_key("a", "sy_same")
    with pytest.raises(IntegrityError), transaction.atomic():
        rows.api_key("b", "sy_same")


@pytest.mark.django_db
def test_there_is_one_row_of_settings():
    first = Settings.load()
    assert Settings.load() == first
    with pytest.raises(IntegrityError), transaction.atomic():
        Settings(pk=2).save()


@pytest.mark.django_db
def test_the_settings_defaults_are_the_snapshots():
    row = Settings.load()
    row.full_clean()
    defaults, failover, bench = RoutingDefaults(), FailoverPolicy(), BenchPolicy()
    for name in ("strategy", "session_affinity", "session_affinity_ttl_s", "params"):
        assert getattr(row, name) == getattr(defaults, name)
    for name in ("max_attempts", "same_candidate_retries", "deadline_s", "hold_s"):
        assert getattr(row, name) == getattr(failover, name)
    assert tuple(row.retry_on_statuses) == failover.retry_on_statuses
    first = failover.retry_first
    assert tuple(row.retry_first_statuses) == first.statuses
    assert (row.retry_first_times, row.retry_first_max_wait_s) == (first.times, first.max_wait_s)
    for name in ("failures", "failure_ratio", "window_s", "cooldown_s", "max_outage_s"):
        assert getattr(row, f"bench_{name}") == getattr(bench, name)
    for name in ("max_cooldown_s", "auth_cooldown_s"):
        assert getattr(row, f"bench_{name}") == getattr(bench, name)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (migration.OLD_STATUSES, list(DEFAULT_RETRY_STATUSES)),
        ([429, 500], [429, 500]),
        ([], []),
    ],
)
def test_whoever_never_chose_statuses_gets_those_of_the_new_default(before, after):
    Settings.objects.create(pk=1, retry_on_statuses=before)
    migration.take_the_new_default(apps, None)
    assert Settings.load().retry_on_statuses == after


def test_every_setting_but_how_long_things_are_kept_can_be_taken_over_by_the_configuration():
    names = {field.name for field in Settings._meta.fields}
    fields = {name for name in names if not name.startswith("keep_")}
    assert {*SETTING_OF_KEY.values(), "timeouts"} == fields - {"id", "updated_at"}


# Edits


@pytest.mark.django_db
def test_an_edit_moves_the_counter_and_a_rolled_back_one_does_not():
    provider = rows.provider("lab")
    first = EditCounter.load().value
    provider.delete()
    assert EditCounter.load().value > first

    before = EditCounter.load().value
    with transaction.atomic():
        rows.provider("other")
        transaction.set_rollback(True)
    assert EditCounter.load().value == before


@pytest.mark.django_db
def test_one_transaction_asks_for_one_publication(django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks() as callbacks:
        rows.provider("lab", secret="sk-1")
        rows.pool("small", "lab/a", "lab/b")
    assert len(callbacks) == 1


def test_every_configuration_model_has_a_change_history_without_secrets():
    for label in owners():
        model = apps.get_model(label)
        if model in {ConfigSource, CatalogEntry}:
            continue  # written by the mirror, or whole from a file that each row names
        kept = {field.name for field in model.history.model._meta.fields}
        assert not kept & {"secret", "digest"}, label


# The project


@pytest.mark.django_db
def test_models_and_migrations_agree():
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_the_schema_is_clean(tmp_path):
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "schema.yml"))
    assert "/api/failover:" in (tmp_path / "schema.yml").read_text()


def start(tmp_path, code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `code` with these settings in a process of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import django; django.setup(); {code}"],
        env={
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "controlplane.settings",
            "DATA_DIR": str(tmp_path / "data"),
            **environ,
        },
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )


SAY = "from django.conf import settings as s; print"


def test_a_first_start_makes_its_secrets_for_the_owner_alone(tmp_path):
    first = start(tmp_path, f"{SAY}(s.SECRET_KEY)")
    assert first.returncode == 0, first.stderr
    assert start(tmp_path, f"{SAY}(s.SECRET_KEY)").stdout == first.stdout
    file = tmp_path / "data" / "secret_key"
    assert file.read_text().strip() == first.stdout.strip()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_cookies_are_secure_once_every_origin_is_https(tmp_path):
    secure = start(
        tmp_path,
        f"{SAY}(s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE)",
        CSRF_TRUSTED_ORIGINS="https://gateway.example.com",
    )
    assert secure.stdout.strip() == "True True"


def test_a_wrong_proxy_address_is_named(tmp_path):
    wrong = start(tmp_path, "pass", TRUSTED_PROXIES="10.0.0.0/8,nonsense")
    assert wrong.returncode != 0
    assert "TRUSTED_PROXIES" in wrong.stderr
    assert "nonsense" in wrong.stderr


def test_checks_for_deployment_are_clean_behind_https(tmp_path):
    code = (
        "from django.core.management import call_command;"
        "call_command('check', deploy=True, fail_level='WARNING')"
    )
    done = start(tmp_path, code, CSRF_TRUSTED_ORIGINS="https://x.example.com")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("year", [1, 9999])
def test_a_key_s_end_is_a_moment_that_can_be_counted_with(year: int) -> None:
    key = ApiKey(name="a", expires_at=datetime(year, 6, 1, tzinfo=UTC))

    with pytest.raises(ValidationError, match=f"{year} is not allowed"):
        key.clean()


@pytest.mark.pure
@pytest.mark.parametrize(
    "number", [1e300, float("inf"), float("nan"), 10**400], ids=["large", "inf", "nan", "whole"]
)
def test_no_number_is_beyond_counting(number: float) -> None:
    assert timeouts_problems({"idle_s": number})[0].endswith(
        "it must be a number above 0, at most 315360000"
    )
