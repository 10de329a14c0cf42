"""What a Messages request says to a provider that speaks chat completions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.errors import ProtocolError
from providers.protocols.canonical import Effort, Prompt, Raw, Reasoning, Unfit
from providers.protocols.chat import CHAT
from providers.protocols.messages import MESSAGES
from providers.protocols.protocol import Target
from providers.protocols.sealing import seal
from providers.protocols.translating import Translated
from tests.support.wire import asked

pytestmark = pytest.mark.pure

MARK = {"type": "ephemeral", "ttl": "1h"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1.5}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "42"}
TOOL = {"name": "f", "description": "d", "input_schema": {"type": "object"}}


def prompt(**members: Any) -> Prompt:
    return MESSAGES.codec.prompt(asked("anthropic_messages", **members))


def translated(**members: Any) -> Translated:
    return Translated(asked("anthropic_messages", **members), CHAT, Target(model="their-model"))


def written(**members: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(translated(**members).encode("ignored"))
    return body


def dropped(**members: Any) -> set[str]:
    return set(translated(**members).written().dropped)


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **more}


def test_each_block_of_the_system_stays_one_of_its_own_with_its_mark() -> None:
    system = prompt(system=[text("first"), text("second", cache_control=MARK)]).system
    assert [(block.text, block.cache) for block in system] == [("first", None), ("second", MARK)]
    assert [block.text for block in prompt(system="only").system] == ["only"]
    assert prompt(system="").system == ()


def test_instructions_in_the_middle_stay_in_the_middle() -> None:
    said = [user(text("x")), {"role": "system", "content": "be brief"}, user(text("y"))]
    assert [m["role"] for m in written(messages=said)["messages"]] == ["user", "system", "user"]
    leading = [{"role": "system", "content": [text("b")]}, user(text("x"))]
    assert [block.text for block in prompt(system="a", messages=leading).system] == ["a", "b"]


PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBE\nRi0="}
SAID = {
    "text": (user(text("x")), [{"role": "user", "content": "x"}]),
    "texts": (
        user(text("x"), text("y")),
        [{"role": "user", "content": [text("x"), text("y")]}],
    ),
    "an image in base64": (
        user({"type": "image",
              "source": {"type": "base64", "media_type": "image/png", "data": "AA\nAA"}}),
        [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}],
    ),
    "an image at an address": (
        user({"type": "image", "source": {"type": "url", "url": "https://h/a.png"}}),
        [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "https://h/a.png"}}]}],
    ),
    "a document": (
        user({"type": "document", "title": "a.pdf", "source": PDF}),
        [{"role": "user", "content": [{"type": "file", "file": {
            "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}}]}],
    ),
    "a document of text": (
        user({"type": "document",
              "source": {"type": "text", "media_type": "text/plain", "data": "all of it"}}),
        [{"role": "user", "content": [text("all of it")]}],
    ),
    "a document of blocks": (
        user({"type": "document",
              "source": {"type": "content", "content": [text("a"), text("b")]}}),
        [{"role": "user", "content": [text("a\n\nb")]}],
    ),
    "a search result": (
        user({"type": "search_result", "title": "T", "source": "https://h",
              "content": [text("a")]}),
        [{"role": "user", "content": "T\nhttps://h\na"}],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_what_a_user_says_is_said(name: str) -> None:
    turn, told = SAID[name]
    assert written(messages=[turn])["messages"] == told


def test_calls_and_their_results_are_linked() -> None:
    other = {**CALL, "id": "toolu_2", "name": "g", "input": {}}
    image = {"type": "image", "source": {"type": "url", "url": "https://h/a.png"}}
    body = written(
        messages=[
            user(text("x")),
            assistant(text("I look."), CALL, other),
            user(RESULT, {"type": "tool_result", "tool_use_id": "toolu_2", "is_error": True,
                          "content": [text("no"), image]}, text("go on")),
        ],
        tools=[TOOL],
    )  # fmt: skip
    assert body["messages"][1:] == [
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {"id": "toolu_1", "type": "function",
                 "function": {"name": "f", "arguments": '{"a":1.5}'}},
                {"id": "toolu_2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "toolu_1", "content": "42"},
        {"role": "tool", "tool_call_id": "toolu_2",
         "content": "[tool error] no\n[image follows]"},
        {"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "https://h/a.png"}}, text("go on")]},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"tools": [TOOL]}, {"tools": [{"type": "function", "function": {
            "name": "f", "description": "d", "parameters": {"type": "object"}}}]}),
        ({"tools": [TOOL], "tool_choice": {"type": "any"}}, {"tool_choice": "required"}),
        ({"tools": [TOOL], "tool_choice": {"type": "auto"}}, {"tool_choice": "auto"}),
        ({"tools": [TOOL], "tool_choice": {"type": "none"}}, {"tool_choice": "none"}),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "f"}},
         {"tool_choice": {"type": "function", "function": {"name": "f"}}}),
        ({"tools": [TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
         {"tool_choice": "auto", "parallel_tool_calls": False}),
        ({"max_tokens": 7, "temperature": 0.5, "top_p": 0.9, "stop_sequences": ["a", "b"]},
         {"max_completion_tokens": 7, "temperature": 0.5, "top_p": 0.9, "stop": ["a", "b"]}),
        ({"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
         {"response_format": {"type": "json_schema",
                              "json_schema": {"name": "answer", "schema": {"type": "object"}}}}),
        ({"output_format": {"type": "json_schema", "schema": {}}},
         {"response_format": {"type": "json_schema",
                              "json_schema": {"name": "answer", "schema": {}}}}),
        ({"output_config": {"effort": "xhigh"}}, {"reasoning_effort": "xhigh"}),
        ({"thinking": {"type": "disabled"}}, {"reasoning_effort": "none"}),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
         {"reasoning_effort": "low"}),
        *(
            ({"thinking": {"type": "enabled", "budget_tokens": budget}}, {"reasoning_effort": told})
            for budget, told in [(1024, "low"), (2048, "medium"), (8192, "high"), (16384, "xhigh")]
        ),
        ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
    ],
)  # fmt: skip
def test_what_is_asked_for_is_asked_for(members: dict[str, Any], told: dict[str, Any]) -> None:
    body = written(**members)
    assert {name: body[name] for name in told} == told


def test_thinking_that_is_left_to_the_model_asks_for_no_level() -> None:
    assert "reasoning_effort" not in written(thinking={"type": "adaptive"})


@pytest.mark.parametrize(
    ("thinking", "effort"),
    [
        ({"type": "adaptive"}, Effort(summary="auto", is_adaptive=True)),
        ({"type": "adaptive", "display": "omitted"}, Effort(is_adaptive=True)),
        ({"type": "between_tools"}, Effort(summary="auto", is_adaptive=True)),
        ({"type": "enabled", "budget_tokens": 5000}, Effort(budget=5000, summary="auto")),
        ({"type": "disabled"}, Effort(level="none")),
        ({}, None),
    ],
)
def test_whether_a_thought_is_to_be_shown_is_read(thinking: Any, effort: Effort | None) -> None:
    assert prompt(thinking=thinking).effort == effort


def test_a_users_name_goes_to_no_other_vendor_but_stands_for_the_same_one() -> None:
    first, second, other = (
        written(metadata={"user_id": name})["user"] for name in ("a@b.c", "a@b.c", "d")
    )
    assert first == second != other
    assert "a@b.c" not in first
    assert len(first) <= 64


@pytest.mark.parametrize(
    ("members", "names"),
    [
        ({"top_k": 5}, {"top_k"}),
        ({"service_tier": "standard_only"}, {"service_tier"}),
        ({"metadata": {"user_id": "u", "team": "t"}}, {"metadata"}),
        ({"system": [text("s", cache_control=MARK)]}, {"cache_control"}),
        ({"messages": [user(text("s", cache_control=MARK))]}, {"cache_control"}),
        ({"tools": [{**TOOL, "cache_control": MARK}]}, {"cache_control"}),
        ({"cache_control": MARK}, {"cache_control"}),
        ({"context_management": {"edits": []}}, {"context_management"}),
        ({"fallbacks": [{"model": "x"}]}, {"fallbacks"}),
        ({"speed": "fast", "diagnostics": {}}, {"speed", "diagnostics"}),
        ({"output_config": {"task_budget": {"tokens": 9}}}, {"output_config.task_budget"}),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}},
         {"output_config.effort"}),
        ({"tools": [{**TOOL, "defer_loading": True, "input_examples": [{}]}]},
         {"defer_loading", "input_examples"}),
        ({"tools": [{**TOOL, "defer_loading": False, "allowed_callers": ["direct"]}]}, set()),
        ({"messages": [user({"type": "document", "source": PDF, "context": "c",
                             "citations": {"enabled": True}})]}, {"context", "citations"}),
        ({"messages": [user({"type": "search_result", "title": "T"})]}, {"search_result"}),
        ({"messages": [user(text("x")),
                       assistant({"type": "thinking", "thinking": "hm", "signature": "Eq"},
                                 text("y")), user(text("z"))]}, {"thinking"}),
        ({"messages": [user(text("x")), assistant({"type": "redacted_thinking", "data": "Em"},
                                                  text("y")), user(text("z"))]}, {"thinking"}),
        ({"a_new_field": 1, "another": None}, {"a_new_field"}),
    ],
)  # fmt: skip
def test_what_has_no_place_is_dropped_and_told_in_the_callers_words(
    members: dict[str, Any], names: set[str]
) -> None:
    assert dropped(**members) == names


SERVER = {"type": "web_search_20250305", "name": "web_search"}


@pytest.mark.parametrize(
    ("members", "what"),
    [
        ({"container": "c1"}, "container"),
        ({"mcp_servers": [{"type": "url", "url": "https://h", "name": "n"}]}, "mcp_servers"),
        ({"thread": {"id": "t"}}, "thread"),
        ({"inference_geo": "eu"}, "inference_geo"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"tools": [TOOL, SERVER]}, "web_search_20250305"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "bash_20250124"),
        ({"messages": [user({"type": "image", "source": {"type": "file", "file_id": "f"}})]},
         "file_id"),
        ({"messages": [user({"type": "container_upload", "file_id": "f"})]}, "container_upload"),
        ({"messages": [user(text("x")),
                       assistant({"type": "server_tool_use", "id": "s", "name": "web_search"}),
                       user(text("y"))]},
         "server_tool_use"),
        ({"messages": [user(text("x")), assistant(text("The answer is"))]}, "prefill"),
        ({"messages": [user({"type": "hologram"})]}, "hologram"),
        ({"messages": [user(text("x")), assistant(CALL),
                       user({**RESULT, "content": [{"type": "tool_reference"}]})]},
         "tool_reference"),
    ],
)  # fmt: skip
def test_what_only_messages_can_carry_goes_nowhere_else(members: dict[str, Any], what: str) -> None:
    with pytest.raises(Unfit) as refused:
        written(**members)
    assert refused.value.what == what


@pytest.mark.parametrize("members", [{"container": None}, {"mcp_servers": []}, {"thread": {}}])
def test_what_says_nothing_binds_nobody(members: dict[str, Any]) -> None:
    assert not members.keys() & written(**members).keys()


def test_blocks_that_nobody_else_knows_stay_as_they_are() -> None:
    server = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": "x"}}
    unknown = {"type": "hologram", "cells": [1.10]}
    turns = prompt(messages=[user(unknown), assistant(server)]).turns
    assert [part for turn in turns for part in turn.parts] == [
        Raw(origin="anthropic_messages", value=unknown),
        Raw(origin="anthropic_messages", value=server),
    ]


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"messages": [{"role": "ghost", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [7]}, "messages[0]"),
        ({"messages": [user(7)]}, "messages[0].content[0]"),
        ({"messages": [user(RESULT)]}, "messages[0].content[0].tool_use_id"),
        ({"messages": [user(RESULT), assistant(CALL)]}, "messages[0].content[0].tool_use_id"),
        ({"system": [{"type": "image"}]}, "system[0].type"),
        ({"system": ["x"]}, "system[0].type"),
    ],
)
def test_what_contradicts_itself_is_refused_before_any_call(
    members: dict[str, Any], param: str
) -> None:
    with pytest.raises(ProtocolError) as refused:
        translated(**members)
    assert refused.value.param == param


def test_a_number_that_nobody_can_hold_is_refused_in_words() -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"x"}],"top_k":1e999}'
    with pytest.raises(ProtocolError) as refused:
        MESSAGES.codec.prompt(MESSAGES.parse(body))
    assert refused.value.param == "top_k"


# Thoughts of others, which came back under our seal


def thought(block: dict[str, Any]) -> Any:
    [_, turn] = prompt(messages=[user(text("x")), assistant(block)]).turns
    [part] = turn.parts
    return part


def test_a_thought_of_another_protocol_comes_home_from_under_its_seal() -> None:
    made = Reasoning(text="hm", encrypted="gAAA", id="rs_1", origin="openai_responses")
    sealed = seal(made)
    assert thought({"type": "thinking", "thinking": "hm", "signature": sealed}) == made
    assert thought({"type": "redacted_thinking", "data": sealed}) == Reasoning(
        encrypted="gAAA", id="rs_1", origin="openai_responses"
    )


def test_a_broken_seal_is_nobodys_thought() -> None:
    found = thought({"type": "thinking", "thinking": "hm", "signature": "gw1.%%%"})
    assert found == Reasoning(text="hm")
    broken = {"type": "thinking", "thinking": "hm", "signature": "gw1.x"}
    said = [user(text("x")), assistant(broken, text("y")), user(text("z"))]
    assert dropped(messages=said) == {"thinking"}


def test_a_thought_of_anthropics_keeps_every_byte_of_its_block() -> None:
    block = {"type": "thinking", "thinking": "", "signature": "EqQB+/=", "new": [1]}
    assert thought(block).raw == block
    assert thought(block).origin == "anthropic_messages"


def test_the_signature_of_a_call_is_put_back_onto_the_call() -> None:
    sealed = seal(Reasoning(origin="gemini_generate", signature="sig", call_id="toolu_1"))
    signed = {"type": "thinking", "thinking": "", "signature": sealed}
    [_, turn] = prompt(messages=[user(text("x")), assistant(text("a"), signed, CALL)]).turns
    assert [type(part).__name__ for part in turn.parts] == ["Text", "ToolCall"]
    assert turn.parts[1].signature == "sig"  # type: ignore[union-attr]


# Whatever comes

JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)
KINDS = st.sampled_from(
    ["text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking",
     "search_result", "server_tool_use", "base64", "url", "content"]
)  # fmt: skip
BLOCK = st.dictionaries(
    st.sampled_from(["type", "text", "source", "content", "id", "tool_use_id", "name", "input",
                     "thinking", "signature", "data", "cache_control", "citations", "is_error"]),
    KINDS | JSON,
    max_size=6,
)  # fmt: skip
TURN = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system"])},
    optional={"content": st.lists(BLOCK, max_size=3) | JSON},
)
KNOWN = st.sampled_from(
    ["tools", "tool_choice", "thinking", "output_config", "output_format", "system", "metadata",
     "stop_sequences", "max_tokens", "container", "service_tier", "temperature"]
)  # fmt: skip


@settings(max_examples=100)
@given(
    st.dictionaries(KNOWN, JSON | st.lists(BLOCK, max_size=2), max_size=4),
    st.lists(TURN, min_size=1, max_size=4),
)
def test_any_json_is_translated_or_refused_in_words(members: Any, messages: Any) -> None:
    for protocol in (CHAT, MESSAGES):
        try:
            request = Translated(
                asked("anthropic_messages", messages=[*messages, user(text("x"))], **members),
                protocol,
                Target(model="claude-opus-4-5"),
            )
            body = request.encode("")
        except (ProtocolError, Unfit):
            continue
        protocol.parse(body)
