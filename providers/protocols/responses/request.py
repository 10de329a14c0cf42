"""
A request of the Responses API as the gateway sees it.

Only what routing needs is looked at, and every member stays the bytes that the caller sent; `model`
alone is replaced. What goes is reasoning that another protocol's model made and this gateway has
sealed: nobody here could read it, and OpenAI answers it with a 400.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import Raw, Struct

from providers.errors import Failure
from providers.protocols import bodies, slices
from providers.protocols.names import Decided, alternatives_of
from providers.protocols.protocol import Judge, Protocol, Reply, Request
from providers.protocols.responses import reshaping
from providers.protocols.responses.stream import StreamScanner
from providers.protocols.sealing import MARK, is_sealed

_BEGINNING: Final = re.compile(rb'["\[]')
_ALLOWED: Final = "a string or a list"
_CONVERSATION: Final = "an id, or an object with its 'id' alone"
# The input may be kept at the provider: with one of these the new one may be missing.
_STANDS_FOR_INPUT: Final = frozenset({"prompt", "previous_response_id", "conversation"})
# A content part's type. In a text the quotes would be escaped, so a prompt cannot pretend one.
_PART: Final = re.compile(rb'"type"\s*:\s*"(input_image|input_audio|input_file)"')
_PART_NEEDS: Final = {b"input_image": "vision", b"input_audio": "audio", b"input_file": "files"}
_FILLED_LIST: Final = re.compile(bodies.FILLED)
_COUNTED: Final = ("input", "instructions", "tools", "text")
_DECIDED: Final = Decided(
    "model", "stream", "store", "background", "reasoning", "parallel_tool_calls",
    "max_output_tokens", "prompt_cache_key", "safety_identifier", "user",
    *_STANDS_FOR_INPUT, *_COUNTED,
)  # fmt: skip
_SEALED: Final = b'"' + MARK.encode()
_SEAL: Final = re.compile(re.escape(_SEALED))
_NULL: Final = b"null"
_ITEMS: Final = msgspec.json.Decoder(list[Raw])


class _Identified(Struct, gc=False):
    id: str = ""


_IDENTIFIED: Final = msgspec.json.Decoder(_Identified).decode


class ResponsesRequest(Request):
    """A parsed request; `fields` are its members in the caller's order."""

    __slots__ = ("_estimate", "_needs", "_state_id", "fields")

    def __init__(
        self, protocol: Protocol, fields: dict[str, Raw], model: str, *, stream: bool
    ) -> None:
        super().__init__(protocol, model, stream=stream)
        self.fields = fields
        self._state_id = ""
        if "previous_response_id" in fields or "conversation" in fields:
            self._state_id = _named(fields)
        self._needs: frozenset[str] | None = None
        self._estimate: int | None = None

    def encode(self, model: str, *, inject: bool = True) -> bytes:
        """`model` replaced, all else as it came; its usage comes without being asked for."""
        del inject
        fields = {**self.fields, "model": Raw(msgspec.json.encode(model))}
        given = fields.get("input", b"")
        if bodies.holds(_SEAL, given) if self.is_long else _SEALED in bytes(given):
            fields["input"] = _without_sealed(fields["input"])
        return bodies.encode_members(fields)

    def read(self, content_type: bytes | None, body: bytes, judge: Judge) -> Reply | Failure:
        reply = reshaping.read(self, content_type, body, judge)
        if isinstance(reply, Reply) and not self.stream and self._is_stored:
            return msgspec.structs.replace(reply, state_id=_id_of(reply.body))
        return reply

    def scanner(self, judge: Judge) -> StreamScanner:
        return StreamScanner(judge)

    @property
    def state_id(self) -> str:
        return self._state_id

    @property
    def _is_stored(self) -> bool:
        """Whether the provider keeps the answer, which it does unless it is told otherwise."""
        return bytes(self.fields.get("store", b"")) != b"false"

    @property
    def is_background(self) -> bool:
        """Whether the answer may come before it is finished, to be asked for again."""
        return bytes(self.fields.get("background", b"")) == b"true"

    @property
    def needs(self) -> frozenset[str]:
        if self._needs is None:
            self._needs = frozenset(self._find_needs())
        return self._needs

    def _find_needs(self) -> set[str]:
        needs, fields = set(), self.fields
        if self.stream:
            needs.add("streaming")
        reasoning = bodies.object_of(fields.get("reasoning")) or {}
        if bytes(reasoning.get("effort", _NULL)) not in (_NULL, b'"none"', b'""'):
            needs.add("reasoning")
        tools = fields.get("tools")
        if tools is not None and _FILLED_LIST.match(tools):
            needs.add("tools")
            if bytes(fields.get("parallel_tool_calls", b"")) == b"true":
                needs.add("parallel_tools")
        for part in bodies.words_in(fields.get("input", b""), _PART):
            needs.add(_PART_NEEDS[part])
        text = bodies.object_of(fields.get("text")) or {}
        form = bodies.object_of(text.get("format")) or {}
        if bodies.string(form.get("type")) == "json_schema":
            needs.add("json_schema")
        return needs

    @property
    def session(self) -> str | None:
        for name in ("prompt_cache_key", "safety_identifier", "user"):
            if text := bodies.string(self.fields.get(name)):
                return text
        return None

    @property
    def alternatives(self) -> tuple[tuple[str, str], ...]:
        return alternatives_of(self.fields)

    @property
    def estimated_input_tokens(self) -> int:
        if self._estimate is None:
            counted = (self.fields[name] for name in _COUNTED if name in self.fields)
            self._estimate = sum(bodies.estimate(raw) for raw in counted)
        return self._estimate

    @property
    def max_output_tokens(self) -> int | None:
        return bodies.whole_number(self.fields.get("max_output_tokens"))


def parse(protocol: Protocol, body: bytes) -> ResponsesRequest:
    fields = bodies.members_of(body)
    _DECIDED.check(fields)
    model = bodies.model_of(fields)
    raw = fields.get("input")
    if raw is None:
        if _STANDS_FOR_INPUT.isdisjoint(fields):
            raise bodies.refusal("input", raw, _ALLOWED)
    elif not _BEGINNING.match(raw):
        raise bodies.refusal("input", raw, _ALLOWED)
    return ResponsesRequest(protocol, fields, model, stream=bodies.stream_of(fields))


def _named(fields: dict[str, Raw]) -> str:
    """
    What kept things the request goes on with, "" for none. Raises ProtocolError.

    It decides whose they are, so whatever a provider could read otherwise is refused, and of a
    conversation its id alone goes on: a second one in it would not be seen here.
    """
    earlier = _id_in("previous_response_id", fields.get("previous_response_id"), "a string")
    raw = fields.get("conversation")
    if raw is None or bodies.first(raw) != b"{":
        conversation = _id_in("conversation", raw, _CONVERSATION)
    else:
        members = bodies.small_object_of(raw) or {}
        if members.keys() != {"id"}:
            raise bodies.refusal("conversation", raw, _CONVERSATION)
        conversation = _id_in("conversation", members["id"], _CONVERSATION)
        fields["conversation"] = Raw(msgspec.json.encode({"id": conversation}))
    if earlier and conversation:
        raise bodies.refusal("conversation", raw, "left out beside 'previous_response_id'")
    return earlier or conversation


def _id_in(name: str, raw: Raw | None, allowed: str) -> str:
    if raw is None or bodies.first(raw) == b"n":
        return ""
    text = bodies.string(raw)
    if text is None or not bodies.is_text(text):
        raise bodies.refusal(name, raw, allowed)
    return text


def _id_of(body: bytes) -> str:
    try:
        return _IDENTIFIED(body).id
    except (ValueError, RecursionError):  # odd somewhere else: it cannot be named again
        return ""


def _without_sealed(raw: Raw) -> Raw:
    """The items of an input but for sealed reasoning, each as it came."""
    if bodies.first(raw) != b"[":
        return raw
    if memoryview(raw).nbytes > bodies.LONG:
        pieces = list[bytes | memoryview]()
        for part in slices.parts_of(raw):
            if not _holds_seal(part):
                pieces += (b"," if pieces else b"[", part)
        return Raw(slices.joined([*pieces, b"]" if pieces else b"[]"]))
    try:
        items = _ITEMS.decode(raw)
    except msgspec.DecodeError:  # half a surrogate pair somewhere
        kept = [item for item in bodies.decode(bytes(raw)) if not _is_sealed_item(item)]
        return Raw(bodies.encode(kept))
    kept_items = [bytes(item) for item in items if not _holds_seal(bytes(item))]
    return Raw(b"[" + b",".join(kept_items) + b"]")


def _holds_seal(item: bytes | memoryview) -> bool:
    try:
        return bodies.holds(_SEAL, item) and _is_sealed_item(bodies.decode_whole(item))
    except ValueError:  # a number that only its provider can judge
        return False


def _is_sealed_item(item: object) -> bool:
    if not isinstance(item, dict) or item.get("type") != "reasoning":
        return False
    opaque = item.get("encrypted_content")
    return isinstance(opaque, str) and is_sealed(opaque)
