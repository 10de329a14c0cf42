"""Wire protocols: what a request asks for, and what an answer says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from providers.protocols import openai
from providers.protocols.openai import (
    Request,
    StreamScanner,
    check_reply,
    error_body,
    error_event,
    forwarded_headers,
    parse,
)
from providers.protocols.usage import Usage

__all__ = [
    "PROTOCOLS",
    "Protocol",
    "Request",
    "StreamScanner",
    "Usage",
    "check_reply",
    "error_body",
    "error_event",
    "forwarded_headers",
    "parse",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """
    One wire protocol.

    `path` is where callers call it. `error_body` and `error_event` make its errors; `has_streams`
    says whether a request may ask for one.
    """

    name: str
    path: str
    has_streams: bool
    error_body: Callable[..., bytes]
    error_event: Callable[..., bytes]


def _openai(name: str, path: str, *, has_streams: bool) -> Protocol:
    return Protocol(
        name=name,
        path=path,
        has_streams=has_streams,
        error_body=openai.error_body,
        error_event=openai.error_event,
    )


PROTOCOLS: Final[Mapping[str, Protocol]] = MappingProxyType(
    {
        protocol.name: protocol
        for protocol in (
            _openai("openai_chat", "/v1/chat/completions", has_streams=True),
            _openai("openai_completions", "/v1/completions", has_streams=True),
            _openai("openai_embeddings", "/v1/embeddings", has_streams=False),
        )
    }
)
