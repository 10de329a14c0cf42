"""Sound answers in the wrong shape, and answers that no shape makes sound."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.errors import Failure, Fault
from providers.protocols import Reply
from tests.support.wire import JUDGE, parse

pytestmark = pytest.mark.pure

CALLS = [
    {"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
    {"id": "t2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
]
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def whole(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    choices = [
        {"index": i, "message": {"role": "assistant", "content": None} | m, "finish_reason": "stop"}
        for i, m in enumerate(messages)
    ]
    return {
        "id": "c1", "created": 7, "model": "m", "choices": choices, "object": "chat.completion",
        "usage": USAGE, **more,
    }  # fmt: skip


def reshaped(
    body: bytes,
    content_type: bytes | None = b"application/json",
    *,
    protocol: str = "openai_chat",
    stream: bool = False,
    usage: bool = False,
) -> Reply | Failure:
    asked: dict[str, Any] = {"model": "m", "messages": [{}], "prompt": "x", "input": "x"}
    if stream:
        asked |= {"stream": True, "stream_options": {"include_usage": usage}}
    request = parse(protocol, json.dumps(asked).encode())
    return request.read(content_type, body, JUDGE)


def as_stream(document: dict[str, Any], **options: Any) -> bytes:
    reply = reshaped(json.dumps(document).encode(), stream=True, **options)
    assert isinstance(reply, Reply)
    assert reply.content_type == b"text/event-stream; charset=utf-8"
    return reply.body


def events(body: bytes) -> list[dict[str, Any]]:
    *found, done, rest = body.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    return [json.loads(event.removeprefix(b"data: ")) for event in found]


def deltas(body: bytes) -> list[Any]:
    return [
        (choice["index"], choice["delta"], choice["finish_reason"])
        for event in events(body)
        for choice in event["choices"]
    ]


def test_a_whole_answer_becomes_role_content_finish_and_the_terminator() -> None:
    body = as_stream(whole({"content": "hi"}, system_fingerprint="fp"))
    assert deltas(body) == [
        (0, {"role": "assistant", "content": ""}, None),
        (0, {"content": "hi"}, None),
        (0, {}, "stop"),
    ]
    for event in events(body):
        assert event["object"] == "chat.completion.chunk"
        assert (event["id"], event["created"], event["model"]) == ("c1", 7, "m")
        assert event["system_fingerprint"] == "fp"
        assert "usage" not in event


def test_usage_comes_last_where_it_was_asked_for() -> None:
    last = events(as_stream(whole({"content": "hi"}), usage=True))[-1]
    assert last["choices"] == []
    assert last["usage"] == USAGE


def test_tool_calls_get_their_index_and_each_choice_its_own_deltas() -> None:
    document = whole({"tool_calls": CALLS}, {"content": "b", "reasoning_content": "r"})
    document["choices"][0]["finish_reason"] = None
    found = deltas(as_stream(document))
    indexed = [{"index": i, **call} for i, call in enumerate(CALLS)]
    assert found[1:3] == [(0, {"tool_calls": indexed}, None), (0, {}, "tool_calls")]
    assert found[4] == (1, {"content": "b", "reasoning_content": "r"}, None)


def test_a_text_completion_becomes_one_event_a_choice() -> None:
    choices = [{"text": "a", "index": 0, "finish_reason": "length"}, {"text": "b"}]
    found = events(as_stream({"id": "c", "choices": choices}, protocol="openai_completions"))
    assert [event["choices"] for event in found] == [
        [{"index": 0, "text": "a", "finish_reason": "length"}],
        [{"index": 1, "text": "b", "finish_reason": "stop"}],
    ]


@pytest.mark.parametrize("content_type", [b"text/event-stream", b"application/json", None])
@pytest.mark.parametrize(
    "message",
    [
        {"content": "grüße"},
        {"tool_calls": CALLS},
        {"content": "x", "refusal": "no", "reasoning_content": "r"},
    ],
    ids=["text", "tool calls", "refusal and reasoning"],
)
def test_a_stream_becomes_the_answer_that_it_spells(
    message: dict[str, Any], content_type: bytes | None
) -> None:
    document = whole(message)
    stream = as_stream(document, usage=True)
    reply = reshaped(stream, content_type)
    assert isinstance(reply, Reply)
    assert reply.content_type == b"application/json"
    assert reply.usage.output_tokens == 4
    found = json.loads(reply.body)
    said = found["choices"][0]["message"]
    assert {name: value for name, value in said.items() if value} == {"role": "assistant"} | message
    assert {**found, "choices": []} == {**document, "choices": []}
    assert found["choices"][0]["finish_reason"] == "stop"


def test_pieces_of_text_and_arguments_are_joined_in_order() -> None:
    def piece(delta: dict[str, Any], finish: str | None = None, index: int = 0) -> bytes:
        choice = {"index": index, "delta": delta, "finish_reason": finish}
        return b"data: " + json.dumps({"id": "c", "choices": [choice]}).encode() + b"\n\n"

    def call(index: int, **more: Any) -> dict[str, Any]:
        return {"tool_calls": [{"index": index, **more}]}

    stream = b"".join(
        [
            b": hello\n\n",
            piece({"role": "assistant", "content": ""}),
            piece({"content": "a"}),
            piece({"content": "x"}, index=1),
            piece({"content": "b"}),
            piece(call(0, id="t1", type="function", function={"name": "f", "arguments": ""})),
            piece(call(0, function={"arguments": '{"a"'})),
            piece(call(1, id="t2", type="function", function={"name": "g", "arguments": "{}"})),
            piece(call(0, function={"arguments": ":1}"})),
            piece({}, "tool_calls"),
            piece({}, "stop", index=1),
            b"data: [DONE]\n\n",
        ]
    )
    reply = reshaped(stream, b"text/event-stream")
    assert isinstance(reply, Reply)
    first, second = json.loads(reply.body)["choices"]
    assert first["message"] == {"role": "assistant", "content": "ab", "tool_calls": CALLS}
    assert first["finish_reason"] == "tool_calls"
    assert second["message"]["content"] == "x"


def test_a_stream_under_the_wrong_content_type_is_still_a_stream() -> None:
    stream = as_stream(whole({"content": "hi"}))
    reply = reshaped(stream, b"text/plain", stream=True)
    assert isinstance(reply, Reply)
    assert reply.body == stream


@pytest.mark.parametrize(
    "stream",
    [
        b"data: [DONE]\n\n",
        as_stream(whole({"content": "hi"})) .replace(b'"stop"', b"null"),
        b'data: {"error":{"message":"boom"}}\n\n',
        b": \n" * (3 << 20),
    ],
    ids=["nothing", "no finish", "an error", "too long"],
)  # fmt: skip
@pytest.mark.parametrize("wants_stream", [False, True])
def test_a_stream_that_is_no_whole_answer_is_a_failure(stream: bytes, wants_stream: bool) -> None:
    failure = reshaped(stream, b"text/event-stream", stream=wants_stream)
    assert isinstance(failure, Failure)
    assert failure.fault in {Fault.BAD_REPLY, Fault.BAD_STREAM}


@pytest.mark.parametrize("charset", ["iso-8859-1", "ISO-8859-15", '"windows-1252"', "utf-16"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_declared_charset_becomes_utf_8(charset: str, stream: bool) -> None:
    text = json.dumps(whole({"content": "grüße"}), ensure_ascii=False)
    body = text.encode(charset.strip('"'))
    reply = reshaped(body, f"application/json; charset={charset}".encode(), stream=stream)
    assert isinstance(reply, Reply)
    assert "grüße" in reply.body.decode()
    assert b"utf-8" in reply.content_type or reply.content_type == b"application/json"


@pytest.mark.parametrize("charset", ["rot13", "base64", "utf-7", "nonsense", "", "\u00e9"])
def test_no_other_charset_is_believed(charset: str) -> None:
    body = json.dumps(whole({"content": "grüße"}), ensure_ascii=False).encode("latin-1")
    failure = reshaped(body, f"application/json; charset={charset}".encode())
    assert isinstance(failure, Failure)
    assert failure.fault is Fault.BAD_REPLY


def test_embeddings_have_no_other_shape() -> None:
    failure = reshaped(b"data: [DONE]\n\n", b"text/event-stream", protocol="openai_embeddings")
    assert isinstance(failure, Failure)


def test_calls_of_a_stream_that_came_as_a_text_before_are_those_that_came_as_calls() -> None:
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}
    pieces = [{"tool_calls": "soon"}, {"tool_calls": [call]}]
    stream = b"".join(
        b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"
        for delta in pieces
    )
    end = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}\n\n'
    reply = reshaped(stream + end + b"data: [DONE]\n\n", b"text/event-stream")
    assert isinstance(reply, Reply)
    [said] = json.loads(reply.body)["choices"][0]["message"]["tool_calls"]
    assert said["id"] == "a"
