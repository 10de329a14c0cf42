"""Whole responses: which are answers, what they cost, and how they come in the other shape."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.errors import Failure, Fault
from providers.protocols import PROTOCOLS, Problem, Reply, Usage
from tests.support.responses_stream import read_stream
from tests.support.wire import JUDGE, asked, check_reply

pytestmark = pytest.mark.pure

SAID = {
    "id": "msg_1",
    "type": "message",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "hi", "annotations": []}],
}
CALL = {
    "id": "fc_1",
    "type": "function_call",
    "status": "completed",
    "call_id": "call_1",
    "name": "f",
    "arguments": "{}",
}
CUSTOM = {
    "id": "ctc_1",
    "type": "custom_tool_call",
    "status": "completed",
    "call_id": "call_2",
    "name": "patch",
    "input": "*** Begin",
}
THOUGHT = {
    "id": "rs_1",
    "type": "reasoning",
    "status": "completed",
    "summary": [{"type": "summary_text", "text": "hm"}],
    "encrypted_content": "gAAAA",
}
REFUSED = {**SAID, "id": "msg_2", "content": [{"type": "refusal", "refusal": "no"}]}
USAGE = {
    "input_tokens": 5,
    "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 1},
    "output_tokens": 3,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 8,
}
SPENT = Usage(
    input_tokens=5, output_tokens=3, cached_tokens=2, cache_write_tokens=1, reasoning_tokens=1
)


def response(*output: Any, **members: Any) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 7,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": "m-1",
        "output": list(output),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": USAGE,
        **members,
    }


def check(document: Any) -> Usage | Failure:
    return check_reply("openai_responses", b"application/json", json.dumps(document).encode())


INCOMPLETE = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}


@pytest.mark.parametrize(
    "document",
    [
        response(SAID),
        response(CALL),
        response(CUSTOM),
        response(THOUGHT),
        response(REFUSED),
        response({"type": "web_search_call", "id": "ws_1"}),
        response({**SAID, "content": [{"type": "output_text", "text": ""}]}),
        response(THOUGHT, SAID, CALL),
        response(**INCOMPLETE),
        response(status="incomplete", incomplete_details={"reason": "content_filter"}),
        response({"type": "message", "content": [7, {"type": "output_text", "text": "x"}]}),
    ],
)
def test_what_says_something_or_why_it_does_not_is_an_answer(document: dict[str, Any]) -> None:
    assert check(document) == SPENT


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (response(), "says nothing"),
        (response({**SAID, "content": []}), "says nothing"),
        (response({"type": "reasoning", "id": "rs_1", "summary": []}), "says nothing"),
        (response(output=None), "no output"),
        (response(7), "not an object"),
        (response(status="in_progress"), "still in_progress"),
        (response(status="queued"), "still queued"),
        (response(SAID, status="cancelled"), "cancelled"),
        (response(SAID, status="failed"), "failed"),
        (response(status="incomplete", incomplete_details={"reason": "odd"}), "incomplete (odd)"),
        ([], "not a JSON object"),
    ],
)
def test_what_says_nothing_is_no_answer(document: Any, said: str) -> None:
    failure = check(document)
    assert isinstance(failure, Failure)
    assert failure.fault is Fault.BAD_REPLY
    assert said in failure.message


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("server_error", Fault.BAD_REPLY),
        ("rate_limit_exceeded", Fault.RATE_LIMITED),
        ("server_is_overloaded", Fault.OVERLOADED),
        ("context_length_exceeded", Fault.CONTEXT_LENGTH),
        ("insufficient_quota", Fault.QUOTA),
    ],
)
def test_a_failed_response_is_the_failure_that_it_states(code: str, fault: Fault) -> None:
    error = {"code": code, "message": "It did not work."}
    failure = check(response(status="failed", error=error, usage=None))
    assert isinstance(failure, Failure)
    assert failure.fault is fault
    assert failure.message == "It did not work."


def test_a_background_response_may_be_unfinished() -> None:
    document = json.dumps(response(status="queued", usage=None)).encode()
    request = asked("openai_responses", background=True)
    assert request.read(b"application/json", document, JUDGE) == Reply(
        document, b"application/json", Usage(), "resp_1"
    )


@pytest.mark.parametrize(
    ("stated", "usage"),
    [
        (USAGE, SPENT),
        ({"input_tokens": 5, "output_tokens": 3}, Usage(input_tokens=5, output_tokens=3)),
        ({"input_tokens": 5.0, "output_tokens": None}, Usage(input_tokens=5)),
        (
            {
                "input_tokens": 5,
                "output_tokens": 3,
                "output_tokens_details": {"reasoning_tokens": 4},
                "total_tokens": 12,
            },
            Usage(input_tokens=5, output_tokens=7, reasoning_tokens=4),
        ),
        ({"prompt_tokens": 5, "completion_tokens": 3}, Usage(input_tokens=5, output_tokens=3)),
        (None, Usage()),
        ("many", Usage()),
    ],
)
def test_usage_is_what_the_provider_stated(stated: Any, usage: Usage) -> None:
    assert check(response(SAID, usage=stated)) == usage
    assert check(response(CALL, usage=stated)) == usage


def test_an_answer_goes_on_byte_for_byte() -> None:
    said = b'{"type":"message","content":[{"text":"\\u00e9 1.10"}]}'
    body = b' {"output": [%b], "status":"completed"}' % said
    reply = asked("openai_responses").read(b"application/json", body, JUDGE)
    assert reply == Reply(body, b"application/json", Usage())


WHOLE = response(
    THOUGHT,
    {**SAID, "content": [{"type": "output_text", "text": "hi", "annotations": [], "logprobs": []}]},
    REFUSED,
    CALL,
    CUSTOM,
)


@pytest.mark.parametrize("document", [WHOLE, response(SAID, **INCOMPLETE)])
def test_a_whole_reply_where_a_stream_was_asked_for_is_the_strict_stream_of_it(
    document: dict[str, Any],
) -> None:
    request = asked("openai_responses", stream=True)
    reply = request.read(b"application/json", json.dumps(document).encode(), JUDGE)

    assert isinstance(reply, Reply)
    assert reply.content_type.startswith(b"text/event-stream")
    told = read_stream(reply.body)
    assert told.response == document
    assert told.items == document["output"]

    back = asked("openai_responses").read(b"text/event-stream", reply.body, JUDGE)
    assert isinstance(back, Reply)
    assert json.loads(back.body) == document
    assert back.usage == SPENT


def test_a_stream_that_keeps_its_end_short_adds_up_to_its_items() -> None:
    request = asked("openai_responses", stream=True)
    reply = request.read(b"application/json", json.dumps(WHOLE).encode(), JUDGE)
    assert isinstance(reply, Reply)
    *events, last = reply.body.removesuffix(b"\n\n").split(b"\n\n")
    document = json.loads(last.partition(b"data: ")[2])
    document["response"]["output"] = []
    short = b"\n\n".join([*events, b"data: " + json.dumps(document).encode()]) + b"\n\n"

    back = asked("openai_responses").read(b"text/event-stream", short, JUDGE)

    assert isinstance(back, Reply)
    assert json.loads(back.body) == WHOLE


def test_a_broken_stream_as_a_whole_reply_is_a_bad_reply() -> None:
    begun = b'data: {"type":"response.output_text.delta","delta":"x","output_index":0}\n\n'
    failure = asked("openai_responses").read(b"text/event-stream", begun, JUDGE)
    assert isinstance(failure, Failure)
    assert failure.fault is Fault.BAD_REPLY


PROBLEM = Problem(
    status=503, message='it "broke"', type="server_error", code="server_is_overloaded"
)


def test_errors_have_the_protocols_shape() -> None:
    status, body = PROTOCOLS["openai_responses"].error(PROBLEM)
    assert status == 503
    assert json.loads(body)["error"] == {
        "message": 'it "broke"',
        "type": "server_error",
        "param": None,
        "code": "server_is_overloaded",
    }


def test_the_error_event_of_a_stream_that_has_not_begun_is_flat() -> None:
    told = read_stream(PROTOCOLS["openai_responses"].error_event(PROBLEM))
    assert told.error == {
        "type": "error",
        "code": "server_is_overloaded",
        "message": 'it "broke"',
        "param": None,
        "sequence_number": 0,
    }


@pytest.mark.parametrize("kind", ["new", "\ud83d", "a\ndata: x"])
def test_a_part_of_a_new_kind_is_told_by_its_beginning_and_end(kind: str) -> None:
    message = {"type": "message", "id": "m", "role": "assistant", "status": "completed",
               "content": [{"type": kind, "text": "Hi"}]}  # fmt: skip
    body = json.dumps(response(message)).encode()
    reply = asked("openai_responses", stream=True).read(b"application/json", body, JUDGE)
    assert isinstance(reply, Reply)
    names = [line for line in reply.body.split(b"\n") if line.startswith(b"event: ")]
    assert [name.removeprefix(b"event: response.") for name in names] == [
        b"created", b"in_progress", b"output_item.added", b"content_part.added",
        b"content_part.done", b"output_item.done", b"completed",
    ]  # fmt: skip
