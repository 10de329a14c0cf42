"""Where a provider's secrets go, and that what is stored goes nowhere else."""

from __future__ import annotations

import pytest
from django.db import connection

from providers.confirming import confirm
from providers.destinations import destination_of, origin_of
from providers.models import Credential, Provider
from providers.secrets.encryption import CannotDecrypt
from providers.secrets.fields import MASK, EncryptedText, EncryptedTexts
from providers.secrets.masking import kept_proxy, masked_proxy
from tests.support import rows

A, B = "https://a.example.com/v1", "https://b.example.com/v1"


def raw(table: str, column: str) -> str:
    """All that a column holds, as the database has it."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {table}")
        return str(cursor.fetchall())


@pytest.mark.pure
@pytest.mark.parametrize(
    ("kind", "base_url", "proxy", "wanted"),
    [
        ("openai", "", "", "https://api.openai.com"),
        ("openai", "https://API.openai.com:443/other/v1", "", "https://api.openai.com"),
        ("openai", "https://api.openai.com:8443/v1", "", "https://api.openai.com:8443"),
        ("openai", "http://api.openai.com/v1", "", "http://api.openai.com"),
        ("openai", "https://bücher.example/v1", "", "https://xn--bcher-kva.example"),
        ("openai", "https://[::1]:8443/v1", "", "https://[::1]:8443"),
        ("openai", A, "http://u:p@proxy:3128", "https://a.example.com by http://proxy:3128"),
        ("openai", A, "http://proxy:3128/", "https://a.example.com by http://proxy:3128"),
        ("simulator", "", "", ""),
        ("openai_compatible", "", "", ""),
    ],
)
def test_a_destination_is_an_origin_and_a_proxy(kind, base_url, proxy, wanted):
    assert destination_of(kind, base_url, proxy) == wanted


@pytest.mark.pure
def test_what_is_no_address_is_its_own_origin():
    assert origin_of("nonsense") == "nonsense"


@pytest.mark.pure
def test_a_proxys_password_is_masked_and_the_mask_keeps_it_for_the_same_proxy_only():
    stored = EncryptedText.of("http://u:pa%40ss@proxy:3128")
    shown = masked_proxy(stored.reveal())

    assert shown == f"http://u:{MASK}@proxy:3128"
    assert kept_proxy(shown, stored) is stored
    assert kept_proxy(f"http://u:{MASK}@proxy:3128/path", stored) == (
        "http://u:pa%40ss@proxy:3128/path"
    )
    assert kept_proxy("http://new:word@other:1", stored) == "http://new:word@other:1"
    for elsewhere in ("http://u:{}@evil:3128", "https://u:{}@proxy:3128", "http://v:{}@proxy:3128"):
        with pytest.raises(ValueError, match="enter the password"):
            kept_proxy(elsewhere.format(MASK), stored)


# At rest


@pytest.fixture
def lab(db) -> Provider:
    return rows.provider(
        "lab", base_url=A, secret="sk-hushed", headers={"X-Team": "hushed-team"},
        proxy="http://user:hushed-word@proxy:1",
    )  # fmt: skip


def test_headers_and_proxy_are_tokens_in_the_database(lab):
    stored = raw("providers_provider", "headers") + raw("providers_provider", "proxy")

    assert "hushed" not in stored
    assert "X-Team" in stored
    row = Provider.objects.get()
    assert isinstance(row.headers, EncryptedTexts)
    assert row.headers.revealed() == {"X-Team": "hushed-team"}
    assert row.proxy.reveal() == "http://user:hushed-word@proxy:1"


def test_nothing_of_them_is_in_the_history(lab):
    lab.timeouts = {"connect_s": 1}
    lab.save()

    columns = {field.attname for field in Provider.history.model._meta.concrete_fields}
    assert columns.isdisjoint({"headers", "proxy"})
    assert "hushed" not in raw("providers_historicalprovider", "*")


def test_saving_an_untouched_row_keeps_its_tokens(lab):
    before = Provider.objects.get()
    again = Provider.objects.get()
    again.full_clean()
    again.save()

    after = Provider.objects.get()
    assert (after.headers.tokens(), after.proxy.token) == (
        before.headers.tokens(),
        before.proxy.token,
    )


def test_a_token_that_was_moved_to_another_row_does_not_open(lab):
    other = rows.provider("other", base_url=A, secret="sk-2", headers={"X-Team": "t", "X-B": "b"})
    Provider.objects.filter(name="other").update(
        headers={**other.headers, "X-B": lab.headers["X-Team"]}, proxy=lab.proxy
    )
    Credential.objects.filter(provider=other).update(secret=lab.credentials.get().secret)

    moved = Provider.objects.get(name="other")
    for stolen in (moved.headers["X-B"], moved.proxy, moved.credentials.get().secret):
        with pytest.raises(CannotDecrypt):
            stolen.reveal()
    assert moved.headers["X-Team"].reveal() == "t"


def test_what_an_operator_enters_is_bound_to_where_the_provider_is_then(lab):
    lab.base_url = B
    lab.headers = {**lab.headers, "X-New": "n"}
    lab.save()

    row = Provider.objects.get()
    assert row.unconfirmed_headers == ["X-Team"]
    assert row.headers["X-New"].bound.destination == "https://b.example.com by http://proxy:1"


# Unconfirmed


@pytest.mark.parametrize(
    "change",
    [
        {"base_url": B},
        {"base_url": "http://a.example.com/v1"},
        {"base_url": "https://a.example.com:8443/v1"},
        {"base_url": ""},
        {"proxy": "http://other:1"},
        {"proxy": ""},
        {"kind": "groq", "base_url": ""},
    ],
)
def test_another_destination_leaves_every_secret_unconfirmed(lab, change):
    Provider.objects.filter(pk=lab.pk).update(**change)  # not even by a form

    row = Provider.objects.get()
    assert not row.credentials.get().is_confirmed
    assert row.unconfirmed_headers == ["X-Team"]
    assert [said.partition(" was entered for")[0] for said in row.unsent()] == [
        "Key main",
        "Header X-Team",
    ]


def test_a_move_within_one_host_is_free(lab):
    lab.base_url, lab.proxy = "https://A.example.com:443/other", "http://else:new@proxy:1"
    lab.save()

    assert Provider.objects.get().unsent() == []


def test_going_back_is_free_too(lab):
    for base_url in (B, A):
        Provider.objects.filter(pk=lab.pk).update(base_url=base_url)

    assert Provider.objects.get().unsent() == []


def test_confirming_lets_all_of_it_go_to_the_new_place_and_keeps_the_text(lab):
    Provider.objects.filter(pk=lab.pk).update(base_url=B)
    row = Provider.objects.get()

    with pytest.raises(ValueError, match="nothing was confirmed"):
        confirm(row, "https://c.example.com")
    confirm(row, row.destination)

    after = Provider.objects.get()
    assert after.unsent() == []
    assert after.credentials.get().secret.reveal() == "sk-hushed"
    assert after.headers.revealed() == {"X-Team": "hushed-team"}
