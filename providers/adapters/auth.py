"""
How a call proves who pays for it: one scheme each, by the name that operators give it.

A scheme whose header is the same for every call with a secret says it once (`line`), and it is
part of the head that is made with the snapshot. One that has to see each call, such as a
signature, leaves `line` empty and writes its header lines when the call is made (`lines_for`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct


class Sent(Struct, frozen=True, gc=False):
    """A call as a signature sees it: all of it but the lines that prove who makes it."""

    target: bytes
    lines: bytes
    body: bytes
    method: str = "POST"


class AuthScheme:
    """`headers` are the names that the scheme sets: nobody else's of these names goes upstream."""

    headers: frozenset[str] = frozenset()

    def line(self, secret: str) -> bytes:
        """The header line of every call with `secret`; b"" where each call has its own."""
        raise NotImplementedError

    def lines_for(self, secret: str, sent: Sent) -> bytes:
        """The header lines of one call. Asked only where `line` is empty."""
        raise NotImplementedError


class HeaderAuth(AuthScheme):
    """The secret in a header of its own, as it is or behind a word."""

    def __init__(self, name: str, prefix: str = "") -> None:
        self.headers = frozenset({name})
        self._start = f"{name}: {prefix}".encode()

    def line(self, secret: str) -> bytes:
        """Raises ValueError, which never quotes the secret."""
        if not secret.isascii() or not secret.isprintable():
            raise ValueError("the key has characters that cannot stand in a header")
        return self._start + secret.encode() + b"\r\n"


AUTHS: Final[Mapping[str, AuthScheme]] = MappingProxyType(
    {
        "bearer": HeaderAuth("authorization", "Bearer "),
        "x-api-key": HeaderAuth("x-api-key"),
        "api-key": HeaderAuth("api-key"),
        "x-goog-api-key": HeaderAuth("x-goog-api-key"),
    }
)
# Every header that carries a credential.
AUTH_HEADERS: Final = frozenset().union(*(scheme.headers for scheme in AUTHS.values()))


def auth_named(name: str, auths: Mapping[str, AuthScheme] = AUTHS) -> AuthScheme:
    """Raises ValueError for a name that no scheme has."""
    scheme = auths.get(name)
    if scheme is None:
        raise ValueError(f"auth is {name!r}; allowed are {', '.join(auths)}")
    return scheme
