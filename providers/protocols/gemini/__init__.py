"""
Gemini's generateContent, whole and as a stream, and its countTokens.

`GENERATE` and `COUNT` are their Protocols; nobody outside needs more of this package.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from providers.protocols import bodies
from providers.protocols.gemini import errors, request
from providers.protocols.gemini.codec import CODEC
from providers.protocols.protocol import Header, Problem, Protocol, Request

# Not x-goog-user-project and its like: they choose the account that pays, and that is ours.
_FORWARDED: Final = frozenset({b"x-goog-api-client", b"x-server-timeout"})


class _Gemini(Protocol):
    path = "/v1beta/models"
    upstream_path = request.PATH
    example: Mapping[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}

    def forwarded(self, headers: Iterable[Header]) -> list[Header]:
        return [
            (name, value)
            for name, value in headers
            if name in _FORWARDED and not (b"\n" in value or b"\r" in value or b"\0" in value)
        ]

    def error(self, problem: Problem) -> tuple[int, bytes]:
        return errors.error(problem)

    def error_event(self, problem: Problem) -> bytes:
        return errors.error_event(problem)


class Generate(_Gemini):
    name = "gemini_generate"
    verbs = frozenset({request.GENERATE, request.STREAM})
    codec = CODEC

    def parse(self, body: bytes, target: str = "") -> Request:
        """Without a `target` the body names the model, as in other protocols."""
        return request.parse_generate(self, body, target)


class Count(_Gemini):
    name = "gemini_count_tokens"
    verbs = frozenset({request.COUNT})
    has_streams = False
    has_output = False

    def parse(self, body: bytes, target: str = "") -> Request:
        return request.parse_count(self, body, target)

    def estimated(self, request: Request) -> bytes:
        return bodies.encode({"totalTokens": request.estimated_input_tokens})


GENERATE: Final = Generate()
COUNT: Final = Count()
