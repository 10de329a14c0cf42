"""Reasoning that goes through another protocol and comes home."""

from __future__ import annotations

from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.protocols.canonical import Reasoning
from providers.protocols.sealing import is_sealed, seal, unseal

pytestmark = pytest.mark.pure

WORDS = st.text()  # halves of surrogate pairs among them
DEEP = urlsafe_b64encode(b'["","","","","",' + b"[" * 2000 + b"]" * 2000 + b"]").decode()


@given(WORDS, WORDS, WORDS, WORDS, WORDS)
def test_what_is_sealed_comes_back_as_it_was(
    origin: str, signature: str, encrypted: str, item: str, text: str
) -> None:
    thought = Reasoning(
        text=text, origin=origin, signature=signature, encrypted=encrypted, id=item, call_id="c"
    )

    assert is_sealed(seal(thought))
    assert unseal(seal(thought), text) == thought


@pytest.mark.parametrize(
    "opaque", ["", "EqQB", "gw1.", "gw1.%%%", "gw1.W10=", "gw1.WzEsMl0=", "gw1.é", "gw1." + DEEP]
)
def test_what_is_not_ours_or_was_changed_is_no_thought(opaque: str) -> None:
    assert unseal(opaque) is None
