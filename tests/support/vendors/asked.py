"""What a request asks and what an answer says, in no vendor's words."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

PNG = b"\x89PNG"
JPEG = b"\xff\xd8\xff"


class RefusedError(Exception):
    """The vendor answers with this status and message instead."""

    def __init__(self, message: str, *, status: int = 400, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a tool call that has come back."""

    name: str
    text: str
    is_error: bool = False


@dataclass(frozen=True, kw_only=True)
class Asked:
    """
    One request. `texts` are the last turn's of the user; `forced` is a tool's name, "*" for any,
    "" for none, None where nothing is said; `offered` has each tool's schema by its name;
    `custom` are the tools that take bare text; `effort` is None where no reasoning is asked for;
    `own_thoughts` counts the pieces of earlier reasoning that have come back unharmed.
    """

    vendor: str
    model: str
    stream: bool
    system: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    offered: dict[str, Any] = field(default_factory=dict)
    custom: frozenset[str] = frozenset()
    forced: str | None = None
    schema: dict[str, Any] | None = None
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    effort: str | None = None
    results: tuple[Result, ...] = ()
    own_thoughts: int = 0
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def scene(self) -> str:
        """What stands after the `~` of the model's name."""
        return self.model.partition("~")[2]


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call of a tool; `bare` is the text of a custom tool's."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    bare: str | None = None

    @property
    def json(self) -> str:
        return json.dumps(self.arguments, ensure_ascii=False)

    def id(self, prefix: str) -> str:
        return f"{prefix}{mark(self.name, self.json, self.bare or '')[:24]}"


@dataclass(frozen=True, kw_only=True)
class Counts:
    """`input` includes what was cached or written to the cache, `output` the reasoning."""

    input: int = 20
    cached: int = 0
    written: int = 0
    output: int = 10
    reasoning: int = 0


@dataclass(frozen=True, kw_only=True)
class Turn:
    """
    An answer: reasoning, then text, then calls. `finish` is stop, stop_string, length, tools or
    refusal; `matched` the stop string that was hit.
    """

    thought: str = ""
    text: str = ""
    calls: tuple[Call, ...] = ()
    finish: str = "stop"
    matched: str = ""
    counts: Counts = Counts()


def mark(*parts: str) -> str:
    """A short secret of whoever says these things, to be known again."""
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()


def signature(*parts: str) -> str:
    """Base64 of any bytes, with its `+`, `/` and padding."""
    return base64.b64encode(b"\xfb\xff\xfe" + bytes.fromhex(mark(*parts))).decode()


def image(data: str, stated: str) -> str:
    """How scenes know a base64 image: media type and the start of its hash."""
    try:
        raw = base64.b64decode(data, validate=True)
    except ValueError:
        raise RefusedError("Invalid base64 data") from None
    kinds = {"image/png": PNG, "image/jpeg": JPEG}
    found = next((kind for kind, magic in kinds.items() if raw.startswith(magic)), None)
    if found is None:
        raise RefusedError("Could not process image")
    if found != stated:
        raise RefusedError(f"The image was specified as {stated}, but appears to be {found}")
    return f"{found} {hashlib.sha256(raw).hexdigest()[:8]}"


def only(value: dict[str, Any], allowed: set[str], where: str, words: str) -> None:
    """Refuse fields that the vendor does not know; `words` has {name} and {where}."""
    for name in value:
        if name not in allowed:
            raise RefusedError(words.format(name=name, where=where))


def need(value: object, kind: type | tuple[type, ...], where: str) -> Any:
    """`value` if it is of this kind."""
    if (isinstance(value, bool) and kind is int) or not isinstance(value, kind):
        raise RefusedError(f"{where}: Input should be a valid {getattr(kind, '__name__', kind)}")
    return value


def pieces(text: str, size: int = 6) -> list[str]:
    return [text[i : i + size] for i in range(0, len(text), size)]


def dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
