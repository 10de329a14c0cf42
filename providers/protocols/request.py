"""
An OpenAI-shaped request as the gateway sees it.

Only what routing needs is looked at. Every member stays the bytes that the caller sent, so unknown
fields, key order and the spelling of numbers reach the provider unchanged; `model` alone is
replaced.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import Raw

from providers.errors import ProtocolError
from providers.protocols.nesting import MAX_DEPTH, is_too_deep

_MEMBERS: Final = msgspec.json.Decoder(dict[str, Raw])
_TEXT: Final = msgspec.json.Decoder(str)
_TRUE: Final = Raw(b"true")
_SHOWN = 60

# The field that holds the input, how it must begin, and that in words.
_INPUTS: Final = {
    "openai_chat": ("messages", re.compile(rb"\[\s*[^\s\]]"), "a non-empty list"),
    "openai_completions": ("prompt", re.compile(rb'["\[]'), "a string or a list"),
    "openai_embeddings": ("input", re.compile(rb'["\[]'), "a string or a list"),
}
_STREAMING: Final = frozenset({"openai_chat", "openai_completions"})

# A content part's type. In a text the quotes would be escaped, so a prompt cannot pretend one.
_PART: Final = re.compile(rb'"type"\s*:\s*"(image_url|input_audio|file)"')
_PART_NEEDS: Final = {b"image_url": "vision", b"input_audio": "audio", b"file": "files"}
_FILLED_LIST: Final = re.compile(rb"\[\s*[^\s\]]")
_BASE64: Final = re.compile(rb';base64,|"data"\s*:\s*"')
# Members that may say what a request needs, and those that are input as well.
_TELLING: Final = frozenset(
    {"reasoning_effort", "tools", "functions", "modalities", "response_format"}
)
_COUNTED: Final = frozenset({"tools", "functions", "response_format", "suffix"})
# An image or a page costs hundreds of tokens, not a quarter of its bytes.
_MEDIA_TOKENS = 1000


class Request:
    """
    A parsed request.

    `fields` are its members in the caller's order. `wants_usage`: the caller itself asked for the
    usage chunk of a stream.
    """

    __slots__ = ("_estimate", "_needs", "_stream_options", "fields", "model", "protocol", "stream")

    def __init__(self, protocol: str, fields: dict[str, Raw], model: str, *, stream: bool) -> None:
        self.protocol = protocol
        self.fields = fields
        self.model = model
        self.stream = stream
        self._needs: frozenset[str] | None = None
        self._estimate: int | None = None
        # None: absent, null, or not an object (then the provider may judge it).
        self._stream_options = _object(fields.get("stream_options")) if stream else None

    @property
    def wants_usage(self) -> bool:
        options = self._stream_options
        return options is not None and bytes(options.get("include_usage", b"")) == b"true"

    def encode(self, model: str, *, ask_usage: bool = True) -> bytes:
        """
        The body for a provider: `model` replaced, all else as it came.

        A stream also asks for its usage, unless `ask_usage` is off; the scanner withholds the
        chunk that the caller did not ask for.
        """
        fields = {**self.fields, "model": Raw(msgspec.json.encode(model))}
        if ask_usage and self.stream and not self.wants_usage:
            sent = fields.get("stream_options")
            if sent is None or bytes(sent) == b"null":
                fields["stream_options"] = Raw(b'{"include_usage":true}')
            elif self._stream_options is not None:
                options = {**self._stream_options, "include_usage": _TRUE}
                fields["stream_options"] = Raw(msgspec.json.encode(options))
        return msgspec.json.encode(fields)

    @property
    def reasons(self) -> bool:
        """Whether the request asks for reasoning: its first token may take long."""
        effort = self.fields.get("reasoning_effort")
        return effort is not None and bytes(effort) not in (b"null", b'"none"', b'""')

    @property
    def needs(self) -> frozenset[str]:
        """Capabilities that the request needs, as `unsupported:<what>` names them."""
        if self._needs is None:
            self._needs = frozenset(self._find_needs())
        return self._needs

    def _find_needs(self) -> set[str]:
        needs = set()
        fields = self.fields
        if self.stream:
            needs.add("streaming")
        is_chat = self.protocol == "openai_chat"
        if not _TELLING.isdisjoint(fields) or (is_chat and _PART.search(fields["messages"])):
            self._add_needs(needs, fields, is_chat=is_chat)
        return needs

    def _add_needs(self, needs: set[str], fields: dict[str, Raw], *, is_chat: bool) -> None:
        if self.reasons:
            needs.add("reasoning")
        if not is_chat:
            return
        if any(_is_filled_list(fields.get(name)) for name in ("tools", "functions")):
            needs.add("tools")
            if bytes(fields.get("parallel_tool_calls", b"")) == b"true":
                needs.add("parallel_tools")
        for part in set(_PART.findall(fields["messages"])):
            needs.add(_PART_NEEDS[part])
        if b'"audio"' in bytes(fields.get("modalities", b"")):
            needs.add("audio")
        if _string((_object(fields.get("response_format")) or {}).get("type")) == "json_schema":
            needs.add("json_schema")

    @property
    def several(self) -> bool:
        """Whether the answer may have more choices than one."""
        if "n" in self.fields and bytes(self.fields["n"]) not in (b"1", b"null"):
            return True
        return self.protocol == "openai_completions" and _first(self.fields["prompt"]) == b"["

    @property
    def session(self) -> str | None:
        """The caller's own word for who is talking, for affinity."""
        for name in ("prompt_cache_key", "safety_identifier", "user"):
            if text := _string(self.fields.get(name)):
                return text
        return None

    @property
    def estimated_input_tokens(self) -> int:
        """A rough count, four bytes to a token; base64 media count a flat 1,000 each."""
        tokens = self._estimate
        if tokens is None:
            fields = self.fields
            tokens = _estimate(bytes(fields[_INPUTS[self.protocol][0]]))
            if not _COUNTED.isdisjoint(fields):
                tokens += sum(_estimate(bytes(fields[name])) for name in _COUNTED if name in fields)
            self._estimate = tokens
        return tokens

    @property
    def max_output_tokens(self) -> int | None:
        for name in ("max_completion_tokens", "max_tokens"):
            stated = self.fields.get(name)
            if stated is not None and (raw := bytes(stated)).isdigit() and len(raw) < 16:
                return int(raw)
        return None


def parse(protocol: str, body: bytes) -> Request:
    """The request in `body`. Raises ProtocolError, which names field, value and what is allowed."""
    fields = _decode(body)
    model = _model(fields)
    _check_input(protocol, fields)
    stream = False
    raw = fields.get("stream")
    if raw is not None and protocol in _STREAMING:
        word = bytes(raw)
        if word not in (b"true", b"false", b"null"):
            raise _refusal("stream", raw, "true or false")
        stream = word == b"true"
    return Request(protocol, fields, model, stream=stream)


def _decode(body: bytes) -> dict[str, Raw]:
    # msgspec does not look into the bytes of strings that it skips.
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            message = f"The request body is not UTF-8: byte {error.start} is not valid."
            raise ProtocolError(message, code="invalid_json") from error
    if is_too_deep(body):
        raise _too_deep()
    try:
        return _MEMBERS.decode(body)
    except RecursionError as error:
        raise _too_deep() from error
    except msgspec.ValidationError as error:
        message = f"The request body must be a JSON object, not {_kind(body.lstrip())}."
        raise ProtocolError(message, code="invalid_json") from error
    except msgspec.DecodeError as error:
        reason = str(error).removeprefix("JSON is malformed: ")
        if not body.strip():
            reason = "it is empty"
        elif "truncated" in reason:
            reason = "it ends too early, or has an unpaired surrogate in a string"
        message = f"The request body must be a JSON object, but is not JSON: {reason}."
        raise ProtocolError(message, code="invalid_json") from error


def _too_deep() -> ProtocolError:
    message = f"The request body is nested too deeply; {MAX_DEPTH} levels are allowed."
    return ProtocolError(message, code="invalid_json")


def _model(fields: dict[str, Raw]) -> str:
    raw = fields.get("model")
    if raw is None:
        raise _refusal("model", None, "a non-empty string")
    if not (model := _string(raw)):
        raise _refusal("model", raw, "a non-empty string")
    return model


def _check_input(protocol: str, fields: dict[str, Raw]) -> None:
    name, beginning, allowed = _INPUTS[protocol]
    raw = fields.get(name)
    if raw is None or not beginning.match(raw):
        raise _refusal(name, raw, allowed)


def _refusal(name: str, raw: Raw | None, allowed: str) -> ProtocolError:
    if raw is None:
        return ProtocolError(f"'{name}' is missing; it must be {allowed}.", param=name)
    shown = bytes(memoryview(raw)[: 4 * _SHOWN]).decode(errors="ignore")
    if len(shown) > _SHOWN:
        shown = shown[:_SHOWN] + "…"
    return ProtocolError(f"'{name}' must be {allowed}, not {shown}.", param=name)


def _kind(text: bytes) -> str:
    match text[:1]:
        case b"[":
            return "a list"
        case b'"':
            return "a string"
        case b"t" | b"f":
            return "a boolean"
        case b"n":
            return "null"
    return "a number"


def _object(raw: Raw | None) -> dict[str, Raw] | None:
    return _MEMBERS.decode(raw) if raw is not None and _first(raw) == b"{" else None


def _string(raw: Raw | None) -> str | None:
    return _TEXT.decode(raw) if raw is not None and _first(raw) == b'"' else None


def _is_filled_list(raw: Raw | None) -> bool:
    return raw is not None and _FILLED_LIST.match(raw) is not None


def _first(raw: Raw) -> bytes:
    return bytes(memoryview(raw)[:1])


def _estimate(text: bytes) -> int:
    size, media, position = len(text), 0, 0
    if b";base64," not in text and b'"data"' not in text:  # 100 times as quick as the pattern
        return size // 4
    while found := _BASE64.search(text, position):
        position = text.index(b'"', found.end())
        size -= position - found.end()
        media += 1
    return size // 4 + media * _MEDIA_TOKENS
