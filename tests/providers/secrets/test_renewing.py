"""Stored secrets under a new key, so that the old one may go."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command

from controlplane.alerts.models import Webhook
from providers.models import Credential, Provider
from providers.secrets.fields import keyring
from tests.support import rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.django_db
OLD, NEW, OTHER = (Fernet.generate_key().decode() for _ in range(3))
ADDRESS = "https://h.example.com/secret"


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """`keys(NEW, OLD)`: as after a restart with these."""

    def have(*those: str) -> None:
        monkeypatch.setenv("ENCRYPTION_KEYS", ",".join(those))
        keyring.cache_clear()

    yield have
    keyring.cache_clear()


def told() -> str:
    said = io.StringIO()
    call_command("reencrypt", stdout=said)
    return said.getvalue()


def test_everything_opens_with_the_new_key_alone_and_may_go_where_it_might(
    keys: Callable[..., None],
) -> None:
    keys(OLD)
    where = {"base_url": "https://lab.example.com/v1", "proxy": "http://me:hushed@p:1"}
    rows.provider("lab", secret="sk-one", headers={"x-team": "blue"}, **where)
    Webhook.objects.create(name="hook", url=ADDRESS, secret="signs")
    keys(NEW, OLD)
    rows.provider("newer", secret="sk-two")

    assert told() == "5 secrets were encrypted anew; 1 had the newest key already\n"

    keys(NEW)
    lab, hook = Provider.objects.get(name="lab"), Webhook.objects.get()
    assert {c.secret.reveal() for c in Credential.objects.all()} == {"sk-one", "sk-two"}
    assert (lab.headers.revealed(), lab.proxy.reveal()) == ({"x-team": "blue"}, where["proxy"])
    assert (hook.url.reveal(), hook.secret.reveal()) == (ADDRESS, "signs")
    assert lab.unsent() == []
    assert hook.unsent() == []
    assert told() == "0 secrets were encrypted anew; 6 had the newest key already\n"


def test_what_none_of_the_keys_opens_is_named_and_left(keys: Callable[..., None]) -> None:
    keys(OTHER)
    rows.provider("lost", secret="sk-lost")
    keys(OLD)
    rows.provider("lab", secret="sk-one")
    keys(NEW, OLD)
    before = Credential.objects.get(provider__name="lost").secret.token

    with pytest.raises(CommandError, match=r"opens .*lost.*main: enter"):
        told()

    assert Credential.objects.get(provider__name="lost").secret.token == before
    assert keyring().is_newest(Credential.objects.get(provider__name="lab").secret.token)
