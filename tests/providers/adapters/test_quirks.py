"""What each vendor gets of a translated request, by what its adapter knows of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.adapters.registry import ADAPTERS
from providers.protocols.canonical import Choice, Effort, Form, Prompt, Text, Tool, Turn, Unfit
from providers.protocols.chat import CHAT
from providers.protocols.protocol import Target
from providers.protocols.translating import Translated
from tests.support.wire import asked

pytestmark = pytest.mark.pure

SCHEMA: dict[str, Any] = {"type": "object", "properties": {}}
TOOLS = (Tool(name="f", schema=SCHEMA), Tool(name="g", schema=SCHEMA))
PATCH = Tool(name="apply_patch", is_custom=True, format={"type": "text"})
VENDORS = sorted(set(ADAPTERS) - {"anthropic", "gemini", "simulator"})


def written(kind: str, **members: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The chat body for a provider of `kind`, and what was dropped."""
    adapter = ADAPTERS[kind]
    target = Target(model="m", refuses=adapter.refuses, renames=dict(adapter.renames))
    turn = Turn(role="user", parts=(Text(text="hi"),))
    prompt = Prompt(turns=(turn,), **members)
    found = Translated(asked("openai_chat"), CHAT, target, prompt).written()
    body: dict[str, Any] = json.loads(found.body)
    return body, found.dropped


@pytest.mark.parametrize(
    ("kind", "spelling"),
    [
        ("openai", "max_completion_tokens"),
        ("groq", "max_completion_tokens"),
        ("cerebras", "max_completion_tokens"),
        ("xai", "max_completion_tokens"),
        ("vllm", "max_completion_tokens"),
        ("openrouter", "max_completion_tokens"),
        ("mistral", "max_tokens"),
        ("deepseek", "max_tokens"),
        ("ollama", "max_tokens"),
        ("together", "max_tokens"),
        ("fireworks", "max_tokens"),
    ],
)
def test_the_limit_is_spelled_as_the_vendor_does(kind: str, spelling: str) -> None:
    body, dropped = written(kind, max_tokens=7)
    assert {k: v for k, v in body.items() if k.startswith("max_")} == {spelling: 7}
    assert dropped == ()


@pytest.mark.parametrize("kind", VENDORS)
def test_free_form_tools_are_functions_but_for_openai(kind: str) -> None:
    body, dropped = written(
        kind, tools=(PATCH,), choice=Choice(mode="required", names=("apply_patch",))
    )
    expected = "custom" if kind == "openai" else "function"
    assert [tool["type"] for tool in body["tools"]] == [expected]
    if kind == "ollama":
        assert "tool_choice" not in body
        assert dropped == ("tool_choice",)
    else:
        assert body["tool_choice"] == {"type": expected, expected: {"name": "apply_patch"}}
        assert dropped == ()


@pytest.mark.parametrize("kind", VENDORS)
def test_a_choice_among_tools_is_fewer_tools_but_for_openai(kind: str) -> None:
    three = (*TOOLS, Tool(name="h", schema=SCHEMA))
    body, _ = written(kind, tools=three, choice=Choice(mode="auto", names=("f", "h")))
    names = [tool["function"]["name"] for tool in body["tools"]]
    if kind == "openai":
        assert names == ["f", "g", "h"]
        assert body["tool_choice"]["type"] == "allowed_tools"
    else:
        assert names == ["f", "h"]
        assert body.get("tool_choice", "auto") == "auto"


@pytest.mark.parametrize(
    ("choice", "names", "dropped"),
    [
        (Choice(mode="auto"), ["f", "g"], ()),
        (Choice(mode="none"), None, ()),
        (Choice(mode="required"), ["f", "g"], ("tool_choice",)),
        (Choice(mode="required", names=("g",)), ["g"], ("tool_choice",)),
        (Choice(mode="auto", names=("f",)), ["f"], ()),
    ],
)
def test_who_ignores_a_tool_choice_gets_the_tools_that_say_most_of_it(
    choice: Choice, names: list[str] | None, dropped: tuple[str, ...]
) -> None:
    body, told = written("ollama", tools=TOOLS, choice=choice)
    tools = body.get("tools")
    assert (tools and [tool["function"]["name"] for tool in tools]) == names
    assert "tool_choice" not in body
    assert told == dropped


@pytest.mark.parametrize(
    ("kind", "members", "dropped"),
    [
        ("mistral", {"user": "u"}, ("user",)),
        ("mistral", {"effort": Effort(level="low")}, ("reasoning_effort",)),
        ("mistral", {"verbosity": "low"}, ("verbosity",)),
        ("deepseek", {"sampling": {"seed": 7}}, ("seed",)),
        ("deepseek", {"cache_key": "k"}, ("prompt_cache_key",)),
        ("cerebras", {"sampling": {"presence_penalty": 1.0}}, ("presence_penalty",)),
        ("xai", {"sampling": {"frequency_penalty": 1.0}}, ("frequency_penalty",)),
        ("ollama", {"user": "u"}, ("user",)),
        ("openai", {"sampling": {"top_k": 5}}, ("top_k",)),
        ("groq", {"sampling": {"top_k": 5}}, ("top_k",)),
        ("openai", {"verbosity": "low", "cache_key": "k", "user": "u"}, ()),
        ("openrouter", {"verbosity": "low"}, ()),
        ("openai_compatible", {"verbosity": "low", "cache_key": "k", "user": "u"}, ()),
    ],
)
def test_what_a_vendor_does_not_take_is_dropped_and_told(
    kind: str, members: dict[str, Any], dropped: tuple[str, ...]
) -> None:
    body, told = written(kind, **members)
    assert told == dropped
    assert not set(dropped) & set(body)


@pytest.mark.parametrize("kind", ["fireworks", "openrouter", "together", "vllm"])
def test_who_takes_top_k_gets_it(kind: str) -> None:
    body, dropped = written(kind, sampling={"top_k": 5})
    assert (body["top_k"], dropped) == (5, ())


def test_a_seed_is_spelled_as_mistral_does() -> None:
    body, dropped = written("mistral", sampling={"seed": 7})
    assert (body["random_seed"], "seed" in body, dropped) == (7, False, ())


def test_a_stream_asks_for_its_usage_where_that_is_taken() -> None:
    assert "stream_options" not in written("mistral", stream=True)[0]
    assert written("groq", stream=True)[0]["stream_options"] == {"include_usage": True}


def test_a_schema_is_no_answer_of_who_knows_none() -> None:
    form = Form(kind="json_schema", name="a", schema=SCHEMA)
    with pytest.raises(Unfit, match="json_schema"):
        written("deepseek", form=form)
    assert written("deepseek", form=Form(kind="json_object"))[0]["response_format"]
    assert written("groq", form=form)[0]["response_format"]["type"] == "json_schema"
