"""The names and kinds of tools on their way through another protocol, and back."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.protocols import Reply
from providers.protocols.canonical import (
    CallBegin,
    CallDelta,
    CallEnd,
    Prompt,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from providers.protocols.messages import MESSAGES
from providers.protocols.protocol import Target
from providers.protocols.tooling import Tooling, alias_of, text_in, tooling_of
from providers.protocols.translating import Translated
from tests.support.validator import read_stream
from tests.support.wire import JUDGE, asked

pytestmark = pytest.mark.pure

ALLOWED = re.compile(r"[a-zA-Z0-9_-]{1,64}")
GRAMMAR = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /x+/"}}


def tooling(prompt: Prompt, *, has_custom_tools: bool = False) -> Tooling | None:
    return tooling_of(prompt, allowed=ALLOWED, has_custom_tools=has_custom_tools)


def test_a_prompt_that_anybody_can_take_is_left_alone() -> None:
    assert tooling(Prompt()) is None
    assert tooling(Prompt(tools=(Tool(name="f"), Tool(name="", server={"type": "x"})))) is None
    custom = Prompt(tools=(Tool(name="f", is_custom=True),))
    assert tooling(custom, has_custom_tools=True) is None
    assert tooling(custom) is not None


@given(st.text(max_size=100))
def test_an_alias_is_allowed_and_always_the_same(name: str) -> None:
    alias = alias_of(name, ALLOWED)
    assert alias == alias_of(name, ALLOWED)
    assert not name or ALLOWED.fullmatch(alias)
    assert alias == name or not ALLOWED.fullmatch(name)


def test_names_that_look_alike_get_different_aliases() -> None:
    names = ["a.b", "a/b", "a b", "x" * 70, "x" * 71]
    assert len({alias_of(name, ALLOWED) for name in names}) == len(names)


def test_a_name_that_has_to_begin_with_a_letter_does() -> None:
    letter_first = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]*")
    assert letter_first.fullmatch(alias_of("9.lives", letter_first))


def test_a_name_is_the_same_wherever_it_stands() -> None:
    prompt = Prompt(
        tools=(Tool(name="a.b"), Tool(name="f")),
        turns=(
            Turn(role="assistant", parts=(ToolCall(id="1", name="a.b"),)),
            Turn(role="user", parts=(ToolResult(call_id="1", name="a.b"),)),
        ),
    )
    found = tooling(prompt)
    assert found is not None
    alias = found.prompt.tools[0].name
    parts = [part for turn in found.prompt.turns for part in turn.parts]
    assert [part.name for part in parts] == [alias, alias]  # type: ignore[union-attr]
    assert (found.prompt.tools[1].name, alias != "a.b") == ("f", True)


def test_a_free_form_tool_is_a_function_of_one_text_that_says_its_grammar() -> None:
    call = ToolCall(id="1", name="patch", arguments='*** "Begin"', is_custom=True)
    found = tooling(
        Prompt(
            tools=(Tool(name="patch", description="d", is_custom=True, format=GRAMMAR),),
            turns=(Turn(role="assistant", parts=(call,)),),
        )
    )
    assert found is not None
    [tool] = found.prompt.tools
    assert (tool.is_custom, tool.format, tool.schema and tool.schema["required"]) == (
        False, None, ["input"],
    )  # fmt: skip
    assert "lark" in tool.description
    assert "start: /x+/" in tool.description
    [part] = found.prompt.turns[0].parts
    assert isinstance(part, ToolCall)
    assert (part.is_custom, json.loads(part.arguments)) == (False, {"input": '*** "Begin"'})


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"input": "*** Begin\\n"}', "*** Begin\n"),
        ("*** Begin", "*** Begin"),
        ('{"other": 1}', '{"other": 1}'),
        ("", ""),
        ('{"input":"\ud83d"}', "\ud83d"),
        ('{"input": "cut', '{"input": "cut'),
    ],
)
def test_the_text_of_a_call_is_what_the_model_meant(arguments: str, text: str) -> None:
    assert text_in(arguments) == text


def test_a_text_that_comes_in_pieces_is_told_when_all_of_it_has_come() -> None:
    found = tooling(Prompt(tools=(Tool(name="patch", is_custom=True), Tool(name="f"))))
    assert found is not None
    told = found.restoring().events(
        [
            CallBegin(index=0, call=ToolCall(id="a", name="patch", arguments='{"inp')),
            CallBegin(index=1, call=ToolCall(id="b", name="f", arguments="")),
            CallDelta(index=0, arguments='ut": "x"}'),
            CallDelta(index=1, arguments="{}"),
            CallEnd(index=0),
            CallEnd(index=1),
        ]
    )
    assert told == [
        CallBegin(index=0, call=ToolCall(id="a", name="patch", arguments="", is_custom=True)),
        CallBegin(index=1, call=ToolCall(id="b", name="f", arguments="")),
        CallDelta(index=1, arguments="{}"),
        CallDelta(index=0, arguments="x"),
        CallEnd(index=0),
        CallEnd(index=1),
    ]


TOOLS = [
    {"type": "custom", "custom": {"name": "apply.patch", "description": "d"}},
    {"type": "function", "function": {"name": "get weather", "parameters": {"type": "object"}}},
]


def answered(*, stream: bool) -> Any:
    """What a chat caller is told of a provider of Messages that calls both of its tools."""
    choice = {"type": "custom", "custom": {"name": "apply.patch"}}
    request = Translated(
        asked("openai_chat", tools=TOOLS, tool_choice=choice, stream=stream),
        MESSAGES,
        Target(model="claude-x"),
    )
    sent = json.loads(request.encode(""))
    patch, weather = (tool["name"] for tool in sent["tools"])
    assert sent["tool_choice"] == {"type": "tool", "name": patch}
    assert ALLOWED.fullmatch(patch)
    assert ALLOWED.fullmatch(weather)
    content = [
        {"type": "tool_use", "id": "a", "name": patch, "input": {"input": "*** Begin"}},
        {"type": "tool_use", "id": "b", "name": weather, "input": {"city": "Rome"}},
    ]
    body = json.dumps({"id": "m", "content": content, "stop_reason": "tool_use", "usage": {}})
    reply = request.read(b"application/json", body.encode(), JUDGE)
    assert isinstance(reply, Reply)
    return reply.body


def test_a_caller_gets_its_own_tools_back_by_name_and_by_kind() -> None:
    [patch, weather] = json.loads(answered(stream=False))["choices"][0]["message"]["tool_calls"]
    custom = {"name": "apply.patch", "input": "*** Begin"}
    function = {"name": "get weather", "arguments": '{"city":"Rome"}'}
    assert patch == {"id": "a", "type": "custom", "custom": custom}
    assert weather == {"id": "b", "type": "function", "function": function}


def test_and_in_a_stream_as_well() -> None:
    body = answered(stream=True).decode()
    assert '"custom":{"name":"apply.patch","input":"*** Begin"}' in body
    assert '"name":"get weather"' in body
    functions = body.replace(
        '"custom":{"name":"apply.patch","input":', '"function":{"name":"p","arguments":'
    )
    told = read_stream(functions.encode())
    assert [call["arguments"] for call in told.choices[0].calls] == ["*** Begin", '{"city":"Rome"}']
