"""
What translating needs of a protocol: its words to and from the canonical form.

A protocol that can be translated has a Codec; `providers.protocols.translating` makes of two of
them a request that is asked in one protocol and served in the other.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from providers.errors import Failure
from providers.protocols.canonical import Answer, Event, Prompt, Written
from providers.protocols.protocol import Judge, Request
from providers.protocols.usage import Usage


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


class Decoder(typing.Protocol):
    """
    Reads a provider's stream into canonical events; otherwise as a Scanner.

    `feed` returns nothing for the caller: what has come is in `take()`, in order. The Done event
    comes once, when the stream has ended well, from `feed` or from `end`.
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
    def feed(self, data: bytes) -> bytes: ...
    def end(self) -> tuple[bytes, Failure | None]: ...
    def take(self) -> list[Event]:
        """The events since the last time."""


class Encoder(typing.Protocol):
    """Writes canonical events as one protocol's stream, its first and last events included."""

    def write(self, events: Iterable[Event]) -> bytes: ...


class Codec(typing.Protocol):
    """One protocol's words. Nothing here raises for what a provider sends."""

    # What callers call what has another canonical name.
    words: Mapping[str, str]

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
