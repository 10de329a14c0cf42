"""What a call of generateContent says to others: asked in Gemini's words, served by chat."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from msgspec.structs import replace

from providers.errors import ProtocolError
from providers.protocols import PROTOCOLS, sealing
from providers.protocols.canonical import Effort, Form, Prompt, Reasoning, Unfit
from providers.protocols.chat import CHAT
from providers.protocols.gemini.codec import CODEC
from providers.protocols.gemini.parts import BYPASS, sealed
from providers.protocols.gemini.schema import json_schema
from providers.protocols.protocol import Target
from providers.protocols.translating import Translated
from tests.support.wire import asked

pytestmark = pytest.mark.pure

USER = {"role": "user", "parts": [{"text": "x"}]}
DECLARED = {"name": "f", "description": "d", "parametersJsonSchema": {"type": "object"}}


def prompt(**members: Any) -> Prompt:
    return CODEC.prompt(asked("gemini_generate", **members))


def translated(**members: Any) -> Translated:
    return Translated(asked("gemini_generate", **members), CHAT, Target(model="their-model"))


def written(**members: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(translated(**members).encode(""))
    PROTOCOLS["openai_chat"].parse(json.dumps(body).encode())
    return body


def config(**members: Any) -> dict[str, Any]:
    return written(generationConfig=members)


def model_says(*parts: Any) -> dict[str, Any]:
    return {"role": "model", "parts": list(parts)}


def test_a_call_of_generate_content_is_asked_in_chats_words() -> None:
    body = written(
        systemInstruction={"parts": [{"text": "be brief"}, {"text": "be kind"}]},
        contents=[USER, model_says({"text": "Hi."}), {"parts": [{"text": "and?"}]}],
        generationConfig={
            "temperature": 0.5, "topP": 0.9, "seed": 3, "presencePenalty": 1,
            "frequencyPenalty": -1, "maxOutputTokens": 7, "stopSequences": ["END"],
            "thinkingConfig": {"thinkingLevel": "HIGH"},
        },
    )  # fmt: skip
    assert body == {
        "model": "their-model",
        "messages": [
            {"role": "system", "content": "be brief\n\nbe kind"},
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": "Hi."},
            {"role": "user", "content": "and?"},
        ],
        "temperature": 0.5, "top_p": 0.9, "seed": 3, "presence_penalty": 1,
        "frequency_penalty": -1, "max_completion_tokens": 7, "stop": ["END"],
        "reasoning_effort": "high",
    }  # fmt: skip


def test_names_in_snake_case_and_short_forms_say_the_same() -> None:
    snake = prompt(
        system_instruction={"parts": {"text": "s"}},
        contents={"parts": {"inline_data": {"mime_type": "image/png", "data": "AAAA"}}},
        tools=[{"function_declarations": [{"name": "f", "parameters_json_schema": {}}]}],
        tool_config={"function_calling_config": {"mode": "any", "allowed_function_names": ["f"]}},
        generation_config={
            "max_output_tokens": 7, "top_k": 3, "stop_sequences": ["a"],
            "response_mime_type": "application/json", "response_schema": {"type": "STRING"},
            "thinking_config": {"thinking_budget": 9, "include_thoughts": True},
        },
        safety_settings=[],
    )  # fmt: skip
    camel = prompt(
        systemInstruction={"parts": [{"text": "s"}]},
        contents=[{"parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]}],
        tools=[{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {}}]}],
        toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        generationConfig={
            "maxOutputTokens": 7, "topK": 3, "stopSequences": ["a"],
            "responseMimeType": "application/json", "responseSchema": {"type": "STRING"},
            "thinkingConfig": {"thinkingBudget": 9, "includeThoughts": True},
        },
        safetySettings=[],
    )  # fmt: skip
    assert snake == camel
    assert camel.effort == Effort(budget=9, summary="auto")
    assert camel.other == ("safetySettings",)


@pytest.mark.parametrize(
    ("members", "names"),
    [
        ({"safetySettings": [{}]}, {"safetySettings"}),
        ({"labels": {"a": "b"}}, {"labels"}),
        ({"store": True}, {"store"}),
        ({"serviceTier": "FLEX"}, {"serviceTier"}),
        ({"serviceTier": "STANDARD"}, set()),
        ({"generationConfig": {"topK": 3}}, {"topK"}),
        ({"generationConfig": {"mediaResolution": "MEDIA_RESOLUTION_LOW"}}, {"mediaResolution"}),
        ({"generationConfig": {"brandNew": 1}}, {"brandNew"}),
        ({"generationConfig": {"stopSequences": list("abcde")}}, {"stopSequences"}),
        ({"contents": [USER, model_says({"text": "hm", "thought": True}, {"text": "a"})]},
         {"thought"}),
        ({"contents": [{"parts": [{"text": "x", "partMetadata": {}}]}]}, {"partMetadata"}),
        ({"tools": [{"functionDeclarations": [{**DECLARED, "behavior": "BLOCKING"}]}]},
         {"behavior"}),
    ],
)  # fmt: skip
def test_what_has_no_place_is_dropped_and_told_in_geminis_words(
    members: dict[str, Any], names: set[str]
) -> None:
    assert set(translated(**members).written().dropped) == names


@pytest.mark.parametrize(
    ("members", "what"),
    [
        ({"generationConfig": {"candidateCount": 2}}, "candidateCount"),
        ({"generationConfig": {"responseLogprobs": True}}, "responseLogprobs"),
        ({"generationConfig": {"logprobs": 3}}, "logprobs"),
        ({"generationConfig": {"speechConfig": {}}}, "speechConfig"),
        ({"generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}}, "responseModalities"),
        ({"generationConfig": {"responseMimeType": "text/x.enum"}}, "responseMimeType"),
        ({"cachedContent": "cachedContents/1"}, "cachedContent"),
        ({"tools": [{"googleSearch": {}}]}, "googleSearch"),
        ({"tools": [{"functionDeclarations": [DECLARED], "codeExecution": {}}]}, "codeExecution"),
        ({"tools": [{"urlContext": {}}]}, "urlContext"),
        ({"contents": [{"parts": [{"fileData": {"fileUri": "gs://a/b"}}]}]}, "file_id"),
        ({"contents": [{"parts": [{"inlineData": {"data": "AAAA", "mimeType": "video/mp4"}}]}]},
         "video"),
        ({"contents": [{"parts": [{"fileData": {"fileUri": "https://youtu.be/x"}}]}]}, "video"),
        ({"contents": [USER, model_says({"executableCode": {"code": "1"}})]}, "content"),
    ],
)  # fmt: skip
def test_what_only_gemini_can_carry_goes_nowhere_else(members: dict[str, Any], what: str) -> None:
    with pytest.raises(Unfit) as refused:
        written(**members)
    assert refused.value.what == what


@pytest.mark.parametrize(
    "members",
    [{"candidateCount": 1}, {"responseLogprobs": False}, {"responseModalities": ["TEXT"]},
     {"thinkingConfig": {}}, {"responseMimeType": "text/plain"}, {"topP": None}],
)  # fmt: skip
def test_what_says_nothing_binds_nobody(members: dict[str, Any]) -> None:
    assert config(**members).keys() == {"model", "messages"}
    assert translated(generationConfig=members).written().dropped == ()


@pytest.mark.parametrize(
    ("thinking", "level"),
    [
        ({"thinkingBudget": 0}, "none"),
        ({"thinkingBudget": 1024}, "low"),
        ({"thinkingBudget": 2048}, "medium"),
        ({"thinkingBudget": 8192}, "high"),
        ({"thinkingBudget": 16384}, "xhigh"),
        ({"thinkingBudget": -1}, None),
        ({"thinkingLevel": "MINIMAL"}, "minimal"),
        ({"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}, None),
        ({"includeThoughts": True}, None),
    ],
)
def test_a_budget_is_an_effort(thinking: dict[str, Any], level: str | None) -> None:
    assert config(thinkingConfig=thinking).get("reasoning_effort") == level


def test_a_schema_of_openapi_is_one_of_json_schema() -> None:
    google = {
        "type": "OBJECT",
        "propertyOrdering": ["a", "type"],
        "required": ["a"],
        "properties": {
            "a": {"type": "STRING", "nullable": True, "enum": ["OBJECT", "x"]},
            "type": {"type": "ARRAY", "maxItems": "3", "items": {"type": "INTEGER"}},
            "u": {"anyOf": [{"type": "NUMBER"}, {"type": "STRING", "format": "enum"}]},
            "d": {"type": "OBJECT", "default": {"type": "OBJECT"}, "additional_properties": False},
        },
    }
    told = {
        "type": "object",
        "required": ["a"],
        "properties": {
            "a": {"type": ["string", "null"], "enum": ["OBJECT", "x", None]},
            "type": {"type": "array", "maxItems": 3, "items": {"type": "integer"}},
            "u": {"anyOf": [{"type": "number"}, {"type": "string", "format": "enum"}]},
            "d": {"type": "object", "default": {"type": "OBJECT"}, "additionalProperties": False},
        },
    }
    assert json_schema(google) == told
    body = config(responseSchema=google, responseMimeType="application/json")
    assert body["response_format"]["json_schema"]["schema"] == told
    tools = written(tools=[{"functionDeclarations": [{"name": "f", "parameters": google}]}])
    assert tools["tools"][0]["function"]["parameters"] == told


def test_any_json_is_asked_for_without_a_schema() -> None:
    assert config(responseMimeType="application/json")["response_format"] == {"type": "json_object"}
    form = prompt(generationConfig={"responseJsonSchema": {"type": "object"}}).form
    assert form == Form(kind="json_schema", schema={"type": "object"})


@pytest.mark.parametrize(
    ("calling", "choice"),
    [
        ({"mode": "AUTO"}, "auto"),
        ({"mode": "ANY"}, "required"),
        ({"mode": "NONE"}, "none"),
        ({"mode": "VALIDATED"}, "auto"),
        ({"mode": "MODE_UNSPECIFIED"}, None),
        ({"mode": "ANY", "allowedFunctionNames": ["f"]},
         {"type": "function", "function": {"name": "f"}}),
        ({"mode": "VALIDATED", "allowedFunctionNames": ["f"]},
         {"type": "allowed_tools", "allowed_tools": {
             "mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]}}),
    ],
)  # fmt: skip
def test_the_choice_of_tools(calling: dict[str, Any], choice: Any) -> None:
    body = written(
        tools=[{"functionDeclarations": [DECLARED]}],
        toolConfig={"functionCallingConfig": calling},
    )
    assert body.get("tool_choice") == choice
    assert body["tools"] == [
        {"type": "function",
         "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}},
    ]  # fmt: skip


def response(name: str, value: Any, **more: Any) -> dict[str, Any]:
    return {"functionResponse": {"name": name, "response": value, **more}}


def test_results_find_their_calls_by_id_or_by_name_and_order() -> None:
    calls = model_says(
        {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "QUJD"},
        {"functionCall": {"name": "f", "args": {"a": 2}}},
        {"functionCall": {"name": "g", "id": "own"}},
        {"functionCall": {"name": "f", "args": {"a": 3}}},
    )
    results = {"role": "function", "parts": [
        response("g", {"result": {"b": [1]}}, id="own"),
        response("f", {"output": "one"}),
        response("f", {"error": "two"}),
        response("f", {"x": 3, "y": 4}, id="made-up"),
    ]}  # fmt: skip
    first, *answers = written(contents=[USER, calls, results])["messages"][1:]
    ids = [call["id"] for call in first["tool_calls"]]
    assert len(set(ids)) == 4
    assert ids[2] == "own"
    assert [call["function"]["arguments"] for call in first["tool_calls"]] == [
        '{"a":1}', '{"a":2}', "{}", '{"a":3}',
    ]  # fmt: skip
    assert [(a["tool_call_id"], a["content"]) for a in answers] == [
        ("own", '{"b":[1]}'),
        (ids[0], "one"),
        (ids[1], "[tool error] two"),
        (ids[3], '{"x":3,"y":4}'),
    ]


def test_pictures_in_results_follow_them() -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    contents = [
        USER,
        model_says({"functionCall": {"name": "f"}}),
        {"parts": [response("f", {"output": "see"}, parts=[image])]},
    ]
    tool, user = written(contents=contents)["messages"][2:]
    assert tool["content"] == "see\n[image follows]"
    assert user["content"][0]["image_url"]["url"] == "data:image/png;base64,AAAA"


def test_base64_of_both_alphabets_is_made_plain() -> None:
    for data in ("-_8=", "-_8", "+/8=", "+/\n8=\n"):
        body = written(
            contents=[{"parts": [{"inlineData": {"mimeType": "image/x", "data": data}}]}]
        )
        [part] = body["messages"][0]["content"]
        assert part["image_url"]["url"] == "data:image/x;base64,+/8="


@pytest.mark.parametrize(
    ("contents", "param"),
    [
        ([{"role": "ghost", "parts": []}], "contents[0].role"),
        (["x"], "contents[0]"),
        ([USER, {"parts": [response("f", {})]}], "contents[1].parts[0].functionResponse"),
        ([USER, model_says({"functionCall": {"name": "f"}}),
          {"parts": [response("f", {}), response("f", {})]}],
         "contents[2].parts[1].functionResponse"),
        ([{"parts": [{"inlineData": {"mimeType": "image/png", "data": "?!"}}]}],
         "contents[0].parts[0]"),
        ([{"parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAAA"}}]}],
         "contents[0].parts[0]"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused_before_any_call(contents: Any, param: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        prompt(contents=contents)
    assert refused.value.param == param


def test_a_thought_of_another_protocol_is_whole_again() -> None:
    thought = Reasoning(text="hm", origin="openai_responses", encrypted="ee", id="rs_1")
    part = {"text": "hm", "thought": True, "thoughtSignature": sealed(thought)}
    url_safe = {**part, "thoughtSignature": part["thoughtSignature"].translate(
        str.maketrans("+/", "-_")).rstrip("=")}  # fmt: skip
    pieces = [{"text": "h", "thought": True}, {"text": "m", "thought": True}, {**part, "text": ""}]
    for given in ([part], [url_safe], pieces):
        assert prompt(contents=[USER, model_says(*given)]).turns[1].parts == (thought,)


def test_a_thought_of_its_own_keeps_every_byte() -> None:
    part = {"text": "hm", "thought": True, "thoughtSignature": "QUJD", "odd": [1.5]}
    [found] = prompt(contents=[USER, model_says(part)]).turns[1].parts
    assert found == Reasoning(text="hm", signature="QUJD", origin="gemini_generate", raw=part)
    broken = b64encode(sealing.seal(replace(found, raw=None)).encode()[:-9]).decode()
    [found] = (
        prompt(contents=[USER, model_says({**part, "thoughtSignature": broken})]).turns[1].parts
    )
    assert isinstance(found, Reasoning)
    assert found.signature == broken


def test_a_signature_stays_with_what_it_signs() -> None:
    parts = prompt(
        contents=[USER, model_says(
            {"text": "Hi", "thoughtSignature": "QUJD"},
            {"functionCall": {"name": "f", "id": "a"}, "thoughtSignature": BYPASS},
        )]
    ).turns[1].parts  # fmt: skip
    target = Target(model="gemini-3-pro")
    told = json.loads(CODEC.write(prompt(contents=[USER, model_says(
        {"text": "Hi", "thoughtSignature": "QUJD"},
        {"functionCall": {"name": "f", "id": "a", "args": {}}, "thoughtSignature": BYPASS},
    )]), target).body)  # fmt: skip
    assert len(parts) == 3
    assert parts[2].signature == ""  # ours, which says that there is none
    assert told["contents"][1]["parts"] == [
        {"text": "Hi"},
        {"text": "", "thoughtSignature": "QUJD"},
        {"functionCall": {"id": "a", "name": "f", "args": {}}, "thoughtSignature": BYPASS},
    ]


SAID: dict[str, dict[str, Any]] = {
    "text": {"contents": [USER, model_says({"text": "a"}), USER]},
    "media": {"contents": [{"role": "user", "parts": [
        {"inlineData": {"mimeType": "image/webp", "data": "AAAA"}},
        {"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}},
        {"fileData": {"fileUri": "gs://a/b.pdf", "mimeType": "application/pdf"}},
        {"fileData": {"fileUri": "https://www.youtube.com/watch?v=x"}},
    ]}]},
    "tools": {
        "contents": [
            USER,
            model_says({"functionCall": {"id": "a", "name": "f", "args": {"x": [1]}},
                        "thoughtSignature": "QUJD"}),
            {"role": "user", "parts": [{"functionResponse": {
                "id": "a", "name": "f", "response": {"output": "1"}, "parts": [
                    {"inlineData": {"mimeType": "image/webp", "data": "AAAA"}}]}}]},
        ],
        "tools": [{"functionDeclarations": [DECLARED]}, {"googleSearch": {}}],
        "toolConfig": {"functionCallingConfig": {"mode": "VALIDATED",
                                                 "allowedFunctionNames": ["f"]}},
    },
    "server tools": {"contents": [USER, model_says(
        {"executableCode": {"language": "PYTHON", "code": "1"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}})]},
    "form": {"contents": [USER], "generationConfig": {
        "responseMimeType": "application/json", "responseJsonSchema": {"type": "object"},
        "temperature": 0.5, "topK": 3, "stopSequences": ["a"], "maxOutputTokens": 7,
        "thinkingConfig": {"thinkingBudget": -1, "includeThoughts": True}}},
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_what_is_said_survives_the_canonical_form(name: str) -> None:
    said = SAID[name]
    target = Target(model="gemini-2.5-flash")
    assert json.loads(CODEC.write(prompt(**said), target).body) == said
