"""Alerts in admin and in the API, and the page that sends a test."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone

from controlplane.alerts.admin import resolved_problems
from controlplane.alerts.models import Alert, Notice, Webhook
from controlplane.models import Settings
from tests.support import rows
from tests.support.api import ADMIN_KEY, Api
from tests.support.receiver import receiving

pytestmark = pytest.mark.django_db
PAGE = "/admin/alerts/addresses/"
PUBLIC = "https://8.8.8.8/hook"  # no name, so that nobody is asked for it


@pytest.fixture
def admin() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ada"))
    return client


@pytest.fixture
def receiver():
    with receiving() as found:
        yield found


def alert(subject: str, *, hours: float, ended: float | None = None, **changes: object) -> Alert:
    now = timezone.now()
    return Alert.objects.create(
        **{
            "kind": "pool_unavailable",
            "subject": subject,
            "text": f"Pool {subject} is unavailable.",
            "path": "/admin/pools/",
            "is_urgent": True,
            "since": now - timedelta(hours=hours),
            "ended_at": None if ended is None else now - timedelta(hours=ended),
            **changes,
        }
    )


# API


def test_the_api_gives_open_and_past_alerts_newest_first_with_what_was_sent():
    rows.api_key("admin", ADMIN_KEY, scopes=["admin"])
    old = alert("old", hours=5)
    past = alert("past", hours=3, ended=2)
    new = alert("new", hours=1)
    Notice.objects.create(alert=old, channel="webhook ops", sent_at=timezone.now(), tries=1)
    Notice.objects.create(
        alert=old, channel="email a@b.c", due_at=timezone.now(), tries=2, error="answered 500"
    )
    api = Api()

    told = api("get", "alerts").json()

    assert [one["subject"] for one in told] == ["new", "past", "old"]
    assert [set(one) for one in told] == [
        {"id", "kind", "subject", "text", "since", "ended_at", "sent"}
    ] * 3
    assert [one["id"] for one in told] == [new.pk, past.pk, old.pk]
    assert [one["ended_at"] is None for one in told] == [True, False, True]
    sent = told[2]["sent"]
    assert [(one["to"], one["error"]) for one in sent] == [
        ("webhook ops", ""),
        ("email a@b.c", "answered 500"),
    ]
    assert [one["sent_at"] is None for one in sent] == [False, True]
    only = api("get", "alerts?open=true").json()
    assert [one["subject"] for one in only] == ["new", "old"]


# The list


def test_the_list_has_open_alerts_first_in_words_with_their_age_and_a_link(admin):
    alert("past", hours=1, ended=0.5)
    row = alert("lasting", hours=3)
    Notice.objects.create(alert=row, channel="webhook ops", sent_at=timezone.now(), tries=1)
    alert("mild", hours=4, kind="job_missed", is_urgent=False)

    html = admin.get(reverse("admin:controlplane_alert_changelist")).content.decode()

    places = [html.index(f"{kind}: {name}") for kind, name in (
        ("pool unavailable", "lasting"), ("job missed", "mild"), ("pool unavailable", "past")
    )]  # fmt: skip
    assert places == sorted(places)
    for words in ("urgent", "open", "over", "3 h ago", "1 of 1 sent", 'href="/admin/pools/"'):
        assert words in html, words


def test_the_page_of_an_alert_tells_each_message(admin):
    row = alert("small", hours=3)
    Notice.objects.create(alert=row, channel="webhook ops", tries=8, error="answered 500")

    html = admin.get(reverse("admin:controlplane_alert_change", args=[row.pk])).content.decode()

    assert "alert to webhook ops: not sent after 8 tries: answered 500" in html
    assert 'name="_save"' not in html


def test_the_list_can_be_narrowed(admin):
    alert("lasting", hours=3)
    alert("past", hours=3, ended=1)
    page = reverse("admin:controlplane_alert_changelist")

    assert "unavailable: past" not in admin.get(f"{page}?state=open").content.decode()
    assert "unavailable: lasting" not in admin.get(f"{page}?kind=job_missed").content.decode()


# Webhooks


def webhook_form(**fields: object) -> dict[str, object]:
    return {"name": "ops", "url": PUBLIC, "kind": "signed", "enabled": "on", **fields}


def add(admin: Client, **fields: object):
    return admin.post(reverse("admin:controlplane_webhook_add"), webhook_form(**fields))


def test_a_webhook_is_kept_encrypted_and_never_shown_again(admin):
    assert add(admin, secret="hush-hush-hush").status_code == 302

    row = Webhook.objects.get()
    assert (row.url.reveal(), row.secret.reveal()) == (PUBLIC, "hush-hush-hush")
    html = admin.get(reverse("admin:controlplane_webhook_change", args=[row.pk])).content.decode()
    history = admin.get(reverse("admin:controlplane_webhook_history", args=[row.pk]))
    assert "https://8.8.8.8/…" in html
    for page in (html, history.content.decode()):
        assert "/hook" not in page
        assert "hush" not in page


def test_blank_fields_keep_what_is_stored(admin):
    add(admin, secret="hush-hush-hush")
    row = Webhook.objects.get()
    page = reverse("admin:controlplane_webhook_change", args=[row.pk])

    assert admin.post(page, webhook_form(url="", secret="", kind="slack")).status_code == 302

    row.refresh_from_db()
    assert (row.kind, row.url.reveal(), row.secret.reveal()) == ("slack", PUBLIC, "hush-hush-hush")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "An address is needed"),
        ("ftp://8.8.8.8/", "must begin with https"),
        ("https://me:hush@8.8.8.8/", "does not belong in the address"),
        ("http://127.1/hook", "loopback"),
        ("http://0x7f.1/hook", "loopback"),
        ("http://[::ffff:127.0.0.1]/hook", "IPv4 address"),
        ("http://169.254.169.254/latest", "link-local"),
        ("http://localhost:8000/hook", "this machine"),
    ],
)
def test_an_address_that_is_none_or_is_private_is_refused(admin, url, words):
    answer = add(admin, url=url)

    assert words in answer.content.decode()
    assert answer.status_code == 200
    assert not Webhook.objects.exists()


@pytest.mark.parametrize(
    ("found", "is_refused"),
    [
        (["93.184.215.14"], False),
        (["93.184.215.14", "10.0.0.1"], True),
        (["2606:4700::1111", "::1"], True),
        ([], False),
    ],
)
def test_a_name_is_refused_if_it_stands_for_one_address_that_is(found, is_refused):
    def resolve(*_asked: object, **_more: object) -> list[object]:
        if not found:
            raise OSError("no such name")
        return [(0, 0, 0, "", (address, 443)) for address in found]

    assert bool(resolved_problems("https://ops.example.com/hook", resolve)) == is_refused


def test_private_addresses_are_allowed_where_the_environment_says_so(admin):
    with override_settings(ALERTS_ALLOW_PRIVATE=True):
        assert add(admin, url="http://127.0.0.1:9/hook").status_code == 302
        assert not Webhook.objects.get().is_guarded


def test_what_the_file_manages_is_read_only_and_unguarded(admin):
    row = Webhook.objects.create(name="ops", url="http://127.0.0.1/h", managed_source="config")
    page = reverse("admin:controlplane_webhook_change", args=[row.pk])

    html = admin.get(page).content.decode()

    assert "Managed by configuration" in html
    assert 'name="url"' not in html
    assert not row.is_guarded


# Addresses and their test


def test_the_page_of_addresses_shows_where_alerts_go_and_says_what_is_off(admin, receiver):
    Webhook.objects.create(name="ops", url=receiver.url, managed_source="config")
    Webhook.objects.create(name="off", url=PUBLIC, enabled=False)
    settings = Settings.load()
    settings.alerts_email = ["ops@example.com"]
    settings.save()

    with override_settings(EMAIL_URL=""):
        html = admin.get(PAGE).content.decode()

    assert receiver.url.removesuffix("hook") + "…" in html
    assert receiver.url not in html
    assert "ops@example.com" in html
    assert "EMAIL_URL is not set" in html
    assert "Send a test to ops" in html
    assert "Send a test to off" not in html


def test_with_no_address_the_page_says_what_to_do(admin):
    assert "Alerts go nowhere yet" in admin.get(PAGE).content.decode()


def test_a_test_goes_to_one_address_and_what_was_answered_is_said(admin, receiver):
    Webhook.objects.create(name="ops", url=receiver.url, kind="slack", managed_source="config")
    Webhook.objects.create(name="other", url=receiver.url, managed_source="config")
    receiver.status, receiver.answer = 404, b"no_such_channel"

    html = admin.post(PAGE, {"channel": "webhook ops"}, follow=True).content.decode()

    assert "webhook ops did not take the test: answered 404: no_such_channel" in html
    assert len(receiver.posted) == 1
    receiver.status = 200
    html = admin.post(PAGE, {"channel": "webhook ops"}, follow=True).content.decode()
    assert "webhook ops took the test: answered 200" in html


def test_a_test_to_an_address_that_is_gone_says_so(admin):
    html = admin.post(PAGE, {"channel": "webhook gone"}, follow=True).content.decode()

    assert "There is no such address any more" in html


@pytest.mark.parametrize(
    ("permissions", "look", "test"), [([], 403, 403), (["view_webhook"], 200, 403)]
)
def test_who_may_only_look_sends_no_test(receiver, permissions, look, test):
    Webhook.objects.create(name="ops", url=receiver.url, managed_source="config")
    user = User.objects.create_user("eve", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)

    answer = client.get(PAGE)

    assert answer.status_code == look
    assert b"Send a test" not in answer.content
    assert client.post(PAGE, {"channel": "webhook ops"}).status_code == test
    assert receiver.posted == []
