"""
A Messages request as the gateway sees it.

Only what routing needs is looked at. Every member stays the bytes that the caller sent, so unknown
fields, key order and the spelling of numbers reach the provider unchanged; `model` alone is
replaced. The query of the called path (?beta=true) goes along.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import Raw, Struct

from providers.errors import Failure
from providers.protocols import bodies, slices
from providers.protocols.messages import reshaping
from providers.protocols.messages.stream import MessagesScanner
from providers.protocols.names import Decided, alternatives_of
from providers.protocols.protocol import Judge, Protocol, Reply, Request

_BEGINNING: Final = re.compile(bodies.FILLED)
# A content block's type. In a text the quotes would be escaped; a tool's input may hold the same,
# so that what is found is looked at.
_BLOCK: Final = re.compile(rb'"type"\s*:\s*"(image|document|container_upload)"')
_BLOCK_NEEDS: Final = {"image": "vision", "document": "files", "container_upload": "files"}
_TELLING: Final = frozenset({"thinking", "output_config", "output_format", "tools"})
_COUNTED: Final = ("system", "tools", "output_config")
_DECIDED: Final = Decided(
    "model", "stream", "messages", "max_tokens", "metadata", "tool_choice", *_TELLING, *_COUNTED
)
# Some callers put their key into the query; it goes nowhere.
_SECRETS: Final = frozenset({"key", "api_key", "api-key", "x-api-key", "access_token"})
_SANE: Final = re.compile(r"[!-~]*")


_NOTHING: Final = Raw(b"null")


class _Block(Struct, gc=False):
    type: str = ""
    content: Raw = _NOTHING


class _Turn(Struct, gc=False):
    content: list[_Block] | str | None = None


_TURNS: Final = msgspec.json.Decoder(list[_Turn])
_BLOCKS: Final = msgspec.json.Decoder(list[_Block])


class MessagesRequest(Request):
    """A parsed request; `fields` are its members in the caller's order."""

    __slots__ = ("_estimate", "_needs", "_query", "fields")

    def __init__(
        self, protocol: Protocol, fields: dict[str, Raw], model: str, query: str, *, stream: bool
    ) -> None:
        super().__init__(protocol, model, stream=stream)
        self.fields = fields
        self._query = query
        self._needs: frozenset[str] | None = None
        self._estimate: int | None = None

    def upstream_path(self, model: str) -> str:
        del model  # it is in the body
        return f"{self.protocol.upstream_path}?{self._query}" if self._query else ""

    def encode(self, model: str, *, inject: bool = True) -> bytes:
        del inject  # nothing is
        return bodies.encode_members({**self.fields, "model": Raw(msgspec.json.encode(model))})

    def read(self, content_type: bytes | None, body: bytes, judge: Judge) -> Reply | Failure:
        return reshaping.read(content_type, body, judge, stream=self.stream)

    def scanner(self, judge: Judge) -> MessagesScanner:
        return MessagesScanner(judge)

    @property
    def needs(self) -> frozenset[str]:
        if self._needs is None:
            self._needs = frozenset(self._find_needs())
        return self._needs

    def _find_needs(self) -> set[str]:
        needs, fields = set(), self.fields
        if self.stream:
            needs.add("streaming")
        if self.is_long or _BLOCK.search(fields["messages"]):
            needs |= {_BLOCK_NEEDS[kind] for kind in _kinds(fields["messages"])}
        if _TELLING.isdisjoint(fields):
            return needs
        thinking = bodies.object_of(fields.get("thinking")) or {}
        asked = bodies.object_of(fields.get("output_config")) or {}
        is_thinking = bodies.string(thinking.get("type")) not in (None, "disabled")
        if is_thinking or bodies.string(asked.get("effort")):
            needs.add("reasoning")
        for form in (asked.get("format"), fields.get("output_format")):
            if bodies.string((bodies.object_of(form) or {}).get("type")) == "json_schema":
                needs.add("json_schema")
        if (tools := fields.get("tools")) is not None and _BEGINNING.match(tools):
            needs.add("tools")
            choice = bodies.object_of(fields.get("tool_choice")) or {}
            # Calls side by side are what is usual; only who says so needs them.
            if bytes(choice.get("disable_parallel_tool_use", b"")) == b"false":
                needs.add("parallel_tools")
        return needs

    @property
    def session(self) -> str | None:
        metadata = bodies.small_object_of(self.fields.get("metadata")) or {}
        return bodies.string(metadata.get("user_id")) or None

    @property
    def alternatives(self) -> tuple[tuple[str, str], ...]:
        return alternatives_of(self.fields)

    @property
    def estimated_input_tokens(self) -> int:
        if self._estimate is None:
            fields = self.fields
            tokens = bodies.estimate(fields["messages"])
            counted = (fields[name] for name in _COUNTED if name in fields)
            self._estimate = tokens + sum(bodies.estimate(raw) for raw in counted)
        return self._estimate

    @property
    def max_output_tokens(self) -> int | None:
        return bodies.whole_number(self.fields.get("max_tokens"))


def parse(
    protocol: Protocol, body: bytes, target: str, kind: type[MessagesRequest] = MessagesRequest
) -> MessagesRequest:
    fields = bodies.members_of(body)
    _DECIDED.check(fields)
    model = bodies.model_of(fields)
    raw = fields.get("messages")
    if raw is None or not _BEGINNING.match(raw):
        raise bodies.refusal("messages", raw, "a non-empty list")
    stream = protocol.has_streams and bodies.stream_of(fields)
    return kind(protocol, fields, model, _query_of(target), stream=stream)


def _query_of(target: str) -> str:
    """The query of a called path, without credentials."""
    query = target.partition("?")[2].partition("#")[0]
    if not query or not _SANE.fullmatch(query):
        return ""
    kept = [pair for pair in query.split("&") if pair.partition("=")[0].lower() not in _SECRETS]
    return "&".join(kept)


def _kinds(raw: Raw | bytes) -> set[str]:
    """The kinds of media among the blocks of `messages`, those in results of tools included."""
    if memoryview(raw).nbytes > bodies.LONG:
        lists = slices.lists_of(raw)
        found = [_kinds(some) if len(some) <= bodies.LONG else _said(some) for some in lists]
        return set().union(*found)
    messages = bodies.shortened(raw)
    try:
        blocks = [
            block
            for turn in _TURNS.decode(messages)
            for block in (turn.content if isinstance(turn.content, list) else ())
        ]
        for block in [block for block in blocks if block.type == "tool_result"]:
            if bodies.first(block.content) == b"[":
                blocks += _BLOCKS.decode(block.content)
        return {block.type for block in blocks} & _BLOCK_NEEDS.keys()
    except (ValueError, RecursionError):  # odd shapes, which the provider may judge
        return _said(messages)


def _said(messages: bytes) -> set[str]:
    """The kinds that are named as one, wherever that is."""
    return {kind.decode() for kind in bodies.words_in(messages, _BLOCK)}
