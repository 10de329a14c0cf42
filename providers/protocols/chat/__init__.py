"""
OpenAI's chat completions, and the text completions that came before them.

`CHAT` and `TEXT` are their Protocols; nobody outside needs more of this package.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from providers.protocols import openai
from providers.protocols.chat import request, shape
from providers.protocols.chat.codec import CODEC
from providers.protocols.protocol import Codec, Header, Problem, Protocol, Request


class Completions(Protocol):
    """One of the two: they differ by their Shape."""

    def __init__(
        self,
        *,
        name: str,
        path: str,
        shape: shape.Shape,
        example: Mapping[str, Any],
        codec: Codec | None = None,
    ) -> None:
        self.name = name
        self.path = f"/v1{path}"
        self.upstream_path = path
        self.example = example
        self.codec = codec
        self._shape = shape

    def parse(self, body: bytes, target: str = "") -> Request:
        del target
        return request.parse(self, self._shape, body)

    def forwarded(self, headers: Iterable[Header]) -> list[Header]:
        return openai.forwarded(headers)

    def error(self, problem: Problem) -> tuple[int, bytes]:
        return openai.error(problem)

    def error_event(self, problem: Problem) -> bytes:
        return openai.error_event(problem)


CHAT: Final = Completions(
    name="openai_chat",
    path="/chat/completions",
    shape=shape.CHAT,
    codec=CODEC,
    example={"messages": [{"role": "user", "content": "Hello"}]},
)
TEXT: Final = Completions(
    name="openai_completions",
    path="/completions",
    shape=shape.TEXT,
    example={"prompt": "Hello"},
)
