"""What a chat completion asks for, in the canonical form."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from msgspec import Raw

from providers.protocols import bodies
from providers.protocols.canonical import (
    Choice,
    Effort,
    Form,
    Media,
    Part,
    Prompt,
    Reasoning,
    Refusal,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from providers.protocols.chat.answers import call_of
from providers.protocols.reading import (
    dicts_of,
    flag_of,
    is_number,
    media_of_url,
    problem,
    text_of,
    with_members,
)

_SAMPLING: Final = (
    "temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty",
)  # fmt: skip
# What only this protocol can carry; with these values it says nothing.
_BOUND: Final[dict[str, tuple[Any, ...]]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "prediction": (),
    "web_search_options": (),
    "moderation": (),
    "audio": (),
}
_READ: Final = frozenset(
    {
        "model", "messages", "tools", "functions", "tool_choice", "function_call",
        "parallel_tool_calls", "response_format", "reasoning_effort", "verbosity", "service_tier",
        "max_tokens", "max_completion_tokens", "stop", "stream", "stream_options", "user",
        "safety_identifier", "prompt_cache_key", "modalities", *_SAMPLING, *_BOUND,
    }
)  # fmt: skip
_AUDIO_TYPES: Final = {"wav": "audio/wav", "mp3": "audio/mpeg"}


def prompt_of(fields: dict[str, Raw], *, stream: bool) -> Prompt:
    """Raises ProtocolError where the request contradicts itself."""
    said = bodies.values_of(fields)
    system, turns = _turns(said["messages"])
    options = said.get("stream_options")
    tools, choice = _tools(said)
    return Prompt(
        system=system,
        turns=turns,
        tools=tools,
        choice=choice,
        parallel=flag_of(said.get("parallel_tool_calls")),
        form=_form(said.get("response_format")),
        effort=_effort(said.get("reasoning_effort")),
        max_tokens=_max_tokens(said),
        stop=_stop(said.get("stop")),
        sampling={name: said[name] for name in _SAMPLING if is_number(said.get(name))},
        user=text_of(said.get("safety_identifier")) or text_of(said.get("user")),
        verbosity=text_of(said.get("verbosity")),
        service_tier=text_of(said.get("service_tier")),
        cache_key=text_of(said.get("prompt_cache_key")),
        stream=stream,
        wants_usage=isinstance(options, dict) and options.get("include_usage") is True,
        bound=_bound(said),
        other=tuple(name for name in said if name not in _READ),
    )


def _bound(said: dict[str, Any]) -> frozenset[str]:
    found = {name for name, nothing in _BOUND.items() if name in said and said[name] not in nothing}
    modalities = said.get("modalities")
    if isinstance(modalities, list) and "audio" in modalities:
        found.add("modalities")
    return frozenset(found)


# Turns


def _turns(messages: Any) -> tuple[tuple[Text, ...], tuple[Turn, ...]]:
    """The leading instructions, and what was said after them."""
    system: list[Text] = []
    turns: list[Turn] = []
    calls: dict[str, str] = {}  # of tools, by id
    for place, message in enumerate(messages):
        if not isinstance(message, dict):
            raise problem(f"messages[{place}]", "must be an object")
        role = message.get("role")
        if role in ("system", "developer"):
            parts = _parts(message.get("content"), place)
            texts = [part for part in parts if isinstance(part, Text)]
            if turns:
                turns.append(Turn(role="system", parts=tuple(texts), name=_name(message)))
            else:
                system += texts
        elif role == "user":
            parts = tuple(_parts(message.get("content"), place))
            turns.append(Turn(role="user", parts=parts, name=_name(message)))
        elif role == "assistant":
            turns.append(_assistant(message, place, calls))
        elif role in ("tool", "function"):
            result = _result(message, place, calls)
            before = turns[-1] if turns else None
            if before is not None and before.parts and isinstance(before.parts[0], ToolResult):
                turns[-1] = Turn(role="user", parts=(*before.parts, result))
            else:
                turns.append(Turn(role="user", parts=(result,)))
        else:
            allowed = "system, developer, user, assistant, tool or function"
            raise problem(f"messages[{place}].role", f"must be {allowed}, not {role!r}")
    return tuple(system), tuple(turns)


def _assistant(message: dict[str, Any], place: int, calls: dict[str, str]) -> Turn:
    parts: list[Part] = [*_reasoning(message), *_parts(message.get("content"), place)]
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        parts.append(Refusal(text=refusal))
    for number, call in enumerate(dicts_of(message.get("tool_calls"))):
        parts.append(call_of(call, f"call_{place}_{number}"))
    old = message.get("function_call")
    if isinstance(old, dict):
        parts.append(call_of({"function": old}, f"call_{place}"))
    for part in parts:
        if isinstance(part, ToolCall):
            calls[part.id] = part.name
    return Turn(role="assistant", parts=tuple(parts), name=_name(message))


def _reasoning(message: dict[str, Any]) -> list[Reasoning]:
    """What the model thought: as we tell it (reasoning_details), or as text alone."""
    found = [
        Reasoning(
            text=text_of(detail.get("text")) or text_of(detail.get("summary")),
            signature=text_of(detail.get("signature")),
            encrypted=text_of(detail.get("data")),
            id=text_of(detail.get("id")),
            call_id=text_of(detail.get("call_id")),
            origin=text_of(detail.get("format")),
            raw=detail["raw"] if isinstance(detail.get("raw"), dict) else None,
        )
        for detail in dicts_of(message.get("reasoning_details"))
    ]
    text = text_of(message.get("reasoning_content")) or text_of(message.get("reasoning"))
    return found or ([Reasoning(text=text, origin="openai_chat")] if text else [])


def _result(message: dict[str, Any], place: int, calls: dict[str, str]) -> ToolResult:
    call_id = text_of(message.get("tool_call_id"))
    if not call_id and message.get("role") == "function":
        name = text_of(message.get("name"))
        call_id = next((known for known in reversed(calls) if calls[known] == name), "")
    if call_id not in calls:
        where = f"messages[{place}].tool_call_id"
        raise problem(where, f"{call_id!r} answers no call of the messages before it")
    parts = tuple(_parts(message.get("content"), place))
    return ToolResult(call_id=call_id, parts=parts, name=calls[call_id])


def _parts(content: Any, place: int) -> Iterable[Text | Media | Refusal]:
    if isinstance(content, str):
        return [Text(text=content)] if content else []
    return [
        _part(part, f"messages[{place}].content[{number}]")
        for number, part in enumerate(content if isinstance(content, list) else [])
    ]


def _part(part: Any, where: str) -> Text | Media | Refusal:
    if isinstance(part, str):
        return Text(text=part)
    if not isinstance(part, dict):
        raise problem(where, "must be an object")
    kind = part.get("type")
    if kind in ("text", "input_text", "output_text"):
        return Text(text=text_of(part.get("text")))
    if kind == "refusal":
        return Refusal(text=text_of(part.get("refusal")))
    if kind == "image_url":
        image = part.get("image_url")
        image = image if isinstance(image, dict) else {"url": image}
        media = media_of_url(text_of(image.get("url")), "image", where)
        return with_members(media, detail=text_of(image.get("detail")))
    if kind == "input_audio":
        audio = part.get("input_audio")
        audio = audio if isinstance(audio, dict) else {}
        sound = text_of(audio.get("format"))
        return Media(
            kind="audio",
            media_type=_AUDIO_TYPES.get(sound, f"audio/{sound}"),
            data=text_of(audio.get("data")),
        )
    if kind == "file":
        file = part.get("file")
        file = file if isinstance(file, dict) else {}
        name, file_id = text_of(file.get("filename")), text_of(file.get("file_id"))
        if file_id:
            return Media(kind="file", file_id=file_id, name=name)
        return with_members(media_of_url(text_of(file.get("file_data")), "file", where), name=name)
    raise problem(f"{where}.type", f"{kind!r} is not known")


# Tools, and what the answer is to be


def _tools(said: dict[str, Any]) -> tuple[tuple[Tool, ...], Choice | None]:
    tools = [_tool(tool) for tool in dicts_of(said.get("tools"))]
    tools += [_function(function) for function in dicts_of(said.get("functions"))]
    asked = said.get("tool_choice", said.get("function_call"))
    return tuple(tools), _choice(asked)


def _tool(tool: dict[str, Any]) -> Tool:
    kind = tool.get("type", "function")
    inner = tool.get(text_of(kind))
    inner = inner if isinstance(inner, dict) else {}
    if kind == "function":
        return _function(inner)
    if kind == "custom":
        return Tool(
            name=text_of(inner.get("name")),
            description=text_of(inner.get("description")),
            is_custom=True,
            format=inner["format"] if isinstance(inner.get("format"), dict) else None,
        )
    return Tool(name=str(kind), server=tool, origin="openai_chat")


def _function(function: dict[str, Any]) -> Tool:
    parameters = function.get("parameters")
    return Tool(
        name=text_of(function.get("name")),
        description=text_of(function.get("description")),
        schema=parameters if isinstance(parameters, dict) else None,
        strict=flag_of(function.get("strict")),
    )


def _choice(asked: Any) -> Choice | None:
    if asked in ("auto", "required", "none"):
        return Choice(mode=asked)
    if not isinstance(asked, dict):
        return None
    kind = asked.get("type", "function")
    if kind == "allowed_tools":
        allowed = asked.get("allowed_tools")
        allowed = allowed if isinstance(allowed, dict) else asked
        names = tuple(_named(tool) for tool in dicts_of(allowed.get("tools")))
        return Choice(mode=text_of(allowed.get("mode")) or "auto", names=names)
    return Choice(mode="required", names=(_named(asked),))


def _named(tool: dict[str, Any]) -> str:
    inner = tool.get(text_of(tool.get("type", "function")))
    return text_of((inner if isinstance(inner, dict) else tool).get("name"))


def _form(asked: Any) -> Form | None:
    if not isinstance(asked, dict):
        return None
    if asked.get("type") == "json_object":
        return Form(kind="json_object")
    inner = asked.get("json_schema")
    if asked.get("type") != "json_schema" or not isinstance(inner, dict):
        return None
    schema = inner.get("schema")
    return Form(
        kind="json_schema",
        name=text_of(inner.get("name")),
        schema=schema if isinstance(schema, dict) else None,
        strict=flag_of(inner.get("strict")),
        description=text_of(inner.get("description")),
    )


def _effort(level: Any) -> Effort | None:
    return Effort(level=level) if isinstance(level, str) and level else None


def _max_tokens(said: dict[str, Any]) -> int | None:
    new, old = said.get("max_completion_tokens"), said.get("max_tokens")
    if new is not None and old is not None and new != old:
        raise problem("max_tokens", f"{old!r} contradicts max_completion_tokens {new!r}")
    found = old if new is None else new
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _stop(asked: Any) -> tuple[str, ...]:
    if isinstance(asked, str):
        return (asked,)
    return tuple(text for text in asked if isinstance(text, str)) if isinstance(asked, list) else ()


def _name(message: dict[str, Any]) -> str:
    return text_of(message.get("name"))
