"""What receivers get, and what becomes of what they answer."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import socket
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from django.core import mail
from django.test import override_settings

from controlplane.alerts.addresses import EMAIL_IS_OFF, AlertAddress, Message, absolute, of_email
from controlplane.alerts.senders import KEPT, send
from tests.support.receiver import receiving

MESSAGE = Message(
    id=7,
    kind="pool_unavailable",
    subject="small",
    text="Pool small is unavailable. Nobody can be chosen.",
    since=datetime(2026, 11, 27, 12, 0, 0, 5, tzinfo=UTC),
    url="https://sy.example.com/admin/pools/",
)
SECRET = "hush-hush-hush"


@pytest.fixture
def receiver():
    with receiving() as found:
        yield found


def address(url: str, kind: str = "signed", **changes: object) -> AlertAddress:
    fields = {"channel": "webhook ops", "secret": SECRET, "is_guarded": False}
    return AlertAddress(kind=kind, target=url, **{**fields, **changes})


def sent(to: AlertAddress, message: Message = MESSAGE):
    return asyncio.run(send(to, message))


def test_a_signed_webhook_gets_the_alert_and_a_signature_of_its_time_and_body(receiver):
    answer = sent(address(receiver.url))

    (got,) = receiver.posted
    assert (answer.is_taken, answer.said) == (True, "answered 200: ok")
    assert json.loads(got.body) == {
        "id": 7,
        "kind": "pool_unavailable",
        "subject": "small",
        "text": "Pool small is unavailable. Nobody can be chosen.",
        "since": "2026-11-27T12:00:00Z",
        "ended_at": None,
        "url": "https://sy.example.com/admin/pools/",
    }
    assert got.headers["content-type"] == "application/json"
    told = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", got.headers["x-switchyard-signature"])
    signed = hmac.new(SECRET.encode(), f"{told[1]}.".encode() + got.body, hashlib.sha256)
    assert told[2] == signed.hexdigest()


def test_a_recovery_says_when_it_was_over(receiver):
    sent(address(receiver.url), replace(MESSAGE, ended_at=datetime(2026, 11, 27, 13, tzinfo=UTC)))

    assert json.loads(receiver.posted[0].body)["ended_at"] == "2026-11-27T13:00:00Z"


def test_without_a_secret_nothing_pretends_to_be_signed(receiver):
    sent(address(receiver.url, secret=""))

    assert "x-switchyard-signature" not in receiver.posted[0].headers


def test_a_slack_shaped_webhook_gets_text_with_the_link(receiver):
    sent(address(receiver.url, "slack"))

    (got,) = receiver.posted
    assert json.loads(got.body) == {
        "text": "Pool small is unavailable. Nobody can be chosen.\n"
        "https://sy.example.com/admin/pools/"
    }
    assert "x-switchyard-signature" not in got.headers


def test_what_a_provider_said_calls_nobody_in_a_channel(receiver):
    sent(address(receiver.url, "slack"), replace(MESSAGE, text="<!channel> & more", url=""))

    assert json.loads(receiver.posted[0].body) == {"text": "&lt;!channel&gt; &amp; more"}


@pytest.mark.parametrize("tail", ["", "/", "/a/", "/a?b=c/d", "/a/?b"])
def test_the_path_and_the_query_go_as_they_are_written(receiver, tail):
    sent(address(receiver.url + tail))

    assert receiver.posted[0].path == f"/hook{tail}"


def test_an_email_has_the_alert_and_the_link():
    with override_settings(EMAIL_URL="smtp://x"):
        answer = sent(of_email("ops@example.com"))

    (got,) = mail.outbox
    assert answer.is_taken
    assert got.to == ["ops@example.com"]
    assert got.subject == "[Switchyard] Pool small is unavailable"
    assert "Nobody can be chosen." in got.body
    assert "https://sy.example.com/admin/pools/" in got.body


def test_without_a_mail_server_that_is_said():
    with override_settings(EMAIL_URL=""):
        answer = sent(of_email("ops@example.com"))

    assert (answer.is_taken, answer.said) == (False, EMAIL_IS_OFF)
    assert mail.outbox == []


@pytest.mark.parametrize("status", [302, 307, 404, 500])
def test_what_is_not_taken_is_said_with_what_was_answered(receiver, status):
    receiver.status, receiver.answer = status, b"no such room"
    receiver.headers = {"location": receiver.url.replace("/hook", "/elsewhere")}

    answer = sent(address(receiver.url))

    assert not answer.is_taken
    assert str(status) in answer.said
    assert len(receiver.posted) == 1  # redirects are not followed
    assert ("redirects are not followed" in answer.said) == (status < 400)


def test_of_a_long_answer_only_the_beginning_is_kept_and_nothing_secret(receiver):
    receiver.status = 500
    receiver.answer = f"{SECRET} {receiver.url} \x1b[31m".encode() + b"x" * 5000

    answer = sent(address(receiver.url))

    assert len(answer.said) <= KEPT + 20
    assert SECRET not in answer.said
    assert receiver.url not in answer.said
    assert "\x1b" not in answer.said


def test_a_guarded_address_is_refused_where_it_is_connected_to(receiver):
    answer = sent(address(receiver.url.replace("127.0.0.1", "localhost"), is_guarded=True))

    assert not answer.is_taken
    assert "loopback" in answer.said
    assert receiver.posted == []


def test_a_guarded_address_takes_no_proxy_and_another_takes_that_of_the_environment(
    receiver, monkeypatch
):
    monkeypatch.setenv("http_proxy", receiver.url.removesuffix("/hook"))
    elsewhere = "http://192.0.2.1/hook"

    guarded, other = sent(address(elsewhere, is_guarded=True)), sent(address(elsewhere))

    assert "documentation" in guarded.said
    assert other.is_taken
    assert [got.path for got in receiver.posted] == ["http://192.0.2.1:80/hook"]


def test_who_is_not_there_is_said_without_the_address():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    url = f"http://127.0.0.1:{port}/secret-path"

    answer = sent(address(url))

    assert not answer.is_taken
    assert "secret-path" not in answer.said


def test_an_address_does_not_show_what_is_secret_of_it():
    shown = repr(address("https://hooks.example.com/T0/B0/xyz"))

    assert "hooks.example.com" not in shown
    assert SECRET not in shown


@pytest.mark.parametrize(
    ("origins", "url"),
    [
        ([], "/admin/x"),
        (["https://sy.example.com"], "https://sy.example.com/admin/x"),
        (["https://*.example.com", "https://b.example.com"], "https://b.example.com/admin/x"),
    ],
)
def test_links_are_absolute_where_an_origin_is_known(origins, url):
    with override_settings(CSRF_TRUSTED_ORIGINS=origins):
        assert absolute("/admin/x") == url
