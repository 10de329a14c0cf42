"""
What all wire protocols can say, as values: the form in which they meet.

A superset, not one of them: what only some can carry is here too, and whoever writes it for a
protocol that cannot says so (`Written.dropped`), or that the request cannot go there (`Unfit`).
Parts keep the order in which they came. Tool arguments stay the text that the model wrote. What
nobody else understands stays raw, with the name of the protocol that does.

    Prompt    a request       Turn, Part, Tool, Choice, Form, Effort
    Answer    a whole reply   Part, Finish, Usage
    Event     a piece of a stream
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct

from providers.protocols.usage import Usage

# Parts of a turn


class Text(Struct, frozen=True, kw_only=True, gc=False):
    """`cache` is a mark of its protocol that what is up to here may be cached (raw), or None."""

    text: str
    cache: dict[str, Any] | None = None


class Media(Struct, frozen=True, kw_only=True, gc=False):
    """
    An image, a document, a sound or a film: one of `data` (base64 without a prefix), `url`,
    `file_id` (known to one credential of one provider) or, for a document, `text`.

    `kind` is image, file, audio or video. `media_type` is a MIME type, "" if unknown.
    """

    kind: str
    media_type: str = ""
    data: str = ""
    url: str = ""
    file_id: str = ""
    text: str = ""
    name: str = ""
    detail: str = ""
    cache: dict[str, Any] | None = None


class Reasoning(Struct, frozen=True, kw_only=True, gc=False):
    """
    What a model thought. `signature` or `encrypted` let its maker read it again, nobody else.

    `origin` is the protocol that it came in; `raw` is the block as it came, for its way back.
    `id` is the item's, where its protocol has one. `call_id`: the signature is of that tool call
    (Gemini), which has no place for it in the caller's protocol.
    """

    text: str = ""
    signature: str = ""
    encrypted: str = ""
    id: str = ""
    call_id: str = ""
    origin: str = ""
    raw: dict[str, Any] | None = None


class ToolCall(Struct, frozen=True, kw_only=True, gc=False):
    """
    `arguments` is JSON as the model wrote it, or bare text if the tool `is_custom`.

    `signature` is Gemini's thought signature; `item_id` the Responses item's own id, which links
    nothing.
    """

    id: str
    name: str
    arguments: str = "{}"
    is_custom: bool = False
    signature: str = ""
    item_id: str = ""
    cache: dict[str, Any] | None = None


class ToolResult(Struct, frozen=True, kw_only=True, gc=False):
    """`parts` are Text and Media. `name` is the tool's, "" where the protocol does not say."""

    call_id: str
    parts: tuple[Any, ...] = ()
    is_error: bool = False
    is_custom: bool = False
    name: str = ""
    cache: dict[str, Any] | None = None


class Refusal(Struct, frozen=True, kw_only=True, gc=False):
    text: str


class Raw(Struct, frozen=True, kw_only=True, gc=False):
    """A block that only `origin` understands: server tools and their results, what is unknown."""

    origin: str
    value: dict[str, Any]


Part = Text | Media | Reasoning | ToolCall | ToolResult | Refusal | Raw


class Turn(Struct, frozen=True, kw_only=True, gc=False):
    """`role` is system, user or assistant; results of tools stand in user turns."""

    role: str
    parts: tuple[Part, ...]
    name: str = ""


# What a request wants


class Tool(Struct, frozen=True, kw_only=True, gc=False):
    """
    A function; free-form text with `is_custom`, whose `format` is raw; or, with `server`, a tool
    that the provider itself runs, raw in the words of `origin`.
    """

    name: str
    description: str = ""
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    is_custom: bool = False
    format: dict[str, Any] | None = None
    server: dict[str, Any] | None = None
    origin: str = ""
    cache: dict[str, Any] | None = None


class Choice(Struct, frozen=True, kw_only=True, gc=False):
    """
    `mode` is auto, required or none. `names`, if any, are the only tools that may be called:
    required with one name is that tool.
    """

    mode: str = "auto"
    names: tuple[str, ...] = ()


class Form(Struct, frozen=True, kw_only=True, gc=False):
    """`kind` is json_object or json_schema."""

    kind: str
    name: str = ""
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    description: str = ""


class Effort(Struct, frozen=True, kw_only=True, gc=False):
    """
    How much to think: `level` (none, minimal, low, medium, high, xhigh, max; "" unsaid), or
    `budget` in tokens, as the caller said it. `summary`: reasoning is to be shown.
    """

    level: str = ""
    budget: int | None = None
    summary: str = ""
    is_adaptive: bool = False


class Prompt(Struct, frozen=True, kw_only=True, gc=False):
    """
    A request.

    `system` are the leading instructions, block by block. `sampling` has temperature, top_p,
    top_k, seed, presence_penalty and frequency_penalty where they were given. `bound` names what
    only the caller's own protocol can carry: a candidate that speaks another is left out. `other`
    names members that say something which no other protocol has: dropped and told.
    """

    system: tuple[Text, ...] = ()
    turns: tuple[Turn, ...] = ()
    tools: tuple[Tool, ...] = ()
    choice: Choice | None = None
    parallel: bool | None = None
    form: Form | None = None
    effort: Effort | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    sampling: dict[str, float] = {}
    user: str = ""
    verbosity: str = ""
    service_tier: str = ""
    cache_key: str = ""
    stream: bool = False
    wants_usage: bool = False
    bound: frozenset[str] = frozenset()
    other: tuple[str, ...] = ()


class Unfit(Exception):
    """
    A prompt cannot go to a provider of this protocol: `what` names the member, in the caller's
    words, as `unsupported:<what>` does.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class Written(Struct, frozen=True, kw_only=True, gc=False):
    """
    A body for a provider, and the members that it could not take, in the caller's words. `warnings`
    say what the provider had to be told that the caller has not said.
    """

    body: bytes
    dropped: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


# What a model answers


class Finish(StrEnum):
    """Why an answer ended; failures are none of these (Judge.blame)."""

    STOP = "stop"
    STOP_STRING = "stop_string"
    LENGTH = "length"
    CONTEXT = "context"  # the window is full
    TOOL_CALLS = "tool_calls"
    FILTERED = "filtered"
    REFUSED = "refused"
    PAUSED = "paused"  # a server's tool runs on: the caller is to ask again


class Answer(Struct, frozen=True, kw_only=True, gc=False):
    """
    A whole reply. `created_at` is Unix time, 0 if unknown. `stop` is the stop string that was hit.

    `model` is the provider's own word.
    """

    id: str
    model: str
    parts: tuple[Part, ...]
    finish: Finish
    usage: Usage = Usage()
    created_at: int = 0
    stop: str = ""


# A stream, piece by piece. Reasoning, text and tool calls open where they first come and are open
# until another kind comes, their end is stated, or the answer ends; tool calls by their `index`,
# counted from 0 over tool calls alone, may come interleaved.


class Begin(Struct, frozen=True, kw_only=True, gc=False):
    """First, once."""

    id: str
    model: str
    created_at: int = 0
    usage: Usage | None = None


class TextDelta(Struct, frozen=True, kw_only=True, gc=False):
    text: str


class RefusalDelta(Struct, frozen=True, kw_only=True, gc=False):
    text: str


class ReasoningDelta(Struct, frozen=True, kw_only=True, gc=False):
    text: str


class ReasoningEnd(Struct, frozen=True, kw_only=True, gc=False):
    """Reasoning is over; `part` has its signature or encrypted form, and is whole otherwise too."""

    part: Reasoning


class CallBegin(Struct, frozen=True, kw_only=True, gc=False):
    index: int
    call: ToolCall  # its arguments so far, which may be ""


class CallDelta(Struct, frozen=True, kw_only=True, gc=False):
    index: int
    arguments: str


class CallEnd(Struct, frozen=True, kw_only=True, gc=False):
    """All arguments have come; `signature` as in ToolCall."""

    index: int
    signature: str = ""


class Block(Struct, frozen=True, kw_only=True, gc=False):
    """A whole part that does not come in pieces: Raw, or Media that a model made."""

    part: Part


class Done(Struct, frozen=True, kw_only=True, gc=False):
    """Last, once; the usage may have come only now."""

    finish: Finish
    usage: Usage = Usage()
    stop: str = ""


Event = (
    Begin
    | TextDelta
    | RefusalDelta
    | ReasoningDelta
    | ReasoningEnd
    | CallBegin
    | CallDelta
    | CallEnd
    | Block
    | Done
)
