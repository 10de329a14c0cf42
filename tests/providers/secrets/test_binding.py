"""A token opens as what it was made for, and as nothing else."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from providers.secrets.binding import (
    Binding,
    BoundToken,
    binding_of,
    credential_owner,
    header_owner,
    is_token,
    owner_of,
)
from providers.secrets.encryption import CannotDecrypt, Keyring, opened
from providers.secrets.redaction import known

pytestmark = pytest.mark.pure

MINE = Binding(credential_owner("dashboard", "lab", "main"), "https://lab.example.com:8443")


@pytest.fixture
def ring() -> Keyring:
    return Keyring([Fernet.generate_key().decode()])


def test_a_token_says_what_it_is_bound_to_and_opens_there(ring: Keyring) -> None:
    token = ring.encrypt("sk-very-secret", MINE)

    assert binding_of(token) == MINE
    assert is_token(token)
    assert "sk-very-secret" not in token
    assert opened(token, MINE.owner, ring.decrypt) == "sk-very-secret"


@pytest.mark.parametrize(
    "owner",
    [
        credential_owner("dashboard", "lab", "spare"),
        credential_owner("dashboard", "other", "main"),
        credential_owner("config", "lab", "main"),
        header_owner("dashboard", "lab", "main"),
    ],
)
def test_it_does_not_open_in_another_place(ring: Keyring, owner: str) -> None:
    token = ring.encrypt("sk-1", MINE)

    with pytest.raises(CannotDecrypt, match="stands in the place of"):
        opened(token, owner, ring.decrypt)


@pytest.mark.parametrize(
    "forged",
    [
        Binding(credential_owner("dashboard", "lab", "spare"), MINE.destination),
        Binding(MINE.owner, "https://evil.example.com"),
        Binding(),
    ],
)
def test_what_it_is_bound_to_cannot_be_written_over(ring: Keyring, forged: Binding) -> None:
    real = BoundToken.read(ring.encrypt("sk-1", MINE))
    assert real is not None
    token = str(BoundToken(key_id=real.key_id, sealed=real.sealed, binding=forged))

    with pytest.raises(CannotDecrypt):
        opened(token, forged.owner, ring.decrypt)


def test_a_damaged_token_is_refused(ring: Keyring) -> None:
    token = ring.encrypt("sk-1", MINE)
    damaged = [token.replace("v2:", "v3:"), token[:-1], token.replace(":", ":A", 2), "v2:1:2:3:4"]

    for text in damaged:
        with pytest.raises(CannotDecrypt):
            ring.decrypt(text)


def test_names_that_hold_the_marks_of_a_token_stay_apart(ring: Keyring) -> None:
    assert owner_of("a/b", "c") != owner_of("a", "b/c")
    odd = Binding(owner_of("a:b/c", "ä %3A"), "https://[::1]:1 by http://p:2")

    assert binding_of(ring.encrypt("x", odd)) == odd
    assert odd.words == ("a:b/c", "ä %3A")


def test_tokens_of_before_are_opened_and_are_bound_to_nothing() -> None:
    key = Fernet.generate_key()
    older = Fernet(key).encrypt(b"sk-old").decode()

    assert binding_of(older) is None
    assert opened(older, MINE.owner, Keyring([key.decode()]).decrypt) == "sk-old"


def test_the_same_text_makes_another_token_each_time(ring: Keyring) -> None:
    assert ring.encrypt("sk-1", MINE) != ring.encrypt("sk-1", MINE)


def test_an_ordinary_word_in_a_header_is_not_taken_out_of_what_is_said(ring: Keyring) -> None:
    plain = Binding(header_owner("dashboard", "lab", "x-team"), "")
    secret = Binding(header_owner("dashboard", "lab", "x-api-token"), "")
    for text, binding in (("wordlike-team", plain), ("wordlike-token", secret)):
        ring.decrypt(ring.encrypt(text, binding))

    assert known.redact("wordlike-team wordlike-token") == "wordlike-team [redacted]"
