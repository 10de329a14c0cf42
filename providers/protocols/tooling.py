"""
What a caller calls its tools, and what a provider of another protocol can call them.

Protocols differ in the names that they allow, and only some know free-form tools. A prompt is
rewritten for those who don't: a name gets an alias, a free-form tool becomes a function with one
text. What the provider answers is told in the caller's own terms again: a coding agent whose
free-form tool comes back as a function refuses the call.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec.structs import replace

from providers.protocols import bodies
from providers.protocols.canonical import (
    Answer,
    CallBegin,
    CallDelta,
    CallEnd,
    Event,
    Part,
    Prompt,
    Tool,
    ToolCall,
    ToolResult,
)
from providers.protocols.reading import INPUT_SCHEMA

_OUTSIDE: Final = re.compile(r"[^a-zA-Z0-9_-]")
_KEPT: Final = 55  # characters of a name, so that the alias has at most 64


def tooling_of(
    prompt: Prompt, *, allowed: re.Pattern[str], has_custom_tools: bool
) -> Tooling | None:
    """None where the prompt can go as it is. `allowed` matches the names that need no alias."""
    calls = [
        part for turn in prompt.turns for part in turn.parts if isinstance(part, ToolCall)
    ]  # fmt: skip
    names = {call.name: None for call in calls}
    names |= {tool.name: None for tool in prompt.tools if tool.server is None}
    aliases = {name: alias_of(name, allowed) for name in names}
    aliases = {name: alias for name, alias in aliases.items() if alias != name}
    custom = set()
    if not has_custom_tools:
        custom = {tool.name for tool in prompt.tools if tool.is_custom}
        custom |= {call.name for call in calls if call.is_custom}
    return Tooling(prompt, aliases, frozenset(custom)) if aliases or custom else None


def alias_of(name: str, allowed: re.Pattern[str]) -> str:
    """`name`, or one that always stands for it; no name at all is the provider's to judge."""
    if not name or allowed.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:6]
    alias = f"{_OUTSIDE.sub('_', name)[:_KEPT]}_{digest}"
    return alias if allowed.fullmatch(alias) else f"t_{alias}"


class Tooling:
    """`prompt` as the provider gets it; `answer` and `events` are what its caller gets."""

    def __init__(self, prompt: Prompt, aliases: Mapping[str, str], custom: frozenset[str]) -> None:
        self._aliases = aliases
        self._names = {alias: name for name, alias in aliases.items()}
        self._custom = custom
        choice = prompt.choice
        if choice is not None and choice.names:
            choice = replace(choice, names=tuple(map(self._alias, choice.names)))
        self.prompt = replace(
            prompt,
            tools=tuple(map(self._tool, prompt.tools)),
            choice=choice,
            turns=tuple(
                replace(turn, parts=tuple(map(self._part, turn.parts))) for turn in prompt.turns
            ),
        )

    # To the provider

    def _alias(self, name: str) -> str:
        return self._aliases.get(name, name)

    def _tool(self, tool: Tool) -> Tool:
        if tool.server is not None:
            return tool
        told = replace(tool, name=self._alias(tool.name))
        if tool.name not in self._custom or not tool.is_custom:
            return told
        return replace(
            told,
            description=_described(tool),
            schema=dict(INPUT_SCHEMA),
            is_custom=False,
            format=None,
        )

    def _part(self, part: Part) -> Part:
        match part:
            case ToolCall():
                told = replace(part, name=self._alias(part.name))
                if part.is_custom and part.name in self._custom:
                    arguments = bodies.encode({"input": part.arguments}).decode()
                    return replace(told, arguments=arguments, is_custom=False)
                return told
            case ToolResult():
                is_custom = part.is_custom and part.name not in self._custom
                return replace(part, name=self._alias(part.name), is_custom=is_custom)
        return part

    # To the caller

    def answer(self, answer: Answer) -> Answer:
        return replace(answer, parts=tuple(map(self._told, answer.parts)))

    def restoring(self) -> Restoring:
        return Restoring(self)

    def call(self, call: ToolCall) -> ToolCall:
        """A call by the caller's own name; its arguments are left as they are."""
        name = self._names.get(call.name, call.name)
        return replace(call, name=name, is_custom=call.is_custom or name in self._custom)

    def _told(self, part: Part) -> Part:
        if not isinstance(part, ToolCall):
            return part
        told = self.call(part)
        if told.is_custom and not part.is_custom:
            return replace(told, arguments=text_in(part.arguments))
        return told


class Restoring:
    """
    The events of one stream in the caller's terms.

    The text of a free-form call is inside JSON, so that it can be told only when all has come.
    """

    __slots__ = ("_held", "_tooling")

    def __init__(self, tooling: Tooling) -> None:
        self._tooling = tooling
        self._held: dict[int, list[str]] = {}

    def events(self, events: Iterable[Event]) -> list[Event]:
        told: list[Event] = []
        for event in events:
            match event:
                case CallBegin():
                    call = self._tooling.call(event.call)
                    if call.is_custom and not event.call.is_custom:
                        self._held[event.index] = [call.arguments]
                        call = replace(call, arguments="")
                    told.append(CallBegin(index=event.index, call=call))
                case CallDelta(index=index) if index in self._held:
                    self._held[index].append(event.arguments)
                case CallEnd(index=index) if index in self._held:
                    text = text_in("".join(self._held.pop(index)))
                    if text:
                        told.append(CallDelta(index=index, arguments=text))
                    told.append(event)
                case _:
                    told.append(event)
        return told


def text_in(arguments: str) -> str:
    """The text of a free-form call from the function's one argument; as it is where it is bare."""
    try:
        found: Any = bodies.decode_text(arguments)
    except (ValueError, RecursionError):
        return arguments
    text = found.get("input") if isinstance(found, dict) else None
    return text if isinstance(text, str) else arguments


def _described(tool: Tool) -> str:
    """A description that says what a function of one text cannot: how the text is to be written."""
    form = tool.format or {}
    inner = form.get("grammar")
    grammar = inner if isinstance(inner, dict) else form
    definition = grammar.get("definition")
    if not isinstance(definition, str):
        return tool.description
    syntax = grammar.get("syntax", "")
    rule = f"Write the whole text into `input`; it must follow this {syntax} grammar:\n{definition}"
    return f"{tool.description}\n\n{rule}" if tool.description else rule
