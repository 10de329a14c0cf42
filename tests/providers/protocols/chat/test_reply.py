"""Which 200s are answers, and what errors look like."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.adapters.judging import Judging
from providers.errors import Failure, Fault
from providers.protocols import PROTOCOLS, Problem, Reply, Usage
from tests.support.wire import JUDGE, asked, check_reply

pytestmark = pytest.mark.pure


def reply(message: Any, finish: Any = "stop", **members: Any) -> bytes:
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return json.dumps({"object": "chat.completion", "choices": [choice], **members}).encode()


def check(
    body: bytes,
    content_type: bytes | None = b"application/json",
    protocol: str = "openai_chat",
    **options: Any,
) -> Usage | Failure:
    return check_reply(protocol, content_type, body, **options)


def failed(body: bytes, *args: Any, **options: Any) -> Failure:
    found = check(body, *args, **options)
    assert isinstance(found, Failure)
    return found


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": "hi"},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": [{"type": "text", "text": "hi"}]},
        {"role": "assistant", "content": None, "tool_calls": [{}]},
        {"role": "assistant", "content": None, "function_call": {"name": "f"}},
        {"role": "assistant", "content": None, "refusal": "no"},
        {"role": "assistant", "content": None, "reasoning_content": "hm"},
        {"role": "assistant", "content": None, "reasoning": "hm"},
        {"role": "assistant", "content": None, "audio": {"id": "a"}},
    ],
)
def test_a_message_that_says_something_is_an_answer(message: dict[str, Any]) -> None:
    assert check(reply(message)) == Usage()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b'{"choices":[{"index"', "whole JSON"),
        (b'{"choices":[{"message":{"content":"\xff"}}]}', "whole JSON"),
        (b"[" * 9_000, "whole JSON"),
        (b"<html></html>", "whole JSON"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"{}", "no choices"),
        (b'{"choices":[]}', "no choices"),
        (b'{"choices":null}', "no choices"),
        (b'{"choices":[7]}', "not an object"),
        (b'{"choices":[{"index":0}]}', "no message"),
        (reply({"role": "assistant", "content": None}), "no content"),
        (reply({"role": "assistant"}), "no content"),
        (reply({"content": None, "tool_calls": []}), "no content"),
        (reply({"content": ""}, "error"), "finish reason error"),
        (reply({"content": ""}, "network_error"), "finish reason network_error"),
    ],
)
def test_a_200_without_an_answer_is_a_bad_reply(body: bytes, said: str) -> None:
    failure = failed(body)
    assert (failure.fault, failure.status) == (Fault.BAD_REPLY, 200)
    assert said in failure.message
    assert failure.body is None


def test_a_finish_reason_of_any_shape_is_looked_at_without_harm() -> None:
    assert check(reply({"content": ""}, {"odd": 1})) == Usage()


@pytest.mark.parametrize(
    "content_type",
    [None, b"application/json", b"Application/JSON; charset=utf-8", b"application/problem+json"],
)
def test_json_is_known_by_its_content_type(content_type: bytes | None) -> None:
    assert check(reply({"content": "x"}), content_type) == Usage()


@pytest.mark.parametrize("content_type", [b"text/html", b"text/plain", b""])
def test_a_wrong_content_type_is_a_bad_reply(content_type: bytes) -> None:
    assert failed(reply({"content": "x"}), content_type).fault is Fault.BAD_REPLY


@pytest.mark.parametrize(
    ("error", "fault", "status"),
    [
        ({"message": "x"}, Fault.BAD_REPLY, 200),
        ("boom", Fault.BAD_REPLY, 200),
        ({"message": "x", "code": 500}, Fault.BAD_REPLY, 200),
        ({"message": "x", "code": 429}, Fault.RATE_LIMITED, 429),
        ({"message": "x", "code": "insufficient_quota"}, Fault.QUOTA, 429),
        ({"message": "x", "type": "overloaded_error"}, Fault.OVERLOADED, 503),
        ({"message": "x", "code": "invalid_api_key"}, Fault.AUTH, 401),
        ({"message": "x", "code": "model_not_found"}, Fault.MODEL_NOT_FOUND, 404),
        ({"message": "x", "code": "context_length_exceeded"}, Fault.CONTEXT_LENGTH, 400),
        ({"message": "bad temperature", "type": "invalid_request_error"}, Fault.CALLER, 400),
        ({"message": "x", "code": 422}, Fault.CALLER, 422),
    ],
)
def test_an_error_object_in_a_200_counts_as_what_it_says(
    error: Any, fault: Fault, status: int
) -> None:
    body = json.dumps({"error": error}).encode()
    failure = failed(body)
    assert (failure.fault, failure.status) == (fault, status)
    is_callers = fault in (Fault.CALLER, Fault.CONTEXT_LENGTH)
    assert failure.body == (body if is_callers else None)


def test_a_secret_in_an_error_is_taken_out() -> None:
    body = json.dumps({"error": {"message": "bad key s3cret-value", "code": 400}}).encode()
    failure = failed(body, judge=Judging(("s3cret-value",)))
    assert failure.message == "bad key [redacted]"
    assert failure.body is not None
    assert b"s3cret" not in failure.body


@pytest.mark.parametrize("finish", ["length", "content_filter", "tool_calls", "refusal"])
@pytest.mark.parametrize("message", [{}, {"content": None}, {"content": ""}])
def test_an_answer_without_text_that_says_why_is_an_answer(message: dict[str, Any], finish: str):
    assert check(reply(message, finish)) == Usage()
    whole = {"choices": [{"message": {"content": "x"}}, {"message": message}]}
    whole["choices"][1]["finish_reason"] = finish  # type: ignore[assignment]
    assert check(json.dumps(whole).encode()) == Usage()


@pytest.mark.parametrize("finish", ["insufficient_system_resource", "error", "network_error"])
@pytest.mark.parametrize("message", [{}, {"content": None}, {"content": ""}])
def test_an_empty_answer_whose_reason_is_the_providers_is_none(message: Any, finish: str) -> None:
    assert failed(reply(message, finish)).fault is Fault.BAD_REPLY


@pytest.mark.parametrize("text", ["\\ud83d", "\\ude00", "a \\ud83d b", "\\uD83D\\uD83D"])
def test_half_a_surrogate_pair_is_text_as_any_other(text: str) -> None:
    body = reply({"content": "TEXT"}, usage={"prompt_tokens": 3}).replace(b"TEXT", text.encode())
    found = asked("openai_chat").read(b"application/json", body, JUDGE)
    assert isinstance(found, Reply)
    assert found.body == body
    assert found.usage.input_tokens == 3


@pytest.mark.parametrize(
    ("stated", "output"),
    [
        ((32, 9, 594, 635), 603),  # xAI: reasoning is counted beside
        ((32, 603, 594, 635), 603),  # OpenAI: inside
        ((32, 603, 594, 700), 603),  # nothing adds up: inside, as nearly everybody has it
        ((32, 9, 594, 700), 603),  # but never more inside than there is
        ((32, 603, 594, None), 603),
        ((None, 9, 594, 603), 603),
        ((32, None, 594, 635), None),
        ((32, 9, 0, 41), 9),
    ],
)
def test_the_total_tells_whether_reasoning_is_counted_inside(stated: Any, output: int) -> None:
    prompt, completion, reasoning, total = stated
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": total,
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
    found = check(reply({"content": "x"}, usage=usage))
    assert isinstance(found, Usage)
    assert (found.output_tokens, found.reasoning_tokens) == (output, reasoning)
    odd = check(reply({"content": None, "refusal": "no"}, usage=usage))
    assert odd == found  # the same by the slower way


def test_completions_need_text() -> None:
    good = b'{"choices":[{"text":"","finish_reason":"stop"}],"usage":{"prompt_tokens":1}}'
    assert check(good, protocol="openai_completions") == Usage(input_tokens=1)
    bad = b'{"choices":[{"message":{"content":"x"}}]}'
    assert failed(bad, protocol="openai_completions").fault is Fault.BAD_REPLY


def test_embeddings_need_data() -> None:
    good = b'{"data":[{"embedding":[0.1]}],"usage":{"prompt_tokens":4,"total_tokens":4}}'
    assert check(good, protocol="openai_embeddings") == Usage(input_tokens=4)
    for bad in (
        b'{"data":[]}',
        b"{}",
        b'{"data":null}',
        b'{"data":7}',
        b'{"data":[{"embedding":"\xff"}]}',
        b'{"data":[{"embedding":[0.1',
    ):
        assert failed(bad, protocol="openai_embeddings").fault is Fault.BAD_REPLY, bad
    error = b'{"data":[{}],"error":{"code":"rate_limit_exceeded"}}'
    assert failed(error, protocol="openai_embeddings").fault is Fault.RATE_LIMITED


@pytest.mark.parametrize(
    ("stated", "usage"),
    [
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
                "completion_tokens_details": {"reasoning_tokens": 4},
            },
            Usage(
                input_tokens=10,
                output_tokens=5,
                cached_tokens=3,
                cache_write_tokens=2,
                reasoning_tokens=4,
            ),
        ),
        (
            {"prompt_tokens": 10, "prompt_cache_hit_tokens": 6},
            Usage(input_tokens=10, cached_tokens=6),
        ),
        ({"prompt_tokens": 10.0, "completion_tokens": None}, Usage(input_tokens=10)),
        ({"prompt_tokens": -1, "completion_tokens": True}, Usage()),
        ({"prompt_tokens": 1e300, "prompt_tokens_details": 7}, Usage()),
        (None, Usage()),
        ("many", Usage()),
    ],
)
def test_usage_is_what_the_provider_stated(stated: Any, usage: Usage) -> None:
    assert check(reply({"content": "x"}, usage=stated)) == usage


def test_errors_have_the_protocols_shape() -> None:
    problem = Problem(
        status=502,
        message='it "broke"',
        type="server_error",
        code="upstream_failed",
        extra={"attempts": []},
    )
    status, body = PROTOCOLS["openai_chat"].error(problem)
    assert status == 502
    assert json.loads(body) == {
        "error": {
            "message": 'it "broke"',
            "type": "server_error",
            "param": None,
            "code": "upstream_failed",
            "attempts": [],
        }
    }


def test_the_last_event_of_a_broken_stream_is_an_error_without_a_terminator() -> None:
    problem = Problem(status=502, message="cut", type="server_error", code="stream_interrupted")
    event = PROTOCOLS["openai_chat"].error_event(problem)
    assert event.startswith(b'data: {"error":{"message":"cut"')
    assert event.endswith(b"}\n\n")
    assert event.count(b"data:") == 1


def test_the_registry_names_paths_and_errors_of_every_protocol() -> None:
    assert {p.name: p.path for p in PROTOCOLS.values()} == {
        "openai_chat": "/v1/chat/completions",
        "openai_completions": "/v1/completions",
        "openai_embeddings": "/v1/embeddings",
        "openai_responses": "/v1/responses",
        "anthropic_messages": "/v1/messages",
        "anthropic_count_tokens": "/v1/messages/count_tokens",
        "gemini_generate": "/v1beta/models",
        "gemini_count_tokens": "/v1beta/models",
    }
    assert all(name == protocol.name for name, protocol in PROTOCOLS.items())
    assert not PROTOCOLS["openai_embeddings"].has_streams
