"""What is taken out of texts, and what is left."""

from __future__ import annotations

from hashlib import sha256

import pytest

from providers.secrets.redaction import REDACTED, Secrets

pytestmark = pytest.mark.pure


def made(*texts: str) -> Secrets:
    secrets = Secrets()
    secrets.remember(*texts)
    return secrets


@pytest.mark.parametrize(
    ("secret", "text", "expected"),
    [
        ("hunter22", "password hunter22.", f"password {REDACTED}."),
        ("hunter22", "hunter22", REDACTED),
        ("hunter22", "xhunter22hunter22y", f"x{REDACTED}{REDACTED}y"),
        ("hunter22", "hunter2", "hunter2"),
        ("pass word/1", "at pass%20word%2F1 and pass word/1", f"at {REDACTED} and {REDACTED}"),
        ("two\nlines", r"repr 'two\nlines'", f"repr '{REDACTED}'"),
        ("none", "none of them", "none of them"),
    ],
)
def test_a_secret_is_found_by_value_wherever_it_stands(
    secret: str, text: str, expected: str
) -> None:
    assert made(secret).redact(text) == expected


def test_of_two_secrets_that_begin_alike_the_longer_one_is_taken_out_whole() -> None:
    assert made("abcdefgh", "abcdefghij").redact("abcdefghijk abcdefghx") == (
        f"{REDACTED}k {REDACTED}x"
    )


def test_a_key_that_is_known_by_its_digest_alone_is_found_between_separators() -> None:
    secrets = Secrets()
    secrets.digests = {sha256(b"sesame-open-up").digest(), sha256(b"a+b/c~d!e").digest()}

    said = secrets.redact('{"key":"sesame-open-up"} x/sesame-open-up?k=a+b/c~d!e other-open-up')

    assert said == f'{{"key":"{REDACTED}"}} x/{REDACTED}?k={REDACTED} other-open-up'


@pytest.mark.parametrize(
    "text", ["sk-proj-abcdefgh1234", "sy_0123456789", "Bearer whatever", "AIzaSyA1234567890"]
)
def test_keys_are_known_by_their_shape_even_if_nobody_has_told_of_them(text: str) -> None:
    assert text.removeprefix("Bearer ") not in Secrets().redact(f"it said {text} again")


@pytest.mark.parametrize(
    "begin",
    ["sk-", "rk-", "pk-", "xai-", "nvapi-", "pplx-", "csk-", "sess-", "gsk_", "hf_", "sy_", "tgp_",
     "fw_", "AIza", "eyJhbGciOiJIUzI.", "bearer ", "Bearer "],
)  # fmt: skip
def test_every_shape_is_known_by_itself(begin: str) -> None:
    assert Secrets().redact(f'"{begin}0123456789ab"') != f'"{begin}0123456789ab"'


def test_however_many_secrets_there_are_each_is_found() -> None:
    many = [f"{number:04d}-secret" for number in range(1000)]
    for count in (1, 399, 1000):
        secrets = made(*many[:count])
        assert secrets.redact(f"{many[0]} {many[count - 1]} 9999-secret") == (
            f"{REDACTED} {REDACTED} 9999-secret"
        )


def test_passwords_in_urls_and_values_with_telling_names_are_remembered() -> None:
    secrets = Secrets()
    secrets.remember_url("http://user:letmein-123@proxy:3128")
    secrets.remember_url("http://[broken")
    secrets.remember_named([("x-api-key", "canary-1"), ("x-region", "europe-1")])

    assert secrets.redact("letmein-123 canary-1 europe-1") == f"{REDACTED} {REDACTED} europe-1"


def test_a_text_without_secrets_comes_back_as_it_is() -> None:
    text = "provider openai/gpt-4o-mini: 503 overloaded, try again in 7s"

    assert made("hunter22").redact(text) is text
