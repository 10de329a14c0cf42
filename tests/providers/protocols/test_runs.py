"""Events that come together mean what they mean one by one, in every protocol."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.protocols import Problem
from tests.support.wire import scanner_of

pytestmark = pytest.mark.pure


def chat(**choice: Any) -> bytes:
    chunk = {"id": "c", "choices": [{"index": 0, "delta": {}, **choice}]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def named(kind: str, **members: Any) -> bytes:
    payload = json.dumps({"type": kind, **members}).encode()
    return b"event: " + kind.encode() + b"\ndata: " + payload + b"\n\n"


def gemini(text: str, **members: Any) -> bytes:
    told = {"candidates": [{"content": {"parts": [{"text": text}]}, **members}]}
    return b"data: " + json.dumps(told).encode() + b"\r\n\r\n"


def block(text: str, index: int = 0) -> bytes:
    delta = {"type": "text_delta", "text": text}
    return named("content_block_delta", index=index, delta=delta)


SAID: Final = "response.output_text.delta"
ODD: Final = (
    b": a comment\n\n",
    b"data: {broken\n\n",
    b'data: {"choices":[{"delta":{}}]},{"choices":[{"delta":{}}]}\n\n',
    b'data: {"error":{"message":"over","code":"server_error"}}\n\n',
    b"event: ping\ndata: {}\n\n",
    b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n',
    b"data:\n\n",
    b'data: {"a":\ndata: 1}\n\n',
    b"data: [DONE]\n\n",
    b"\n\n",
)
USAGE: Final = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'
PROTOCOLS: Final[dict[str, tuple[bytes, list[bytes]]]] = {
    "openai_chat": (
        chat(delta={"role": "assistant"}) + chat(delta={"content": "a"}),
        [chat(delta={"content": "é"}), chat(finish_reason="stop"), chat(index=1), USAGE],
    ),
    "anthropic_messages": (
        named("message_start", message={"usage": {"input_tokens": 1}})
        + named("content_block_start", index=0, content_block={"type": "text", "text": ""})
        + block("a"),
        [
            block("b"),
            block("c", index=1),
            block("d", index=-1),
            named("content_block_stop", index=0),
            named("content_block_delta", index=0, delta={"type": "x"}, error={"type": "e"}),
            named("message_delta", delta={"stop_reason": "end_turn"}),
            named("message_stop"),
        ],
    ),
    "gemini_generate": (
        gemini("a"),
        [
            gemini("b"),
            gemini("", finishReason="STOP"),
            gemini("c").replace(b"]}", b'],"usageMetadata":{"promptTokenCount":3}}', 1),
            gemini("d")[:-4] + b',"promptFeedback":{}\r\n\r\n',
        ],
    ),
    "openai_responses": (
        named("response.created", response={"id": "r"}) + named(SAID, delta="a"),
        [
            named(SAID, delta="b", sequence_number=7),
            named(SAID, delta="c"),
            named("response.refusal.delta", delta="d"),
            named(SAID, delta="e").replace(SAID.encode(), b"response.refusal.delta", 1),
            named("response.completed", response={"id": "r", "output": []}),
        ],
    ),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@settings(max_examples=60)
@given(data=st.data())
def test_events_that_come_together_mean_the_same_as_one_by_one(
    protocol: str, data: st.DataObject
) -> None:
    opening, events = PROTOCOLS[protocol]
    usual = st.just(events[0])
    odd = st.sampled_from([*events[1:], *ODD])
    runs = st.lists(usual, max_size=9)
    drawn = data.draw(st.tuples(runs, st.lists(odd, max_size=2), runs, st.lists(odd, max_size=4)))
    stream = [event for part in drawn for event in part]

    single, together = scanner_of(protocol), scanner_of(protocol)
    passed = single.feed(opening) + b"".join(map(single.feed, stream))
    assert together.feed(opening + b"".join(stream)) == passed
    assert together.end() == single.end()
    assert (together.usage, together.finished) == (single.usage, single.finished)
    problem = Problem(status=502, message="broke off", type="server_error", code="x")
    assert together.error_event(problem) == single.error_event(problem)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_run_of_content_is_passed_on_as_it_came(protocol: str) -> None:
    opening, events = PROTOCOLS[protocol]
    scanner = scanner_of(protocol)
    scanner.feed(opening)
    run = events[0] * 100
    assert scanner.feed(run) == run.replace(b"\r\n", b"\n")
    assert scanner.failure is None
