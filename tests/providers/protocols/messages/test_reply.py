"""Whole replies of Messages, and those that come in another shape than was asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.errors import Failure, Fault
from providers.protocols import Reply, Usage
from tests.support.messages_stream import read_message, read_messages
from tests.support.wire import JUDGE, asked, check_reply

pytestmark = pytest.mark.pure

JSON_TYPE = b"application/json"
USAGE = {"input_tokens": 12, "cache_read_input_tokens": 5, "output_tokens": 7}
TEXT = {"type": "text", "text": "hi"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1.5}}
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "EqQB"}


def message(*content: Any, stop: str | None = "end_turn", **more: Any) -> dict[str, Any]:
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x",
        "content": list(content), "stop_reason": stop, "stop_sequence": None, "usage": USAGE,
        **more,
    }  # fmt: skip


def check(document: Any) -> Usage | Failure:
    return check_reply("anthropic_messages", JSON_TYPE, json.dumps(document).encode())


@pytest.mark.parametrize(
    "document",
    [
        message(TEXT),
        message(CALL, stop="tool_use"),
        message(THOUGHT, TEXT),
        message({"type": "text", "text": ""}),
        message({"type": "text", "text": "é\ud83d"}),
        message({"type": "web_search_tool_result", "content": []}),
        message(stop="max_tokens"),
        message(stop="refusal", stop_details={"type": "refusal", "explanation": "no"}),
        message(stop="pause_turn"),
        message(stop="model_context_window_exceeded"),
        message(stop="stop_sequence", stop_sequence="END"),
        message({"type": "redacted_thinking", "data": "x"}, stop="max_tokens"),
        message({"type": "thinking", "thinking": "", "signature": "Eq"}),
        message(TEXT, stop="error"),
    ],
)
def test_an_answer_is_passed_on_byte_for_byte_with_its_cost(document: dict[str, Any]) -> None:
    body = json.dumps(document, indent=1).encode()
    reply = asked("anthropic_messages").read(JSON_TYPE, body, JUDGE)
    assert isinstance(reply, Reply)
    assert reply.body is body
    assert reply.usage == Usage(input_tokens=17, output_tokens=7, cached_tokens=5)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (message(), "holds no content"),
        (message(stop=None), "holds no content"),
        (message({"type": "thinking", "thinking": ""}), "holds no content"),
        (message(stop="error"), "stop reason error"),
        (message({"type": "text", "text": ""}, stop="network_error"), "network_error"),
        (message("hi"), "not an object"),
        ({"id": "x", "usage": {}}, "no content"),
        ({"content": "hi", "usage": {}}, "no content"),
        ([message(TEXT)], "not a JSON object"),
        ({"content": [TEXT], "error": {"message": "broken", "type": "api_error"}}, "broken"),
    ],
)
def test_what_is_no_answer_says_why(document: Any, words: str) -> None:
    failure = check(document)
    assert isinstance(failure, Failure)
    assert failure.fault is Fault.BAD_REPLY
    assert words in failure.message


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("overloaded_error", Fault.OVERLOADED),
        ("rate_limit_error", Fault.RATE_LIMITED),
        ("authentication_error", Fault.AUTH),
        ("invalid_request_error", Fault.CALLER),
        ("api_error", Fault.BAD_REPLY),
    ],
)
def test_an_error_in_a_200_is_what_it_says(kind: str, fault: Fault) -> None:
    failure = check({"type": "error", "error": {"type": kind, "message": "no"}})
    assert isinstance(failure, Failure)
    assert failure.fault is fault


@pytest.mark.parametrize(
    ("content_type", "body"),
    [(b"text/html", b"<html>"), (JSON_TYPE, b""), (JSON_TYPE, b'{"content": [{"type'), (None, b"x"),
     (JSON_TYPE, b'{"content":[{"type":"text","text":"\xff"}]}')],
)  # fmt: skip
def test_what_is_not_json_is_no_answer(content_type: bytes | None, body: bytes) -> None:
    failure = check_reply("anthropic_messages", content_type, body)
    assert isinstance(failure, Failure)
    assert failure.fault is Fault.BAD_REPLY


FULL = message(
    {"type": "thinking", "thinking": "hm", "signature": "EqQB+/="},
    {"type": "redacted_thinking", "data": "EmwK"},
    {"type": "text", "text": "hi ", "citations": [{"type": "char_location", "cited_text": "c"}]},
    {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1.5, "b": "\ud83d"}},
    {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}},
    {"type": "hologram", "cells": [1, 2]},
    stop="tool_use",
    container={"id": "c1", "expires_at": "2026"},
)


def test_a_whole_answer_where_a_stream_was_asked_for_is_a_strict_stream() -> None:
    body = json.dumps(FULL).encode()
    reply = asked("anthropic_messages", stream=True).read(JSON_TYPE, body, JUDGE)

    assert isinstance(reply, Reply)
    assert reply.content_type.startswith(b"text/event-stream")
    told = read_messages(reply.body)
    assert told.blocks == FULL["content"]
    assert (told.stop_reason, told.usage) == ("tool_use", USAGE)
    assert told.message["model"] == "claude-x"
    assert b'"container":{"id":"c1"' in reply.body


def test_a_stream_where_a_whole_answer_was_asked_for_is_one() -> None:
    stream = asked("anthropic_messages", stream=True).read(
        JSON_TYPE, json.dumps(FULL).encode(), JUDGE
    )
    assert isinstance(stream, Reply)
    for kind in (b"text/event-stream", b"text/event-stream; charset=utf-8", None):
        reply = asked("anthropic_messages").read(kind, stream.body, JUDGE)

        assert isinstance(reply, Reply)
        assert reply.content_type == JSON_TYPE
        assert read_message(reply.body) == FULL


@pytest.mark.parametrize("stream", [False, True])
def test_a_stream_that_came_whole_but_broken_is_no_answer(stream: bool) -> None:
    cut = Path("tests/wire/anthropic_messages/no_stop_reason/upstream.sse").read_bytes()
    for body in (cut, b"data: x\n\n", b"event: ping\ndata: {}\n\n" + b" " * (8 << 20)):
        reply = asked("anthropic_messages", stream=stream).read(b"text/event-stream", body, JUDGE)
        assert isinstance(reply, Failure)
        assert reply.fault is Fault.BAD_REPLY or not cut.startswith(body[:5])


def test_a_call_whose_input_is_no_object_makes_no_whole_answer() -> None:
    case = Path("tests/wire/anthropic_messages/tool_use/upstream.sse").read_bytes()
    for broken in (rb'"partial_json":"}]"', rb'"partial_json":""'):
        body = case.replace(rb'"partial_json":"}"', broken)
        reply = asked("anthropic_messages").read(b"text/event-stream", body, JUDGE)
        assert isinstance(reply, Failure)
        assert "tool call" in reply.message


def test_events_are_known_by_their_names_where_they_do_not_say_their_types() -> None:
    case = Path("tests/wire/anthropic_messages/text/upstream.sse").read_bytes()
    body = case.replace(b'"type":"content_block_start",', b"")
    reply = asked("anthropic_messages").read(b"text/event-stream", body, JUDGE)
    assert isinstance(reply, Reply)
    assert json.loads(reply.body)["content"] == [{"type": "text", "text": "Hello"}]


def test_a_number_that_nobody_can_hold_is_no_whole_answer() -> None:
    case = Path("tests/wire/anthropic_messages/text/upstream.sse").read_bytes()
    for body in (case.replace(b'"text":"lo"', b'"text":"lo","new":1e999'),
                 b'{"content":[{"type":"text","text":"x","new":1e999}]}'):  # fmt: skip
        for stream in (False, True):
            kind = JSON_TYPE if body.startswith(b"{") else b"text/event-stream"
            reply = asked("anthropic_messages", stream=stream).read(kind, body, JUDGE)
            is_forwarded = stream is (kind is not JSON_TYPE)
            assert isinstance(reply, Reply if is_forwarded else Failure)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)
BLOCK = st.dictionaries(
    st.sampled_from(["type", "text", "thinking", "signature", "input", "id", "name", "citations"]),
    st.sampled_from(["text", "thinking", "tool_use", "server_tool_use"]) | JSON,
    max_size=5,
)


@settings(max_examples=100)
@given(
    st.dictionaries(
        st.sampled_from(["stop_reason", "usage", "error", "id", "stop_details"]), JSON, max_size=4
    ),
    st.lists(BLOCK, max_size=3),
)
def test_any_message_is_read_or_refused(document: Any, content: Any) -> None:
    body = json.dumps({**document, "content": content}).encode()
    for stream in (False, True):
        reply = asked("anthropic_messages", stream=stream).read(JSON_TYPE, body, JUDGE)
        assert isinstance(reply, (Reply, Failure))
