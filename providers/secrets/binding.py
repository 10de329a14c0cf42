"""
What a stored secret is bound to: the row that it belongs to, and where it may be sent.

Both stand readable in the token and are authenticated with it. So a token that was moved to another
row opens nothing there, and whether one may go to an address is known without opening it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

VERSION: Final = "v2"
_TOKEN: Final = re.compile(
    VERSION + r":(?P<key>[0-9a-f]{8}):(?P<sealed>[A-Za-z0-9_=-]+):(?P<owner>[^:]*):(?P<to>[^:]*)",
    flags=re.ASCII,
)
_FERNET: Final = re.compile(r"gAAAA[A-Za-z0-9_=-]{60,}", flags=re.ASCII)
HEADER: Final = "header"
PROXY: Final = "proxy"


@dataclass(frozen=True, slots=True)
class Binding:
    """
    `owner` names one column of one row, by the names that the row has in a snapshot as well.

    `destination` is where the secret may be sent ("" nowhere, or wherever its owner says): an
    origin, and by which proxy.
    """

    owner: str = ""
    destination: str = ""

    @property
    def authenticated(self) -> bytes:
        return f"{self.owner}\n{self.destination}".encode()

    @property
    def words(self) -> tuple[str, ...]:
        """What `owner` was made of."""
        return tuple(unquote(word) for word in self.owner.split("/"))


UNBOUND: Final = Binding()


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundToken:
    """The parts of a token; `key_id` tells with which key it was made."""

    key_id: str
    sealed: str
    binding: Binding

    def __str__(self) -> str:
        to = quote(self.binding.destination, safe="/")
        return f"{VERSION}:{self.key_id}:{self.sealed}:{self.binding.owner}:{to}"

    @classmethod
    def read(cls, token: str) -> BoundToken | None:
        """None if it is none: an older one, or plain text."""
        found = _TOKEN.fullmatch(token)
        if found is None:
            return None
        binding = Binding(found["owner"], unquote(found["to"]))
        return cls(key_id=found["key"], sealed=found["sealed"], binding=binding)


def owner_of(*words: str) -> str:
    """Names as one text that no other names make."""
    return "/".join(quote(word, safe="") for word in words)


def credential_owner(source: str, provider: str, label: str) -> str:
    return owner_of("provider", source, provider, "credential", label)


def header_owner(source: str, provider: str, header: str) -> str:
    return owner_of("provider", source, provider, HEADER, header.lower())


def proxy_owner(source: str, provider: str) -> str:
    return owner_of("provider", source, provider, PROXY)


def binding_of(token: str) -> Binding | None:
    """What `token` is bound to; None if it was made before tokens were bound, or is none."""
    found = BoundToken.read(token)
    return found.binding if found is not None else None


def is_token(text: str) -> bool:
    """Whether `text` looks like a secret at rest, of this or an older kind."""
    return _FERNET.fullmatch(text) is not None or _TOKEN.fullmatch(text) is not None
