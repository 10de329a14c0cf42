"""The headers that operators set for a provider: which may be sent, and what they say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from providers.adapters.auth import AUTH_HEADERS

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROLS: Final = re.compile(r"[\r\n\0]")
# By whom a request has come, in their order (RFC 9110 7.6.3), so that a loop is seen. It goes with
# every call.
VIA: Final = b"via"
# The transport frames the message; nobody else may say how.
FRAMING: Final = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def checked_headers(headers: Mapping[str, str]) -> dict[str, bytes]:
    """The operator's headers with lower-case names. Raises ValueError without their values."""
    checked: dict[str, bytes] = {}
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"header name {name!r} is not allowed")
        lowered = name.lower()
        if lowered in FRAMING:
            raise ValueError(f"header {name} is set by the gateway itself")
        if _CONTROLS.search(value):
            raise ValueError(f"header {name} holds a line break or NUL")
        try:
            checked[lowered] = value.strip().encode("latin-1")
        except UnicodeEncodeError as error:
            raise ValueError(f"header {name} holds characters outside latin-1") from error
    return checked


def is_authorized(headers: Mapping[str, str]) -> bool:
    """Whether the operator's own headers carry a credential."""
    return any(name.lower() in AUTH_HEADERS for name in headers)
