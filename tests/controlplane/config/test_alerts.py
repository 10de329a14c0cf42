"""The file's `alerts`: read, mirrored, applied, written, taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.core.exceptions import ValidationError
from django.test import override_settings

from controlplane.alerts.addresses import addresses
from controlplane.alerts.models import Webhook
from controlplane.alerts.world import settings_now
from controlplane.config.apply import apply_text
from controlplane.config.mirror import mirror
from controlplane.config.yaml import ConfigErrors
from controlplane.edits.models import Revision
from controlplane.models import Settings
from controlplane.publishing.publisher import publish
from controlplane.revisions.returning import roll_back
from tests.support.configuration import exported, mistakes, read

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = """
    alerts:
      webhooks:
        - {url: "http://127.0.0.1:9/hook", secret: "${HOOK_SECRET:-}"}
        - {url: "https://hooks.example.com/T/B/x", kind: slack, name: chat}
      email: [ops@example.com]
      failover_rate: 0.3
      quiet_hours: 22:00-07:00 Europe/Lisbon
"""


def apply(text: str, **variables: str) -> list[str]:
    return [str(c) for c in apply_text(text, filename="c.yaml", environ=variables).changes]


def test_a_whole_block_is_read() -> None:
    document = read(WHOLE, HOOK_SECRET="hush-hush-hush")

    assert document.warnings == ()
    assert {key: given["value"] for key, given in document.values.items()} == {
        "alerts.email": ["ops@example.com"],
        "alerts.failover_rate": 0.3,
        "alerts.quiet_hours": "22:00-07:00 Europe/Lisbon",
    }


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("{webhook: []}", "alerts.webhook: unknown key, allowed: webhooks, email,"),
        ("{webhooks: {url: x}}", "alerts.webhooks: wrong type"),
        ("{webhooks: [{kind: slack}]}", "alerts.webhooks[0].url: missing"),
        ("{webhooks: [{url: ops.example.com}]}", "alerts.webhooks[0].url: the address must begin"),
        ('{webhooks: [{url: "ftp://a/b"}]}', "alerts.webhooks[0].url: the address must begin"),
        ('{webhooks: [{url: "https://u:hush@a/"}]}', "alerts.webhooks[0].url: a user name"),
        ('{webhooks: [{url: "https://a/#b"}]}', "alerts.webhooks[0].url: the address must not"),
        ('{webhooks: [{url: "https://[::1"}]}', "alerts.webhooks[0].url: this is not an address"),
        (
            '{webhooks: [{url: "https://a", kind: teams}]}',
            'alerts.webhooks[0].kind: unknown (text "teams"), allowed: signed, slack',
        ),
        ('{webhooks: [{url: "https://a", secret: 5}]}', "alerts.webhooks[0].secret: wrong type"),
        (
            '{webhooks: [{url: "https://a", name: webhook-2}, {url: "https://b"}]}',
            'alerts.webhooks[1]: a second webhook of this name ("webhook-2")',
        ),
        ("{email: ops@example.com}", "alerts.email: wrong type"),
        ("{email: [ops]}", "alerts.email[0]: 'ops' is no e-mail address"),
        ('{email: ["a@b.c\\nbcc: x"]}', "alerts.email[0]: "),
        ("{email: [a@b.c, a@b.c]}", "alerts.email[1]: listed twice"),
        ("{failover_rate: 0}", "alerts.failover_rate: out of range"),
        ("{failover_rate: 20}", "alerts.failover_rate: out of range"),
        ("{failover_rate: much}", "alerts.failover_rate: wrong type"),
        ("{quiet_hours: 22-7}", "alerts.quiet_hours: no quiet hours; they look like"),
        (
            "{quiet_hours: 22:00-07:00 Europe/Lisboa}",
            "alerts.quiet_hours: unknown time zone (Europe/Lisboa)",
        ),
        ("{quiet_hours: null}", "alerts.quiet_hours: null is not allowed"),
    ],
)
def test_what_is_wrong_is_named_with_its_key_and_nothing_secret(given: str, told: str) -> None:
    (mistake,) = mistakes(f"alerts: {given}")

    assert mistake.startswith(f"c.yaml:1: {told}")
    assert "hush" not in mistake


def test_what_does_less_than_it_seems_to_is_a_warning() -> None:
    document = read(
        """
        alerts:
          webhooks:
            - {url: "${NONE:-}"}
            - {url: "https://a"}
            - {url: "https://a", kind: slack, secret: s-s-s}
        """
    )

    empty, unsigned, slack = document.warnings
    assert "alerts.webhooks[0]: it has no address, so it is left out" in empty
    assert "alerts.webhooks[1]: it has no secret" in unsigned
    assert "alerts.webhooks[2].secret: a Slack-shaped message is not signed" in slack


@pytest.mark.django_db
def test_the_files_webhooks_are_rows_that_are_unguarded_and_go_with_the_file() -> None:
    Webhook.objects.create(name="chat", url="https://8.8.8.8/own")
    assert mirror(read(WHOLE, HOOK_SECRET="hush-hush-hush"))
    assert not mirror(read(WHOLE, HOOK_SECRET="hush-hush-hush"))

    found = {one.channel: one for one in addresses()}
    assert list(found) == ["webhook chat", "webhook webhook-1", "email ops@example.com"]
    assert found["webhook webhook-1"].target == "http://127.0.0.1:9/hook"
    assert found["webhook webhook-1"].secret == "hush-hush-hush"
    assert not found["webhook webhook-1"].is_guarded
    assert found["webhook chat"].target.endswith("/T/B/x")  # the file's shadows admin's

    mirror(read("{}"))
    (own,) = addresses()
    assert own.target.endswith("/own")
    assert own.is_guarded


@pytest.mark.django_db
def test_a_secret_keeps_its_token_as_long_as_its_text_is_the_same() -> None:
    mirror(read(WHOLE, HOOK_SECRET="hush-hush-hush"))
    before = Webhook.objects.get(name="webhook-1")
    mirror(read(WHOLE.replace("slack", "signed"), HOOK_SECRET="hush-hush-hush"))
    after = Webhook.objects.get(name="webhook-1")

    assert (after.url.token, after.secret.token) == (before.url.token, before.secret.token)
    mirror(read(WHOLE, HOOK_SECRET="another-secret"))
    assert Webhook.objects.get(name="webhook-1").secret.reveal() == "another-secret"


@pytest.mark.django_db
def test_the_file_wins_over_admins_settings_one_by_one() -> None:
    settings = Settings.load()
    settings.alerts_failover_rate, settings.alerts_quiet_hours = 0.4, "12:00-13:00 UTC"
    settings.save()
    mirror(read("alerts: {failover_rate: 0.3}"))

    now = settings_now()
    assert (now["alerts_failover_rate"], now["alerts_quiet_hours"]) == (0.3, "12:00-13:00 UTC")


@pytest.mark.django_db
def test_what_is_exported_applies_without_a_change_and_shows_nothing_secret() -> None:
    apply(WHOLE.replace("http://127.0.0.1:9", "https://8.8.8.8"), HOOK_SECRET="hush-hush-hush")
    text = exported()

    assert "${WEBHOOK_URL_CHAT}" in text
    assert "${WEBHOOK_SECRET_WEBHOOK_1}" in text
    assert "hush" not in text
    assert "8.8.8.8" not in text
    assert apply(text) == []
    assert exported() == text
    assert Webhook.objects.get(name="webhook-1").secret.reveal() == "hush-hush-hush"


@pytest.mark.django_db
def test_a_reference_that_keeps_nothing_is_a_mistake_and_one_that_is_set_is_taken() -> None:
    text = 'alerts: {webhooks: [{name: ops, url: "${WEBHOOK_URL_OPS}", secret: "${S}"}]}'
    with pytest.raises(ConfigErrors, match="nothing is stored that could be kept"):
        apply(text, S="s-s-s-s")

    apply(text, S="s-s-s-s", WEBHOOK_URL_OPS="https://8.8.8.8/a")
    row = Webhook.objects.get()
    assert (row.url.reveal(), row.secret.reveal()) == ("https://8.8.8.8/a", "s-s-s-s")


@pytest.mark.django_db
def test_what_is_applied_is_guarded_as_what_is_entered() -> None:
    text = 'alerts: {webhooks: [{url: "http://169.254.169.254/", secret: s-s-s}]}'
    with pytest.raises(ConfigErrors, match=r"webhooks\[0\].*link-local"):
        apply(text)
    assert not Webhook.objects.exists()

    with override_settings(ALERTS_ALLOW_PRIVATE=True):
        assert apply(text) == ["added webhook webhook-1"]


@pytest.mark.django_db
def test_a_text_decides_only_on_the_keys_that_stand_in_it() -> None:
    apply(WHOLE.replace("http://127.0.0.1:9", "https://8.8.8.8"), HOOK_SECRET="hush-hush-hush")

    assert apply("alerts: {failover_rate: 0.5}") == ["changed settings"]
    assert Webhook.objects.count() == 2
    assert settings_now()["alerts_email"] == ["ops@example.com"]
    removed = apply("alerts: {webhooks: []}")
    assert removed == ["removed webhook chat", "removed webhook webhook-1"]


@pytest.mark.django_db
def test_going_back_keeps_the_secrets_that_are_stored(tmp_path: Path) -> None:
    Webhook.objects.create(name="gone", url="https://8.8.8.8/1")
    row = Webhook.objects.create(name="ops", url="https://8.8.8.8/2", secret="s-s-s-s")
    publish(tmp_path)
    number = Revision.objects.first().pk
    Webhook.objects.get(name="gone").delete()
    row.kind, row.url = "slack", "https://8.8.8.8/3"
    row.save()
    publish(tmp_path)

    done = roll_back(number)

    (stored,) = Webhook.objects.all()
    assert (stored.kind, stored.url.reveal()) == ("signed", "https://8.8.8.8/3")
    assert stored.secret.reveal() == "s-s-s-s"
    notes = "; ".join(done.notes)
    assert "webhook gone was deleted and cannot come back" in notes
    assert "webhook ops: its url is another than then; it is kept" in notes


@pytest.mark.django_db
@pytest.mark.parametrize(
    "fields",
    [
        {"alerts_email": ["x"]},
        {"alerts_email": "a@b.c"},
        {"alerts_failover_rate": 0},
        {"alerts_failover_rate": 1.5},
        {"alerts_quiet_hours": "at night"},
    ],
)
def test_the_settings_refuse_what_the_file_refuses(fields: dict[str, object]) -> None:
    settings = Settings.load()
    for name, value in fields.items():
        setattr(settings, name, value)

    with pytest.raises(ValidationError) as refused:
        settings.full_clean()
    assert set(refused.value.message_dict) == set(fields)
