"""Header fields of which a request has one: of two, we and a proxy before us might take another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from routing.gateway.auth import CREDENTIAL_HEADERS

SINGLE: Final = frozenset({*CREDENTIAL_HEADERS, b"content-type", b"content-encoding", b"host"})
OWN: Final = b"x-switchyard-"


def said_twice(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The name of a field that says two things; "" if none does. Names are in lower case."""
    seen: dict[bytes, bytes] = {}
    for name, value in headers:
        if name not in SINGLE and not name.startswith(OWN):
            continue
        # RFC 9112 3.2: a second Host is a 400, whatever it says.
        if name in seen and (seen[name] != value or name == b"host"):
            return name.decode("latin-1")
        seen[name] = value
    return ""
