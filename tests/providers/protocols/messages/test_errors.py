"""Errors as Anthropic tells them: every class of the table, whole and as an event."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.protocols import PROTOCOLS, Problem
from tests.support.messages_stream import read_messages, read_messages_error

pytestmark = pytest.mark.pure


def problem(status: int, kind: str = "server_error", code: str | None = None) -> Problem:
    return Problem(status=status, message="why", type=kind, code=code)


ROWS = [
    (problem(400, "invalid_request_error"), 400, "invalid_request_error"),
    (problem(400, "invalid_request_error", "content_filter"), 400, "invalid_request_error"),
    (problem(401, "authentication_error", "invalid_api_key"), 401, "authentication_error"),
    (problem(429, "insufficient_quota", "insufficient_quota"), 429, "billing_error"),
    (problem(402, "insufficient_quota"), 402, "billing_error"),
    (problem(403, "permission_error", "key_not_allowed"), 403, "permission_error"),
    (problem(404, "invalid_request_error", "model_not_found"), 404, "not_found_error"),
    (problem(409, "conflict"), 409, "conflict_error"),
    (problem(413, "invalid_request_error"), 413, "request_too_large"),
    (problem(422, "invalid_request_error"), 422, "invalid_request_error"),
    (problem(429, "rate_limit_error", "rate_limit_exceeded"), 429, "rate_limit_error"),
    (problem(500, code="internal"), 500, "api_error"),
    (problem(502, code="upstream_auth"), 502, "api_error"),
    (problem(502, code="upstream_failed"), 502, "api_error"),
    (problem(503, code="upstream_failed"), 503, "api_error"),
    (problem(503, code="server_is_overloaded"), 529, "overloaded_error"),
    (problem(503, code="no_candidate"), 529, "overloaded_error"),
    (problem(504, code="upstream_timeout"), 504, "timeout_error"),
    (problem(502, code="stream_interrupted"), 502, "api_error"),
]


@pytest.mark.parametrize("protocol", ["anthropic_messages", "anthropic_count_tokens"])
@pytest.mark.parametrize(("given", "status", "kind"), ROWS)
def test_each_class_has_its_status_and_type(
    protocol: str, given: Problem, status: int, kind: str
) -> None:
    told_status, body = PROTOCOLS[protocol].error(given)
    error = read_messages_error(json.loads(body))
    assert (told_status, error["type"], error["message"]) == (status, kind, "why")
    assert error.get("details", {}).get("error_code") == given.code

    event = PROTOCOLS[protocol].error_event(given)
    assert read_messages(event).error == error


def test_a_prompt_that_is_too_long_is_said_in_the_words_that_agents_know() -> None:
    def message(text: str) -> Any:
        given = Problem(
            status=400, message=text, type="invalid_request_error", code="context_length_exceeded"
        )
        return json.loads(PROTOCOLS["anthropic_messages"].error(given)[1])["error"]["message"]

    assert message("9 tokens > 8") == "prompt is too long: 9 tokens > 8"
    assert message("Prompt is too long: 9 > 8") == "Prompt is too long: 9 > 8"


def test_what_stands_beside_an_error_is_in_its_details() -> None:
    given = Problem(
        status=502, message="why", type="server_error", code="upstream_failed", param="model",
        extra={"attempts": [{"provider": "p"}]},
    )  # fmt: skip
    error = json.loads(PROTOCOLS["anthropic_messages"].error(given)[1])["error"]
    assert error["details"] == {
        "attempts": [{"provider": "p"}], "error_code": "upstream_failed", "param": "model",
    }  # fmt: skip


def test_an_error_names_the_request_as_anthropics_do() -> None:
    given = Problem(status=404, message="why", type="invalid_request_error", request_id="req_7")
    assert json.loads(PROTOCOLS["anthropic_messages"].error(given)[1])["request_id"] == "req_7"
    assert b'"request_id":"req_7"' in PROTOCOLS["anthropic_messages"].error_event(given)


def test_half_a_surrogate_pair_in_a_message_is_told() -> None:
    given = Problem(status=400, message="\ud83d", type="invalid_request_error")
    assert b"\\ud83d" in PROTOCOLS["anthropic_messages"].error(given)[1]
