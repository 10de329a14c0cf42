"""
OpenAI's Responses: items in, items out, and events that tell of each item from start to end.

`RESPONSES` is its Protocol; nobody outside needs more of this package.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from providers.protocols import openai
from providers.protocols.protocol import Codec, Header, Problem, Protocol, Request
from providers.protocols.responses import errors, request
from providers.protocols.responses.codec import CODEC

# What Codex sends along: whose session it is, and the state that its provider gave it to keep.
_FAMILIES: Final = (
    *openai.FAMILIES, b"x-codex-", b"originator", b"session_id", b"session-id", b"thread-id",
)  # fmt: skip


class Responses(Protocol):
    name = "openai_responses"
    path = "/v1/responses"
    upstream_path = "/responses"
    example = {"input": "Hello"}  # noqa: RUF012
    codec: Codec | None = CODEC

    def parse(self, body: bytes, target: str = "") -> Request:
        del target
        return request.parse(self, body)

    def forwarded(self, headers: Iterable[Header]) -> list[Header]:
        return openai.forwarded(headers, _FAMILIES)

    def error(self, problem: Problem) -> tuple[int, bytes]:
        return openai.error(problem)

    def error_event(self, problem: Problem) -> bytes:
        return errors.error_event(problem)


RESPONSES: Final = Responses()
