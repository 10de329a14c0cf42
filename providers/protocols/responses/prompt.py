"""What a request of the Responses API asks for, in the canonical form."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Raw as RawBytes

from providers.protocols import bodies
from providers.protocols.canonical import (
    Choice,
    Effort,
    Form,
    Prompt,
    Text,
    Tool,
)
from providers.protocols.reading import dict_of, dicts_of, flag_of, is_number, text_of
from providers.protocols.responses.items import NAME, Conversation

_SAMPLING: Final = ("temperature", "top_p")
# What only this protocol can carry: state that lives at one credential, and what no other answers
# with. With these values it says nothing.
_BOUND: Final[dict[str, tuple[Any, ...]]] = {
    "previous_response_id": ("",),
    "conversation": ("",),
    "prompt": ({},),
    "background": (False,),
    "top_logprobs": (0,),
    "moderation": ({},),
}
_STATE: Final = frozenset({"previous_response_id", "conversation", "prompt"})
# What may be left out where it says nothing: the default of the API, or what holds of every answer
# that this gateway gives. Whoever sends `store: false` is served by who stores nothing anyway, and
# the answer's reasoning comes with `encrypted_content` whoever made it.
_SILENT: Final[dict[str, tuple[Any, ...]]] = {
    "store": (False,),
    "truncation": ("disabled",),
    "metadata": ({},),
    "stream_options": ({}, {"include_obfuscation": False}),
    "context_management": ([],),
}
_LOGPROBS: Final = "message.output_text.logprobs"
_KEPT_REASONING: Final = "reasoning.encrypted_content"
_READ: Final = frozenset(
    {
        "model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "text",
        "reasoning", "max_output_tokens", "stream", "user", "safety_identifier",
        "prompt_cache_key", "service_tier", "include", *_SAMPLING, *_BOUND,
    }
)  # fmt: skip
_MODES: Final = ("auto", "required", "none")
# Members of a tool that no other protocol has.
_TOOL_EXTRAS: Final = ("defer_loading", "allowed_callers", "async", "output_schema")


def prompt_of(fields: dict[str, RawBytes], *, stream: bool) -> Prompt:
    """Raises ProtocolError where the request contradicts itself."""
    said = bodies.values_of(fields)
    bound = {name for name, nothing in _BOUND.items() if name in said and said[name] not in nothing}
    other = [
        name
        for name, value in said.items()
        if name not in _READ and value not in _SILENT.get(name, ())
    ]
    conversation = Conversation(said.get("input"), may_continue=not _STATE.isdisjoint(bound))
    bound |= conversation.bound
    tools = tuple(_tool(tool, other) for tool in dicts_of(said.get("tools")))
    choice = _choice(said.get("tool_choice"), bound)
    instructions = text_of(said.get("instructions"))
    text = dict_of(said.get("text")) or {}
    _look_into_include(said.get("include"), bound, other)
    return Prompt(
        system=(
            *((Text(text=instructions),) if instructions else ()),
            *conversation.system,
        ),
        turns=conversation.turns(),
        tools=tools,
        choice=choice,
        parallel=flag_of(said.get("parallel_tool_calls")),
        form=_form(text.get("format")),
        effort=_effort(said.get("reasoning"), other),
        max_tokens=_count(said.get("max_output_tokens")),
        sampling={name: said[name] for name in _SAMPLING if is_number(said.get(name))},
        user=text_of(said.get("safety_identifier")) or text_of(said.get("user")),
        verbosity=text_of(text.get("verbosity")),
        service_tier=text_of(said.get("service_tier")),
        cache_key=text_of(said.get("prompt_cache_key")),
        stream=stream,
        wants_usage=True,
        bound=frozenset(bound),
        other=tuple(dict.fromkeys([*other, *conversation.other])),
    )


def _look_into_include(include: Any, bound: set[str], other: list[str]) -> None:
    for name in include if isinstance(include, list) else ():
        if name == _LOGPROBS:
            bound.add("include")
        elif name != _KEPT_REASONING:
            other.append("include")


def _tool(tool: dict[str, Any], other: list[str]) -> Tool:
    kind = tool.get("type", "function")
    if kind not in ("function", "custom"):
        return Tool(name=str(kind), server=tool, origin=NAME)
    other += [f"tools.{name}" for name in _TOOL_EXTRAS if tool.get(name)]
    name, description = text_of(tool.get("name")), text_of(tool.get("description"))
    if kind == "custom":
        return Tool(
            name=name, description=description, is_custom=True, format=dict_of(tool.get("format"))
        )
    return Tool(
        name=name,
        description=description,
        schema=dict_of(tool.get("parameters")),
        strict=flag_of(tool.get("strict")),
    )


def _choice(asked: Any, bound: set[str]) -> Choice | None:
    if isinstance(asked, str) and asked in _MODES:
        return Choice(mode=asked)
    if not isinstance(asked, dict):
        return None
    kind = asked.get("type", "function")
    if kind == "allowed_tools":
        names = tuple(text_of(tool.get("name")) for tool in dicts_of(asked.get("tools")))
        if not all(names):
            bound.add("tool_choice")  # tools that the provider runs have no names
        mode = asked.get("mode")
        return Choice(mode="required" if mode == "required" else "auto", names=names)
    if kind not in ("function", "custom"):
        bound.add("tool_choice")
        return None
    return Choice(mode="required", names=(text_of(asked.get("name")),))


def _form(asked: Any) -> Form | None:
    if not isinstance(asked, dict):
        return None
    if asked.get("type") == "json_object":
        return Form(kind="json_object")
    if asked.get("type") != "json_schema":
        return None
    return Form(
        kind="json_schema",
        name=text_of(asked.get("name")),
        schema=dict_of(asked.get("schema")),
        strict=flag_of(asked.get("strict")),
        description=text_of(asked.get("description")),
    )


def _effort(asked: Any, other: list[str]) -> Effort | None:
    if not isinstance(asked, dict):
        return None
    other += [
        f"reasoning.{name}"
        for name, nothing in (("context", "auto"), ("mode", "standard"))
        if asked.get(name) not in (None, nothing)
    ]
    level = text_of(asked.get("effort"))
    summary = text_of(asked.get("summary")) or text_of(asked.get("generate_summary"))
    return Effort(level=level, summary=summary) if level or summary else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
