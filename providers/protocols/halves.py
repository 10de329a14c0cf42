"""
JSON with half a surrogate pair in a string, which the grammar allows and msgspec refuses.

Models do write it when an emoji comes in two pieces. Such a text takes the slow way.
"""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

import msgspec
from msgspec import Raw


def may_hold_one(text: bytes) -> bool:
    """Whether the slow decoder is worth asking for what the quick one has refused."""
    return b"\\ud" in text or b"\\uD" in text


def decode(text: bytes | Raw) -> Any:
    """`text` as values. Raises ValueError or RecursionError."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        text = bytes(text)
        if not may_hold_one(text):
            raise
        return SLOW.decode(text.decode())


def encode(value: Any) -> bytes:
    """`value` as JSON; half a surrogate pair is escaped, as it came."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


SLOW: Final = json.JSONDecoder(parse_constant=_no_constant)
