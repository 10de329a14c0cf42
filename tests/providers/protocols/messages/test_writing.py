"""What a chat completion says to a provider that speaks Messages."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.errors import ProtocolError
from providers.protocols.canonical import (
    Media,
    Prompt,
    Raw,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    Unfit,
)
from providers.protocols.messages import MESSAGES
from providers.protocols.messages.thinking import version_of
from providers.protocols.protocol import Target
from providers.protocols.translating import Translated
from tests.support.wire import asked

pytestmark = pytest.mark.pure

OLD, MANUAL, ADAPTIVE, NEW = (
    "claude-3-5-haiku-20241022", "claude-sonnet-4-20250514", "claude-opus-4-6", "claude-opus-4-7",
)  # fmt: skip
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
HI = [{"role": "user", "content": "hi"}]


def translated(model: str = MANUAL, target: Target | None = None, **members: Any) -> Translated:
    return Translated(asked("openai_chat", **members), MESSAGES, target or Target(model=model))


def written(model: str = MANUAL, target: Target | None = None, **members: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(translated(model, target, **members).encode("ignored"))
    return body


def dropped(model: str = MANUAL, target: Target | None = None, **members: Any) -> set[str]:
    members = {"max_tokens": 64, **members}
    return set(translated(model, target, **members).written().dropped)


def messages(*said: dict[str, Any], **members: Any) -> Any:
    return written(messages=list(said), **members)["messages"]


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def user(said: Any) -> dict[str, Any]:
    return {"role": "user", "content": said}


def call(call_id: str, arguments: str = "{}", name: str = "f") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


# Messages


def test_instructions_are_blocks_of_the_system() -> None:
    more = {"role": "developer", "content": [text("b"), text(" ")]}
    body = written(messages=[{"role": "system", "content": "a"}, more, *HI])
    assert body["system"] == [text("a"), text("b")]
    assert "system" not in written(messages=HI)


def test_instructions_in_the_middle_stay_where_they_were_said_and_are_told() -> None:
    said = [user("x"), {"role": "system", "content": "be brief"}, user("y")]
    assert messages(*said) == [
        {"role": "user", "content": [
            text("x"), text("<system>\nbe brief\n</system>"), text("y")]}
    ]  # fmt: skip
    assert dropped(messages=said) == {"system"}


def test_turns_of_one_role_are_one_and_results_come_first_in_theirs() -> None:
    told = messages(
        user("x"),
        {"role": "assistant", "content": "I look."},
        {"role": "assistant", "content": None, "tool_calls": [call("a", '{"x": 1}'), call("b")]},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "system", "content": "hurry"},
        {"role": "tool", "tool_call_id": "b", "content": ""},
        user("go on"),
        tools=[TOOL],
    )
    assert told == [
        {"role": "user", "content": [text("x")]},
        {"role": "assistant", "content": [
            text("I look."),
            {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
            {"type": "tool_use", "id": "b", "name": "f", "input": {}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "a", "content": [text("1")]},
            {"type": "tool_result", "tool_use_id": "b"},
            text("<system>\nhurry\n</system>"), text("go on"),
        ]},
    ]  # fmt: skip


def test_text_without_a_character_is_left_out() -> None:
    assert messages(user([text(""), text(" \n"), text("x")]))[0]["content"] == [text("x")]
    said = [user("x"), {"role": "assistant", "content": ""}, user("y")]
    assert messages(*said) == [{"role": "user", "content": [text("x"), text("y")]}]


def test_a_conversation_begins_with_the_user() -> None:
    told = messages({"role": "assistant", "content": "Hello!"}, user("x"))
    assert [turn["role"] for turn in told] == ["user", "assistant", "user"]
    assert messages({"role": "system", "content": "s"}) == [
        {"role": "user", "content": [text(".")]}
    ]


def test_a_last_turn_of_the_assistant_is_nothing_to_go_on_with() -> None:
    for last in ({"content": "The answer is"}, {"content": None, "tool_calls": [call("a")]}):
        with pytest.raises(Unfit) as refused:
            written(messages=[user("x"), {"role": "assistant", **last}])
        assert refused.value.what == "prefill"


@pytest.mark.parametrize(
    ("part", "block"),
    [
        ({"type": "image_url", "image_url": {"url": "https://h/a.png"}},
         {"type": "image", "source": {"type": "url", "url": "https://h/a.png"}}),
        ({"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,iVBORw0KGgoAAA"}},
         {"type": "image", "source": {
             "type": "base64", "media_type": "image/png", "data": "iVBORw0KGgoAAA"}}),
        ({"type": "image_url", "image_url": {"url": "data:image/webp;base64,AAAA"}},
         {"type": "image", "source": {
             "type": "base64", "media_type": "image/webp", "data": "AAAA"}}),
        ({"type": "file", "file": {"filename": "a.pdf",
                                   "file_data": "data:application/pdf;base64,JVBE"}},
         {"type": "document", "title": "a.pdf", "source": {
             "type": "base64", "media_type": "application/pdf", "data": "JVBE"}}),
        ({"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/csv;base64,YSxi"}},
         {"type": "document", "title": "a.txt", "source": {
             "type": "text", "media_type": "text/plain", "data": "a,b"}}),
    ],
)  # fmt: skip
def test_media_are_what_they_are_by_their_first_bytes(part: Any, block: Any) -> None:
    assert messages(user([part]))[0]["content"] == [block]


@pytest.mark.parametrize(
    ("part", "what"),
    [
        ({"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}, "audio"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "file_id"),
        ({"type": "file", "file": {"file_data": "data:application/zip;base64,AA"}}, "file"),
        ({"type": "file", "file": {"file_data": "data:text/plain;base64,/w=="}}, "file"),
        ({"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AAAA"}}, "image"),
    ],
)
def test_media_that_messages_cannot_carry_go_elsewhere(part: Any, what: str) -> None:
    with pytest.raises(Unfit) as refused:
        written(messages=[user([part])])
    assert refused.value.what == what


def test_ids_outside_the_alphabet_are_replaced_alike_in_call_and_result() -> None:
    told = messages(
        user("x"),
        {"role": "assistant", "tool_calls": [call("functions.f:0"), call("call_ok-1")]},
        {"role": "tool", "tool_call_id": "functions.f:0", "content": "1"},
        {"role": "tool", "tool_call_id": "call_ok-1", "content": "2"},
        tools=[TOOL],
    )
    [first, second] = told[1]["content"]
    assert [r["tool_use_id"] for r in told[2]["content"]] == [first["id"], "call_ok-1"]
    assert first["id"].startswith("toolu_")
    assert second["id"] == "call_ok-1"


@pytest.mark.parametrize(
    "arguments",
    ["{oops", "[1]", '"x"', "1", *('{"a":' * n + "1" + "}" * n for n in (65, 970, 2000))],
    ids=range(7),
)
def test_arguments_that_are_no_object_go_elsewhere(arguments: str) -> None:
    said = [user("x"), {"role": "assistant", "tool_calls": [call("a", arguments)]},
            {"role": "tool", "tool_call_id": "a", "content": "1"}]  # fmt: skip
    with pytest.raises(Unfit) as refused:
        written(messages=said, tools=[TOOL])
    assert refused.value.what == "tool_calls"


def test_calls_without_their_tools_get_stubs_that_nobody_may_call() -> None:
    said = [user("x"), {"role": "assistant", "tool_calls": [call("a"), call("b", name="g")]},
            {"role": "tool", "tool_call_id": "a", "content": "1"},
            {"role": "tool", "tool_call_id": "b", "content": "1"}]  # fmt: skip
    body = written(messages=said)
    assert [tool["name"] for tool in body["tools"]] == ["f", "g"]
    assert body["tool_choice"] == {"type": "none"}


# Tools


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ({"name": "f"}, {"name": "f", "input_schema": {"type": "object", "properties": {}}}),
        ({"name": "f", "description": "d", "parameters": {"properties": {}}, "strict": True},
         {"name": "f", "description": "d", "strict": True,
          "input_schema": {"type": "object", "properties": {}}}),
        ({"name": "f", "parameters": {"type": ["object", "null"]}, "strict": False},
         {"name": "f", "input_schema": {"type": "object"}}),
    ],
)  # fmt: skip
def test_the_schema_of_a_tool_is_an_object(function: Any, told: Any) -> None:
    assert written(tools=[{"type": "function", "function": function}])["tools"] == [told]


def test_a_schema_that_is_none_goes_elsewhere() -> None:
    function = {"name": "f", "parameters": {"type": "string"}}
    with pytest.raises(Unfit) as refused:
        written(tools=[{"type": "function", "function": function}])
    assert refused.value.what == "tools"


def allowed(mode: str, *names: str) -> dict[str, Any]:
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


OTHER = {"type": "function", "function": {"name": "g"}}


@pytest.mark.parametrize(
    ("choice", "parallel", "told", "tools"),
    [
        ("auto", None, {"type": "auto"}, "fg"),
        ("required", None, {"type": "any"}, "fg"),
        ("none", False, {"type": "none"}, "fg"),
        (None, None, None, "fg"),
        (None, True, None, "fg"),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}, "fg"),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}, "fg"),
        (
            {"type": "function", "function": {"name": "g"}},
            None,
            {"type": "tool", "name": "g"},
            "fg",
        ),
        (allowed("auto", "g"), None, {"type": "auto"}, "g"),
        (allowed("required", "f", "g"), None, {"type": "any"}, "fg"),
    ],
)
def test_each_choice_of_tools_has_its_word(
    choice: Any, parallel: bool | None, told: Any, tools: str
) -> None:
    body = written(tools=[TOOL, OTHER], tool_choice=choice, parallel_tool_calls=parallel)
    assert body.get("tool_choice") == told
    assert "".join(tool["name"] for tool in body["tools"]) == tools


def test_a_choice_without_tools_is_dropped_and_told() -> None:
    members = {"tool_choice": "required", "parallel_tool_calls": False}
    assert dropped(**members) == {"tool_choice", "parallel_tool_calls"}
    assert not {"tools", "tool_choice"} & written(**members).keys()


# Reasoning


@pytest.mark.parametrize(
    ("model", "level", "thinking", "effort", "is_told"),
    [
        (MANUAL, "none", {"type": "disabled"}, None, False),
        (MANUAL, "minimal", {"type": "enabled", "budget_tokens": 1024}, None, False),
        (MANUAL, "low", {"type": "enabled", "budget_tokens": 1024}, None, False),
        (MANUAL, "medium", {"type": "enabled", "budget_tokens": 2048}, None, False),
        (MANUAL, "high", {"type": "enabled", "budget_tokens": 4096}, None, False),
        (MANUAL, "xhigh", {"type": "enabled", "budget_tokens": 8192}, None, False),
        (MANUAL, "max", {"type": "enabled", "budget_tokens": 16384}, None, False),
        (MANUAL, "absurd", None, None, True),
        (ADAPTIVE, "none", {"type": "disabled"}, None, False),
        (ADAPTIVE, "minimal", {"type": "adaptive"}, "low", True),
        (ADAPTIVE, "low", {"type": "adaptive"}, "low", False),
        (ADAPTIVE, "high", {"type": "adaptive"}, "high", False),
        (ADAPTIVE, "xhigh", {"type": "adaptive"}, "high", True),
        (ADAPTIVE, "max", {"type": "adaptive"}, "max", False),
        (NEW, "xhigh", {"type": "adaptive"}, "xhigh", False),
        ("claude-next", "medium", {"type": "adaptive"}, "medium", False),
        ("deepseek-v4", "medium", {"type": "enabled", "budget_tokens": 2048}, None, False),
        (OLD, "high", None, None, True),
        (OLD, "none", None, None, False),
    ],
)
def test_a_level_is_said_as_the_model_takes_it(
    model: str, level: str, thinking: Any, effort: str | None, is_told: bool
) -> None:
    body = written(model, reasoning_effort=level, max_tokens=32_000)
    assert body.get("thinking") == thinking
    assert body.get("output_config", {}).get("effort") == effort
    told = dropped(model, reasoning_effort=level, max_tokens=32_000)
    assert told == ({"reasoning_effort"} if is_told else set())


@pytest.mark.parametrize(
    ("model", "version"),
    [
        ("claude-opus-4-6-20260115", (4, 6)),
        ("claude-3-7-sonnet-20250219", (3, 7)),
        ("anthropic/claude-sonnet-4.5", (4, 5)),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", (4, 5)),
        ("claude-sonnet-4-20250514", (4, 0)),
        ("claude-sonnet-4@20250514", (4, 0)),
        ("claude-opus-5", (5, 0)),
        ("claude-opus-latest", None),
        ("glm-4-6", None),
    ],
)
def test_a_models_version_is_read_off_its_name(model: str, version: Any) -> None:
    assert version_of(model) == version


def test_an_adapter_knows_better_than_a_name() -> None:
    def thinking(model: str, *refuses: str, reasons: bool | None = None) -> Any:
        target = Target(model=model, refuses=frozenset(refuses), reasons=reasons)
        return written(target=target, reasoning_effort="medium").get("thinking")

    assert thinking(NEW, "adaptive_thinking") == {"type": "enabled", "budget_tokens": 2048}
    assert thinking(NEW, "reasoning_effort") is None
    assert thinking(NEW, reasons=False) is None


def test_more_tokens_are_allowed_rather_than_less_thought() -> None:
    body = written(reasoning_effort="high", max_tokens=100)
    assert (body["max_tokens"], body["thinking"]["budget_tokens"]) == (5120, 4096)
    assert dropped(reasoning_effort="high") == {"max_completion_tokens"}
    body = written(reasoning_effort="high", max_tokens=9000)
    assert (body["max_tokens"], body["thinking"]["budget_tokens"]) == (9000, 4096)


def test_a_budget_leaves_room_below_the_models_maximum() -> None:
    target = Target(model=MANUAL, max_output_tokens=4096)
    body = written(target=target, reasoning_effort="max", max_tokens=4096)
    assert (body["max_tokens"], body["thinking"]["budget_tokens"]) == (4096, 3072)
    assert dropped(target=target, reasoning_effort="max") >= {"reasoning_effort"}
    small = Target(model=MANUAL, max_output_tokens=2000)
    assert "thinking" not in written(target=small, reasoning_effort="low")


@pytest.mark.parametrize("model", [MANUAL, ADAPTIVE])
def test_where_a_tool_is_forced_nothing_is_thought_and_that_is_told(model: str) -> None:
    members = {"reasoning_effort": "high", "tools": [TOOL], "tool_choice": "required"}
    assert "thinking" not in written(model, **members)
    assert dropped(model, **members) == {"reasoning_effort"}
    assert "thinking" in written(model, **{**members, "tool_choice": "auto"})


def test_in_an_open_loop_of_tools_whose_thought_is_gone_a_budget_is_switched_off() -> None:
    said = [user("x"), {"role": "assistant", "content": "I look.", "tool_calls": [call("a")]},
            {"role": "tool", "tool_call_id": "a", "content": "1"}]  # fmt: skip
    members: dict[str, Any] = {"messages": said, "tools": [TOOL], "reasoning_effort": "high"}
    assert "thinking" not in written(**members)
    assert dropped(**members) == {"reasoning_effort"}
    assert written(ADAPTIVE, **members)["thinking"] == {"type": "adaptive"}
    members["messages"] = [*said, {"role": "assistant", "content": "1"}, user("y")]
    assert written(**members)["thinking"]["type"] == "enabled"


# Limits


def test_max_tokens_is_required_and_never_more_than_the_model_has() -> None:
    most = Target(model=MANUAL, max_output_tokens=8000)
    assert written()["max_tokens"] == 4096
    assert written(target=most)["max_tokens"] == 8000
    assert written(target=most, max_tokens=9000)["max_tokens"] == 8000
    assert written(target=most, max_completion_tokens=7)["max_tokens"] == 7
    assert translated().written().dropped == ()
    assert translated().written().warnings == ("max_tokens is 4096, since none was given",)
    assert translated(target=most).written().dropped == ()
    assert dropped(target=most, max_tokens=9000) == {"max_completion_tokens"}
    assert dropped(target=most, max_tokens=7) == set()


@pytest.mark.parametrize(
    ("model", "members", "told", "names"),
    [
        (MANUAL, {"temperature": 0.5}, {"temperature": 0.5}, set()),
        (MANUAL, {"temperature": 1.7}, {"temperature": 1}, {"temperature"}),
        (MANUAL, {"top_p": 0.5, "top_k": 3}, {"top_p": 0.5, "top_k": 3}, set()),
        (MANUAL, {"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5, "top_p": 0.9}, set()),
        ("claude-opus-4-1", {"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5}, {"top_p"}),
        (NEW, {"temperature": 0.5, "top_p": 0.9}, {}, {"temperature", "top_p"}),
        (NEW, {"temperature": 1}, {}, set()),
        (MANUAL, {"temperature": 0.5, "reasoning_effort": "low", "max_tokens": 9000}, {},
         {"temperature"}),
        (MANUAL, {"seed": 7, "presence_penalty": 1, "frequency_penalty": 1}, {},
         {"seed", "presence_penalty", "frequency_penalty"}),
    ],
)  # fmt: skip
def test_sampling_goes_along_where_the_model_takes_it(
    model: str, members: dict[str, Any], told: dict[str, Any], names: set[str]
) -> None:
    body = written(model, **members)
    assert {name: body[name] for name in ("temperature", "top_p", "top_k") if name in body} == told
    assert dropped(model, **members) == names


def test_a_temperature_that_a_provider_has_refused_is_not_sent_again() -> None:
    target = Target(model="their-model", refuses=frozenset({"temperature"}))
    assert "temperature" not in written(target=target, temperature=0.5)
    assert dropped(target=target, temperature=0.5) == {"temperature"}


@pytest.mark.parametrize(
    ("members", "told", "names"),
    [
        ({"stop": ["a", "\n", "b"]}, {"stop_sequences": ["a", "b"]}, {"stop"}),
        ({"stop": "\n"}, {}, {"stop"}),
        ({"stream": True}, {"stream": True}, set()),
        ({"verbosity": "low", "prompt_cache_key": "k", "service_tier": "flex"}, {},
         {"verbosity", "prompt_cache_key", "service_tier"}),
        ({"service_tier": "auto"}, {}, set()),
        ({"metadata": {"a": "b"}, "store": True}, {}, {"metadata", "store"}),
        ({"messages": [{**HI[0], "name": "bob"}]}, {}, {"name"}),
        ({"messages": [user([{"type": "image_url",
                              "image_url": {"url": "https://h/a", "detail": "low"}}])]}, {},
         {"detail"}),
        ({"response_format": {"type": "json_schema", "json_schema": {
            "name": "n", "schema": {"type": "object"}, "strict": True}}},
         {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
         set()),
    ],
)  # fmt: skip
def test_what_has_no_place_is_dropped_and_told(
    members: dict[str, Any], told: dict[str, Any], names: set[str]
) -> None:
    body = written(**members)
    usual = {"model", "max_tokens", "messages"}
    assert {name: body[name] for name in body if name not in usual} == told
    assert dropped(**members) == names


def test_a_user_is_told_by_a_name_that_says_nothing() -> None:
    told = written(user="a@b.c")["metadata"]["user_id"]
    assert told == written(user="a@b.c")["metadata"]["user_id"]
    assert "a@b" not in told


def test_json_of_any_kind_is_asked_for_in_words_behind_the_instructions() -> None:
    members = {"response_format": {"type": "json_object"},
               "messages": [{"role": "system", "content": "s"}, *HI]}  # fmt: skip
    [first, second] = written(**members)["system"]
    assert first == text("s")
    assert "JSON" in second["text"]
    assert dropped(**members) == {"response_format"}


def test_a_schema_and_an_effort_stand_side_by_side() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    body = written(ADAPTIVE, response_format=form, reasoning_effort="low")
    assert body["output_config"].keys() == {"effort", "format"}
    target = Target(model=MANUAL, refuses=frozenset({"json_schema"}))
    with pytest.raises(Unfit):
        written(target=target, response_format=form)


@pytest.mark.parametrize(
    "members",
    [{"n": 2}, {"logprobs": True}, {"logit_bias": {"1": 2}}, {"prediction": {"type": "content"}}],
)
def test_what_only_chat_can_carry_goes_nowhere_else(members: dict[str, Any]) -> None:
    with pytest.raises(Unfit) as refused:
        written(**members)
    assert refused.value.what in members


# What no chat completion can say


def of(*turns: Turn) -> Any:
    body = MESSAGES.codec.write(Prompt(turns=turns, max_tokens=64), Target(model=MANUAL))
    return json.loads(body.body)["messages"], body.dropped


def test_its_own_thoughts_and_blocks_come_back_as_they_were() -> None:
    signed = {"type": "thinking", "thinking": "hm", "signature": "EqQB+/=", "new": 1}
    server = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    own = "anthropic_messages"
    told, lost = of(
        Turn(role="user", parts=(Text(text="x"),)),
        Turn(
            role="assistant",
            parts=(
                Reasoning(text="hm", signature="EqQB+/=", origin=own, raw=signed),
                Reasoning(text="so", signature="Eq", origin=own),
                Reasoning(encrypted="Em", origin=own),
                Reasoning(text="unsigned", origin=own),
                Reasoning(text="theirs", encrypted="gA", origin="openai_responses"),
                Raw(origin=own, value=server),
                Text(text="y"),
            ),
        ),
        Turn(role="user", parts=(Text(text="z"),)),
    )
    assert told[1]["content"] == [
        signed,
        {"type": "thinking", "thinking": "so", "signature": "Eq"},
        {"type": "redacted_thinking", "data": "Em"},
        server,
        text("y"),
    ]
    assert lost == ("reasoning",)


def test_a_block_of_another_protocol_goes_elsewhere() -> None:
    item = Raw(origin="openai_responses", value={"type": "computer_call"})
    with pytest.raises(Unfit) as refused:
        of(Turn(role="user", parts=(item,)))
    assert refused.value.what == "computer_call"


def test_a_result_keeps_its_error_and_its_pictures() -> None:
    image = Media(kind="image", url="https://h/a.png")
    result = ToolResult(call_id="a", parts=(Text(text="no"), image), is_error=True)
    told, _ = of(
        Turn(role="user", parts=(Text(text="x"),)),
        Turn(role="assistant", parts=(ToolCall(id="a", name="f"),)),
        Turn(role="user", parts=(result,)),
    )
    assert told[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "a", "is_error": True, "content": [
            text("no"), {"type": "image", "source": {"type": "url", "url": "https://h/a.png"}}]}
    ]  # fmt: skip


def test_cache_marks_of_its_own_are_kept_and_others_are_dropped_and_told() -> None:
    own, other = {"type": "ephemeral", "ttl": "1h"}, {"mode": "explicit"}
    told, lost = of(Turn(role="user", parts=(Text(text="x", cache=own),)))
    assert told[0]["content"] == [{**text("x"), "cache_control": own}]
    assert lost == ()
    told, lost = of(Turn(role="user", parts=(Text(text="x", cache=other),)))
    assert told[0]["content"] == [text("x")]
    assert lost == ("cache_control",)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)
TURN = st.dictionaries(
    st.sampled_from(["role", "content", "tool_calls", "tool_call_id", "refusal", "name",
                     "reasoning_details"]),
    st.sampled_from(["user", "assistant", "tool", "system"]) | JSON,
    max_size=5,
)  # fmt: skip


@settings(max_examples=100)
@given(
    st.dictionaries(
        st.sampled_from(["tools", "tool_choice", "response_format", "stop", "reasoning_effort",
                         "max_tokens", "temperature", "user"]), JSON, max_size=4),
    st.lists(TURN, min_size=1, max_size=4),
)  # fmt: skip
def test_any_chat_is_written_or_refused_in_words(members: Any, said: Any) -> None:
    try:
        body = translated(ADAPTIVE, messages=[*said, *HI], **members).encode("")
    except (ProtocolError, Unfit):
        return
    MESSAGES.parse(body)
