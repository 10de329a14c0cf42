"""
What only its maker can read of a model's reasoning, on its way through another protocol.

A caller keeps one opaque text beside a thought (a signature, an encrypted content) and sends it
back as it is. Where the thought was made in another protocol, that text is ours: it says which,
and holds what its maker needs, so that it can go home, and be left out elsewhere.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

import msgspec
from msgspec import Struct

from providers.protocols import bodies
from providers.protocols.canonical import Reasoning

MARK: Final = "gw1."


class _Sealed(Struct, array_like=True, omit_defaults=True):
    origin: str
    signature: str = ""
    encrypted: str = ""
    id: str = ""
    call_id: str = ""


def seal(thought: Reasoning) -> str:
    """The opaque text for a caller of another protocol; it is there without a signature, too."""
    kept = _Sealed(
        thought.origin, thought.signature, thought.encrypted, thought.id, thought.call_id
    )
    return MARK + urlsafe_b64encode(bodies.encode(msgspec.to_builtins(kept))).decode()


def is_sealed(opaque: str) -> bool:
    return opaque.startswith(MARK)


def unseal(opaque: str, text: str = "") -> Reasoning | None:
    """The thought with that `text`; None if `opaque` is none of ours, or was changed."""
    if not is_sealed(opaque):
        return None
    try:
        kept = msgspec.convert(bodies.decode(urlsafe_b64decode(opaque[len(MARK) :])), _Sealed)
    except (
        ValueError,
        RecursionError,
    ):  # whatever a caller has made of it, nobody can read it again
        return None
    return Reasoning(
        text=text,
        origin=kept.origin,
        signature=kept.signature,
        encrypted=kept.encrypted,
        id=kept.id,
        call_id=kept.call_id,
    )
