"""
A provider's own words without our key, should it repeat it: byte for byte the same otherwise.

Callers get the bodies of their errors as they are, so nothing else may change, nor may JSON
become something else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from providers.protocols.bodies import is_sound
from providers.secrets.redaction import REDACTED, forms_of, places, without

# JSON: a string, with the colon if it is a member's name; one character of it; what escapes mean.
_STRINGS: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"(\s*:)?')
_UNITS: Final = re.compile(r"\\u[0-9A-Fa-f]{4}|\\.|[^\\]", re.DOTALL)
_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def without_secrets(body: bytes, secrets: Sequence[str]) -> bytes:
    """`body` without `secrets`; of JSON only the values of strings are touched."""
    forms = forms_of(secrets)
    if not forms:
        return body
    text = body.decode("utf-8", "surrogateescape")
    if is_sound(body):
        text = _STRINGS.sub(lambda found: _value_without(found, forms), text)
    else:
        text = without(text, forms)
    return text.encode("utf-8", "surrogateescape")


def _value_without(found: re.Match[str], forms: Sequence[str]) -> str:
    """The text of a JSON string without secrets; its escapes are read as what they stand for."""
    raw, is_name = found[0], found[1] is not None
    if is_name or not ("\\" in raw or any(form in raw for form in forms)):
        return raw
    units = _UNITS.findall(raw)
    plain = "".join([_meant(unit) for unit in units])  # one character each
    for start, end in reversed(places(plain, forms)):
        units[start:end] = [REDACTED]
    return "".join(units)


def _meant(unit: str) -> str:
    if len(unit) == 6:
        return chr(int(unit[2:6], 16))
    return _ESCAPES.get(unit[1:], unit[-1])
