"""
The seam of the wire protocols: all that the gateway, the engine and the adapters know of one.

A `Protocol` reads a caller's body into a `Request`, and says errors in its own shape. The Request
writes itself for a provider and reads what comes back: whole (`read`), or piece by piece
(`scanner`). What the words of an error mean is the adapter's to know: it is asked as a `Judge`.

A protocol that can be translated has a `Codec`; `translating` makes of two of them a request that
is asked in one protocol and served in the other.

A new protocol is a package beside chat/ that fills these in, and a line in __init__.py.
"""

from __future__ import annotations

import re
import typing
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum, auto
from typing import Any, Final

from msgspec import Struct

from providers.errors import Failure, Fault
from providers.protocols.canonical import Answer, Event, Prompt, Written
from providers.protocols.usage import Usage

Header = tuple[bytes, bytes]
EVENT_STREAM: Final = b"text/event-stream; charset=utf-8"
NO_NEEDS: frozenset[str] = frozenset()


class Problem(Struct, frozen=True, kw_only=True):
    """
    Why a caller gets no answer: `type` and `code` are OpenAI's words for it.

    `extra` stands beside them in the error, where the protocol has room for it. `retry_after_s` is
    when to come again, in whole seconds, where that is known; `request_id` is ours.
    """

    status: int
    message: str
    type: str
    code: str | None = None
    param: str | None = None
    extra: Mapping[str, Any] | None = None
    retry_after_s: int | None = None
    request_id: str = ""


class Blame(Enum):
    """Whose doing a finish reason is, where there is no answer with it."""

    NOBODY = auto()  # it says nothing of that
    CALLER = auto()  # too few tokens allowed, filtered: it is the answer
    PROVIDER = auto()


class Judge(typing.Protocol):
    """What a provider's adapter makes of an answer that says 200."""

    def error_in(self, document: Any, payload: bytes, *, otherwise: Fault) -> Failure | None:
        """
        The failure that a decoded `payload` states; None if it is no error object.

        `otherwise` is what an error counts as that says nothing usable.
        """

    def blame(self, finish: str) -> Blame:
        """Whose doing it is that an answer ended with this reason."""


class Reply(Struct, frozen=True, gc=False):
    """
    A whole answer as the caller gets it. No usage stated: all its counts are None.

    `state_id` is what later requests may name it by, where its provider keeps it.
    """

    body: bytes
    content_type: bytes
    usage: Usage
    state_id: str = ""


class Scanner(typing.Protocol):
    """
    Reads one stream in passing: bytes of the provider in, bytes for the caller out.

    `has_content`: something has come that answers: text, reasoning, a refusal, a tool call, a
    finish reason. `finished`: the answer is whole. `failure`: it is no answer (any more); what
    `feed` has returned until then is sound. `is_over`: finished or failed, nothing more is passed.
    One may have a `state_id` as a Reply has, from its first event on.
    """

    @property
    def has_content(self) -> bool: ...
    @property
    def failure(self) -> Failure | None: ...
    @property
    def is_over(self) -> bool: ...
    @property
    def usage(self) -> Usage | None: ...
    @property
    def finished(self) -> bool: ...

    def feed(self, data: bytes) -> bytes:
        """What of `data` may go to the caller by now."""

    def end(self) -> tuple[bytes, Failure | None]:
        """The provider has closed: the last bytes for the caller, and why it is no whole answer."""

    def error_event(self, problem: Problem) -> bytes:
        """The last event of a stream that broke here; the caller must not believe it whole."""


class Request(ABC):
    """
    A parsed request of one caller.

    `model` is the name that it asks for. `is_long`: whatever reads or writes all of it belongs
    beside the event loop (slices.py). `injects` names the field that `encode` adds of its own
    accord, "" for none: a provider that refuses it gets the body without.
    """

    __slots__ = ("is_long", "model", "protocol", "stream")

    def __init__(self, protocol: Protocol, model: str, *, stream: bool) -> None:
        self.is_long = False
        self.protocol = protocol
        self.model = model
        self.stream = stream

    # What it asks of routing

    @property
    @abstractmethod
    def needs(self) -> frozenset[str]:
        """Capabilities that the request needs, as `unsupported:<what>` names them."""

    @property
    @abstractmethod
    def estimated_input_tokens(self) -> int: ...

    @property
    def max_output_tokens(self) -> int | None:
        return None

    @property
    def session(self) -> str | None:
        """The caller's own word for who is talking, for affinity."""
        return None

    @property
    def state_id(self) -> str:
        """What one provider keeps for the caller, such as an earlier answer: it has to go there."""
        return ""

    @property
    def alternatives(self) -> Sequence[tuple[str, str]]:
        """Models that a provider may answer with instead, each behind the member that names it."""
        return ()

    # On its way to a provider, and back

    @property
    def injects(self) -> str:
        return ""

    @property
    def stream_type(self) -> bytes:
        """The content type of a stream to the caller."""
        return EVENT_STREAM

    def upstream_path(self, model: str) -> str:
        """A path of its own below the provider's base address; "" for that of its protocol."""
        del model  # most say it in the body
        return ""

    @abstractmethod
    def encode(self, model: str, *, inject: bool = True) -> bytes:
        """The body for a provider whose word for the model is `model`."""

    @abstractmethod
    def read(self, content_type: bytes | None, body: bytes, judge: Judge) -> Reply | Failure:
        """A whole answer as the caller wants it, as a stream too; or why it is none."""

    def error_event(self, problem: Problem) -> bytes:
        """The only event of a stream that got none from a provider, after an early 200."""
        return self.protocol.error_event(problem)

    @abstractmethod
    def scanner(self, judge: Judge) -> Scanner:
        """For an event stream, which only a request with `stream` gets."""


# What translating needs of a protocol (translating.py): its words to and from the canonical form.


class Target(Struct, frozen=True, kw_only=True):
    """
    Whom a prompt is written for: a provider's model, and what its adapter knows of it.

    `refuses` are parameters, by their canonical names, that this provider does not take.
    `renames` are spellings of its own, such as max_completion_tokens → max_tokens, or the role
    developer → system. `origin` tells whether reasoning of a protocol and model is its own:
    signed and encrypted blocks of others are left out.
    """

    model: str
    max_output_tokens: int | None = None
    reasons: bool | None = None
    refuses: frozenset[str] = frozenset()
    renames: dict[str, str] = {}
    takes_foreign_reasoning: bool = False


class Decoder(Scanner, typing.Protocol):
    """
    Reads a provider's stream into canonical events; otherwise as a Scanner.

    `feed` and `end` return nothing for the caller: what has come is in `take()`, in order. The
    Done event comes once, when the stream has ended well, from `feed` or from `end`.
    """

    def take(self) -> list[Event]:
        """The events since the last time."""


class Encoder(typing.Protocol):
    """Writes canonical events as one protocol's stream, its first and last events included."""

    def write(self, events: Iterable[Event]) -> bytes: ...

    def error_event(self, problem: Problem) -> bytes:
        """As that of a Scanner, after what has been written so far."""


class Codec(typing.Protocol):
    """One protocol's words. Nothing here raises for what a provider sends."""

    # What callers call what has another canonical name.
    words: Mapping[str, str]
    # The names of tools that it allows, and whether it has free-form ones (tooling.py).
    tool_name: re.Pattern[str]
    has_custom_tools: bool
    # Arguments of calls are objects, not texts: what is no object cannot be told to its callers.
    has_object_arguments: bool

    def prompt(self, request: Request) -> Prompt:
        """
        What a caller's request says. Raises ProtocolError for what contradicts itself: the result
        of a call that is not there, a role that nobody knows.
        """

    def write(self, prompt: Prompt, target: Target) -> Written:
        """The body for a provider of this protocol. Raises Unfit."""

    def upstream_path(self, prompt: Prompt, model: str) -> str:
        """A path of its own below a provider's base address; "" for the protocol's."""

    def answer(self, document: dict[str, Any], judge: Judge) -> Answer | Failure:
        """What a whole 200, decoded, says."""

    def reply(self, answer: Answer, request: Request) -> bytes:
        """A whole answer in this protocol, for a caller who asked `request`."""

    def decoder(self, judge: Judge) -> Decoder:
        """For a provider's stream of this protocol."""

    def encoder(self, request: Request) -> Encoder:
        """For a stream to a caller who asked `request`."""


class Protocol(ABC):
    """
    One wire protocol.

    `path` is where callers call it, `upstream_path` where providers serve it below their base
    address. `verbs`: callers name the model in the path, behind it a colon and one of these
    (`path`/MODEL:verb). Every request needs the capabilities in `needs`. `has_streams`: a request
    may ask for one. `is_comparable`: what two models answer may stand for each other, which
    vectors may not. `has_output`: answers cost output tokens. `example` is a short body, but for
    its model. `codec` translates it; None: only a provider that speaks it can answer.
    """

    name: str
    path: str
    upstream_path: str
    verbs: frozenset[str] = frozenset()
    needs: frozenset[str] = NO_NEEDS
    has_streams: bool = True
    is_comparable: bool = True
    has_output: bool = True
    example: Mapping[str, Any]
    codec: Codec | None = None

    def __repr__(self) -> str:
        return f"<Protocol {self.name}>"

    @abstractmethod
    def parse(self, body: bytes, target: str = "") -> Request:
        """
        The request in `body`; `target` is the path that was called, with its query.

        Raises ProtocolError: field, value, and what is allowed.
        """

    @abstractmethod
    def forwarded(self, headers: Iterable[Header]) -> list[Header]:
        """Those of a caller's headers (lower-case names) that go upstream with its request."""

    @abstractmethod
    def error(self, problem: Problem) -> tuple[int, bytes]:
        """The status and body of an error answer."""

    @abstractmethod
    def error_event(self, problem: Problem) -> bytes:
        """The only event of a stream that got none from a provider, after an early 200."""

    def estimated(self, request: Request) -> bytes | None:
        """The answer of this gateway itself where no provider can be asked; None: there is none."""
        del request
        return None
