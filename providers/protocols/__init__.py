"""
Wire protocols: what a request asks for, and what an answer says. The lowest room of all.

`PROTOCOLS` has every one by name; what is done with it is reached through `Protocol` and
`Request` (protocol.py). A protocol is a package of its own here, and a line below. Everybody may
enter; nothing here knows a provider, an adapter or the gateway.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from providers.protocols.chat import CHAT, TEXT
from providers.protocols.embeddings import EMBEDDINGS
from providers.protocols.gemini import COUNT as GEMINI_COUNT
from providers.protocols.gemini import GENERATE as GEMINI
from providers.protocols.messages import COUNT as MESSAGES_COUNT
from providers.protocols.messages import MESSAGES
from providers.protocols.protocol import (
    NO_NEEDS,
    Blame,
    Header,
    Judge,
    Problem,
    Protocol,
    Reply,
    Request,
    Scanner,
)
from providers.protocols.responses import RESPONSES
from providers.protocols.usage import Usage

__all__ = [
    "NO_NEEDS",
    "PROTOCOLS",
    "Blame",
    "Header",
    "Judge",
    "Problem",
    "Protocol",
    "Reply",
    "Request",
    "Scanner",
    "Usage",
]

PROTOCOLS: Final[Mapping[str, Protocol]] = MappingProxyType(
    {
        protocol.name: protocol
        for protocol in (
            CHAT,
            TEXT,
            EMBEDDINGS,
            RESPONSES,
            MESSAGES,
            MESSAGES_COUNT,
            GEMINI,
            GEMINI_COUNT,
        )
    }
)
