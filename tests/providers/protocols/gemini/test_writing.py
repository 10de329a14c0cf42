"""What others ask, as a call of generateContent: asked in chat, served by Gemini."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import pytest

from providers.errors import ProtocolError
from providers.protocols import PROTOCOLS
from providers.protocols.canonical import Prompt, Reasoning, Text, ToolCall, ToolResult, Turn, Unfit
from providers.protocols.gemini.codec import CODEC
from providers.protocols.gemini.parts import BYPASS
from providers.protocols.protocol import Target
from providers.protocols.translating import Translated
from tests.support.wire import asked

pytestmark = pytest.mark.pure

GEMINI = PROTOCOLS["gemini_generate"]
FUNCTION = {
    "name": "f",
    "description": "d",
    "parameters": {"type": "object", "properties": {"x": {}}},
}
TOOL = {"type": "function", "function": FUNCTION}
USER = {"role": "user", "content": "x"}


def translated(
    model: str = "gemini-2.5-flash", refuses: frozenset[str] = frozenset(), **members: Any
) -> Translated:
    return Translated(asked("openai_chat", **members), GEMINI, Target(model=model, refuses=refuses))


def written(model: str = "gemini-2.5-flash", **members: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(translated(model, **members).encode(""))
    GEMINI.parse(json.dumps(body).encode(), "/v1beta/models/m:generateContent")
    return body


def dropped(**members: Any) -> set[str]:
    return set(translated(**members).written().dropped)


def call(number: int, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"id": f"c{number}", "type": "function",
            "function": {"name": name, "arguments": arguments}}  # fmt: skip


def test_a_prompt_is_asked_in_geminis_words() -> None:
    body = written(
        messages=[
            {"role": "system", "content": "be brief"},
            {"role": "developer", "content": "be kind"},
            USER,
            {"role": "assistant", "content": "Hi."},
            {"role": "user", "content": [{"type": "text", "text": "and?"}]},
        ],
        temperature=0.5, top_p=0.9, seed=3, presence_penalty=1, frequency_penalty=-1,
        max_completion_tokens=7, stop="END",
    )  # fmt: skip
    assert body == {
        "systemInstruction": {"parts": [{"text": "be brief"}, {"text": "be kind"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "x"}]},
            {"role": "model", "parts": [{"text": "Hi."}]},
            {"role": "user", "parts": [{"text": "and?"}]},
        ],
        "generationConfig": {
            "maxOutputTokens": 7, "stopSequences": ["END"], "temperature": 0.5, "topP": 0.9,
            "seed": 3, "presencePenalty": 1, "frequencyPenalty": -1,
        },
    }  # fmt: skip


def test_the_path_names_model_and_verb() -> None:
    assert translated().upstream_path("g") == "/models/g:generateContent"
    streamed = translated(stream=True)
    assert streamed.upstream_path("g") == "/models/g:streamGenerateContent?alt=sse"


def test_turns_of_one_role_are_one_and_none_is_empty() -> None:
    messages = [
        USER, {"role": "user", "content": "y"}, {"role": "assistant", "content": ""},
        {"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"},
    ]  # fmt: skip
    assert written(messages=messages)["contents"] == [
        {"role": "user", "parts": [{"text": "x"}, {"text": "y"}]},
        {"role": "model", "parts": [{"text": "a"}, {"text": "b"}]},
    ]


@pytest.mark.parametrize(
    "messages",
    [[{"role": "system", "content": "s"}], [{"role": "user", "content": ""}],
     [{"role": "assistant", "content": None}]],
)  # fmt: skip
def test_contents_are_never_empty(messages: list[dict[str, Any]]) -> None:
    contents = written(messages=messages)["contents"]
    assert [part["text"] for turn in contents for part in turn["parts"]] == [" "]


def test_instructions_in_the_middle_stay_there_and_are_told() -> None:
    messages = [USER, {"role": "system", "content": "now brief"}, {"role": "user", "content": "y"}]
    [turn] = written(messages=messages)["contents"]
    assert [part["text"] for part in turn["parts"]] == [
        "x", "<system>\nnow brief\n</system>", "y",
    ]  # fmt: skip
    assert dropped(messages=messages) == {"system"}


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,iVBORw0KGgoAAA=="}},
         {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgoAAA=="}}),
        ({"type": "image_url", "image_url": {"url": "data:image/webp;base64,AAAA"}},
         {"inlineData": {"mimeType": "image/webp", "data": "AAAA"}}),
        ({"type": "image_url", "image_url": {"url": "gs://bucket/a.png"}},
         {"fileData": {"fileUri": "gs://bucket/a.png"}}),
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
         {"inlineData": {"mimeType": "audio/mpeg", "data": "AAAA"}}),
        ({"type": "file", "file": {"filename": "a", "file_data": "data:application/pdf;base64,AA"}},
         {"inlineData": {"mimeType": "application/pdf", "data": "AA"}}),
    ],
)  # fmt: skip
def test_media_stand_inline(part: dict[str, Any], told: dict[str, Any]) -> None:
    body = written(messages=[{"role": "user", "content": [part]}])
    assert body["contents"][0]["parts"] == [told]


@pytest.mark.parametrize(
    ("members", "what"),
    [
        ({"messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "https://h/a.png"}}]}]}, "image_url"),
        ({"messages": [{"role": "user", "content": [
            {"type": "file", "file": {"file_id": "f"}}]}]}, "file_id"),
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"prediction": {"type": "content"}}, "prediction"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"tools": [{"type": "mcp", "mcp": {}}]}, "mcp"),
        ({"tools": [TOOL], "response_format": {"type": "json_object"}}, "response_format"),
    ],
)  # fmt: skip
def test_what_gemini_cannot_take_goes_elsewhere(members: dict[str, Any], what: str) -> None:
    with pytest.raises(Unfit) as refused:
        written(**members)
    assert refused.value.what == what


@pytest.mark.parametrize(
    ("members", "names"),
    [
        ({"service_tier": "flex"}, {"service_tier"}),
        ({"service_tier": "auto"}, set()),
        ({"verbosity": "low"}, {"verbosity"}),
        ({"user": "u"}, {"user"}),
        ({"prompt_cache_key": "k"}, {"prompt_cache_key"}),
        ({"metadata": {"a": "b"}}, {"metadata"}),
        ({"tools": [TOOL], "parallel_tool_calls": False}, {"parallel_tool_calls"}),
        ({"tools": [TOOL], "parallel_tool_calls": True}, set()),
        ({"tools": [{"type": "function", "function": {**FUNCTION, "strict": True}}]}, {"strict"}),
        ({"stop": list("abcdef")}, {"stop"}),
        ({"messages": [{**USER, "name": "n"}]}, {"name"}),
        ({"messages": [USER, {"role": "assistant", "reasoning_content": "hm", "content": "x"}]},
         {"reasoning_details"}),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {
            "url": "data:image/png;base64,AAAA", "detail": "low"}}]}]}, {"detail"}),
        ({"refuses": frozenset({"temperature"}), "temperature": 1}, {"temperature"}),
    ],
)  # fmt: skip
def test_what_has_no_place_is_dropped_and_told(members: dict[str, Any], names: set[str]) -> None:
    assert dropped(**members) == names


def test_five_stop_strings_are_taken() -> None:
    assert written(stop=list("abcdef"))["generationConfig"]["stopSequences"] == list("abcde")


# Tools


def test_functions_are_declared_with_their_schema_as_it_is() -> None:
    bare = {"type": "function", "function": {"name": "g", "parameters": {
        "type": "object", "properties": {}}}}  # fmt: skip
    custom = {"type": "custom", "custom": {"name": "h"}}
    declared = written(tools=[TOOL, bare, custom])["tools"][0]["functionDeclarations"]
    assert declared[0] == {
        "name": "f", "description": "d", "parametersJsonSchema": FUNCTION["parameters"],
    }  # fmt: skip
    assert declared[1] == {"name": "g"}
    assert declared[2]["parametersJsonSchema"]["required"] == ["input"]


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("auto", {"mode": "AUTO"}),
        ("required", {"mode": "ANY"}),
        ("none", {"mode": "NONE"}),
        ({"type": "function", "function": {"name": "f"}},
         {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [TOOL]}},
         {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [TOOL]}},
         {"mode": "ANY", "allowedFunctionNames": ["f"]}),
    ],
)  # fmt: skip
def test_the_choice_of_tools(choice: Any, config: dict[str, Any]) -> None:
    body = written(tools=[TOOL], tool_choice=choice)
    assert body["toolConfig"] == {"functionCallingConfig": config}
    assert "toolConfig" not in written(tool_choice="auto")


LOOP = [
    USER,
    {"role": "assistant", "content": "I look.",
     "tool_calls": [call(1, arguments='{"a": 1}'), call(2, "g", "[]"), call(3, "g", "")]},
    {"role": "tool", "tool_call_id": "c1", "content": "one"},
    {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "two"}]},
    {"role": "user", "content": "go on"},
]  # fmt: skip


def test_results_name_the_function_of_their_call() -> None:
    _, model, user = written(messages=LOOP)["contents"]
    assert model["parts"] == [
        {"text": "I look."},
        {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}},
        {"functionCall": {"id": "c2", "name": "g", "args": {"arguments": "[]"}}},
        {"functionCall": {"id": "c3", "name": "g", "args": {}}},
    ]
    assert user["parts"] == [
        {"functionResponse": {"id": "c1", "name": "f", "response": {"output": "one"}}},
        {"functionResponse": {"id": "c2", "name": "g", "response": {"output": "two"}}},
        {"text": "go on"},
    ]


def prompted(*turns: Turn, model: str = "gemini-3-pro-preview") -> dict[str, Any]:
    prompt = Prompt(turns=(Turn(role="user", parts=(Text(text="x"),)), *turns))
    body: dict[str, Any] = json.loads(CODEC.write(prompt, Target(model=model)).body)
    return body


def test_an_error_of_a_tool_is_told_as_one() -> None:
    turns = [
        Turn(role="assistant", parts=(ToolCall(id="a", name="f"),)),
        Turn(role="user", parts=(
            ToolResult(call_id="a", parts=(Text(text="no"),), is_error=True),)),
    ]  # fmt: skip
    [response] = prompted(*turns)["contents"][2]["parts"]
    assert response["functionResponse"] == {"id": "a", "name": "f", "response": {"error": "no"}}


def test_calls_of_another_model_get_the_documented_signature() -> None:
    for model in ("gemini-3-pro-preview", "gemini-flash-latest"):
        parts = written(model, messages=LOOP)["contents"][1]["parts"]
        assert [part.get("thoughtSignature") for part in parts] == [None, BYPASS, None, None]
    assert b64decode(BYPASS) == b"skip_thought_signature_validator"
    assert all("thoughtSignature" not in p for p in written(messages=LOOP)["contents"][1]["parts"])


def test_a_signature_comes_back_to_its_call_byte_for_byte() -> None:
    beside = Reasoning(origin="gemini_generate", signature="QUJD", call_id="a")
    own = ToolCall(id="a", name="f", signature="QUJD")
    for parts in ((beside, ToolCall(id="a", name="f")), (own,)):
        more = ToolCall(id="b", name="g")
        told = prompted(Turn(role="assistant", parts=(*parts, more)))["contents"][1]["parts"]
        assert [part.get("thoughtSignature") for part in told] == ["QUJD", None]
        assert [next(iter(part)) for part in told] == ["functionCall", "functionCall"]


def test_geminis_own_thoughts_come_back_as_they_were() -> None:
    raw = {"text": "hm", "thought": True, "thoughtSignature": "QUJD", "odd": 1.5}
    thoughts = (
        Reasoning(text="hm", origin="gemini_generate", signature="QUJD", raw=raw),
        Reasoning(text="so", origin="gemini_generate", signature="REVG"),
        Reasoning(origin="gemini_generate", signature="R0hJ"),
        Reasoning(text="foreign", origin="anthropic_messages", signature="s"),
    )
    body = prompted(Turn(role="assistant", parts=(*thoughts, Text(text="Hi"))))
    assert body["contents"][1]["parts"] == [
        raw,
        {"text": "so", "thought": True, "thoughtSignature": "REVG"},
        {"text": "", "thoughtSignature": "R0hJ"},
        {"text": "Hi"},
    ]


# What the answer is to be


def test_a_schema_is_asked_for_as_it_is() -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {}}}
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}}
    assert written(response_format=form)["generationConfig"] == {
        "responseMimeType": "application/json", "responseJsonSchema": schema,
    }  # fmt: skip
    assert written(response_format={"type": "json_object"})["generationConfig"] == {
        "responseMimeType": "application/json"
    }
    both = written("gemini-3-pro", response_format=form, tools=[TOOL])
    assert "responseJsonSchema" in both["generationConfig"]


EFFORTS = {
    # level: 2.5 flash, 2.5 pro, 2.5 flash-lite, 3 flash, 3 pro
    "none": (0, 128, 0, "MINIMAL", "LOW"),
    "minimal": (1, 128, 512, "MINIMAL", "LOW"),
    "low": (1024, 1024, 1024, "LOW", "LOW"),
    "medium": (2048, 2048, 2048, "MEDIUM", "MEDIUM"),
    "high": (4096, 4096, 4096, "HIGH", "HIGH"),
    "xhigh": (8192, 8192, 8192, "XHIGH", "XHIGH"),
    "max": (16384, 16384, 16384, "XHIGH", "XHIGH"),
}
MODELS = (
    "gemini-2.5-flash", "gemini-2.5-pro", "gemini-2.5-flash-lite",
    "gemini-3-flash-preview", "gemini-3.1-pro-preview",
)  # fmt: skip


@pytest.mark.parametrize("level", EFFORTS)
@pytest.mark.parametrize("place", range(len(MODELS)))
def test_effort_is_a_budget_or_a_level_by_the_models_generation(level: str, place: int) -> None:
    model, value = MODELS[place], EFFORTS[level][place]
    word = "thinkingBudget" if isinstance(value, int) else "thinkingLevel"
    config = written(model, reasoning_effort=level)["generationConfig"]
    assert config == {"thinkingConfig": {word: value}}
    is_rounded = isinstance(value, str) and value.lower() != level
    is_rounded = is_rounded or (level == "none" and value == 128)
    told = translated(model, reasoning_effort=level).written().dropped
    assert told == (("reasoning_effort",) if is_rounded else ())


@pytest.mark.parametrize("model", ["gemini-2.0-flash", "gemini-1.5-pro", "gemma-3-27b-it"])
def test_a_model_that_does_not_think_is_not_told_to(model: str) -> None:
    assert "generationConfig" not in written(model, reasoning_effort="high")
    assert translated(model, reasoning_effort="high").written().dropped == ("reasoning_effort",)
    assert translated(model, reasoning_effort="none").written().dropped == ()


def test_a_result_without_its_call_is_refused_before_any_call() -> None:
    with pytest.raises(ProtocolError):
        translated(messages=[USER, {"role": "tool", "tool_call_id": "z", "content": "x"}])
