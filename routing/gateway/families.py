"""What the clients of one vendor expect of everything beside the answers themselves."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from providers import protocols
from providers.protocols import Protocol
from providers.protocols.chat import CHAT


class Family(Struct, frozen=True, kw_only=True):
    """
    The protocols of one vendor.

    `errors` says errors where no request says its protocol. `request_ids` are the headers in which
    its clients look for a request's id. Of a provider's headers callers see those that begin as one
    of `reflected`; as one of `facts`, where their key has limits of its own.
    """

    name: str
    errors: Protocol
    request_ids: tuple[bytes, ...] = (b"x-request-id",)
    facts: tuple[bytes, ...] = ()
    reflected: tuple[bytes, ...] = ()


def _speaking(name: str) -> Protocol:
    return protocols.PROTOCOLS.get(name, CHAT)


_OPENAI_FACTS: Final = (b"openai-", b"x-models-etag", b"x-reasoning-included")  # Codex reads them
OPENAI: Final = Family(
    name="openai",
    errors=CHAT,
    facts=_OPENAI_FACTS,
    reflected=(*_OPENAI_FACTS, b"x-ratelimit-", b"x-codex-"),
)
# Its SDK reads `request-id` alone. Who pays (`anthropic-organization-id`) is the operator's affair.
ANTHROPIC: Final = Family(
    name="anthropic",
    errors=_speaking("anthropic_messages"),
    request_ids=(b"x-request-id", b"request-id"),
    reflected=(b"anthropic-ratelimit-",),
)
GEMINI: Final = Family(name="gemini", errors=_speaking("gemini_generate"))

_BY_NAME: Final[Mapping[str, Family]] = MappingProxyType(
    {family.name: family for family in (OPENAI, ANTHROPIC, GEMINI)}
)
# By a protocol's name, for all that are registered.
FAMILIES: Final[Mapping[str, Family]] = MappingProxyType(
    {name: _BY_NAME.get(name.partition("_")[0], OPENAI) for name in protocols.PROTOCOLS}
)


def family_of(protocol: str) -> Family:
    return FAMILIES.get(protocol, OPENAI)
