"""Between the Responses API and chat completions, both ways, whole and streamed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.errors import Failure
from providers.protocols import PROTOCOLS, Problem, Reply, Request
from providers.protocols.canonical import (
    Answer,
    Begin,
    CallBegin,
    CallDelta,
    CallEnd,
    Done,
    Finish,
    Media,
    Reasoning,
    ReasoningDelta,
    ReasoningEnd,
    Refusal,
    Text,
    TextDelta,
    ToolCall,
    Unfit,
)
from providers.protocols.pieces import answer_of, events_of
from providers.protocols.protocol import Target
from providers.protocols.responses import RESPONSES
from providers.protocols.responses.codec import CODEC
from providers.protocols.sealing import unseal
from providers.protocols.translating import Translated
from providers.protocols.usage import Usage
from tests.support.responses_stream import Told, read_as_codex, read_stream, with_pairs
from tests.support.validator import read_stream as read_chat
from tests.support.wire import JUDGE, asked

pytestmark = pytest.mark.pure

WIRE = Path("tests/wire")
RESPONSES_CASES = sorted(WIRE.glob("openai_responses/*/facts.json"))
CHAT_CASES = sorted(WIRE.glob("openai_chat/*/facts.json"))
GEMINI_CASES = sorted(WIRE.glob("gemini_generate/*/facts.json"))
PROBLEM = Problem(status=502, message="cut", type="server_error", code="upstream_failed")
PATCH = '*** Begin Patch\n+"é" \\ 🌍\n*** End Patch'


def between(
    asked_in: str, spoken: str, refuses: frozenset[str] = frozenset(), **members: Any
) -> Translated:
    target = Target(model="their-model", refuses=refuses)
    return Translated(asked(asked_in, **members), PROTOCOLS[spoken], target)


def through(request: Request, pieces: list[bytes]) -> tuple[bytes, Failure | None]:
    scanner = request.scanner(JUDGE)
    passed = b"".join([scanner.feed(piece) for piece in pieces])
    last, failure = scanner.end()
    if failure is not None:
        last += scanner.error_event(PROBLEM)
    return passed + last, failure


def same(told: bytes) -> bytes:
    """Without what a clock makes."""
    told = re.sub(rb'(?<="created":)\d+|(?<="created_at":)\d+', b"1", told)
    told = re.sub(rb'"(msg|rs|fc|ctc|ig)_[0-9a-f]+_(\d+)"', rb'"\1_\2"', told)
    return re.sub(rb"(call|resp|chatcmpl)(_|-)[0-9a-f]{12,}", rb"\1\2x", told)


def told_in_chat(stream: bytes) -> str:
    found = []
    for payload in re.findall(rb"^data: (\{.*)$", stream, re.MULTILINE):
        for choice in json.loads(payload).get("choices") or []:
            if choice.get("index", 0) != 0:
                continue
            content = (choice.get("delta") or {}).get("content")
            parts = content if isinstance(content, list) else [{"text": content}]
            found += [part["text"] for part in parts if isinstance(part.get("text"), str)]
    return "".join(found)


@pytest.mark.parametrize("case", CHAT_CASES, ids=[case.parent.name for case in CHAT_CASES])
def test_every_stream_of_chat_is_a_strict_one_of_responses(case: Path) -> None:
    facts = json.loads(case.read_text())
    upstream = (case.parent / "upstream.sse").read_bytes()

    def run(pieces: list[bytes]) -> tuple[bytes, Failure | None]:
        told, failure = through(between("openai_responses", "openai_chat", stream=True), pieces)
        return same(told), failure

    told, failure = run([upstream])

    assert (failure.fault.value if failure else None) == facts["fault"]
    read = read_stream(told)
    if failure is None:
        assert read.text == told_in_chat((case.parent / "caller.sse").read_bytes())
        codex = read_as_codex(told)
        assert codex.items == read.items
        assert codex.is_complete == (read.response["status"] == "completed")
    else:
        assert read.error is not None
        assert read.error["code"] == "upstream_failed"
    for cut in range(1, len(upstream), 23):
        assert run([upstream[:cut], upstream[cut:]])[0] == told


@pytest.mark.parametrize(
    "case", RESPONSES_CASES, ids=[case.parent.name for case in RESPONSES_CASES]
)
def test_every_stream_of_responses_is_a_strict_one_of_chat_and_of_itself(case: Path) -> None:
    facts = json.loads(case.read_text())
    upstream = (case.parent / "upstream.sse").read_bytes()
    options = {"include_usage": True}

    def run(pieces: list[bytes]) -> tuple[bytes, bytes, Failure | None]:
        in_chat = between("openai_chat", "openai_responses", stream=True, stream_options=options)
        again = between("openai_responses", "openai_responses", stream=True)
        told, failure = through(in_chat, pieces)
        anew, _ = through(again, pieces)
        return same(told), same(anew), failure

    told, anew, failure = run([upstream])

    assert (failure.fault.value if failure else None) == facts["fault"]
    read, written = read_chat(told, wants_usage=True), read_stream(anew)
    if failure is None:
        assert with_pairs(read.text) == written.text == said_natively(upstream)
        assert read.usage is not None
        if facts["usage"]:
            assert read.usage["prompt_tokens"] == facts["usage"]["input_tokens"]
            assert written.response["usage"]["output_tokens"] == facts["usage"]["output_tokens"]
        expected = [item for item in items_of(upstream) if item["type"].endswith("_call")]
        assert [item for item in written.items if item["type"].endswith("_call")] == [
            {**new, "id": old["id"]} for new, old in zip(expected, called(written), strict=True)
        ]
    for cut in range(1, len(upstream), 37):
        assert run([upstream[:cut], upstream[cut:]])[:2] == (told, anew)


def called(told: Told) -> list[dict[str, Any]]:
    return [item for item in told.items if item["type"].endswith("_call")]


def items_of(upstream: bytes) -> list[dict[str, Any]]:
    """What the provider itself says of its items, in their own events or in the last."""
    documents = [
        json.loads(payload)
        for payload in re.findall(rb"^data:\s?(\{.*?)\r?$", upstream, re.MULTILINE)
    ]
    items = [d["item"] for d in documents if d["type"] == "response.output_item.done"]
    return items or documents[-1]["response"]["output"]


def said_natively(upstream: bytes) -> str:
    return "".join(
        part.get("text", "")
        for item in items_of(upstream)
        if item["type"] == "message"
        for part in item["content"]
    )


@pytest.mark.parametrize("case", GEMINI_CASES, ids=[case.parent.name for case in GEMINI_CASES])
def test_every_stream_of_gemini_is_a_strict_one_of_responses(case: Path) -> None:
    facts = json.loads(case.read_text())
    upstream = (case.parent / "upstream.sse").read_bytes()
    request = between("openai_responses", "gemini_generate", stream=True)

    told, failure = through(request, [upstream])

    assert (failure.fault.value if failure else None) == facts["fault"]
    read = read_stream(told)
    assert (read.error is None) == (failure is None)
    assert read_as_codex(told).items == (read.items or read.response.get("output", []))


def test_a_signature_of_gemini_goes_round_through_responses() -> None:
    upstream = {
        "candidates": [
            {
                "content": {
                    "role": "model",
                    "parts": [
                        {
                            "functionCall": {"name": "f", "args": {"a": 1}},
                            "thoughtSignature": "c2ln",
                        }
                    ],
                },
                "finishReason": "STOP",
            }
        ]
    }
    stream = b"data: " + json.dumps(upstream).encode() + b"\n\n"
    told, _ = through(between("openai_responses", "gemini_generate", stream=True), [stream])
    items = read_as_codex(told).items
    [call] = [item for item in items if item["type"] == "function_call"]
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "1"}

    again = between("openai_responses", "gemini_generate", input=[*items, result])
    [said, _] = json.loads(again.encode(""))["contents"]

    assert said["parts"][0]["thoughtSignature"] == "c2ln"
    native = asked("openai_responses", input=[*items, result]).encode("m")
    assert [item["type"] for item in json.loads(native)["input"]] == [
        "function_call", "function_call_output",
    ]  # fmt: skip


# Whole answers

CALLS = [
    {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1.10}'}},
    {"id": "call_2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
]


def in_chat(message: dict[str, Any], finish: str = "stop") -> bytes:
    return json.dumps(
        {
            "id": "c1",
            "object": "chat.completion",
            "created": 7,
            "model": "m-1",
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {
                "prompt_tokens": 5,
                "completion_tokens": 3,
                "prompt_tokens_details": {"cached_tokens": 2},
                "completion_tokens_details": {"reasoning_tokens": 1},
            },
        }
    ).encode()


def asked_of_chat(message: dict[str, Any], finish: str = "stop", **members: Any) -> dict[str, Any]:
    """The response that a chat provider's answer becomes, the same whole and streamed."""
    body = in_chat(message, finish)
    whole = between("openai_responses", "openai_chat", **members).read(None, body, JUDGE)
    streamed = between("openai_responses", "openai_chat", stream=True, **members)
    stream = streamed.read(None, body, JUDGE)
    assert isinstance(whole, Reply)
    assert isinstance(stream, Reply)
    told = read_stream(stream.body)
    response: dict[str, Any] = json.loads(whole.body)
    assert json.loads(same(json.dumps(response).encode())) == json.loads(
        same(json.dumps(told.response).encode())
    )
    return response


def test_a_whole_answer_of_chat_is_a_response_with_an_item_for_each_thing_said() -> None:
    said = asked_of_chat(
        {"content": "hi", "reasoning_content": "hm", "tool_calls": CALLS}, "tool_calls"
    )

    assert (said["id"], said["model"], said["created_at"]) == ("resp_c1", "m-1", 7)
    assert (said["status"], said["object"]) == ("completed", "response")
    assert [item["type"] for item in said["output"]] == [
        "reasoning", "message", "function_call", "function_call",
    ]  # fmt: skip
    thought, message, first, second = said["output"]
    assert thought["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert message["content"][0]["text"] == "hi"
    assert (first["call_id"], first["arguments"]) == ("call_1", '{"a": 1.10}')
    assert second["call_id"] == "call_2"
    assert said["usage"] == {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 8,
    }


@pytest.mark.parametrize(
    ("message", "finish", "status", "reason"),
    [
        ({"content": "hi"}, "stop", "completed", None),
        ({"content": "hi"}, "length", "incomplete", "max_output_tokens"),
        ({"content": "hi"}, "content_filter", "incomplete", "content_filter"),
        ({"content": None, "refusal": "no"}, "stop", "completed", None),
        ({"content": None, "refusal": "no"}, "content_filter", "incomplete", "content_filter"),
        ({"content": None, "tool_calls": CALLS}, "stop", "completed", None),
        ({"content": ""}, "stop", "completed", None),
    ],
)
def test_the_finish_reasons_of_chat_are_those_of_responses(
    message: dict[str, Any], finish: str, status: str, reason: str | None
) -> None:
    said = asked_of_chat(message, finish)
    assert said["status"] == status
    details = said["incomplete_details"]
    assert (details["reason"] if details else None) == reason


def test_a_refusal_is_a_part_of_its_own() -> None:
    said = asked_of_chat({"content": None, "refusal": "no"})
    assert said["output"][0]["content"] == [{"type": "refusal", "refusal": "no"}]


def test_an_image_that_a_model_made_is_an_item() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/webp;base64,AAAA"}}
    [_, made] = asked_of_chat({"content": "see", "images": [image]})["output"]
    assert (made["type"], made["result"], made["output_format"]) == (
        "image_generation_call", "AAAA", "webp",
    )  # fmt: skip


def test_a_response_repeats_what_was_asked() -> None:
    tools = [{"type": "function", "name": "f", "parameters": None, "strict": False}]
    said = asked_of_chat(
        {"content": "hi"},
        instructions="be \ud83d brief",
        tools=tools,
        temperature=0.5,
        metadata=None,
    )
    assert (said["instructions"], said["tools"]) == ("be \ud83d brief", tools)
    assert (said["temperature"], said["metadata"], said["store"]) == (0.5, {}, False)


# Codex


SESSION = {
    "instructions": "You are a coding agent.",
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "s-1",
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "text": {"verbosity": "low"},
    "reasoning": {"effort": "medium", "summary": "auto"},
    "stream": True,
    "tools": [
        {"type": "function", "name": "shell", "strict": False, "parameters": {"type": "object"}},
        {
            "type": "custom",
            "name": "apply_patch",
            "description": "Edits files.",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"},
        },
    ],
}


def session(
    *items: dict[str, Any], refuses: frozenset[str] = frozenset(), **more: Any
) -> Translated:
    first = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "go"}]}
    members = {**SESSION, "input": [first, *items], **more}
    return between("openai_responses", "openai_chat", refuses, **members)


def test_what_codex_always_sends_is_served_elsewhere_without_a_word() -> None:
    request = session()
    body = json.loads(request.encode(""))
    assert request.written().dropped == ()
    assert (body["prompt_cache_key"], body["reasoning_effort"]) == ("s-1", "medium")
    assert body["parallel_tool_calls"] is True


def test_two_calls_of_one_answer_and_their_results_are_one_message_of_chat_and_two() -> None:
    def call(n: int) -> dict[str, Any]:
        return {"type": "function_call", "call_id": f"c{n}", "name": "shell", "arguments": "{}"}

    def result(n: int) -> dict[str, Any]:
        return {"type": "function_call_output", "call_id": f"c{n}", "output": f"{n}"}

    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}
    request = session(thought, call(1), call(2), result(1), result(2))
    messages = json.loads(request.encode(""))["messages"]

    assert [message["role"] for message in messages] == [
        "system", "user", "assistant", "tool", "tool",
    ]  # fmt: skip
    assert [call["id"] for call in messages[2]["tool_calls"]] == ["c1", "c2"]
    assert [message["tool_call_id"] for message in messages[3:]] == ["c1", "c2"]


def test_encrypted_reasoning_stays_behind_on_the_way_elsewhere_and_that_is_told() -> None:
    thought = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "secret plan"}],
        "encrypted_content": "gAAAA",
    }
    said = {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "x"}],
    }
    request = session(thought, said)
    body = request.encode("")
    assert b"gAAAA" not in body
    assert b"secret plan" not in body  # as text it would become prompt
    assert request.written().dropped == ("reasoning",)


@pytest.mark.parametrize("refuses", [frozenset(), frozenset({"custom_tools"})])
def test_a_free_form_tool_comes_back_as_one_with_bare_text(refuses: frozenset[str]) -> None:
    request = session(refuses=refuses)
    tool = json.loads(request.encode(""))["tools"][1]
    if refuses:
        assert tool["function"]["parameters"]["required"] == ["input"]
        arguments, kind, member = json.dumps({"input": PATCH}), "function", "arguments"
    else:
        assert tool["custom"]["format"] == SESSION["tools"][1]["format"]  # type: ignore[index]
        arguments, kind, member = PATCH, "custom", "input"
    whole = {"id": "c1", "type": kind, kind: {"name": "apply_patch", member: arguments}}
    pieces = [arguments[n : n + 5] for n in range(0, len(arguments), 5)]
    begun = {"index": 0, "id": "c1", "type": kind, kind: {"name": "apply_patch", member: ""}}
    rest = [{"index": 0, kind: {member: piece}} for piece in pieces]
    chunks = [{"delta": {"tool_calls": [call]}} for call in (begun, *rest)]
    chunks.append({"delta": {}, "finish_reason": "tool_calls"})
    stream = b"".join(
        b"data: " + json.dumps({"id": "c", "choices": [{"index": 0, **chunk}]}).encode() + b"\n\n"
        for chunk in chunks
    )

    told, failure = through(request, [stream + b"data: [DONE]\n\n"])

    assert failure is None
    read_stream(told)
    [item] = read_as_codex(told).items
    assert (item["type"], item["name"], item["input"]) == ("custom_tool_call", "apply_patch", PATCH)
    assert (item["call_id"], item["status"]) == ("c1", "completed")
    assert read_as_codex(told).is_complete
    plain = session(refuses=refuses, stream=False).read(
        None, in_chat({"content": None, "tool_calls": [whole]}), JUDGE
    )
    assert isinstance(plain, Reply)
    [same_item] = json.loads(plain.body)["output"]
    assert {**same_item, "id": ""} == {**item, "id": ""}


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('{"input":"a"}', "a"),
        ('"a"', "a"),
        ("*** Begin", "*** Begin"),
        ('{"patch":"a"}', '{"patch":"a"}'),
        ("[" * 9_999, "[" * 9_999),
        ('{"input":"\\ud83d"}', "\ud83d"),
        ("", ""),
    ],
)
def test_what_a_model_writes_for_a_free_form_tool_is_taken_as_it_is_meant(
    written: str, text: str
) -> None:
    call = ToolCall(id="c", name="apply_patch", arguments=written)
    told = CODEC.encoder(asked("openai_responses", **SESSION)).write(
        events_of(Answer(id="r", model="m", parts=(call,), finish=Finish.TOOL_CALLS))
    )
    [item] = read_stream(told).items
    assert item["input"] == text


def test_the_next_turn_takes_the_items_back_as_they_were_given() -> None:
    request = session(refuses=frozenset({"custom_tools"}), stream=False)
    calls = [
        CALLS[0],
        {
            "id": "c3",
            "type": "function",
            "function": {"name": "apply_patch", "arguments": json.dumps({"input": PATCH})},
        },
    ]
    message = {"content": "I look.", "reasoning_content": "hm", "tool_calls": calls}
    reply = request.read(None, in_chat(message), JUDGE)
    assert isinstance(reply, Reply)
    items = json.loads(reply.body)["output"]
    results = [
        {"type": "function_call_output", "call_id": "call_1", "output": "1"},
        {"type": "custom_tool_call_output", "call_id": "c3", "output": "2"},
    ]

    again = session(*items, *results, refuses=frozenset({"custom_tools"}))
    messages = json.loads(again.encode(""))["messages"]
    assert messages[2]["content"] == "I look."
    assert [c["function"]["name"] for c in messages[2]["tool_calls"]] == ["f", "apply_patch"]
    assert json.loads(messages[2]["tool_calls"][1]["function"]["arguments"]) == {"input": PATCH}
    assert [m["content"] for m in messages[3:]] == ["1", "2"]

    native = asked("openai_responses", **{**SESSION, "input": [*items, *results]}).encode("m")
    assert [item["type"] for item in json.loads(native)["input"]] == [
        "message", "function_call", "custom_tool_call", "function_call_output",
        "custom_tool_call_output",
    ]  # fmt: skip


# The state machine


def encoded(*events: Any, **members: Any) -> Told:
    begun = Begin(id="r", model="m")
    told = CODEC.encoder(asked("openai_responses", **members)).write([begun, *events])
    return read_stream(told)


def test_the_opening_piece_of_a_call_is_told_as_well() -> None:
    call = ToolCall(id="a", name="f", arguments='{"x":')
    told = encoded(
        CallBegin(index=0, call=call),
        CallDelta(index=0, arguments="1}"),
        CallEnd(index=0),
        Done(finish=Finish.TOOL_CALLS),
    )
    assert told.items[0]["arguments"] == '{"x":1}'


def test_calls_whose_pieces_come_in_turn_lose_none() -> None:
    events: list[Any] = [
        CallBegin(index=n, call=ToolCall(id=str(n), name="f", arguments="")) for n in (0, 1)
    ]
    for piece in ("[", "1", "]"):
        events += [CallDelta(index=n, arguments=piece) for n in (0, 1)]
    told = encoded(*events, Done(finish=Finish.TOOL_CALLS))
    assert [item["arguments"] for item in told.items] == ["[1]", "[1]"]


def test_text_and_reasoning_after_each_other_are_items_of_their_own() -> None:
    told = encoded(
        ReasoningDelta(text="hm"),
        TextDelta(text="a"),
        CallBegin(index=0, call=ToolCall(id="c", name="f", arguments="")),
        TextDelta(text="b"),
        ReasoningDelta(text="ha"),
        Done(finish=Finish.TOOL_CALLS),
    )
    assert [item["type"] for item in told.items] == [
        "reasoning", "message", "function_call", "message", "reasoning",
    ]  # fmt: skip
    assert told.items[2]["arguments"] == "{}"


def test_reasoning_is_sealed_with_all_that_its_maker_needs() -> None:
    thought = Reasoning(text="hm", signature="sig=", origin="anthropic_messages")
    told = encoded(
        ReasoningDelta(text="h"),
        ReasoningDelta(text="m"),
        ReasoningEnd(part=thought),
        Done(finish=Finish.STOP),
    )
    assert told.reasoning == "hm"
    assert unseal(told.items[0]["encrypted_content"], "hm") == thought


def test_reasoning_that_only_its_maker_reads_is_an_item_without_text() -> None:
    thought = Reasoning(encrypted="opaque", origin="anthropic_messages")
    told = encoded(ReasoningEnd(part=thought), Done(finish=Finish.STOP))
    assert told.items[0]["summary"] == []
    assert unseal(told.items[0]["encrypted_content"]) == thought


@pytest.mark.parametrize("at", ["its begin", "its end"])
def test_the_signature_of_a_call_travels_in_reasoning_that_names_the_call(at: str) -> None:
    is_early = at == "its begin"
    call = ToolCall(id="c", name="f", arguments="{}", signature="sig" if is_early else "")
    told = encoded(
        CallBegin(index=0, call=call),
        CallEnd(index=0, signature="sig"),
        Done(finish=Finish.TOOL_CALLS),
    )
    kinds = [item["type"] for item in told.items]
    assert kinds == (["reasoning", "function_call"] if is_early else ["function_call", "reasoning"])

    given = [*told.items, {"type": "function_call_output", "call_id": "c", "output": "1"}]
    [turn, _] = CODEC.prompt(asked("openai_responses", input=given)).turns
    assert turn.parts == (
        ToolCall(id="c", name="f", arguments="{}", signature="sig", item_id=turn.parts[0].item_id),  # type: ignore[union-attr]
    )


def test_an_answer_that_ends_early_says_so_of_its_last_item() -> None:
    told = encoded(TextDelta(text="a"), Done(finish=Finish.LENGTH))
    assert told.items[0]["status"] == "incomplete"
    assert told.response["incomplete_details"] == {"reason": "max_output_tokens"}


def test_a_stream_that_breaks_says_so_with_the_items_so_far() -> None:
    encoder = CODEC.encoder(asked("openai_responses"))
    thought = Reasoning(text="hm")
    told = encoder.write(
        [Begin(id="r", model="m"), ReasoningEnd(part=thought), TextDelta(text="a")]
    )
    read = read_stream(told + encoder.error_event(PROBLEM))
    assert read.error is not None
    assert read.error["code"] == "upstream_failed"
    assert [item["type"] for item in read.response["output"]] == ["reasoning"]


def test_a_call_id_that_openai_would_refuse_is_shortened() -> None:
    call = ToolCall(id="toolu_" + "x" * 90, name="f", arguments="{}")
    told = encoded(CallBegin(index=0, call=call), Done(finish=Finish.TOOL_CALLS))
    assert len(told.items[0]["call_id"]) <= 64


PARTS = st.one_of(
    st.builds(Text, text=st.text(min_size=1)),
    st.builds(Refusal, text=st.text(min_size=1)),
    st.builds(
        Reasoning,
        text=st.text(min_size=1),
        signature=st.text(),
        origin=st.just("anthropic_messages"),
    ),
    st.builds(
        ToolCall,
        id=st.text("abc", min_size=1),
        name=st.sampled_from(["f", "shell"]),
        arguments=st.sampled_from(['{"a":1}', "{}", "not json"]),
    ),
    st.just(Media(kind="image", media_type="image/png", data="AAAA")),
)


@settings(max_examples=50)
@given(st.lists(PARTS, max_size=6).map(tuple))
def test_an_answer_survives_being_told_as_a_strict_stream_and_read_again(parts: Any) -> None:
    answer = Answer(id="resp_r", model="m", parts=parts, finish=Finish.STOP, created_at=7)
    told = CODEC.encoder(asked("openai_responses")).write(events_of(answer))
    read_stream(told)
    decoder = CODEC.decoder(JUDGE)
    decoder.feed(told)
    assert decoder.failure is None

    streamed = answer_of(decoder.take())
    whole = CODEC.answer(json.loads(CODEC.reply(answer, asked("openai_responses"))), JUDGE)

    assert streamed is not None
    assert isinstance(whole, Answer)
    for found in (streamed, whole):
        assert [meaning(part) for part in joined(found.parts)] == [
            meaning(part) for part in joined(parts)
        ]
        assert (found.id, found.model, found.created_at) == ("resp_r", "m", 7)
    assert (
        streamed.usage
        == whole.usage
        == Usage(
            input_tokens=0,
            output_tokens=0,
            cached_tokens=0,
            cache_write_tokens=0,
            reasoning_tokens=0,
        )
    )


def joined(parts: Any) -> list[Any]:
    """Texts side by side say the same as one."""
    found: list[Any] = []
    for part in parts:
        last = found[-1] if found else None
        if isinstance(part, (Text, Refusal)) and type(part) is type(last):
            found[-1] = type(part)(text=last.text + part.text)
        elif not (isinstance(part, Text) and not part.text):
            found.append(part)
    return found


def meaning(part: Any) -> Any:
    match part:
        case ToolCall():
            return (part.id, part.name, part.arguments, part.is_custom)
        case Reasoning():
            return (part.text, part.signature, part.origin)
    return part


# From chat to a provider of responses


def test_a_chat_caller_is_served_by_responses() -> None:
    request = between(
        "openai_chat",
        "openai_responses",
        messages=[
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": None, "tool_calls": CALLS},
            {"role": "tool", "tool_call_id": "call_1", "content": "1"},
            {"role": "tool", "tool_call_id": "call_2", "content": "2"},
        ],
        tools=[{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        seed=3,
        logit_bias={},
        max_completion_tokens=50,
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
    )
    body = json.loads(request.encode(""))
    assert request.written().dropped == ("seed",)
    assert body["instructions"] == "be brief"
    assert [item["type"] for item in body["input"]] == [
        "message", "function_call", "function_call", "function_call_output",
        "function_call_output",
    ]  # fmt: skip
    assert body["tools"] == [
        {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}
    ]
    assert body["max_output_tokens"] == 50
    assert body["text"]["format"] == {
        "type": "json_schema", "name": "n", "schema": {}, "strict": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("members", "what"),
    [({"stop": "END"}, "stop"), ({"n": 2}, "n"), ({"logprobs": True}, "logprobs")],
)
def test_what_responses_cannot_do_for_chat_goes_to_somebody_else(
    members: dict[str, Any], what: str
) -> None:
    with pytest.raises(Unfit) as refused:
        between("openai_chat", "openai_responses", **members).encode("")
    assert refused.value.what == what


def test_encrypted_reasoning_goes_round_through_chat_byte_for_byte() -> None:
    thought = {
        "id": "rs_1",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "hm"}],
        "encrypted_content": "gAAAA+/=",
        "odd": 1.5,
    }
    said = {"id": "m", "type": "message", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": "42", "annotations": []}]}  # fmt: skip
    body = json.dumps({"id": "resp_1", "status": "completed", "output": [thought, said]}).encode()
    reply = between("openai_chat", "openai_responses").read(None, body, JUDGE)
    assert isinstance(reply, Reply)
    message = json.loads(reply.body)["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("42", "hm")

    history = [{"role": "user", "content": "x"}, message, {"role": "user", "content": "y"}]
    again = between("openai_chat", "openai_responses", messages=history)
    sent = json.loads(again.encode(""))

    assert sent["input"][1] == thought
    assert sent["include"] == ["reasoning.encrypted_content"]
    assert again.written().dropped == ()


def decoded(*events: dict[str, Any]) -> Answer:
    """What a provider's events, and the end of its stream, add up to."""
    ended = {"type": "response.completed", "response": {"id": "r", "status": "completed"}}
    decoder = CODEC.decoder(JUDGE)
    for event in (*events, ended):
        decoder.feed(b"data: " + json.dumps(event).encode() + b"\n\n")
    answer = answer_of(decoder.take())
    assert decoder.failure is None
    assert answer is not None
    return answer


def test_reasoning_that_is_told_in_two_kinds_of_events_is_told_once() -> None:
    item = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "hm"}],
        "content": [{"type": "reasoning_text", "text": "hmm, hmm"}],
    }
    for kind in ("reasoning_summary_text", "reasoning_text"):
        other = "reasoning_text" if kind == "reasoning_summary_text" else "reasoning_summary_text"
        answer = decoded(
            {"type": f"response.{kind}.delta", "output_index": 0, "delta": "hm"},
            {"type": f"response.{other}.delta", "output_index": 0, "delta": "hmm, hmm"},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
        )
        [thought] = answer.parts
        assert isinstance(thought, Reasoning)
        assert (thought.text, thought.raw) == ("hm", item)


def test_a_stream_without_its_first_event_is_a_strict_one_all_the_same() -> None:
    upstream = (WIRE / "openai_responses" / "plain_text" / "upstream.sse").read_bytes()
    pieces = upstream.split(b"\n\n", 2)
    for spoken in ("openai_responses", "openai_chat"):
        told, failure = through(between(spoken, "openai_responses", stream=True), [pieces[2]])
        assert failure is None
        read = read_stream(told) if spoken == "openai_responses" else read_chat(told)
        assert read.text == "Hello"


def test_a_call_that_a_provider_gives_no_id_is_a_call_all_the_same() -> None:
    call = {"type": "function_call", "name": "f", "arguments": '{"a":1}'}
    whole = {"type": "response.output_item.done", "output_index": 0, "item": call}
    begun = {"type": "response.output_item.added", "output_index": 0}
    begun["item"] = {**call, "arguments": ""}
    for events in ([whole], [begun, whole]):
        [found] = decoded(*events).parts
        assert isinstance(found, ToolCall)
        assert found.id
        assert found.arguments == '{"a":1}'


def test_pieces_behind_the_end_of_a_call_are_nobodys() -> None:
    call = {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}
    late = {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": "x"}
    done = {"type": "response.output_item.done", "output_index": 0, "item": call}
    [found] = decoded(done, late, done).parts
    assert isinstance(found, ToolCall)
    assert found.arguments == "{}"


def test_a_server_that_leaves_places_out_is_known_by_the_ids_of_its_items() -> None:
    def events(call_id: str) -> list[dict[str, Any]]:
        item = {"type": "function_call", "id": f"fc_{call_id}", "call_id": call_id, "name": "f"}
        return [
            {"type": "response.output_item.added", "item": {**item, "arguments": ""}},
            {"type": "response.function_call_arguments.delta", "item_id": item["id"], "delta": "["},
            {"type": "response.function_call_arguments.done", "item_id": item["id"],
             "arguments": f"[{call_id}]"},
            {"type": "response.output_item.done", "item": {**item, "arguments": f"[{call_id}]"}},
        ]  # fmt: skip

    answer = decoded(*events("1"), *events("2"))
    assert [part.arguments for part in answer.parts if isinstance(part, ToolCall)] == ["[1]", "[2]"]
    assert answer.finish is Finish.TOOL_CALLS


def test_the_protocol_has_its_codec() -> None:
    assert RESPONSES.codec is CODEC


def test_a_call_that_ends_as_another_item_is_ended_all_the_same() -> None:
    call = {"type": "function_call", "id": "fc_0", "call_id": "a", "name": "f", "arguments": '{"a"'}
    events = [
        {"type": "response.created", "response": {"id": "r", "model": "m", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": call},
        {"type": "response.output_item.done", "output_index": 0, "item": {"type": "new"}},
        {"type": "response.completed",
         "response": {"id": "r", "model": "m", "status": "completed", "output": [call]}},
    ]  # fmt: skip
    stream = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    spoken = PROTOCOLS["openai_responses"]
    chat = Translated(asked("openai_chat", stream=True), spoken, Target(model="m")).scanner(JUDGE)
    assert b'"tool_calls"' in chat.feed(stream)
    assert chat.finished
    messages = Translated(
        asked("anthropic_messages", stream=True), spoken, Target(model="m")
    ).scanner(JUDGE)
    assert b"message_stop" not in messages.feed(stream)
    assert messages.failure is not None
