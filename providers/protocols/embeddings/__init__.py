"""OpenAI's embeddings: vectors, which are passed on without being looked at."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from providers.errors import Failure, ProtocolError
from providers.protocols import bodies, openai
from providers.protocols.names import Decided, alternatives_of
from providers.protocols.protocol import (
    NO_NEEDS,
    Header,
    Judge,
    Problem,
    Protocol,
    Reply,
    Request,
    Scanner,
)
from providers.protocols.usage import Usage
from providers.protocols.whole import decoded, no_answer

_BEGINNING: Final = re.compile(rb'["\[]')
_FILLED: Final = re.compile(bodies.FILLED)
_DECIDED: Final = Decided("model", "stream", "input", "user")


class _Vectors(Struct, gc=False):
    data: list[Raw] | None = None
    usage: Any = None
    error: Any = None


_VECTORS: Final = msgspec.json.Decoder(_Vectors)


class EmbeddingsRequest(Request):
    __slots__ = ("_estimate", "fields")

    def __init__(self, protocol: Protocol, fields: dict[str, Raw], model: str) -> None:
        super().__init__(protocol, model, stream=False)
        self.fields = fields
        self._estimate: int | None = None

    @property
    def needs(self) -> frozenset[str]:
        return NO_NEEDS

    @property
    def alternatives(self) -> tuple[tuple[str, str], ...]:
        return alternatives_of(self.fields)

    @property
    def estimated_input_tokens(self) -> int:
        if self._estimate is None:
            self._estimate = bodies.estimate(self.fields["input"])
        return self._estimate

    @property
    def session(self) -> str | None:
        return bodies.string(self.fields.get("user"))

    def encode(self, model: str, *, inject: bool = True) -> bytes:
        del inject  # nothing is
        fields = {**self.fields, "model": Raw(msgspec.json.encode(model))}
        return bodies.encode_members(fields)

    def read(self, content_type: bytes | None, body: bytes, judge: Judge) -> Reply | Failure:
        found = decoded(content_type, body, judge, _usage, has_slices=True)
        if isinstance(found, dict):
            if not (isinstance(found.get("data"), list) and found["data"]):
                return no_answer("the reply has no data")
            found = openai.usage_of(found.get("usage")) or Usage()
        if isinstance(found, Failure):
            return found
        return Reply(body, content_type or b"application/json", found)

    def scanner(self, judge: Judge) -> Scanner:
        raise NotImplementedError("vectors do not come in streams")


class Embeddings(Protocol):
    name = "openai_embeddings"
    path = "/v1/embeddings"
    upstream_path = "/embeddings"
    needs = frozenset({"embeddings"})
    has_streams = False
    is_comparable = False
    has_output = False
    example: Mapping[str, Any] = {"input": "Hello"}

    def parse(self, body: bytes, target: str = "") -> Request:
        del target
        fields = bodies.members_of(body)
        _DECIDED.check(fields)
        model = bodies.model_of(fields)
        raw = fields.get("input")
        if raw is None or not _BEGINNING.match(raw):
            raise bodies.refusal("input", raw, "a string or a list")
        return EmbeddingsRequest(self, fields, model)

    def forwarded(self, headers: Iterable[Header]) -> list[Header]:
        return openai.forwarded(headers)

    def error(self, problem: Problem) -> tuple[int, bytes]:
        return openai.error(problem)

    def error_event(self, problem: Problem) -> bytes:
        return openai.error_event(problem)


EMBEDDINGS: Final = Embeddings()


def _usage(body: bytes) -> Usage | None:
    """
    The usage of a sound reply; None if it needs a closer look. Raises ValueError.

    The vectors are skipped, not decoded: thousands of them would hold the event loop up for half
    a second.
    """
    if len(body) > bodies.LONG:
        return _usage_of_long(body)
    if not body.isascii():
        body.decode()
    reply = _VECTORS.decode(body)
    if not reply.data or reply.error is not None:
        return None
    return openai.usage_of(reply.usage) or Usage()


def _usage_of_long(body: bytes) -> Usage | None:
    try:
        members = bodies.members_of(body)
    except ProtocolError as error:
        raise ValueError(error.message) from error
    usage, vectors = members.get("usage"), members.get("data")
    if (
        vectors is None
        or not _FILLED.match(vectors)
        or bytes(members.get("error", b"null")) != b"null"
    ):
        return None
    return openai.usage_of(bodies.decode(bytes(usage)) if usage is not None else None) or Usage()
