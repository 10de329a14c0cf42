"""
Anthropic's Messages, and the counting of what one would cost.

`MESSAGES` and `COUNT` are their Protocols; nobody outside needs more of this package.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from providers.protocols.messages import errors, request
from providers.protocols.messages.codec import CODEC
from providers.protocols.messages.counting import CountRequest, estimated
from providers.protocols.protocol import NO_NEEDS, Codec, Header, Problem, Protocol, Request

_EXAMPLE: Final = {"messages": [{"role": "user", "content": "Hello"}]}


class _Anthropic(Protocol):
    """What both have in common."""

    def forwarded(self, headers: Iterable[Header]) -> list[Header]:
        return errors.forwarded(headers)

    def error(self, problem: Problem) -> tuple[int, bytes]:
        return errors.error(problem)

    def error_event(self, problem: Problem) -> bytes:
        return errors.error_event(problem)


class Messages(_Anthropic):
    name = "anthropic_messages"
    path = "/v1/messages"
    upstream_path = "/messages"
    example: Mapping[str, Any] = {"max_tokens": 64, **_EXAMPLE}
    codec: Codec = CODEC

    def parse(self, body: bytes, target: str = "") -> Request:
        return request.parse(self, body, target)


class CountTokens(_Anthropic):
    name = "anthropic_count_tokens"
    path = "/v1/messages/count_tokens"
    upstream_path = "/messages/count_tokens"
    needs = NO_NEEDS
    has_streams = False
    has_output = False
    example: Mapping[str, Any] = _EXAMPLE

    def parse(self, body: bytes, target: str = "") -> Request:
        return request.parse(self, body, target, CountRequest)

    def estimated(self, request: Request) -> bytes:
        return estimated(request)


MESSAGES: Final = Messages()
COUNT: Final = CountTokens()
