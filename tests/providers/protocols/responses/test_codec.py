"""Requests of the Responses API to and from the canonical form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.errors import Failure, ProtocolError
from providers.protocols import PROTOCOLS, Reply
from providers.protocols.canonical import Prompt, Reasoning, ToolCall, ToolResult, Unfit
from providers.protocols.protocol import Target
from providers.protocols.responses import RESPONSES
from providers.protocols.sealing import seal
from providers.protocols.translating import Translated
from tests.support.wire import JUDGE, asked

pytestmark = pytest.mark.pure

TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}
CUSTOM = {
    "type": "custom",
    "name": "apply_patch",
    "description": "d",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"},
}
THOUGHT = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "hm"}],
    "encrypted_content": "gAAAA=",
}


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": list(parts)}


def text(said: str) -> dict[str, Any]:
    return {"type": "input_text", "text": said}


def answer(*texts: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": said} for said in texts]
    return {"type": "message", "role": "assistant", "content": content}


def call(call_id: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def result(call_id: str, output: Any = "1") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def patch(call_id: str, text: str = "*** Begin") -> list[dict[str, Any]]:
    return [
        {"type": "custom_tool_call", "call_id": call_id, "name": "apply_patch", "input": text},
        {"type": "custom_tool_call_output", "call_id": call_id, "output": "done"},
    ]


def prompt(**members: Any) -> Prompt:
    assert RESPONSES.codec is not None
    return RESPONSES.codec.prompt(asked("openai_responses", **members))


def translated(refuses: frozenset[str] = frozenset(), **members: Any) -> Translated:
    target = Target(model="their-model", refuses=refuses)
    return Translated(asked("openai_responses", **members), RESPONSES, target)


def written(refuses: frozenset[str] = frozenset(), **members: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(translated(refuses, **members).encode("ignored"))
    return body


SAID = {
    "a text": [user(text("x"))],
    "an image, a file and a sound": [
        user(
            text("what is it?"),
            {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"},
            {"type": "input_image", "image_url": "https://h/a.png", "detail": "low"},
            {
                "type": "input_file",
                "filename": "a.pdf",
                "file_data": "data:application/pdf;base64,AA",
            },
            {"type": "input_file", "file_url": "https://h/a.pdf"},
            {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
        )
    ],
    "a system text in the middle": [
        user(text("x")),
        {"type": "message", "role": "system", "content": [text("be brief")]},
        user(text("y")),
    ],
    "reasoning, calls and results": [
        user(text("x")),
        THOUGHT,
        answer("I look."),
        call("a", arguments='{"x": 1.10}'),
        call("b"),
        result("a"),
        result("b", [text("2"), {"type": "input_image", "image_url": "https://h/b.png",
                                 "detail": "auto"}]),
        *patch("c"),
        user(text("go on")),
    ],
    "a refusal": [
        user(text("x")),
        {**answer("a"), "content": [{"type": "refusal", "refusal": "no"}]},
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_what_is_said_survives_the_canonical_form(name: str) -> None:
    assert written(input=SAID[name])["input"] == SAID[name]


@pytest.mark.parametrize(
    "members",
    [
        {"instructions": "be brief"},
        {"tools": [TOOL, CUSTOM], "tool_choice": "required", "parallel_tool_calls": False},
        {"tools": [TOOL], "tool_choice": {"type": "function", "name": "f"}},
        {"tools": [CUSTOM], "tool_choice": {"type": "custom", "name": "apply_patch"}},
        {
            "tools": [TOOL, CUSTOM],
            "tool_choice": {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [
                    {"type": "function", "name": "f"},
                    {"type": "custom", "name": "apply_patch"},
                ],
            },
        },
        {
            "text": {
                "format": {
                    "type": "json_schema",
                    "name": "n",
                    "schema": {"type": "object"},
                    "strict": True,
                },
                "verbosity": "low",
            }
        },
        {"text": {"format": {"type": "json_object"}}},
        {"max_output_tokens": 70, "temperature": 0.5, "top_p": 1},
        {"reasoning": {"effort": "high", "summary": "auto"}},
        {"safety_identifier": "u", "prompt_cache_key": "k"},
        {"store": False, "include": ["reasoning.encrypted_content"],
         "reasoning": {"effort": "low"}},
    ],
)  # fmt: skip
def test_what_is_asked_for_survives_the_canonical_form(members: dict[str, Any]) -> None:
    body = written(**members)
    assert {name: body[name] for name in members} == members


def test_easy_messages_and_a_text_alone_say_the_same() -> None:
    assert written(input="x") == written(input=[{"role": "user", "content": "x"}])
    easy = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    assert written(input=easy)["input"] == [user(text("x")), answer("y")]


def test_leading_system_messages_are_instructions() -> None:
    given = [
        {"role": "developer", "content": "one"},
        {"type": "message", "role": "system", "content": [text("two")]},
        {"role": "user", "content": "x"},
    ]
    said = prompt(instructions="zero", input=given)
    assert [block.text for block in said.system] == ["zero", "one", "two"]
    assert [turn.role for turn in said.turns] == ["user"]


def test_items_of_one_answer_are_one_turn_with_its_results_behind_it() -> None:
    given = [
        user(text("x")), THOUGHT, call("a"), call("b"), result("a"), result("b"),
        THOUGHT, call("c"), result("c"), answer("done"),
    ]  # fmt: skip
    turns = prompt(input=given).turns
    assert [turn.role for turn in turns] == [
        "user", "assistant", "user", "assistant", "user", "assistant",
    ]  # fmt: skip
    assert [type(part) for part in turns[1].parts] == [Reasoning, ToolCall, ToolCall]
    assert [part.call_id for part in turns[2].parts if isinstance(part, ToolResult)] == ["a", "b"]


def test_a_late_result_stands_behind_the_answer_that_called() -> None:
    given = [call("a"), call("b"), result("a"), user(text("wait")), result("b"), answer("ok")]
    turns = prompt(input=given).turns
    assert [turn.role for turn in turns] == ["assistant", "user", "user", "assistant"]
    assert [part.call_id for part in turns[1].parts if isinstance(part, ToolResult)] == ["a", "b"]


def test_the_names_of_results_are_those_of_their_calls() -> None:
    [_, results] = prompt(input=[call("a", "look"), result("a")]).turns
    assert results.parts[0] == ToolResult(call_id="a", parts=results.parts[0].parts, name="look")  # type: ignore[union-attr]


def test_a_call_without_an_id_gets_one() -> None:
    [turn] = prompt(input=[{"type": "function_call", "name": "f", "arguments": "{}"}]).turns
    [made] = turn.parts
    assert isinstance(made, ToolCall)
    assert made.id


def test_a_signature_that_was_sealed_goes_back_onto_its_call() -> None:
    sealed = seal(Reasoning(signature="sig", call_id="a", origin="gemini_generate"))
    item = {"type": "reasoning", "summary": [], "encrypted_content": sealed}
    for items in ([item, call("a"), result("a")], [call("a"), item, result("a")]):
        turns = prompt(input=items).turns
        assert turns[0].parts == (ToolCall(id="a", name="f", arguments="{}", signature="sig"),)


def test_reasoning_of_another_protocol_comes_home_as_it_was() -> None:
    thought = Reasoning(text="hm", signature="s=", origin="anthropic_messages")
    item = {**THOUGHT, "encrypted_content": seal(thought)}
    [turn] = prompt(input=[item]).turns
    assert turn.parts == (thought,)


def test_what_has_no_place_is_dropped_and_told() -> None:
    request = translated(
        metadata={"a": "b"}, truncation="auto", max_tool_calls=3, service_tier="flex", store=True,
        include=["web_search_call.results"], odd=None, other=1, context_management=[{"type": "x"}],
        reasoning={"effort": "low", "context": "all_turns"}, prompt_cache_retention="24h",
        input=[{**answer("a"), "phase": "commentary"},
               user({**text("x"), "prompt_cache_breakpoint": {"mode": "explicit"}})],
        tools=[{**TOOL, "defer_loading": True}],
    )  # fmt: skip
    request.encode("")
    assert set(request.written().dropped) == {
        "metadata", "truncation", "max_tool_calls", "service_tier", "store", "include", "other",
        "context_management", "reasoning.context", "prompt_cache_retention", "phase",
        "prompt_cache_breakpoint", "tools.defer_loading",
    }  # fmt: skip


@pytest.mark.parametrize(
    "members",
    [
        {"store": False},
        {"include": ["reasoning.encrypted_content"]},
        {"background": False},
        {"truncation": "disabled"},
        {"top_logprobs": 0},
        {"metadata": {}},
        {"stream_options": {"include_obfuscation": False}},
        {"previous_response_id": None},
        {"service_tier": "auto"},
    ],
)
def test_what_says_nothing_is_neither_told_nor_binds(members: dict[str, Any]) -> None:
    request = translated(**members)
    request.encode("")
    assert request.written().dropped == ()


@pytest.mark.parametrize(
    ("members", "what"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"previous_response_id": "resp_1", "input": [result("a")]}, "previous_response_id"),
        ({"conversation": {"id": "c"}}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"background": True}, "background"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"moderation": {"model": "x"}}, "moderation"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "item_reference"),
        ({"input": [{"id": "fc_1"}, result("a")]}, "item_reference"),
        ({"tools": [{"type": "web_search"}]}, "web_search"),
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, "mcp"),
        ({"tools": [TOOL], "tool_choice": {"type": "web_search"}}, "tool_choice"),
        ({"input": [user({"type": "input_file", "file_id": "file-1"})]}, "file_id"),
        ({"input": [user({"type": "input_image", "file_id": "file-1"})]}, "file_id"),
        ({"input": [user({"type": "hologram"})]}, "hologram"),
        ({"input": [{"type": "web_search_call", "id": "ws_1"}]}, "web_search_call"),
        ({"input": [{"type": "compaction", "encrypted_content": "x"}]}, "compaction"),
        ({"input": [{"type": "mcp_approval_response", "approve": True}]}, "mcp_approval_response"),
        ({"input": [call("a"), result("a", [{"type": "hologram"}])]}, "hologram"),
        (
            {"input": [{"role": "system", "content": [{"type": "input_image", "image_url": "u"}]}]},
            "image",
        ),
    ],
)
def test_what_only_its_own_protocol_can_carry_goes_nowhere_else(
    members: dict[str, Any], what: str
) -> None:
    with pytest.raises(Unfit) as refused:
        written(**members)
    assert refused.value.what == what


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ([{"role": "ghost", "content": "x"}], "input[0].role"),
        ([user(text("x")), result("a")], "input[1].call_id"),
        ([result("a"), call("a")], "input[0].call_id"),
        (["x"], "input[0]"),
        ([user({"type": "input_image", "image_url": "data:x"})], "input[0].content[0]"),
        ([{"role": "user", "content": ["x"]}], "input[0].content[0]"),
    ],
)
def test_what_contradicts_itself_is_refused_before_any_call(given: Any, param: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        translated(input=given)
    assert refused.value.param == param


def test_a_prompt_of_elsewhere_is_not_stored_and_its_reasoning_can_go_round() -> None:
    assert written()["store"] is False
    assert "include" not in written()
    for members in ({"reasoning": {"effort": "low"}}, {"input": [THOUGHT, answer("x")]}):
        assert written(**members)["include"] == ["reasoning.encrypted_content"]
    request = Translated(asked("openai_responses"), RESPONSES, Target(model="m", reasons=True))
    assert json.loads(request.encode(""))["include"] == ["reasoning.encrypted_content"]


def test_a_provider_without_free_form_tools_gets_functions() -> None:
    body = written(
        frozenset({"custom_tools"}),
        tools=[CUSTOM],
        input=patch("c"),
        tool_choice={"type": "custom", "name": "apply_patch"},
    )
    assert body["tools"][0]["parameters"]["required"] == ["input"]
    assert body["tool_choice"] == {"type": "function", "name": "apply_patch"}
    assert [item["type"] for item in body["input"]] == ["function_call", "function_call_output"]
    assert body["input"][0]["arguments"] == '{"input":"*** Begin"}'


def test_a_provider_that_knows_no_choice_among_tools_gets_fewer() -> None:
    choice = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}
    body = written(frozenset({"allowed_tools"}), tools=[TOOL, CUSTOM], tool_choice=choice)
    assert (body["tools"], body["tool_choice"]) == ([TOOL], "auto")


def test_what_a_provider_refuses_is_dropped_and_told() -> None:
    refuses = frozenset({"temperature", "user", "verbosity", "reasoning_effort", "store"})
    request = translated(
        refuses, temperature=1, safety_identifier="u", text={"verbosity": "low"},
        reasoning={"effort": "low"},
    )  # fmt: skip
    body = json.loads(request.encode(""))
    assert set(request.written().dropped) == {
        "temperature", "safety_identifier", "text.verbosity", "reasoning.effort",
    }  # fmt: skip
    assert body.keys() == {"model", "input"}


def test_instructions_alone_are_asked_with_an_empty_turn() -> None:
    assert written(input=[], instructions="x")["input"] == [user(text(""))]


def test_ids_that_are_too_long_for_openai_are_shortened_alike() -> None:
    long = "toolu_" + "x" * 90
    given = written(input=[call(long), result(long)])["input"]
    assert given[0]["call_id"] == given[1]["call_id"]
    assert len(given[0]["call_id"]) <= 64


JSON = st.sampled_from([None, True, 7, -1.5, "", "x", "\ud83d", [], {}, [[1]], {"x": {"y": None}}])
KINDS = st.sampled_from(
    ["message", "function_call", "function_call_output", "custom_tool_call", "reasoning", "refusal",
     "custom_tool_call_output", "item_reference", "output_text", "input_text", "input_image",
     "input_file", "input_audio", "web_search_call", "function", "custom", "allowed_tools",
     "json_schema", "summary_text"]
)  # fmt: skip
WORDS = st.sampled_from(["user", "assistant", "system", "a", "data:image/png;base64,AA", "gw1.x"])
MEMBERS = ["type", "role", "content", "call_id", "output", "input", "arguments", "summary", "name",
           "encrypted_content", "id", "text", "image_url", "file_data", "input_audio", "phase",
           "refusal", "format", "tools", "mode", "schema", "status"]  # fmt: skip
NAMES = st.sampled_from(MEMBERS)
PART = st.dictionaries(NAMES, JSON | WORDS | KINDS, max_size=4)
ODD = JSON | WORDS | KINDS | PART | st.lists(PART | WORDS, max_size=2)
ITEM = st.builds(
    lambda kind, members: {**members, "type": kind}, KINDS, st.dictionaries(NAMES, ODD, max_size=5)
)
ASKED = ["tools", "tool_choice", "text", "reasoning", "include", "metadata", "instructions",
         "max_output_tokens", "prompt", "background", "top_logprobs", "store"]  # fmt: skip


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from(ASKED), ODD, max_size=4), st.lists(ITEM | JSON, max_size=5))
def test_any_json_is_translated_or_refused_in_words(members: Any, items: Any) -> None:
    for spoken in ("openai_responses", "openai_chat"):
        request = asked("openai_responses", **{**members, "input": items})
        try:
            body = Translated(request, PROTOCOLS[spoken], Target(model="m")).encode("")
        except (ProtocolError, Unfit):
            continue
        PROTOCOLS[spoken].parse(body)


@settings(max_examples=100)
@given(
    st.dictionaries(
        st.sampled_from(["status", "usage", "id", "created_at", "error", "model"]), ODD
    ),
    st.lists(ITEM | JSON, max_size=4),
)
def test_any_answer_is_read_or_refused(document: Any, items: Any) -> None:
    document["output"] = items
    body = json.dumps(document).encode()
    for stream in (False, True):
        for request in (translated(stream=stream), asked("openai_responses", stream=stream)):
            found = request.read(b"application/json", body, JUDGE)
            assert isinstance(found, (Reply, Failure))


EVENTS = st.sampled_from(
    ["response.created", "response.output_item.added", "response.output_item.done",
     "response.output_text.delta", "response.refusal.delta", "response.reasoning_text.delta",
     "response.reasoning_summary_text.delta", "response.reasoning_summary_part.added",
     "response.function_call_arguments.delta", "response.function_call_arguments.done",
     "response.custom_tool_call_input.delta", "response.custom_tool_call_input.done",
     "response.completed", "response.incomplete", "response.failed", "error"]
)  # fmt: skip
TOLD = {
    "delta": WORDS | JSON,
    "item": ITEM | JSON,
    "output_index": st.integers(-1, 3) | JSON,
    "response": JSON | st.builds(lambda items: {"output": items}, st.lists(ITEM, max_size=2)),
    "arguments": WORDS,
    "input": JSON,
    "item_id": WORDS | JSON,
    "error": ODD,
    "summary_index": JSON,
}
EVENT = st.builds(
    lambda kind, pairs: {**dict(pairs), "type": kind},
    EVENTS | JSON,
    st.lists(
        st.sampled_from(sorted(TOLD)).flatmap(lambda name: st.tuples(st.just(name), TOLD[name])),
        max_size=4,
    ),
)


@settings(max_examples=100)
@given(st.lists(EVENT, max_size=6))
def test_any_events_are_read_or_refused(events: Any) -> None:
    told = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    for request in (translated(stream=True), asked("openai_responses", stream=True)):
        scanner = request.scanner(JUDGE)
        scanner.feed(told)
        scanner.end()
