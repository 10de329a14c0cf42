"""
Keys in memory: looked up by SHA-256 of the whole key, no database on the way.

A key that we make is `sy_`, 34 letters and digits (202 bits), `_`, and the CRC-32 of all before in
8 hex digits: scanners know one for certain, and a typing error is told from a key that was taken
away. Keys of any other form, made before or chosen by operators, are looked up as they are.
"""

from __future__ import annotations

import re
import secrets
import string
import zlib
from collections.abc import Mapping
from hashlib import sha256
from types import MappingProxyType

from routing.gateway.deciding.keys import MASTER, Key
from routing.gateway.errors import Refused

CREDENTIAL_HEADERS = (b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key")
BEARER = b"bearer "
PREFIX = b"sy_"
MISTYPED = "The API key is mistyped: its checksum, the last eight characters, does not fit."
_RANDOM, _CHECKSUM = 34, 8
_ALPHABET = string.ascii_letters + string.digits
# Of keys that were made before, one in ten million has the first form, and one in 150 the second.
_OURS = re.compile(rb"sy_[A-Za-z0-9]{34}_[0-9a-f]{8}")
_ALMOST_OURS = re.compile(rb"sy_[A-Za-z0-9]{34}_[A-Za-z0-9]{8}")
_NO_GUESTS: Mapping[bytes, Key] = MappingProxyType({})


def digest_of(key: bytes) -> bytes:
    return sha256(key).digest()


def new_key() -> str:
    drawn = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    text = PREFIX + drawn.encode() + b"_"
    return (text + _checksum(text)).decode()


def is_mistyped(key: bytes, *, is_unknown: bool = False) -> bool:
    """
    Whether it has the form of a key of ours, and another checksum: nobody was given it.

    `is_unknown`: it has been looked up already, so that it is no key of before.
    """
    form = _ALMOST_OURS if is_unknown else _OURS
    return form.fullmatch(key) is not None and _checksum(key[:-_CHECKSUM]) != key[-_CHECKSUM:]


def _checksum(text: bytes) -> bytes:
    return b"%08x" % zlib.crc32(text)


def presented(headers: Mapping[bytes, bytes], in_query: bytes = b"") -> bytes:
    """
    The credential that counts, b"" without one: the first present, in this order.

    `in_query` is what a Gemini caller may have put into its query instead.
    """
    value = headers.get(b"authorization")
    if value is not None:
        return value[7:].strip() if value[:7].lower() == BEARER else b""
    for name in CREDENTIAL_HEADERS[1:]:
        if (value := headers.get(name)) is not None:
            return value.strip()
    return in_query


def authenticate(
    headers: Mapping[bytes, bytes],
    keys: Mapping[bytes, Key],
    *,
    master: bytes | None,
    now: float,
    scope: str = "inference",
    guests: Mapping[bytes, Key] = _NO_GUESTS,
    in_query: bytes = b"",
) -> Key:
    """
    The caller's key. Raises Refused (401, or 403 for a key without `scope`).

    `master` is the digest of SWITCHYARD_MASTER_KEY; `now` is Unix time, for expiry. `guests` are
    keys that this process made for single requests of its own.
    """
    secret = presented(headers, in_query)
    if not secret:
        raise _unauthenticated("No API key was given. Send it as 'Authorization: Bearer KEY'.")
    digest = sha256(secret).digest()
    key = keys.get(digest)
    if key is None:
        if digest == master:
            return MASTER
        if (guest := guests.get(digest)) is not None:
            return guest
        # Only now: of keys that are known nobody has to be told that they are well typed.
        if is_mistyped(secret, is_unknown=True):
            raise _unauthenticated(MISTYPED)
        raise _unauthenticated("The API key is not known.")
    spec = key.spec
    if spec.expires_at is not None and now >= spec.expires_at:
        raise _unauthenticated("The API key has expired.")
    if scope not in spec.scopes:
        check_scope(key, scope)
    return key


def check_scope(key: Key, scope: str) -> None:
    """Raises Refused (403) for a key without `scope`."""
    if scope not in key.spec.scopes:
        raise Refused(
            403,
            f"This API key has no {scope} scope.",
            type="permission_error",
            code="scope_missing",
        )


def _unauthenticated(message: str) -> Refused:
    return Refused(401, message, type="authentication_error", code="invalid_api_key")
