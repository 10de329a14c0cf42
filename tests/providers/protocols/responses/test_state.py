"""What the Responses API keeps for callers: which request names it, and which answer it is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.errors import ProtocolError
from providers.protocols import PROTOCOLS, Reply
from tests.support.wire import JUDGE, asked

pytestmark = pytest.mark.pure

ANSWER = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "output": [{"type": "message", "content": [{"type": "output_text", "text": "hi"}]}],
}


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({}, ""),
        ({"previous_response_id": "resp_1"}, "resp_1"),
        ({"previous_response_id": None}, ""),
        ({"conversation": "conv_1"}, "conv_1"),
        ({"conversation": {"id": "conv_1"}}, "conv_1"),
        ({"previous_response_id": None, "conversation": {"id": "conv_1"}}, "conv_1"),
        ({"previous_response_id": "resp_1", "conversation": None}, "resp_1"),
        ({"previous_response_id": "", "conversation": ""}, ""),
    ],
)
def test_a_request_names_what_its_provider_keeps(members: dict[str, Any], named: str) -> None:
    assert asked("openai_responses", input="x", **members).state_id == named


@pytest.mark.parametrize(
    "members",
    [
        {"previous_response_id": 1},
        {"previous_response_id": ["resp_1"]},
        {"previous_response_id": "x" * 100_000},
        {"previous_response_id": "\ud800"},
        {"conversation": [1]},
        {"conversation": {}},
        {"conversation": {"id": 1}},
        {"conversation": {"ID": "conv_1"}},
        {"conversation": {"id": "conv_1", "ID": "conv_2"}},
        {"conversation": {"id": "conv_1", "x": "y" * 100_000}},
        {"conversation": "conv_1", "previous_response_id": "resp_1"},
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        asked("openai_responses", input="x", **members)


def test_of_a_conversation_nothing_goes_on_but_the_id_that_was_looked_at() -> None:
    body = b'{"model":"m","input":"x","conversation":{"id":"conv_1","\\u0069d":"conv_2"}}'
    request = PROTOCOLS["openai_responses"].parse(body)

    assert request.state_id == "conv_2"
    assert json.loads(request.encode("m"))["conversation"] == {"id": "conv_2"}
    assert b"conv_1" not in request.encode("m")


@pytest.mark.parametrize(
    ("members", "answer", "kept"),
    [
        ({}, ANSWER, "resp_1"),
        ({"store": True}, ANSWER, "resp_1"),
        ({"store": False}, ANSWER, ""),
        ({}, {**ANSWER, "id": 7}, ""),
    ],
)
def test_a_whole_answer_can_be_named_if_it_is_kept(
    members: dict[str, Any], answer: dict[str, Any], kept: str
) -> None:
    request = asked("openai_responses", input="x", **members)

    reply = request.read(b"application/json", json.dumps(answer).encode(), JUDGE)

    assert isinstance(reply, Reply)
    assert reply.state_id == kept


@pytest.mark.parametrize(("store", "kept"), [(True, "resp_1"), (False, ""), (None, "resp_1")])
def test_a_stream_can_be_named_from_its_first_event(store: bool | None, kept: str) -> None:
    scanner = asked("openai_responses", input="x", stream=True).scanner(JUDGE)
    begun = {"id": "resp_1", "status": "in_progress", "store": store}
    event = {"type": "response.created", "sequence_number": 0, "response": begun}

    scanner.feed(b"event: response.created\ndata: %b\n\n" % json.dumps(event).encode())

    assert scanner.state_id == kept
