"""Answers between Gemini and chat, both ways, whole and in streams, by the strict readers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.errors import Failure, Fault, ProtocolError
from providers.protocols import PROTOCOLS, Problem, Reply, Usage, sealing
from providers.protocols.canonical import (
    Begin,
    CallBegin,
    CallEnd,
    Done,
    Event,
    Finish,
    Reasoning,
    ReasoningDelta,
    ReasoningEnd,
    TextDelta,
    ToolCall,
    Unfit,
)
from providers.protocols.gemini.codec import CODEC
from providers.protocols.gemini.parts import BYPASS
from providers.protocols.pieces import answer_of, events_of
from providers.protocols.protocol import Target
from providers.protocols.translating import Translated
from tests.support import gemini_stream, validator
from tests.support.gemini_stream import read_array, read_stream, read_whole
from tests.support.wire import JUDGE, asked

pytestmark = pytest.mark.pure

GEMINI, CHAT = PROTOCOLS["gemini_generate"], PROTOCOLS["openai_chat"]
CASES = sorted(Path("tests/wire/gemini_generate").glob("*/facts.json"))
CHAT_CASES = sorted(Path("tests/wire/openai_chat").glob("*/facts.json"))
ARRAY = "/v1beta/models/m:streamGenerateContent"
USAGE = {
    "promptTokenCount": 10, "toolUsePromptTokenCount": 5, "candidatesTokenCount": 3,
    "thoughtsTokenCount": 7, "cachedContentTokenCount": 4, "totalTokenCount": 25,
}  # fmt: skip
CHAT_USAGE = {
    "prompt_tokens": 15, "completion_tokens": 10, "total_tokens": 25,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 7},
}  # fmt: skip
THINKS = {"text": "hm", "thought": True, "thoughtSignature": "REVG"}
CALLS = {"functionCall": {"name": "f", "args": {"x": 1}}, "thoughtSignature": "QUJD"}


def to_gemini(*, stream: bool = False, **members: Any) -> Translated:
    """A chat caller, served by Gemini."""
    return Translated(asked("openai_chat", stream=stream, **members), GEMINI, Target(model="g"))


def to_chat(target: str = "", **members: Any) -> Translated:
    """A Gemini caller, served by chat."""
    return Translated(asked("gemini_generate", target, **members), CHAT, Target(model="c"))


def answered(*parts: Any, finish: str = "STOP", **more: Any) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": list(parts)}, "finishReason": finish}
    return {"candidates": [candidate], "responseId": "r", "modelVersion": "v",
            "usageMetadata": USAGE, **more}  # fmt: skip


def completed(message: dict[str, Any], finish: str = "stop") -> dict[str, Any]:
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {"id": "c1", "created": 1_700_000_000, "model": "m-1", "object": "chat.completion",
            "choices": [choice], "usage": CHAT_USAGE}  # fmt: skip


def read(request: Translated, document: Any) -> Reply | Failure:
    return request.read(b"application/json", json.dumps(document).encode(), JUDGE)


def whole(request: Translated, document: Any) -> dict[str, Any]:
    reply = read(request, document)
    assert isinstance(reply, Reply), reply
    told: dict[str, Any] = json.loads(reply.body)
    return told


def through(request: Translated, pieces: list[bytes]) -> tuple[bytes, Failure | None]:
    scanner = request.scanner(JUDGE)
    passed = b"".join([scanner.feed(piece) for piece in pieces])
    last, failure = scanner.end()
    return passed + last, failure


def events(*documents: Any, end: bytes = b"\r\n\r\n") -> bytes:
    return b"".join(b"data: " + json.dumps(each).encode() + end for each in documents)


def chunks(*deltas: Any, finish: str = "stop", usage: Any = None) -> bytes:
    """A chat provider's stream."""
    base = {"id": "c1", "created": 1, "model": "m-1", "object": "chat.completion.chunk"}
    said = [{**base, "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    said.append({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    if usage:
        said.append({**base, "choices": [], "usage": usage})
    return events(*said, end=b"\n\n") + b"data: [DONE]\n\n"


# A Gemini provider's answers to a chat caller


def test_a_whole_answer_of_gemini_says_the_same_in_chat() -> None:
    parts = [THINKS, {"text": "Hel"}, {"text": "lo"}, CALLS, {"functionCall": {"name": "g"}}]
    told = whole(to_gemini(), answered(*parts, createTime="2026-11-27T10:00:00.5Z"))
    message = told["choices"][0]["message"]
    assert (told["id"], told["model"], told["created"]) == ("chatcmpl-r", "v", 1795773600)
    assert (message["content"], message["reasoning_content"]) == ("Hello", "hm")
    assert told["choices"][0]["finish_reason"] == "tool_calls"
    assert [c["function"] for c in message["tool_calls"]] == [
        {"name": "f", "arguments": '{"x":1}'}, {"name": "g", "arguments": "{}"},
    ]  # fmt: skip
    assert told["usage"] == CHAT_USAGE


def test_calls_that_come_without_ids_get_one_each() -> None:
    parts = [CALLS, {"functionCall": {"name": "f", "args": {"x": 2}}}]
    message = whole(to_gemini(), answered(*parts))["choices"][0]["message"]
    ids = [call["id"] for call in message["tool_calls"]]
    assert len(set(ids)) == 2
    assert all(0 < len(each) <= 40 and each.replace("_", "").isalnum() for each in ids)
    told, failure = through(to_gemini(stream=True), [events(answered(*parts))])
    assert failure is None
    calls = validator.read_stream(told).choices[0].calls
    assert len({call["id"] for call in calls}) == 2


@pytest.mark.parametrize("is_stream", [False, True])
def test_signatures_make_the_round_trip_through_a_chat_caller(is_stream: bool) -> None:
    answer = answered(THINKS, {"text": "Hi", "thoughtSignature": "R0hJ"}, CALLS)
    if is_stream:
        told, _ = through(to_gemini(stream=True), [events(answer)])
        message = {"role": "assistant", **said_in(told)}
    else:
        message = whole(to_gemini(), answer)["choices"][0]["message"]
    [call] = message["tool_calls"]
    messages = [
        {"role": "user", "content": "x"},
        message,
        {"role": "tool", "tool_call_id": call["id"], "content": "1"},
    ]
    body = json.loads(to_gemini(messages=messages).encode(""))
    parts = body["contents"][1]["parts"]
    assert {"text": "hm", "thought": True, "thoughtSignature": "REVG"} in parts
    assert {"text": "", "thoughtSignature": "R0hJ"} in parts
    signed = [part for part in parts if "functionCall" in part]
    assert [part["thoughtSignature"] for part in signed] == ["QUJD"]


def said_in(stream: bytes) -> dict[str, Any]:
    """The message that a chat client makes of a stream, lists of details included."""
    message: dict[str, Any] = {"content": "", "reasoning_details": [], "tool_calls": []}
    for line in stream.decode().split("\n\n"):
        payload = line.removeprefix("data: ")
        if not payload or payload == "[DONE]":
            continue
        for choice in json.loads(payload)["choices"]:
            delta = choice["delta"]
            message["content"] += delta.get("content") or ""
            message["reasoning_details"] += delta.get("reasoning_details") or []
            message["tool_calls"] += delta.get("tool_calls") or []
    return message


FINISHES = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "LANGUAGE": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_OTHER": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "ESCALATION": "content_filter",
    "BRAND_NEW": "stop",
}
FAILURES = (
    "MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL",
    "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE", "OTHER", "NO_IMAGE",
)  # fmt: skip


@pytest.mark.parametrize("word", FINISHES)
def test_why_an_answer_ended(word: str) -> None:
    answer = answered({"text": "Hi"}, finish=word)
    assert whole(to_gemini(), answer)["choices"][0]["finish_reason"] == FINISHES[word]
    told, failure = through(to_gemini(stream=True), [events(answer)])
    assert failure is None
    assert validator.read_stream(told).finish == FINISHES[word]


@pytest.mark.parametrize("word", FAILURES)
@pytest.mark.parametrize("parts", [[], [{"text": "Hi"}]])
def test_a_models_failure_is_never_a_stop(word: str, parts: list[Any]) -> None:
    answer = answered(*parts, finish=word)
    assert isinstance(read(to_gemini(), answer), Failure)
    _, failure = through(to_gemini(stream=True), [events(answer)])
    assert failure is not None


def test_a_blocked_prompt_was_filtered() -> None:
    document = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": USAGE}
    assert whole(to_gemini(), document)["choices"][0]["finish_reason"] == "content_filter"
    told, failure = through(to_gemini(stream=True), [events(document)])
    assert failure is None
    assert validator.read_stream(told).finish == "content_filter"


def test_a_picture_of_geminis_is_one_for_chat() -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    message = whole(to_gemini(), answered(image))["choices"][0]["message"]
    assert message["images"][0]["image_url"]["url"] == "data:image/png;base64,AAAA"


@pytest.mark.parametrize("case", CASES, ids=[case.parent.name for case in CASES])
def test_every_recorded_stream_is_a_strict_one_of_chat(case: Path) -> None:
    facts = json.loads(case.read_text())
    upstream = (case.parent / "upstream.sse").read_bytes()

    told, failure = through(chat_caller(), [upstream])

    assert (failure.fault.value if failure else None) == facts["fault"]
    if failure is None:
        said = validator.read_stream(told, wants_usage=True)
        assert said.usage is not None
        assert said.finish
        if "target" not in facts:
            native = (case.parent / "caller.sse").read_bytes()
            assert said.text == text_in(native)
    for cut in range(1, len(upstream), 7):
        pieces, problem = through(chat_caller(), [upstream[:cut], upstream[cut:]])
        assert without_ids(pieces) == without_ids(told)
        assert (problem is None) == (failure is None)


def chat_caller() -> Translated:
    return to_gemini(stream=True, stream_options={"include_usage": True})


def without_ids(stream: bytes) -> list[Any]:
    """The chunks but for the time and the ids that were made up."""
    found = []
    for line in stream.split(b"\n\n"):
        payload = line.removeprefix(b"data: ")
        if not payload or payload == b"[DONE]":
            continue
        document = json.loads(payload)
        document["created"] = 0
        for choice in document["choices"]:
            for call in choice["delta"].get("tool_calls") or ():
                call["id"] = ""
            for detail in choice["delta"].get("reasoning_details") or ():
                detail.pop("call_id", None)
        found.append(document)
    return found


def text_in(stream: bytes) -> str:
    found = ""
    for line in stream.split(b"\n\n"):
        if line:
            for candidate in json.loads(line.removeprefix(b"data: ")).get("candidates", ()):
                for part in candidate.get("content", {}).get("parts", ()):
                    found += part.get("text", "") if not part.get("thought") else ""
    return found


# A chat provider's answers to a Gemini caller


def test_a_whole_answer_of_chat_says_the_same_in_gemini() -> None:
    calls = [
        {"id": i, "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
        for i in "ab"
    ]
    message = {"content": "Hi", "reasoning_content": "hm", "tool_calls": calls}
    told = whole(to_chat(), completed(message, "tool_calls"))
    said = read_whole(json.dumps(told).encode())
    assert (said.text, said.thoughts, said.finish) == ("Hi", "hm", "STOP")
    assert said.calls == [{"id": i, "name": "f", "args": {"x": 1}} for i in "ab"]
    assert (told["responseId"], told["modelVersion"]) == ("c1", "m-1")
    assert told["createTime"] == "2023-11-14T22:13:20Z"
    assert told["usageMetadata"] == {
        "promptTokenCount": 15, "candidatesTokenCount": 3, "thoughtsTokenCount": 7,
        "cachedContentTokenCount": 4, "totalTokenCount": 25,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("message", "finish", "word"),
    [
        ({"content": "Hi"}, "stop", "STOP"),
        ({"content": "Hi"}, "length", "MAX_TOKENS"),
        ({"content": None}, "content_filter", "SAFETY"),
        ({"content": None, "refusal": "No."}, "stop", "SAFETY"),
        ({"content": ""}, "stop", "STOP"),
    ],
)
def test_why_an_answer_of_chat_ended(message: dict[str, Any], finish: str, word: str) -> None:
    told = whole(to_chat(), completed(message, finish))
    said = read_whole(json.dumps(told).encode())
    assert said.finish == word
    assert said.text == (message["content"] or message.get("refusal") or "")
    streamed, failure = through(to_chat(stream=True), [chunks(message, finish=finish)])
    assert failure is None
    assert read_stream(streamed).finish == word


@pytest.mark.parametrize("target", ["", ARRAY])
def test_calls_come_whole_however_their_arguments_came(target: str) -> None:
    sent = chunks(
        {"role": "assistant", "content": "I"},
        {"content": " look."},
        {"tool_calls": [call(0, "a", "f", '{"x"'), call(1, "b", "g", "")]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ':"\u00e9'}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"}'}}]},
        finish="tool_calls", usage=CHAT_USAGE,
    )  # fmt: skip
    told, failure = through(to_chat(target, stream=True), [sent])
    assert failure is None
    said = (read_array if target else read_stream)(told)
    assert (said.text, said.finish) == ("I look.", "STOP")
    assert said.calls == [
        {"id": "a", "name": "f", "args": {"x": "é"}}, {"id": "b", "name": "g", "args": {}},
    ]  # fmt: skip
    assert said.usage is not None
    assert said.usage["thoughtsTokenCount"] == 7
    assert said.signatures == [b"skip_thought_signature_validator"]
    assert BYPASS.encode() in told
    for cut in range(1, len(sent), 3):
        assert through(to_chat(target, stream=True), [sent[:cut], sent[cut:]])[0] == told


def call(index: int, call_id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"index": index, "id": call_id, "type": "function",
            "function": {"name": name, "arguments": arguments}}  # fmt: skip


@pytest.mark.parametrize("arguments", ['{"x"', "[1]", "null", "patch", '"x"'])
def test_arguments_that_are_no_object_are_the_providers_failure(arguments: str) -> None:
    calls = [{"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}}]
    failure = read(to_chat(), completed({"tool_calls": calls}, "tool_calls"))
    assert isinstance(failure, Failure)
    assert failure.fault is Fault.BAD_REPLY
    sent = chunks({"content": "Hi"}, {"tool_calls": [call(0, "a", "f", arguments)]})
    request = to_chat(stream=True)
    scanner = request.scanner(JUDGE)
    told = scanner.feed(sent)
    assert scanner.failure is not None
    assert scanner.is_over
    assert not scanner.finished
    told += scanner.error_event(
        Problem(status=502, message="why", type="t", code="stream_interrupted")
    )
    said = read_stream(told)
    assert (said.text, said.calls) == ("Hi", [])
    assert said.error is not None
    assert to_chat(stream=True).read(b"text/event-stream", sent, JUDGE) == failure or isinstance(
        to_chat().read(b"text/event-stream", sent, JUDGE), Failure
    )


def test_no_character_is_cut_in_two() -> None:
    halves = [{"content": "a\ud83d"}, {"content": "\ude00b"}, {"content": "\ud83d"},
              {"reasoning_content": "\ud83d"}, {"reasoning_content": "\ude00"}]  # fmt: skip
    told, failure = through(to_chat(stream=True), [chunks(*halves[:2], *halves[3:])])
    assert failure is None
    said = read_stream(told)
    assert (said.text, said.thoughts) == ("a😀b", "😀")
    alone, _ = through(to_chat(stream=True), [chunks(halves[2], halves[0])])
    assert b"\\ud83d" in alone


def test_a_refusal_in_a_stream_is_text_and_filtered() -> None:
    told, _ = through(to_chat(stream=True), [chunks({"refusal": "No"}, {"refusal": "."})])
    said = read_stream(told)
    assert (said.text, said.finish) == ("No.", "SAFETY")


@pytest.mark.parametrize("case", CHAT_CASES, ids=[case.parent.name for case in CHAT_CASES])
@pytest.mark.parametrize("target", ["", ARRAY])
def test_every_recorded_stream_of_chat_is_a_strict_one_of_gemini(case: Path, target: str) -> None:
    facts = json.loads(case.read_text())
    upstream = (case.parent / "upstream.sse").read_bytes()
    request = to_chat(target, stream=True)
    scanner = request.scanner(JUDGE)
    told = scanner.feed(upstream)
    last, failure = scanner.end()
    told += last
    reader = read_array if target else read_stream
    assert (failure.fault.value if failure else None) == facts["fault"]
    if failure is None:
        assert reader(told).finish
    else:
        problem = Problem(status=502, message="why", type="t", code="stream_interrupted")
        assert reader(told + scanner.error_event(problem)).error is not None


def test_a_stream_where_a_whole_answer_was_asked_for_is_one_and_the_other_way_round() -> None:
    sent = chunks({"content": "Hel"}, {"content": "lo"}, usage=CHAT_USAGE)
    reply = to_chat().read(b"text/event-stream", sent, JUDGE)
    assert isinstance(reply, Reply)
    assert read_whole(reply.body).text == "Hello"
    for target, reader in (("", read_stream), (ARRAY, read_array)):
        reply = read(to_chat(target, stream=True), completed({"content": "Hello"}))
        assert isinstance(reply, Reply)
        assert reader(reply.body).text == "Hello"
    reply = to_gemini().read(b"text/event-stream", events(answered({"text": "Hello"})), JUDGE)
    assert isinstance(reply, Reply)
    assert json.loads(reply.body)["choices"][0]["message"]["content"] == "Hello"
    reply = read(to_gemini(stream=True), answered({"text": "Hello"}, CALLS))
    assert isinstance(reply, Reply)
    assert validator.read_stream(reply.body).finish == "tool_calls"


# Reasoning of another protocol


def test_reasoning_of_another_protocol_is_sealed_on_its_way_and_whole_again() -> None:
    thought = Reasoning(text="hm", origin="openai_responses", encrypted="ee", id="rs_1")
    encoder = CODEC.encoder(asked("gemini_generate", stream=True))
    told = encoder.write(
        [
            Begin(id="r", model="v"),
            ReasoningDelta(text="h"),
            ReasoningDelta(text="m"),
            ReasoningEnd(part=thought),
            TextDelta(text="Hi"),
            Done(finish=Finish.STOP),
        ]
    )
    said = read_stream(told)
    assert (said.thoughts, said.text) == ("hm", "Hi")
    [signature] = said.signatures
    assert sealing.unseal(signature.decode(), "hm") == thought


def test_an_answer_and_its_stream_say_the_same() -> None:
    given: list[Event] = [
        Begin(id="r", model="v", usage=Usage(input_tokens=1)),
        ReasoningDelta(text="hm"),
        ReasoningEnd(part=Reasoning(text="hm", signature="REVG", origin="gemini_generate")),
        TextDelta(text="Hi"),
        CallBegin(index=0, call=ToolCall(id="a", name="f", arguments="", signature="QUJD")),
        CallEnd(index=0, signature="QUJD"),
        Done(finish=Finish.TOOL_CALLS, usage=Usage(input_tokens=1, output_tokens=2)),
    ]
    answer = answer_of(given)
    assert answer is not None
    request = asked("gemini_generate", stream=True)
    streamed = read_stream(CODEC.encoder(request).write(given))
    again = read_stream(CODEC.encoder(request).write(events_of(answer)))
    single = read_whole(CODEC.reply(answer, request))
    for said in (streamed, again, single):
        assert (said.text, said.thoughts, said.calls) == ("Hi", "hm", single.calls)
        assert said.signatures == [b"DEF", b"ABC"]
        assert said.usage == single.usage


# Anything at all


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
NAMES = (
    "text", "thought", "thoughtSignature", "inlineData", "inline_data", "fileData",
    "functionCall", "functionResponse", "executableCode", "name", "args", "response", "id",
    "mimeType", "data", "fileUri", "parts", "role", "mode", "output", "error", "properties",
    "type", "items", "anyOf", "nullable",
)  # fmt: skip
WORDS = st.sampled_from(["user", "model", "f", "ANY", "QUJD", "image/png", "OBJECT"])
NAMED = st.recursive(
    WORDS | JSON,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES), inner, min_size=1, max_size=4)
    ),
    max_leaves=8,
)
PART = st.dictionaries(st.sampled_from(NAMES), NAMED, max_size=3)
CONTENT = st.fixed_dictionaries({"parts": st.lists(PART, max_size=3) | PART},
                                optional={"role": WORDS | JSON})  # fmt: skip
MEMBERS = st.dictionaries(
    st.sampled_from(["tools", "toolConfig", "generationConfig", "generation_config", "labels",
                     "systemInstruction", "cachedContent", "serviceTier", "safetySettings"]),
    st.dictionaries(
        st.sampled_from(["functionDeclarations", "functionCallingConfig", "thinkingConfig",
                         "responseSchema", "stopSequences", "maxOutputTokens", "candidateCount",
                         "temperature", "responseModalities", "parts", "googleSearch"]),
        NAMED, max_size=4) | NAMED,
    max_size=4,
)  # fmt: skip


@settings(max_examples=100)
@given(MEMBERS, st.lists(CONTENT | JSON, min_size=1, max_size=4))
def test_any_json_is_translated_or_refused_in_words(members: Any, contents: Any) -> None:
    try:
        request = asked("gemini_generate", contents=contents, **members)
        request.needs, request.session, request.max_output_tokens  # noqa: B018
        assert request.estimated_input_tokens >= 0
        for spoken in (CHAT, GEMINI):
            prompt = CODEC.prompt(request)
            written = spoken.codec.write(prompt, Target(model="gemini-3-pro"))
            spoken.parse(written.body, "/v1beta/models/m:generateContent")
    except (ProtocolError, Unfit):
        return


@settings(max_examples=100)
@given(
    st.dictionaries(
        st.sampled_from(["usageMetadata", "promptFeedback", "responseId", "createTime", "error"]),
        NAMED,
    ),
    st.lists(PART, max_size=3),
    st.sampled_from(["STOP", "MAX_TOKENS", "SAFETY", "OTHER"]) | JSON,
)
def test_any_answer_is_read_or_refused(document: Any, parts: Any, finish: Any) -> None:
    document["candidates"] = [{"content": {"parts": parts}, "finishReason": finish}]
    body = json.dumps(document).encode()
    for request in (to_gemini(), asked("gemini_generate", stream=True), asked("gemini_generate")):
        for kind, sent in (
            (b"application/json", body),
            (b"application/json", b"[" + body + b"]"),
            (b"text/event-stream", b"data: " + body + b"\n\n"),
        ):
            assert isinstance(request.read(kind, sent, JUDGE), (Reply, Failure))
    first = events(answered({"text": "Hi"}, finish=""))
    for target in ("/v1beta/models/m:streamGenerateContent?alt=sse", ARRAY):
        scanner = asked("gemini_generate", target).scanner(JUDGE)
        scanner.feed(first + b"data: " + body + b"\n\n")
        scanner.end()
    told, failure = through(to_gemini(stream=True), [first + b"data: " + body + b"\n\n"])
    if failure is None:
        validator.read_stream(told)


@settings(max_examples=100)
@given(st.binary(max_size=60), st.integers(0, 60))
def test_any_bytes_are_a_stream_or_none(data: bytes, cut: int) -> None:
    for request in (to_gemini(stream=True), asked("gemini_generate", stream=True)):
        scanner = request.scanner(JUDGE)
        scanner.feed(data[:cut])
        scanner.feed(data[cut:])
        _, failure = scanner.end()
        assert failure is not None


TEXTS = st.text(min_size=1, max_size=8)
SIGNATURES = st.sampled_from(["", "QUJD", "REVG"])


@st.composite
def answers(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Parts of an honest answer, each call with an id of its own."""
    parts: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["text", "thought", "call"]))
        part: dict[str, Any]
        if kind == "call":
            args = draw(st.dictionaries(TEXTS, st.integers() | TEXTS, max_size=2))
            part = {"functionCall": {"id": f"c{number}", "name": "f", "args": args}}
        else:
            part = {"text": draw(TEXTS)}
            if kind == "thought":
                part["thought"] = True
        if signature := draw(SIGNATURES):
            part["thoughtSignature"] = signature
        parts.append(part)
    return parts


@settings(max_examples=100)
@given(answers(), st.integers(1, 300))
def test_a_round_trip_keeps_the_meaning(parts: list[dict[str, Any]], cut: int) -> None:
    """Gemini's answer, decoded and written again for a Gemini caller, whole and as a stream."""
    document = answered(*parts)
    given = gemini_stream.read_whole(json.dumps(document).encode())
    request = asked("gemini_generate", stream=True)
    answer = CODEC.answer(document, JUDGE)
    assert not isinstance(answer, Failure)
    decoder = CODEC.decoder(JUDGE)
    sent = events(*({**document, "candidates": [
        {"content": {"role": "model", "parts": [part]}}]} for part in parts),
        answered({"text": ""}))  # fmt: skip
    decoder.feed(sent[:cut])
    decoder.feed(sent[cut:])
    assert decoder.end()[1] is None
    encoded = CODEC.encoder(request).write(decoder.take())
    for said in (read_whole(CODEC.reply(answer, request)), read_stream(encoded)):
        assert (said.text, said.thoughts, said.calls) == (given.text, given.thoughts, given.calls)
        assert set(said.signatures) >= set(given.signatures)
