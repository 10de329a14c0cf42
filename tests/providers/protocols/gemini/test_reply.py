"""Whole 200s of Gemini, in whatever form they come; and its errors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.errors import Failure, Fault
from providers.protocols import PROTOCOLS, Problem, Reply, Usage
from tests.support.gemini_stream import read_array, read_error, read_stream, read_whole
from tests.support.wire import JUDGE, asked

pytestmark = pytest.mark.pure

GENERATE = PROTOCOLS["gemini_generate"]
EVENTS = "/v1beta/models/m:streamGenerateContent?alt=sse"
ARRAY = "/v1beta/models/m:streamGenerateContent"
WHOLE = "/v1beta/models/m:generateContent"
USAGE = {"promptTokenCount": 5, "candidatesTokenCount": 3, "totalTokenCount": 8}


def piece(*parts: Any, finish: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    ending = {"finishReason": finish} if finish else {}
    content = {"role": "model", "parts": list(parts)}
    candidate = {"content": content, **ending, "index": index}
    return {"candidates": [candidate], "modelVersion": "v", "responseId": "r", **more}


HELLO = piece({"text": "Hello"}, finish="STOP", usageMetadata=USAGE)
PIECES = [
    piece({"text": "hm", "thought": True}),
    piece({"text": "m", "thought": True}),
    piece({"text": "Hel"}),
    piece({"text": "lo"}, {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "QUJD"}),
    piece({"text": "", "thoughtSignature": "QUJD"}, finish="STOP", usageMetadata=USAGE),
]
JOINED = [
    {"text": "hmm", "thought": True},
    {"text": "Hello"},
    {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "QUJD"},
    {"text": "", "thoughtSignature": "QUJD"},
]


def read(
    document: Any, target: str = WHOLE, kind: bytes = b"application/json", **members: Any
) -> Reply | Failure:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return asked("gemini_generate", target, **members).read(kind, body, JUDGE)


def events(*documents: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(each).encode() + b"\r\n\r\n" for each in documents)


def test_a_whole_answer_is_passed_on_as_it_came() -> None:
    body = json.dumps(HELLO, indent=2).encode()
    reply = read(body, kind=b"application/json; charset=UTF-8")
    assert isinstance(reply, Reply)
    assert (reply.body, reply.content_type) == (body, b"application/json; charset=UTF-8")
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (5, 3)


def test_thoughts_and_what_tools_brought_in_are_in_the_usage() -> None:
    usage = {
        "promptTokenCount": 10,
        "toolUsePromptTokenCount": 5,
        "candidatesTokenCount": 3,
        "thoughtsTokenCount": 7,
        "cachedContentTokenCount": 4,
    }
    for text in ("Hello", ""):  # by the quick look and by the slow one
        reply = read(piece({"text": text}, finish="STOP", usageMetadata=usage))
        assert isinstance(reply, Reply)
        assert reply.usage == Usage(
            input_tokens=15, output_tokens=10, cached_tokens=4, reasoning_tokens=7
        )


@pytest.mark.parametrize(
    "document",
    [
        {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": USAGE},
        {"candidates": [{"finishReason": "MAX_TOKENS"}]},
        {"candidates": [{"finishReason": "SAFETY", "content": {}}]},
        {"candidates": [{"finishReason": "IMAGE_SAFETY", "content": {"role": "model"}}]},
        piece({"text": ""}, finish="STOP"),
        piece({"functionCall": {"name": "f"}}, finish="STOP"),
        piece({"inlineData": {"mimeType": "image/png", "data": "AA=="}}, finish="STOP"),
        piece({"text": "hm", "thought": True}, finish="STOP"),
        piece({"executableCode": {"code": "1"}}, finish="STOP"),
    ],
)
def test_an_answer_without_text_that_says_why_is_one(document: dict[str, Any]) -> None:
    assert isinstance(read(document), Reply)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"candidates": []},
        {"candidates": None},
        {"candidates": ["x"]},
        {"candidates": [{}]},
        {"candidates": [{"content": {"role": "model"}, "finishReason": "STOP"}]},
        {"candidates": [{"content": {"parts": []}, "finishReason": "STOP"}]},
        {"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}]},
        {"candidates": [{"finishReason": "OTHER"}]},
        {"candidates": [{"finishReason": "MISSING_THOUGHT_SIGNATURE", "content": {}}]},
        {"promptFeedback": {"safetyRatings": []}},
        b"",
        b"{",
        b"null",
        b"[]",
        b"[1]",
        b"<html>",
    ],
)
def test_what_holds_no_answer_is_the_providers_failure(document: Any) -> None:
    failure = read(document)
    assert isinstance(failure, Failure)
    assert failure.fault in (Fault.BAD_REPLY, Fault.BAD_STREAM)


def test_an_error_in_a_200_is_what_it_says() -> None:
    error = {"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}}
    for document in (error, [error]):
        failure = read(document)
        assert isinstance(failure, Failure)
        assert failure.fault is Fault.RATE_LIMITED


# Other forms than the one that was asked for


@pytest.mark.parametrize("form", ["events", "array"])
def test_a_stream_where_a_whole_answer_was_asked_for_is_put_together(form: str) -> None:
    is_events = form == "events"
    kind = b"text/event-stream" if is_events else b"application/json"
    reply = read(events(*PIECES) if is_events else PIECES, kind=kind)
    assert isinstance(reply, Reply)
    assert reply.content_type == b"application/json"
    told = json.loads(reply.body)
    assert told["candidates"] == [
        {"content": {"role": "model", "parts": JOINED}, "index": 0, "finishReason": "STOP"}
    ]
    assert (told["usageMetadata"], told["responseId"]) == (USAGE, "r")
    assert read_whole(reply.body).thoughts == "hmm"
    assert reply.usage.output_tokens == 3


@pytest.mark.parametrize("form", ["whole", "array", "events"])
def test_whatever_comes_is_the_stream_that_was_asked_for(form: str) -> None:
    given: Any = {"whole": HELLO, "array": [HELLO], "events": events(HELLO)}[form]
    kind = b"text/event-stream" if form == "events" else b"application/json"
    for target, reader in ((EVENTS, read_stream), (ARRAY, read_array)):
        reply = read(given, target, kind)
        assert isinstance(reply, Reply)
        assert reader(reply.body).text == "Hello"
        assert reply.content_type == asked("gemini_generate", target).stream_type
        assert reply.usage.output_tokens == 3


def test_a_stream_that_is_not_whole_is_no_reply() -> None:
    for given, kind in ((events(*PIECES[:3]), b"text/event-stream"), (PIECES[:3], b"x/json")):
        failure = read(given, kind=kind)
        assert isinstance(failure, Failure)
        assert failure.fault is Fault.BAD_REPLY


def test_each_of_several_candidates_has_to_finish() -> None:
    both = [
        piece({"text": "a"}),
        piece({"text": "b"}, index=1),
        piece({"text": "c"}, finish="STOP"),
    ]
    config = {"candidateCount": 2}
    for ended in (False, True):
        sent = [*both, piece({"text": "d"}, finish="STOP", index=1)] if ended else both
        scanner = asked("gemini_generate", EVENTS, generationConfig=config).scanner(JUDGE)
        for document in sent:
            scanner.feed(events(document))
        _, failure = scanner.end()
        assert (failure is None) == ended
        reply = read(events(*sent), WHOLE, b"text/event-stream", generationConfig=config)
        assert isinstance(reply, Reply) == ended
        if isinstance(reply, Reply):
            texts = [c["content"]["parts"] for c in json.loads(reply.body)["candidates"]]
            assert texts == [[{"text": "ac"}], [{"text": "bd"}]]


def test_a_count_is_passed_on_and_costs_nothing() -> None:
    request = asked("gemini_count_tokens", "/v1beta/models/m:countTokens")
    reply = request.read(b"application/json", b'{"totalTokens":7}', JUDGE)
    assert isinstance(reply, Reply)
    assert (reply.body, reply.usage) == (b'{"totalTokens":7}', Usage())
    assert isinstance(request.read(b"application/json", b"{}", JUDGE), Failure)


# Errors


@pytest.mark.parametrize(
    ("status", "code", "word"),
    [
        (400, None, "INVALID_ARGUMENT"),
        (400, "context_length_exceeded", "INVALID_ARGUMENT"),
        (401, "invalid_api_key", "UNAUTHENTICATED"),
        (429, "insufficient_quota", "RESOURCE_EXHAUSTED"),
        (403, None, "PERMISSION_DENIED"),
        (404, "model_not_found", "NOT_FOUND"),
        (409, None, "ABORTED"),
        (413, None, "INVALID_ARGUMENT"),
        (429, "rate_limit_exceeded", "RESOURCE_EXHAUSTED"),
        (500, "internal", "INTERNAL"),
        (502, "upstream_auth", "INTERNAL"),
        (502, "upstream_failed", "UNAVAILABLE"),
        (503, "server_is_overloaded", "UNAVAILABLE"),
        (504, "upstream_timeout", "DEADLINE_EXCEEDED"),
    ],
)
def test_an_error_has_googles_shape(status: int, code: str | None, word: str) -> None:
    told, body = GENERATE.error(Problem(status=status, message="why", type="t", code=code))
    error = read_error(json.loads(body))
    assert told == status
    assert (error["code"], error["message"], error["status"]) == (status, "why", word)


def test_an_error_says_when_to_come_again_and_what_was_tried() -> None:
    attempts = [{"provider": "p", "status": 429}]
    problem = Problem(
        status=429,
        message="why",
        type="t",
        code="rate_limit_exceeded",
        param="model",
        extra={"attempts": attempts},
        retry_after_s=7,
    )
    error = read_error(json.loads(GENERATE.error(problem)[1]))
    details = {d["@type"].rpartition(".")[2]: d for d in error["details"]}
    assert details["RetryInfo"]["retryDelay"] == "7s"
    assert details["ErrorInfo"]["reason"] == "RATE_LIMIT_EXCEEDED"
    assert details["BadRequest"]["fieldViolations"][0]["field"] == "model"
    assert details["Struct"]["value"] == {"attempts": attempts}


def test_a_filtered_prompt_is_an_answer_that_says_so() -> None:
    problem = Problem(status=400, message="why", type="t", code="content_filter")
    status, body = GENERATE.error(problem)
    assert (status, json.loads(body)["promptFeedback"]["blockReason"]) == (200, "SAFETY")


def test_a_stream_that_broke_ends_in_an_error_of_its_own_form() -> None:
    problem = Problem(status=502, message="why", type="t", code="stream_interrupted")
    for target, reader in ((EVENTS, read_stream), (ARRAY, read_array)):
        request = asked("gemini_generate", target)
        scanner = request.scanner(JUDGE)
        sent = scanner.feed(events(PIECES[2])) + scanner.error_event(problem)
        told = reader(sent)
        assert told.text == "Hel"
        assert told.error is not None
        assert told.error["status"] == "UNAVAILABLE"
        early = reader(request.error_event(problem))
        assert early.error is not None
