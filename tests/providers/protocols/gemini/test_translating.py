"""Answers between Gemini and chat, both ways, whole and in streams, by the strict readers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.errors import Failure, Fault
from providers.protocols import Problem, Reply, Usage, sealing
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
)
from providers.protocols.gemini.codec import CODEC
from providers.protocols.gemini.parts import BYPASS
from providers.protocols.pieces import answer_of, events_of
from tests.support import validator
from tests.support.gemini import (
    ARRAY,
    CHAT_USAGE,
    USAGE,
    answered,
    chunks,
    completed,
    events,
    read,
    through,
    to_chat,
    to_gemini,
    whole,
)
from tests.support.gemini_stream import read_array, read_stream, read_whole
from tests.support.wire import JUDGE, asked

pytestmark = pytest.mark.pure

THINKS = {"text": "hm", "thought": True, "thoughtSignature": "REVG"}
CALLS = {"functionCall": {"name": "f", "args": {"x": 1}}, "thoughtSignature": "QUJD"}


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
    assert isinstance(to_chat().read(b"text/event-stream", sent, JUDGE), Failure)
    assert isinstance(
        read(to_chat(stream=True), completed({"tool_calls": calls}, "tool_calls")), Failure
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
    begun = {"tool_calls": [call(0, "a", "f", '{"x":"\ud83d')]}
    rest = {"tool_calls": [{"index": 0, "function": {"arguments": '\ude00"}'}}]}
    told, failure = through(to_chat(stream=True), [chunks(begun, rest)])
    assert failure is None
    assert [each["args"] for each in read_stream(told).calls] == [{"x": "😀"}]


def test_a_refusal_in_a_stream_is_text_and_filtered() -> None:
    told, _ = through(to_chat(stream=True), [chunks({"refusal": "No"}, {"refusal": "."})])
    said = read_stream(told)
    assert (said.text, said.finish) == ("No.", "SAFETY")


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
