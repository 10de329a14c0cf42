"""What a call of generateContent asks for, in the canonical form."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Any, Final

from msgspec import Raw
from msgspec.structs import replace

from providers.protocols import bodies
from providers.protocols.canonical import (
    Choice,
    Effort,
    Form,
    Media,
    Part,
    Prompt,
    Reasoning,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from providers.protocols.gemini.parts import (
    ORIGIN,
    listed,
    media_of_blob,
    media_of_file,
    parts_of,
    pick,
    picked,
    snake,
)
from providers.protocols.gemini.schema import json_schema
from providers.protocols.reading import is_number, problem, text_of

SAMPLING: Final = {
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "seed": "seed",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
}
# What only Gemini can carry; with these values it says nothing.
_BOUND: Final[dict[str, tuple[Any, ...]]] = {
    "candidateCount": (1,),
    "responseLogprobs": (False,),
    "logprobs": (0,),
    "speechConfig": (),
    "imageConfig": (),
    "responseModalities": ([], ["TEXT"], ["Text"], ["text"]),
}
_READ: Final = frozenset(
    {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "serviceTier"}
)
_CONFIG_READ: Final = frozenset(
    {
        "maxOutputTokens", "stopSequences", "responseMimeType", "responseSchema",
        "responseJsonSchema", "thinkingConfig", *SAMPLING, *_BOUND,
    }
)  # fmt: skip
_KNOWN: Final = {
    snake(name): name for name in (*_READ, *_CONFIG_READ, "safetySettings", "cachedContent")
}
_DECLARATIONS: Final = "functionDeclarations"
_MODES: Final = {"AUTO": "auto", "VALIDATED": "auto", "ANY": "required", "NONE": "none"}
_PLAIN_TIERS: Final = ("", "unspecified", "standard")
# Beside what a part is: said to Gemini, and to nobody else.
_BESIDE: Final = ("videoMetadata", "mediaResolution", "partMetadata", "mediaProcessing")


def prompt_of(fields: dict[str, Raw], *, stream: bool) -> Prompt:
    """Raises ProtocolError where the request contradicts itself."""
    said = _members(bodies.values_of(fields))
    config = said.get("generationConfig")
    config = _members(config) if isinstance(config, dict) else {}
    reading = _Reading(said)
    turns = reading.turns()
    tools = reading.tools()
    return Prompt(
        system=reading.system(),
        turns=turns,
        tools=tools,
        choice=reading.choice(),
        form=_form(config),
        effort=_effort(config.get("thinkingConfig")),
        max_tokens=_whole(config.get("maxOutputTokens")),
        stop=_stop(config.get("stopSequences")),
        sampling={SAMPLING[n]: config[n] for n in SAMPLING if is_number(config.get(n))},
        service_tier=_tier(said.get("serviceTier")),
        stream=stream,
        wants_usage=True,
        bound=_bound(said, config),
        other=_other(said, config, reading.beside),
    )


def _members(said: dict[str, Any]) -> dict[str, Any]:
    """Members that say something, by their names in camel case."""
    return {_KNOWN.get(name, name): value for name, value in said.items() if value is not None}


def _bound(said: dict[str, Any], config: dict[str, Any]) -> frozenset[str]:
    found = {n for n, nothing in _BOUND.items() if n in config and config[n] not in nothing}
    if text_of(said.get("cachedContent")):
        found.add("cachedContent")
    if config.get("responseMimeType") == "text/x.enum":
        found.add("responseMimeType")  # one bare word: others would quote it
    return frozenset(found)


def _other(
    said: dict[str, Any], config: dict[str, Any], beside: dict[str, None]
) -> tuple[str, ...]:
    names = [name for name in said if name not in _READ and name != "cachedContent"]
    names += [name for name in config if name not in _CONFIG_READ]
    return (*names, *beside)


class _Reading:
    """One request; `beside` are what its parts say that has no place elsewhere."""

    def __init__(self, said: dict[str, Any]) -> None:
        self.said = said
        self.beside: dict[str, None] = {}
        self._calls: dict[str, str] = {}  # names of functions by the ids of their calls
        self._waiting: dict[str, deque[str]] = {}  # ids of calls in their order, by function
        self._answered: set[str] = set()

    # What is said

    def system(self) -> tuple[Text, ...]:
        given = self.said.get("systemInstruction")
        if isinstance(given, str):
            return (Text(text=given),)
        parts = listed(given.get("parts")) if isinstance(given, dict) else []
        return tuple(Text(text=text) for part in parts if (text := text_of(part.get("text"))))

    def turns(self) -> tuple[Turn, ...]:
        contents = self.said.get("contents")
        contents = [contents] if isinstance(contents, dict) else contents
        turns: list[Turn] = []
        for place, content in enumerate(contents if isinstance(contents, list) else ()):
            where = f"contents[{place}]"
            if not isinstance(content, dict):
                raise problem(where, "must be an object")
            turns.append(self._turn(content, where))
        return tuple(turns)

    def _turn(self, content: dict[str, Any], where: str) -> Turn:
        role = content.get("role") or "user"
        if role not in ("user", "model", "function"):
            raise problem(f"{where}.role", f"must be user or model, not {role!r}")
        parts: list[Part] = []
        for number, part in enumerate(listed(content.get("parts"))):
            place = f"{where}.parts[{number}]"
            response = picked(part, "functionResponse")
            if response is not None:
                parts.append(self._result(response, place))
                continue
            found = parts_of(part, partial(_made_id, place))
            for each in found:
                self._note(each, place)
                parts.append(_with_pieces(each, parts))
            for name in _BESIDE:
                if pick(part, name) is not None:
                    self.beside[name] = None
        return Turn(role="assistant" if role == "model" else "user", parts=tuple(parts))

    def _note(self, part: Part, place: str) -> None:
        match part:
            case ToolCall():
                self._calls[part.id] = part.name
                self._waiting.setdefault(part.name, deque()).append(part.id)
            case Media() if not (part.data or part.file_id or part.url):
                raise problem(place, "holds no data in base64, and no address of any")

    def _result(self, response: dict[str, Any], place: str) -> ToolResult:
        """Results are matched to calls by their id, or by name in the order of the calls."""
        name = text_of(response.get("name"))
        call_id: str | None = text_of(response.get("id"))
        if call_id not in self._calls:
            call_id = self._next(name)
        if call_id is None:
            words = f"{name!r} answers no call of the contents before it"
            raise problem(f"{place}.functionResponse", words)
        self._answered.add(call_id)
        text, is_error = _response(response.get("response"))
        media: list[Media] = []
        for part in listed(response.get("parts")):
            if (blob := picked(part, "inlineData")) is not None:
                media.append(media_of_blob(blob))
            elif (file := picked(part, "fileData")) is not None:
                media.append(media_of_file(file))
        for each in media:
            self._note(each, place)
        said = (Text(text=text),) if text or not media else ()
        return ToolResult(
            call_id=call_id,
            parts=(*said, *media),
            is_error=is_error,
            name=self._calls[call_id],
        )

    def _next(self, name: str) -> str | None:
        """The first call of a function that has no result yet."""
        waiting = self._waiting.get(name)
        while waiting:
            call_id = waiting.popleft()
            if call_id not in self._answered:
                return call_id
        return None

    # Tools

    def tools(self) -> tuple[Tool, ...]:
        tools: list[Tool] = []
        for entry in listed(self.said.get("tools")):
            for word, value in entry.items():
                if value is None:
                    continue
                if word in (_DECLARATIONS, snake(_DECLARATIONS)):
                    tools += [self._function(each) for each in listed(value)]
                else:
                    tools.append(Tool(name=word, server={word: value}, origin=ORIGIN))
        return tuple(tools)

    def _function(self, declared: dict[str, Any]) -> Tool:
        schema = pick(declared, "parametersJsonSchema")
        if not isinstance(schema, dict):
            given = picked(declared, "parameters")
            schema = None if given is None else json_schema(given)
        for name in ("response", "responseJsonSchema", "behavior"):
            if pick(declared, name) is not None:
                self.beside[name] = None
        return Tool(
            name=text_of(declared.get("name")),
            description=text_of(declared.get("description")),
            schema=schema,
        )

    def choice(self) -> Choice | None:
        config = self.said.get("toolConfig")
        if not isinstance(config, dict):
            return None
        for name in ("retrievalConfig", "includeServerSideToolInvocations"):
            if pick(config, name) is not None:
                self.beside[name] = None
        calling = picked(config, "functionCallingConfig")
        mode = _MODES.get(text_of((calling or {}).get("mode")).upper())
        if calling is None or mode is None:
            return None
        names = pick(calling, "allowedFunctionNames")
        allowed = tuple(n for n in names if isinstance(n, str)) if isinstance(names, list) else ()
        return Choice(mode=mode, names=allowed if mode != "none" else ())


def _with_pieces(part: Part, before: list[Part]) -> Part:
    """A sealed thought with its text, which a stream has told in pieces before the seal."""
    if not isinstance(part, Reasoning) or part.origin == ORIGIN or part.text:
        return part
    pieces: list[str] = []
    while before and isinstance(last := before[-1], Reasoning) and _is_piece(last):
        pieces.append(last.text)
        before.pop()
    return replace(part, text="".join(reversed(pieces)))


def _is_piece(thought: Reasoning) -> bool:
    return thought.origin == ORIGIN and not thought.signature


def _made_id(place: str) -> str:
    """The id of a call that came without one: the same each time this history is told."""
    return "call_" + "_".join(number for number in place.replace("]", "[").split("[")[1::2])


def _response(response: Any) -> tuple[str, bool]:
    """What a function gave back, as text, and whether that is an error."""
    if not isinstance(response, dict):
        return ("" if response is None else _text(response)), False
    if len(response) == 1:
        [(word, value)] = response.items()
        if word in ("output", "result", "error"):
            return _text(value), word == "error"
    return _text(response), False


def _text(value: Any) -> str:
    return value if isinstance(value, str) else bodies.encode(value).decode()


# What the answer is to be


def _form(config: dict[str, Any]) -> Form | None:
    if config.get("responseMimeType") not in (None, "application/json"):
        return None
    schema = config.get("responseJsonSchema")
    if not isinstance(schema, dict):
        given = config.get("responseSchema")
        schema = json_schema(given) if isinstance(given, dict) else None
    if schema is not None:
        return Form(kind="json_schema", schema=schema)
    return Form(kind="json_object") if "responseMimeType" in config else None


def _effort(thinking: Any) -> Effort | None:
    if not isinstance(thinking, dict):
        return None
    budget = _whole(pick(thinking, "thinkingBudget"), least=-1)
    level = text_of(pick(thinking, "thinkingLevel")).lower()
    level = "" if level == "thinking_level_unspecified" else level
    return Effort(
        level="none" if budget == 0 and not level else level,
        budget=budget if budget and budget > 0 else None,
        summary="auto" if pick(thinking, "includeThoughts") is True else "",
        is_adaptive=budget == -1,
    )


def _tier(stated: Any) -> str:
    tier = text_of(stated).lower().removeprefix("service_tier_")
    return "" if tier in _PLAIN_TIERS else tier


def _stop(asked: Any) -> tuple[str, ...]:
    return tuple(text for text in asked if isinstance(text, str)) if isinstance(asked, list) else ()


def _whole(value: Any, least: int = 0) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return value if is_whole and least <= value < 2**53 else None
