"""
A chat or text completion as the gateway sees it.

Only what routing needs is looked at. Every member stays the bytes that the caller sent, so unknown
fields, key order and the spelling of numbers reach the provider unchanged; `model` alone is
replaced.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import Raw

from providers.errors import Failure
from providers.protocols import bodies
from providers.protocols.chat import reshaping
from providers.protocols.chat.reply import plain_usage
from providers.protocols.chat.shape import Shape
from providers.protocols.chat.stream import StreamScanner
from providers.protocols.names import Decided, alternatives_of
from providers.protocols.protocol import NO_NEEDS, Judge, Protocol, Reply, Request

_TRUE: Final = Raw(b"true")
_JSON: Final = b"application/json"
INJECTED: Final = "stream_options"
_STREAMING: Final = frozenset({"streaming"})

# A content part's type. In a text the quotes would be escaped, so a prompt cannot pretend one.
_PART: Final = re.compile(rb'"type"\s*:\s*"(image_url|input_audio|file)"')
_PART_NEEDS: Final = {b"image_url": "vision", b"input_audio": "audio", b"file": "files"}
_FILLED_LIST: Final = re.compile(bodies.FILLED)
# Members that may say what a request needs, and those that are input as well.
_TELLING: Final = frozenset(
    {"reasoning_effort", "tools", "functions", "modalities", "response_format"}
)
_COUNTED: Final = frozenset({"tools", "functions", "response_format", "suffix"})
_DECIDED: Final = Decided(
    "model", "stream", "messages", "prompt", "n", "max_tokens", "max_completion_tokens",
    "parallel_tool_calls", "prompt_cache_key", "safety_identifier", "user", INJECTED,
    *_TELLING, *_COUNTED,
)  # fmt: skip


class CompletionRequest(Request):
    """
    A parsed request.

    `fields` are its members in the caller's order. `wants_usage`: the caller itself asked for the
    usage chunk of a stream.
    """

    __slots__ = (
        "_shape", "_stream_options", "estimated_input_tokens", "fields", "max_output_tokens",
        "needs",
    )  # fmt: skip

    # What every request is asked, so that it is found at once: a property would be four calls.
    needs: frozenset[str]
    estimated_input_tokens: int
    max_output_tokens: int | None

    def __init__(
        self,
        protocol: Protocol,
        shape: Shape,
        fields: dict[str, Raw],
        model: str,
        *,
        stream: bool,
        is_long: bool,
    ) -> None:
        self.protocol, self.model, self.stream, self.is_long = protocol, model, stream, is_long
        self._shape = shape
        self.fields = fields
        # None: absent, null, or not an object (then the provider may judge it).
        self._stream_options = bodies.object_of(fields.get(INJECTED)) if stream else None
        self.max_output_tokens = _cap_of(fields)
        self.needs = self._find_needs()
        tokens = bodies.estimate(fields[shape.input])
        if not _COUNTED.isdisjoint(fields):
            tokens += sum([bodies.estimate(fields[name]) for name in _COUNTED if name in fields])
        self.estimated_input_tokens = tokens

    @property
    def wants_usage(self) -> bool:
        options = self._stream_options
        return options is not None and bytes(options.get("include_usage", b"")) == b"true"

    @property
    def injects(self) -> str:
        return INJECTED if self.stream and not self.wants_usage else ""

    def encode(self, model: str, *, inject: bool = True) -> bytes:
        """
        `model` replaced, all else as it came.

        A stream also asks for its usage; the scanner withholds the chunk that the caller did not
        ask for.
        """
        fields = {**self.fields, "model": Raw(msgspec.json.encode(model))}
        if inject and self.stream and not self.wants_usage:
            sent = fields.get(INJECTED)
            if sent is None or bytes(sent) == b"null":
                fields[INJECTED] = Raw(b'{"include_usage":true}')
            elif self._stream_options is not None:
                options = {**self._stream_options, "include_usage": _TRUE}
                fields[INJECTED] = Raw(bodies.encode_members(options))
        return bodies.encode_members(fields)

    def read(self, content_type: bytes | None, body: bytes, judge: Judge) -> Reply | Failure:
        # Nearly every answer is as it was asked for, and needs no second look: 2 µs.
        if content_type == _JSON and self._shape.is_chat and not self.stream:
            try:
                if (usage := plain_usage(body)) is not None:
                    return Reply(body, content_type, usage)
            except (ValueError, RecursionError):
                pass  # whatever it is, the closer look says so
        return reshaping.read(self._shape, self, content_type, body, judge)

    def scanner(self, judge: Judge) -> StreamScanner:
        return StreamScanner(judge, wants_usage=self.wants_usage, several=self.several)

    @property
    def reasons(self) -> bool:
        """Whether the request asks for reasoning: its first token may take long."""
        effort = self.fields.get("reasoning_effort")
        return effort is not None and bytes(effort) not in (b"null", b'"none"', b'""')

    def _find_needs(self) -> frozenset[str]:
        fields, is_chat = self.fields, self._shape.is_chat
        usual = _STREAMING if self.stream else NO_NEEDS
        is_telling = self.is_long or not _TELLING.isdisjoint(fields)
        if not is_telling and not (is_chat and _PART.search(fields["messages"])):
            return usual
        needs = set(usual)
        self._add_needs(needs, fields, is_chat=is_chat)
        return frozenset(needs)

    def _add_needs(self, needs: set[str], fields: dict[str, Raw], *, is_chat: bool) -> None:
        if self.reasons:
            needs.add("reasoning")
        if not is_chat:
            return
        if any(_is_filled_list(fields.get(name)) for name in ("tools", "functions")):
            needs.add("tools")
            if bytes(fields.get("parallel_tool_calls", b"")) == b"true":
                needs.add("parallel_tools")
        for part in bodies.words_in(fields["messages"], _PART):
            needs.add(_PART_NEEDS[part])
        if b'"audio"' in bytes(fields.get("modalities", b"")):
            needs.add("audio")
        form = bodies.object_of(fields.get("response_format")) or {}
        if bodies.string(form.get("type")) == "json_schema":
            needs.add("json_schema")

    @property
    def several(self) -> bool:
        """Whether the answer may have more choices than one."""
        if "n" in self.fields and bytes(self.fields["n"]) not in (b"1", b"null"):
            return True
        return not self._shape.is_chat and bodies.first(self.fields["prompt"]) == b"["

    @property
    def session(self) -> str | None:
        for name in ("prompt_cache_key", "safety_identifier", "user"):
            if text := bodies.string(self.fields.get(name)):
                return text
        return None

    @property
    def alternatives(self) -> tuple[tuple[str, str], ...]:
        return alternatives_of(self.fields)


def parse(protocol: Protocol, shape: Shape, body: bytes) -> CompletionRequest:
    fields = bodies.members_of(body)
    _DECIDED.check(fields)
    model = bodies.model_of(fields)
    raw = fields.get(shape.input)
    if raw is None or not shape.beginning.match(raw):
        raise bodies.refusal(shape.input, raw, shape.allowed)
    stream, is_long = bodies.stream_of(fields), len(body) > bodies.LONG
    return CompletionRequest(protocol, shape, fields, model, stream=stream, is_long=is_long)


def _cap_of(fields: dict[str, Raw]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        if name in fields and (stated := bodies.whole_number(fields[name])) is not None:
            return stated
    return None


def _is_filled_list(raw: Raw | None) -> bool:
    return raw is not None and _FILLED_LIST.match(raw) is not None
