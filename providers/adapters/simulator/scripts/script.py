"""What the scripts of all protocols have in common: the ask, what is answered to it, the frames."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from providers.protocols import bodies, slices

SHOWN: Final = 200
MANY: Final = 1000
PIECE: Final = 16  # characters of a call's arguments in one event
_WORD: Final = re.compile(r"\s*\S+\s*")
_ORDER: Final = re.compile(r"call the tool ([A-Za-z0-9_.:-]{1,128}) with (?=\{)")
_VALUE: Final = json.JSONDecoder()


class Ask(NamedTuple):
    """
    One call of the provider `name`; `path` is the one below its base address, if it has any, and
    `mark` the same for the same call.
    """

    name: str
    request: dict[str, Any]
    path: str = ""
    mark: str = ""

    @property
    def model(self) -> str:
        return str(self.request.get("model"))

    def id(self, prefix: str = "") -> str:
        return f"{prefix}sim-{self.mark}"


class Called(NamedTuple):
    """A call that an ask gave the order for; a free-form tool's `arguments` are bare text."""

    name: str
    arguments: str
    is_custom: bool = False

    @property
    def pieces(self) -> list[str]:
        return [self.arguments[at : at + PIECE] for at in range(0, len(self.arguments), PIECE)]


class Events(NamedTuple):
    """A whole stream: what opens it, the events with content, one a word, and what closes it."""

    opening: list[bytes]
    contents: list[bytes]
    closing: list[bytes]


class Script:
    """What is said in one protocol. `streams`: whether a stream may be asked for."""

    streams = True

    def is_stream(self, ask: Ask) -> bool:
        return self.streams and ask.request.get("stream") is True

    def reply(self, ask: Ask) -> dict[str, Any]:
        """The whole answer."""
        raise NotImplementedError

    def events(self, ask: Ask) -> Events:
        """The same as a stream."""
        raise NotImplementedError

    def error(self, status: int, message: str, retry_after_s: float | None = None) -> bytes:
        """The body of an error, in OpenAI's shape where the protocol says nothing else."""
        del retry_after_s  # a header says it
        usual = "invalid_request_error" if status < 500 else "server_error"
        type_, code = _OPENAI.get(status, (usual, None))
        if status == 404:
            message = f"The model does not exist: {message}"
        told = {"message": message, "type": type_, "param": None, "code": code}
        return bodies.encode({"error": told})

    def error_event(self, name: str, sent: int) -> bytes:
        """What the provider `name` says in a stream when it fails after `sent` events."""
        del sent
        return data(bodies.decode(self.error(500, error_words(name))))


# So that a simulated status reads like a real one: type and code.
_OPENAI: Final[Mapping[int, tuple[str, str | None]]] = {
    401: ("authentication_error", "invalid_api_key"),
    402: ("insufficient_quota", "insufficient_quota"),
    403: ("permission_error", None),
    404: ("invalid_request_error", "model_not_found"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    529: ("overloaded_error", None),
}


def error_words(name: str) -> str:
    return f"simulated error event of {name}"


def data(value: Any) -> bytes:
    """An event without a name."""
    return b"data: " + bodies.encode(value) + b"\n\n"


def named(value: dict[str, Any]) -> bytes:
    """An event by the name of its own type."""
    return b"event: " + str(value["type"]).encode() + b"\n" + data(value)


def words(text: str) -> list[str]:
    """`text` in pieces, one for each word."""
    return _WORD.findall(text)


def tokens(value: Any) -> int:
    """A count for whatever was sent, four bytes to one; of what is long its texts alone count."""
    size = _length(value) if slices.is_apart() else len(bodies.encode(value))
    return max(1, size // 4)


def _length(value: Any) -> int:
    """How long its texts are: they are not written down for it, which would take their size."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return len(str(value))
    if len(value) > MANY:
        slices.breathe()
    return sum(map(_length, value))


def told(ask: Ask, model: str, texts: Sequence[str]) -> str:
    """What is answered to somebody who said this last."""
    text = f"Hello from Switchyard's simulator: provider {ask.name} answered as model {model}."
    said = texts[-1] if texts else ""
    if len(said) > SHOWN:
        said = said[:SHOWN] + "…"
    return f"{text} You said: {said}" if said else text


def ordered(texts: Iterable[str], offered: Mapping[str, bool]) -> Called | None:
    """
    The call that one of `texts` orders ("call the tool NAME with {…}"), if the tool is offered.

    `offered` tells of each tool whether it is free-form: then the `input` of the object is its
    text, if it has one, else the object's own text.
    """
    for text in texts:
        found = _ORDER.search(text)
        if found is None or found[1] not in offered:
            continue
        try:
            value, end = _VALUE.raw_decode(text, found.end())
        except (ValueError, RecursionError):
            continue
        arguments = text[found.end() : end]
        if not bodies.is_sound(arguments.encode(errors="replace")):
            continue
        is_custom = offered[found[1]]
        if is_custom and isinstance(value.get("input"), str):
            arguments = value["input"]
        return Called(found[1], arguments, is_custom)
    return None


def objects(values: Any) -> Iterable[dict[str, Any]]:
    """The objects of what should be a list of them."""
    return (value for value in values if isinstance(value, dict)) if _is_list(values) else ()


def texts_in(content: Any) -> list[str]:
    """The texts of a content that is a string, or parts of which some have a `text`."""
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in objects(content) if isinstance(part.get("text"), str)]


def last_of(values: Any) -> Any:
    return values[-1] if _is_list(values) and values else None


def _is_list(values: Any) -> bool:
    return isinstance(values, list)
