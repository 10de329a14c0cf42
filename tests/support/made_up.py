"""A protocol that nobody speaks, as a package beside chat/ would have it: `PLAIN`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Raw

from providers.errors import Failure, Fault
from providers.protocols import (
    NO_NEEDS,
    Header,
    Judge,
    Problem,
    Protocol,
    Reply,
    Request,
    Scanner,
    Usage,
    bodies,
)


class PlainRequest(Request):
    __slots__ = ("fields",)

    def __init__(self, protocol: Protocol, fields: dict[str, Raw]) -> None:
        super().__init__(protocol, bodies.model_of(fields), stream=False)
        self.fields = fields

    @property
    def needs(self) -> frozenset[str]:
        return NO_NEEDS

    @property
    def estimated_input_tokens(self) -> int:
        return bodies.estimate(bytes(self.fields["say"]))

    def encode(self, model: str, *, inject: bool = True) -> bytes:
        del inject
        return bodies.encode_members({**self.fields, "model": Raw(msgspec.json.encode(model))})

    def read(self, content_type: bytes | None, body: bytes, judge: Judge) -> Reply | Failure:
        document: Any = bodies.decode(body)
        if not document.get("said"):
            return Failure(fault=Fault.BAD_REPLY, message="nothing was said", status=200)
        return Reply(body, content_type or b"application/json", Usage(output_tokens=1))

    def scanner(self, judge: Judge) -> Scanner:
        raise NotImplementedError


class Plain(Protocol):
    name = "plain"
    path = "/v9/plain"
    upstream_path = "/plain"
    has_streams = False
    example = {"say": "Hello"}  # noqa: RUF012

    def parse(self, body: bytes, target: str = "") -> Request:
        del target
        fields = bodies.members_of(body)
        if "say" not in fields:
            raise bodies.refusal("say", None, "a string")
        return PlainRequest(self, fields)

    def forwarded(self, headers: Iterable[Header]) -> list[Header]:
        return [(name, value) for name, value in headers if name.startswith(b"plain-")]

    def error(self, problem: Problem) -> tuple[int, bytes]:
        return problem.status, msgspec.json.encode({"oops": problem.message})

    def error_event(self, problem: Problem) -> bytes:
        return msgspec.json.encode({"oops": problem.message})


PLAIN = Plain()
