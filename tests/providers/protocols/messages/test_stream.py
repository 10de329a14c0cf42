"""What the scanner of Messages does beyond the recorded streams of tests/wire."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.errors import Failure, Fault
from providers.protocols import Problem, Scanner
from providers.protocols.messages import MESSAGES
from providers.protocols.protocol import Target
from providers.protocols.sse import EVENT_LIMIT
from providers.protocols.translating import Translated
from tests.support.messages_stream import Unsound, read_messages
from tests.support.wire import JUDGE, asked, scanner_of

pytestmark = pytest.mark.pure

CASES = Path("tests/wire/anthropic_messages")
# Whole where a strict reader and an SDK agree on it: what is new, and what is short, apart.
STRICT = ("text",)


def event(kind: str, **more: Any) -> bytes:
    document = json.dumps({**more, "type": kind}, ensure_ascii=False)
    return f"event: {kind}\ndata: {document}\n\n".encode()


def delta(text: str, index: int = 0) -> bytes:
    return event("content_block_delta", index=index, delta={"type": "text_delta", "text": text})


MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": [],
    "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 1},
}  # fmt: skip
BEGIN = event("message_start", message=MESSAGE) + event(
    "content_block_start", index=0, content_block={"type": "text", "text": ""}
)
END = (
    event("content_block_stop", index=0)
    + event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None},
            usage={"output_tokens": 9})
    + event("message_stop")
)  # fmt: skip


@settings(max_examples=50)
@given(st.lists(st.text(), min_size=1, max_size=5), st.data())
def test_any_text_arrives_whole_however_it_is_cut(texts: list[str], data: st.DataObject) -> None:
    stream = b"".join([BEGIN, *map(delta, texts), END])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    scanner = scanner_of("anthropic_messages")
    passed = b"".join(
        scanner.feed(stream[a:b]) for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)
    )
    assert scanner.end() == (b"", None)
    assert passed == stream
    assert read_messages(passed).text == "".join(texts)


def test_the_common_event_is_passed_on_without_a_copy() -> None:
    scanner = scanner_of("anthropic_messages")
    scanner.feed(BEGIN + delta("a"))
    piece = delta("b")
    assert scanner.feed(piece) is piece


@pytest.mark.parametrize(
    "odd",
    [
        delta("x", index=1),
        delta("x", index=-1),
        event("content_block_delta", index="0", delta={"type": "text_delta", "text": "x"}),
        event("content_block_delta", delta={"type": "text_delta", "text": "x"}),
        event("content_block_delta", index=0, delta={}, error={"message": "broken"}),
        b"event: content_block_delta\ndata: {\n\n",
    ],
)
def test_an_odd_event_of_the_middle_is_looked_at(odd: bytes) -> None:
    scanner = scanner_of("anthropic_messages")
    scanner.feed(BEGIN + delta("a"))
    assert scanner.feed(odd) == b""
    assert scanner.failure is not None
    assert scanner.failure.fault is Fault.INTERRUPTED
    assert scanner.feed(delta("b")) == b""


def test_an_event_of_8_mib_is_the_largest() -> None:
    text = "x" * (EVENT_LIMIT - len(delta("")) + 2)
    scanner = scanner_of("anthropic_messages")
    fits = BEGIN + delta(text)
    assert scanner.feed(fits) == fits
    scanner = scanner_of("anthropic_messages")
    assert scanner.feed(BEGIN + delta(text + "x")) == BEGIN
    assert scanner.failure is not None
    assert "8 MiB" in scanner.failure.message


@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_use", "id": "a", "name": "f", "input": {}},
        {"type": "server_tool_use", "id": "a", "name": "f", "input": {}},
        {"type": "redacted_thinking", "data": "E"},
        {"type": "text", "text": "x"},
        {"type": "thinking", "thinking": "x"},
    ],
)
def test_a_block_that_says_something_is_content_where_it_starts(block: dict[str, Any]) -> None:
    scanner = scanner_of("anthropic_messages")
    scanner.feed(event("message_start", message=MESSAGE))
    assert not scanner.has_content
    scanner.feed(event("content_block_start", index=0, content_block=block))
    assert scanner.has_content


@pytest.mark.parametrize(
    "delta",
    [
        {"type": "text_delta", "text": ""},
        {"type": "thinking_delta", "thinking": ""},
        {"type": "input_json_delta", "partial_json": ""},
        {},
    ],
)
def test_a_delta_that_says_nothing_is_no_content(delta: dict[str, Any]) -> None:
    scanner = scanner_of("anthropic_messages")
    scanner.feed(BEGIN + event("content_block_delta", index=0, delta=delta))
    assert not scanner.has_content


def test_a_broken_stream_ends_with_an_error_event_and_no_message_stop() -> None:
    scanner = scanner_of("anthropic_messages")
    passed = scanner.feed(BEGIN + delta("a"))
    _, failure = scanner.end()
    assert isinstance(failure, Failure)
    for status, code, kind in (
        (502, "stream_interrupted", "api_error"),
        (503, "server_is_overloaded", "overloaded_error"),
        (504, "upstream_timeout", "timeout_error"),
    ):
        problem = Problem(status=status, message="broken", type="server_error", code=code)
        told = read_messages(passed + scanner.error_event(problem))
        assert (told.text, told.error and told.error["type"]) == ("a", kind)


def test_what_a_caller_gets_of_a_whole_stream_is_strict() -> None:
    for name in STRICT:
        told = read_messages((CASES / name / "caller.sse").read_bytes())
        assert told.text == "Hello"
    with pytest.raises(Unsound):
        read_messages((CASES / "no_stop_reason" / "caller.sse").read_bytes())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
EVENT = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            ["message_start", "content_block_start", "content_block_delta", "content_block_stop",
             "message_delta", "message_stop", "ping", "error", "new"])
    },
    optional={
        "index": st.integers(-1, 2) | JSON,
        "message": st.dictionaries(st.sampled_from(["id", "model", "usage"]), JSON, max_size=3),
        "delta": st.dictionaries(
            st.sampled_from(["type", "text", "partial_json", "stop_reason", "signature"]),
            st.sampled_from(["text_delta", "input_json_delta", "tool_use"]) | JSON, max_size=3),
        "content_block": st.dictionaries(
            st.sampled_from(["type", "text", "id", "name", "input", "signature", "data"]),
            st.sampled_from(["text", "tool_use", "thinking", "redacted_thinking"]) | JSON,
            max_size=4),
        "usage": st.dictionaries(
            st.sampled_from(["input_tokens", "output_tokens", "output_tokens_details"]), JSON),
    },
)  # fmt: skip


@settings(max_examples=100)
@given(st.lists(EVENT, max_size=8), st.booleans())
def test_no_event_of_whatever_kind_raises(events: Any, has_begun: bool) -> None:
    stream = b"".join(event(**{**each, "kind": each["type"]}) for each in events)
    for scanner in (scanner_of("anthropic_messages"), translated_scanner()):
        if has_begun:
            scanner.feed(BEGIN + delta("a"))
        scanner.feed(stream)
        _, failure = scanner.end()
        assert scanner.finished or failure is not None


def translated_scanner() -> Scanner:
    request = asked("openai_chat", stream=True)
    return Translated(request, MESSAGES, Target(model="m")).scanner(JUDGE)
