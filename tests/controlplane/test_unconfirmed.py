"""
A stored secret goes only where it was entered for, whichever way the address changes.

The old and the new host are real servers that remember what they were sent.
"""

from __future__ import annotations

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from controlplane.alerts.addresses import of_webhook
from controlplane.alerts.models import Webhook
from controlplane.config.apply import apply_text
from controlplane.config.document import parse
from controlplane.config.mirror import mirror
from controlplane.config.objects import collect, effective
from controlplane.config.text import text_of
from controlplane.health.watched import look_at_all, watched
from controlplane.models import RecordedObject, Revision
from controlplane.publishing.publisher import publish
from controlplane.revisions.returning import roll_back
from providers.models import Credential, Provider
from providers.secrets.fields import keyring
from routing.gateway.deciding.table import compile_table
from tests.support import rows
from tests.support.api import ADMIN_KEY, Api
from tests.support.forms import address, inline

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.django_db
SECRET = "sk-very-secret-0123456789"
HUSH = "hushed-header-value"


class Host:
    """Lists a model, and remembers the headers of who asks."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.heard.append(str(self.headers))
                body = b'{"data": [{"id": "s"}]}'
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_words: object) -> None:
                """Nobody reads it."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def got(self, text: str) -> bool:
        return any(text in heard for heard in self.heard)


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    old, new = Host(), Host()
    yield old, new
    old.stop()
    new.stop()


@pytest.fixture
def api() -> Api:
    rows.api_key("operator", ADMIN_KEY, scopes=["admin"])
    return Api()


@pytest.fixture
def lab(hosts: tuple[Host, Host]) -> Provider:
    rows.pool("small", "lab/s")
    return rows.provider("lab", base_url=hosts[0].url, secret=SECRET, headers={"X-Hush": HUSH})


def sent(folder: Path) -> tuple[bool, bytes]:
    """Whether a worker that loads what is published now would call the provider; and the file."""
    snapshot = publish(folder)
    table = compile_table(snapshot, decrypt=keyring().decrypt, environ={})
    return table.upstreams["lab"].is_able, (folder / "snapshot.msgpack").read_bytes()


def tried(api: Api) -> dict[str, Any]:
    answer = api("post", "providers/lab/test", {})
    assert answer.status_code == 200
    return dict(answer.json())


def refuses_to_send(api: Api, new: Host, folder: Path) -> None:
    """Neither a test, nor a health check, nor a worker sends anything; and all of it says so."""
    trial = tried(api)
    assert trial["ok"] is False
    assert f"not sent to {new.url.removesuffix('/v1')}" in trial["message"]
    (seen,) = watched()
    assert "have to be confirmed" in seen.off
    assert sent(folder)[0] is False
    shown = api("get", "providers/lab").json()
    assert [entry["confirmed"] for entry in shown["credentials"]] == [False]
    assert len(shown["unconfirmed"]) == 2
    assert new.heard == []


def test_a_provider_that_stays_where_it_is_sends_what_it_has(api, lab, hosts, tmp_path):
    assert tried(api)["ok"] is True
    look_at_all(watched())
    assert sent(tmp_path)[0] is True
    assert hosts[0].got(SECRET)
    assert hosts[0].got(HUSH)


def by_api(api: Api, url: str) -> None:
    answer = api("patch", "providers/lab", {"base_url": url})
    assert answer.status_code == 200
    assert any("Key main was entered for" in said for said in answer.json()["warnings"])


def by_form(api: Api, url: str) -> None:
    del api
    row = Provider.objects.get()
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    kept = {"id": row.credentials.get().pk, "label": "main", "enabled": "on", "position": 0}
    form = {
        "name": "lab", "kind": "openai", "enabled": "on", "trust_env_proxy": "on", "base_url": url,
        "failure_domain": "{}",
        "headers": '{"X-Hush": "•••"}', **inline("models"),
        **inline("credentials", kept | {"secret": ""}, stored=1),
    }  # fmt: skip
    page = address("providers_provider", "change", row.pk)
    answer = client.post(page, form, follow=True)
    assert "Key main was entered for" in answer.content.decode()
    assert "unconfirmed" in client.get(page).content.decode()


def by_applying(api: Api, url: str) -> None:
    text = text_of(effective(collect())).replace(Provider.objects.get().base_url, url)
    answer = api("post", "config/apply", {"yaml": text})
    assert answer.status_code == 200, answer.content
    assert any("Key main was entered for" in said for said in answer.json()["notes"])


def by_kind(api: Api, url: str) -> None:
    """The database itself, by whom and however."""
    del api
    Provider.objects.update(base_url=url)


@pytest.mark.parametrize("way", [by_api, by_form, by_applying, by_kind])
def test_a_new_host_is_sent_nothing_that_was_entered_for_the_old_one(
    api, lab, hosts, tmp_path, way
):
    way(api, hosts[1].url)

    refuses_to_send(api, hosts[1], tmp_path)
    confirmed = api("post", "providers/lab/confirm", {})
    assert confirmed.status_code == 200
    assert confirmed.json()["unconfirmed"] == []
    assert tried(api)["ok"] is True
    assert hosts[1].got(SECRET)
    assert hosts[1].got(HUSH)
    assert sent(tmp_path)[0] is True


def test_going_back_to_a_revision_of_another_host_sends_nothing_there(api, lab, hosts, tmp_path):
    lab.base_url = hosts[1].url
    lab.headers = {}
    lab.save()
    publish(tmp_path)
    there = Revision.objects.first().pk
    body = {
        "base_url": hosts[0].url, "headers": {"X-Hush": HUSH},
        "credentials": [{"label": "main", "secret": SECRET}],
    }  # fmt: skip
    assert api("patch", "providers/lab", body).status_code == 200
    publish(tmp_path)

    outcome = roll_back(there)

    assert any("Key main was entered for" in said for said in outcome.notes)
    assert tried(api)["ok"] is False
    assert hosts[1].heard == []


def test_another_proxy_is_sent_nothing_either(api, lab, hosts, tmp_path):
    proxy = hosts[1].url.removesuffix("/v1")
    assert api("patch", "providers/lab", {"proxy": proxy}).status_code == 200

    assert tried(api)["ok"] is False
    assert sent(tmp_path)[0] is False
    assert hosts[1].heard == []


def test_entering_the_key_again_confirms_it_and_headers_with_it(api, lab, hosts):
    body = {
        "base_url": hosts[1].url, "headers": {"X-Hush": HUSH},
        "credentials": [{"label": "main", "secret": SECRET}],
    }  # fmt: skip
    answer = api("patch", "providers/lab", body)

    assert answer.json()["unconfirmed"] == []
    assert tried(api)["ok"] is True
    assert hosts[1].got(SECRET)


def test_a_second_key_that_is_confirmed_serves_alone(api, lab, hosts, tmp_path):
    lab.headers = {}
    lab.save()
    both = [{"label": "main"}, {"label": "new", "secret": "sk-new-0123456789"}]
    api("patch", "providers/lab", {"base_url": hosts[1].url, "credentials": both})

    assert tried(api)["credential"] == "new"
    snapshot = publish(tmp_path)
    (spec,) = snapshot.content.providers
    assert [entry.label for entry in spec.credentials] == ["new"]
    assert hosts[1].got("sk-new-0123456789")
    assert not hosts[1].got(SECRET)


def test_a_kind_that_needs_no_key_is_not_called_without_the_one_that_it_has(api, hosts, tmp_path):
    rows.pool("small", "lab/s")
    row = rows.provider("lab", kind="openai_compatible", base_url=hosts[0].url, secret=SECRET)
    row.base_url = hosts[1].url
    row.save()

    assert sent(tmp_path)[0] is False
    assert "have to be confirmed" in watched()[0].off


def test_confirming_is_refused_if_the_address_has_moved_on(api, lab, hosts):
    api("patch", "providers/lab", {"base_url": hosts[1].url})

    answer = api("post", "providers/lab/confirm", {"destination": "https://seen.example.com"})

    assert answer.status_code == 400
    assert "nothing was confirmed" in answer.json()["destination"][0]


def test_the_file_confirms_by_itself(hosts):
    text = "providers: {lab: {kind: openai, base_url: '%s', api_key: k-0123456789,"
    text += " headers: {x-hush: hushed-in-file}}}"
    for host in hosts:
        mirror(parse(text % host.url, filename="c.yaml", environ={}))
        row = Provider.objects.get()
        assert row.credentials.get().is_confirmed
        assert row.unconfirmed_headers == []


def test_a_text_with_the_key_in_it_confirms_and_one_that_keeps_it_does_not(lab, hosts):
    text = text_of(effective(collect())).replace(hosts[0].url, hosts[1].url)

    kept = apply_text(text, filename="c.yaml", environ={})
    assert len(kept.concerns) == 2
    given = {"PROVIDER_KEY_LAB_MAIN": SECRET, "PROVIDER_HEADER_LAB_X_HUSH": HUSH}
    assert apply_text(text, filename="c.yaml", environ=given).concerns == []
    assert Credential.objects.get().is_confirmed


# Masked, and absent in clear


def test_headers_and_proxy_are_masked_and_a_mask_keeps_what_is_stored(api, lab, tmp_path):
    api("patch", "providers/lab", {"proxy": "http://me:hushed-word@127.0.0.1:1"})
    shown = api("get", "providers/lab").json()
    assert shown["headers"] == {"X-Hush": "•••"}
    assert shown["proxy"] == "http://me:•••@127.0.0.1:1"

    again = {name: shown[name] for name in ("headers", "proxy", "base_url")}
    answer = api("patch", "providers/lab", again | {"headers": {**again["headers"], "X-New": "n"}})

    assert answer.status_code == 200, answer.content
    row = Provider.objects.get()
    assert row.headers.revealed() == {"X-Hush": HUSH, "X-New": "n"}
    assert row.proxy.reveal() == "http://me:hushed-word@127.0.0.1:1"
    stale = api("patch", "providers/lab", {"headers": {"X-Lost": "•••"}})
    assert (stale.status_code, "X-Lost" in stale.content.decode()) == (400, True)
    other = api("patch", "providers/lab", {"proxy": "http://me:•••@127.0.0.2:1"})
    assert (other.status_code, "enter the password" in other.content.decode()) == (400, True)


def test_a_conflict_does_not_repeat_what_was_sent_in_clear(api, lab):
    client = api.client
    answer = client.patch(
        "/api/providers/lab",
        data={"headers": {"X-Hush": "hushed-anew"}, "proxy": "http://a:hushed-anew@b:1"},
        content_type="application/json",
        headers={"if-match": '"another"'},
    )

    assert answer.status_code == 412
    assert "hushed" not in answer.content.decode()


def test_they_are_in_clear_nowhere_that_is_kept(api, lab, tmp_path, caplog):
    api("patch", "providers/lab", {"proxy": "http://me:hushed-word@127.0.0.1:1"})
    api("post", "providers/lab/confirm", {})
    _able, file = sent(tmp_path)
    lab.refresh_from_db()
    lab.headers = {"X-Hush": "hushed-anew"}
    lab.save()
    publish(tmp_path)

    kept = [
        file.decode("latin-1"),
        str(api("get", "config/export").content),
        *(str(api("get", f"revisions/{row.pk}").content) for row in Revision.objects.all()),
        *(row.block for row in RecordedObject.objects.all()),
        json.dumps([str(found) for found in Provider.history.values()]),
        caplog.text,
    ]
    assert [text for text in kept if "hushed" in text] == []


# Webhooks


def webhook_form(**fields: str) -> dict[str, str]:
    return {"name": "ops", "kind": "signed", "url": "", "secret": "", "enabled": "on", **fields}


def test_a_webhooks_secret_signs_for_the_host_that_it_was_entered_for(db):
    hook = Webhook(name="ops", url="https://8.8.8.8/hook", secret="hush-hush-hush")
    hook.save()
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    page = address("controlplane_webhook", "change", hook.pk)

    refused = client.post(page, webhook_form(url="https://9.9.9.9/hook"))
    assert "It was entered for https://8.8.8.8" in refused.content.decode()
    assert client.post(page, webhook_form(url="https://8.8.8.8/else")).status_code == 302
    assert of_webhook(Webhook.objects.get()).secret == "hush-hush-hush"

    # By a text that keeps it, it is told, and nothing is sent.
    text = "alerts: {webhooks: [{name: ops, url: 'https://9.9.9.9/', secret: '${X}'}]}"
    concerns = apply_text(text, filename="c.yaml", environ={}).concerns
    found = of_webhook(Webhook.objects.get())
    assert "entered for https://8.8.8.8" in concerns[0]
    assert (found.secret, "enter it again" in found.problem) == ("", True)
    both = webhook_form(url="https://9.9.9.9/hook", secret="another-hush")
    assert client.post(page, both).status_code == 302
    assert of_webhook(Webhook.objects.get()).secret == "another-hush"


def test_a_webhook_that_is_renamed_keeps_its_address_and_secret(db):
    hook = Webhook(name="ops", url="https://8.8.8.8/hook", secret="hush-hush-hush")
    hook.save()
    client = Client()
    client.force_login(User.objects.create_superuser("root"))

    page = address("controlplane_webhook", "change", hook.pk)
    assert client.post(page, webhook_form(name="night")).status_code == 302

    row = Webhook.objects.get()
    assert (row.name, row.url.reveal(), row.secret.reveal()) == (
        "night", "https://8.8.8.8/hook", "hush-hush-hush",
    )  # fmt: skip
    assert row.unsent() == []


def test_nothing_of_the_environment_proxies_is_bound_to(lab, monkeypatch):
    """Whoever sets the environment of the process is no operator of the pages."""
    monkeypatch.setitem(os.environ, "http_proxy", "http://elsewhere:1")

    assert Provider.objects.get().credentials.get().is_confirmed
