"""
A call of generateContent or countTokens as the gateway sees it.

Only what routing needs is looked at. The model stands in the path, so that the body goes on as the
bytes that the caller sent.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote, unquote

import msgspec
from msgspec import Raw

from providers.errors import Failure, ProtocolError
from providers.protocols import bodies
from providers.protocols.gemini import reshaping
from providers.protocols.gemini.listing import ARRAY, Listing
from providers.protocols.gemini.parts import BYPASS, snake
from providers.protocols.gemini.stream import ArrayScanner, StreamScanner
from providers.protocols.names import Decided, alternatives_of
from providers.protocols.protocol import (
    EVENT_STREAM,
    NO_NEEDS,
    Judge,
    Problem,
    Protocol,
    Reply,
    Request,
    Scanner,
)
from providers.protocols.usage import Usage
from providers.protocols.whole import decoded, no_answer

GENERATE: Final = "generateContent"
STREAM: Final = "streamGenerateContent"
COUNT: Final = "countTokens"
PATH: Final = "/models"
_ROOMS: Final = ("models/", "tunedModels/")
# A list, or Google's short form of one with a single member.
_CONTENTS: Final = re.compile(bodies.FILLED + rb"|\{")
_MEDIA: Final = re.compile(rb'"(?:inline_?[dD]ata|file_?[dD]ata)"')
# In a text the quotes would be escaped, so a prompt cannot pretend one.
_TYPE: Final = re.compile(rb'"mime_?[tT]ype"\s*:\s*"(\w+)')
_TYPE_NEEDS: Final = {b"image": "vision", b"video": "vision", b"audio": "audio"}
_FUNCTIONS: Final = re.compile(rb'"function_?[dD]eclarations"\s*:\s*(?:\[\s*[^\s\]]|\{)')
_COUNTED: Final = ("systemInstruction", "tools")
_INNER: Final = "generateContentRequest"  # a whole request that is only counted
_NOTHING: Final = (b"null", b"[]", b"{}", b"false")
_OWN: Final = ("generationConfig", "systemInstruction", "cachedContent", "safetySettings", _INNER)
_DECIDED: Final = Decided("model", "stream", "contents", "tools", *_OWN, *map(snake, _OWN))
# The beginning of our own seal (sealing.py) in base64.
_SEALED: Final = re.compile(rb'"(thought_?[sS]ignature)"\s*:\s*"Z3cxL')
_HINT: Final = b'"Z3cxL'


class GenerateRequest(Request):
    """
    A parsed request. `fields` are its members in the caller's order.

    `is_array`: its stream is to come as one JSON array.
    """

    __slots__ = ("_body", "_config", "_estimate", "_needs", "fields", "is_array")

    def __init__(
        self,
        protocol: Protocol,
        model: str,
        body: bytes,
        fields: dict[str, Raw],
        *,
        stream: bool,
        is_array: bool,
    ) -> None:
        super().__init__(protocol, model, stream=stream)
        self.fields = fields
        self.is_array = is_array
        self._body = body
        self._config = bodies.object_of(member(fields, "generationConfig")) or {}
        self._needs: frozenset[str] | None = None
        self._estimate: int | None = None

    @property
    def stream_type(self) -> bytes:
        return ARRAY if self.is_array else EVENT_STREAM

    def upstream_path(self, model: str) -> str:
        verb = STREAM if self.stream else GENERATE
        return path_of(model, verb=verb)

    def encode(self, model: str, *, inject: bool = True) -> bytes:
        """
        The body as it came, but for reasoning that this gateway has sealed.

        That was another protocol's, and Google refuses a signature that is not its own.
        """
        del model, inject  # the path says the one, and nothing is injected
        body = self._body
        if _HINT not in body:
            return body
        return bodies.with_strings_replaced(body, _SEALED, BYPASS.encode())

    def read(self, content_type: bytes | None, body: bytes, judge: Judge) -> Reply | Failure:
        return reshaping.read(self, content_type, body, judge)

    def scanner(self, judge: Judge) -> StreamScanner:
        kind = ArrayScanner if self.is_array else StreamScanner
        return kind(judge, several=self.several)

    def error_event(self, problem: Problem) -> bytes:
        if self.is_array:
            return Listing().error_event(problem)
        return self.protocol.error_event(problem)

    @property
    def several(self) -> bool:
        """Whether the answer may have more candidates than one."""
        stated = member(self._config, "candidateCount")
        return stated is not None and bytes(stated) not in (b"1", b"null")

    @property
    def needs(self) -> frozenset[str]:
        if self._needs is None:
            self._needs = frozenset(self._find_needs())
        return self._needs

    def _find_needs(self) -> set[str]:
        needs = set()
        contents = self.fields["contents"]
        if self.stream:
            needs.add("streaming")
        if bodies.holds(_MEDIA, contents):
            kinds = bodies.words_in(contents, _TYPE) or {b"application"}
            needs |= {_TYPE_NEEDS.get(kind, "files") for kind in kinds}
        tools = self.fields.get("tools")
        if tools is not None and bodies.holds(_FUNCTIONS, tools):
            needs.add("tools")
        config = self._config
        if config:
            if any(_says(member(config, n)) for n in ("responseSchema", "responseJsonSchema")):
                needs.add("json_schema")
            modalities = member(config, "responseModalities")
            if modalities is not None and b"audio" in bytes(modalities).lower():
                needs.add("audio")
            if self.reasons:
                needs.add("reasoning")
        return needs

    @property
    def reasons(self) -> bool:
        """Whether the request asks for reasoning: its first token may take long."""
        thinking = bodies.object_of(member(self._config, "thinkingConfig"))
        if not thinking:
            return False
        budget = member(thinking, "thinkingBudget")
        if budget is not None and bytes(budget) != b"null":
            return bytes(budget) != b"0"
        return _says(member(thinking, "thinkingLevel")) or _says(
            member(thinking, "includeThoughts")
        )

    @property
    def session(self) -> str | None:
        """What is cached is cached at one credential."""
        return bodies.string(member(self.fields, "cachedContent")) or None

    @property
    def alternatives(self) -> tuple[tuple[str, str], ...]:
        return _alternatives_of(self.fields)

    @property
    def estimated_input_tokens(self) -> int:
        tokens = self._estimate
        if tokens is None:
            tokens = self._estimate = estimate(self.fields)
        return tokens

    @property
    def max_output_tokens(self) -> int | None:
        return bodies.whole_number(member(self._config, "maxOutputTokens"))


class CountRequest(Request):
    """What a request would cost. It may be told as generateContent's own, which names a model."""

    __slots__ = ("_body", "_estimate", "fields", "inner")

    def __init__(self, protocol: Protocol, model: str, body: bytes, fields: dict[str, Raw]) -> None:
        super().__init__(protocol, model, stream=False)
        self.fields = fields
        self.inner = bodies.object_of(member(fields, _INNER))
        _DECIDED.check(self.inner or ())
        self._body = body
        self._estimate: int | None = None

    @property
    def needs(self) -> frozenset[str]:
        return NO_NEEDS

    @property
    def alternatives(self) -> tuple[tuple[str, str], ...]:
        return _alternatives_of(self.fields)

    @property
    def estimated_input_tokens(self) -> int:
        if self._estimate is None:
            self._estimate = estimate(self.fields if self.inner is None else self.inner)
        return self._estimate

    def upstream_path(self, model: str) -> str:
        return path_of(model, verb=COUNT)

    def encode(self, model: str, *, inject: bool = True) -> bytes:
        del inject  # nothing is
        if self.inner is None or "model" not in self.inner:
            return self._body
        named = Raw(msgspec.json.encode(f"models/{model.removeprefix('models/')}"))
        inner = Raw(bodies.encode_members({**self.inner, "model": named}))
        name = _INNER if _INNER in self.fields else snake(_INNER)
        return bodies.encode_members({**self.fields, name: inner})

    def read(self, content_type: bytes | None, body: bytes, judge: Judge) -> Reply | Failure:
        found = decoded(content_type, body, judge)
        if isinstance(found, Failure):
            return found
        if not isinstance(found, dict) or not isinstance(found.get("totalTokens"), int):
            return no_answer("the reply has no totalTokens")
        return Reply(body, content_type or b"application/json", Usage())

    def scanner(self, judge: Judge) -> Scanner:
        raise NotImplementedError("a count does not come in a stream")


def parse_generate(protocol: Protocol, body: bytes, target: str) -> GenerateRequest:
    fields = bodies.members_of(body)
    _DECIDED.check(fields)
    if target:
        model, verb, is_sse = _named(target)
        stream = verb == STREAM
    else:
        model, body, fields, stream = _named_in_body(fields)
        is_sse = True
    _check_contents(fields)
    return GenerateRequest(
        protocol, model, body, fields, stream=stream, is_array=stream and not is_sse
    )


def parse_count(protocol: Protocol, body: bytes, target: str) -> CountRequest:
    fields = bodies.members_of(body)
    _DECIDED.check(fields)
    if target:
        model = _named(target).model
    else:
        model, body, fields, _ = _named_in_body(fields)
    _check_contents(bodies.object_of(member(fields, _INNER)) or fields)
    return CountRequest(protocol, model, body, fields)


def _named_in_body(fields: dict[str, Raw]) -> tuple[str, bytes, dict[str, Raw], bool]:
    """A request that was not called by its path says there what others say: model and stream."""
    model, stream = bodies.model_of(fields), bodies.stream_of(fields)
    rest = {name: raw for name, raw in fields.items() if name not in ("model", "stream")}
    return model, bodies.encode_members(rest), rest, stream


# The model stands in the path, behind it a colon and the verb.


class _Named(NamedTuple):
    """`is_sse`: a stream comes as events; otherwise as one JSON array."""

    model: str
    verb: str
    is_sse: bool


def _named(target: str) -> _Named:
    """What a path with its query calls. Raises ProtocolError."""
    path, _, query = target.partition("?")
    _, _, named = path.partition(f"{PATH}/")
    model, _, verb = unquote(named.rstrip("/")).rpartition(":")
    model = model.removeprefix(_ROOMS[0])
    if not model or not bodies.is_text(model):
        message = "The path must name a model and what it is to do: /models/MODEL:METHOD."
        raise ProtocolError(message, param="model")
    options = dict(parse_qsl(query))
    form = options.get("alt") or options.get("$alt") or ""
    return _Named(model, verb, form.lower() == "sse")


def path_of(model: str, *, verb: str) -> str:
    """Below a provider's base address. A stream always comes as events."""
    safe = "/:@"
    if not {"", ".", ".."}.isdisjoint(model.split("/")):
        safe = ""  # such a segment would lead to another place
    if not model.startswith(_ROOMS):
        model = _ROOMS[0] + model if safe else model
    name = quote(model, safe=safe)
    path = f"/{name}:{verb}" if safe else f"{PATH}/{name}:{verb}"
    return f"{path}?alt=sse" if verb == STREAM else path


def _alternatives_of(fields: dict[str, Raw]) -> tuple[tuple[str, str], ...]:
    """A body may name a model beside its path, and a provider may go by that one."""
    named = bodies.string(fields.get("model"))
    own = (("model", named.removeprefix(_ROOMS[0])),) if named else ()
    return own + alternatives_of(fields)


def _check_contents(fields: dict[str, Raw]) -> None:
    raw = fields.get("contents")
    if raw is None or not _CONTENTS.match(raw):
        raise bodies.refusal("contents", raw, "a non-empty list")


def member(fields: dict[str, Raw], name: str) -> Raw | None:
    """A member by its name, which Google takes in snake case too."""
    found = fields.get(name)
    return fields.get(snake(name)) if found is None else found


def estimate(fields: dict[str, Raw]) -> int:
    tokens = bodies.estimate(fields["contents"])
    for name in _COUNTED:
        if (raw := member(fields, name)) is not None:
            tokens += bodies.estimate(raw)
    return tokens


def _says(raw: Raw | None) -> bool:
    return raw is not None and bytes(raw) not in _NOTHING
