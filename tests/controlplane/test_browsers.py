"""What browsers are told: which scripts run, and which cookies they keep for whom."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client, override_settings

from controlplane.management.commands.serve import refuse_debug_for_others
from controlplane.nonces import with_nonces
from tests.support.gateways import ROOT, environment

if TYPE_CHECKING:
    from django.http import HttpResponse

PASSWORD = "a-long-password"
PAGES = (
    "/admin/",
    "/admin/providers/provider/add/",
    "/admin/auth/user/",
    "/api/docs/",
)


def policy(answer: HttpResponse) -> dict[str, list[str]]:
    parts = [part.split() for part in answer.headers["Content-Security-Policy"].split(";")]
    return {name: words for name, *words in parts}


@pytest.mark.django_db
@pytest.mark.parametrize("path", PAGES)
def test_only_scripts_that_stand_in_templates_run(admin_client: Client, path: str) -> None:
    answer = admin_client.get(path)
    told, text = policy(answer), answer.content.decode()
    nonce = next(word for word in told["script-src"] if word.startswith("'nonce-"))[7:-1]

    assert "'unsafe-inline'" not in told["script-src"]
    scripts = re.findall(r"<script\b[^>]*>", text)
    assert scripts
    for script in scripts:  # those of forms' media come from this host, by their address
        assert f'nonce="{nonce}"' in script or ' src="/static/' in script or "json" in script
    assert not re.search(r"<[^>]+\son[a-z]+=", text)
    assert not re.search(r"(href|src|action)=[\"']?javascript:", text)


@pytest.mark.django_db
def test_each_answer_has_a_nonce_of_its_own(admin_client: Client) -> None:
    drawn = {tuple(policy(admin_client.get("/admin/"))["script-src"]) for _ in range(3)}
    assert len(drawn) == 3


@pytest.mark.pure
def test_a_template_is_given_nonces_where_a_script_begins() -> None:
    assert with_nonces("<script>x<scripted>") == '<script nonce="{% script_nonce %}">x<scripted>'


@pytest.mark.django_db
@pytest.mark.parametrize("is_https", [True, False])
def test_cookies_over_https_are_of_this_host_alone(is_https: bool) -> None:
    User.objects.create_superuser("ada", password=PASSWORD)
    client = Client()
    form = {"username": "ada", "password": PASSWORD}

    client.get("/admin/login/", secure=is_https)
    answer = client.post("/admin/login/", form, secure=is_https)

    assert answer.status_code == 302
    names = {morsel.key for morsel in client.cookies.values() if morsel.value}
    if not is_https:
        assert names == {"sessionid", "csrftoken"}
        return
    assert names == {"__Host-sessionid", "__Host-csrftoken"}
    for morsel in client.cookies.values():
        assert (morsel["secure"], morsel["path"], morsel["domain"]) == (True, "/", "")
    assert client.get("/admin/", secure=True).status_code == 200
    client.post("/admin/logout/", secure=True)
    assert client.get("/admin/", secure=True).status_code == 302


@pytest.mark.django_db
def test_over_https_a_cookie_that_others_could_have_set_is_no_session(admin_client: Client) -> None:
    assert admin_client.get("/admin/").status_code == 200
    assert admin_client.get("/admin/", secure=True).status_code == 302
    with override_settings(IS_SERVED_BY_HTTPS=True):
        assert admin_client.get("/admin/").status_code == 302


def test_debug_is_for_this_machine_alone(tmp_path: Path) -> None:
    env = environment(tmp_path, DEBUG="true")
    started = subprocess.run(
        [sys.executable, "manage.py", "serve", "--host", "0.0.0.0", "--port", "0"],
        cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, timeout=30,
        check=False,
    )  # fmt: skip

    assert started.returncode == 1
    assert "DEBUG is on" in started.stderr


@pytest.mark.parametrize("address", ["0.0.0.0:1", "0:1", "[::]:1", "192.0.2.1:1"])
def test_djangos_own_server_stands_no_more_open(address: str) -> None:
    with override_settings(DEBUG=True), pytest.raises(CommandError, match="DEBUG is on"):
        call_command("runserver", address)


def test_debug_is_allowed_where_nobody_else_comes() -> None:
    with override_settings(DEBUG=True):
        refuse_debug_for_others("localhost", "127.0.0.1")
        refuse_debug_for_others("::1", "::1")
    refuse_debug_for_others("0.0.0.0", "0.0.0.0")


@pytest.mark.django_db
def test_a_strange_host_is_told_in_json_on_the_api() -> None:
    answer = Client().get("/api/providers", headers={"host": "evil.example"})

    assert answer.status_code == 400
    assert "ALLOWED_HOSTS" in answer.json()["detail"]
