"""Errors as Anthropic, Google and OpenAI's Responses word them, each with its row of the table."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from providers.adapters.classify import classify
from providers.adapters.judging import Judging
from providers.errors import Failure, Fault
from providers.protocols import Blame

pytestmark = pytest.mark.pure

NOW = datetime(2026, 11, 27, 20, 0, 0, tzinfo=UTC).timestamp()
JSON = [(b"content-type", b"application/json")]
TYPES = "type.googleapis.com/google.rpc."


def read(status: int, body: Any, *headers: tuple[bytes, bytes]) -> Failure:
    return classify(status, [*JSON, *headers], json.dumps(body).encode(), now=NOW)


def anthropic(type_: str, message: str) -> dict[str, Any]:
    said = {"type": type_, "message": message}
    return {"type": "error", "error": said, "request_id": "req_011CUA"}


def google(code: int, status: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    said = {"code": code, "message": message, "status": status}
    return {"error": {**said, "details": list(details)} if details else said}


def reason(name: str) -> dict[str, Any]:
    info = {"reason": name, "domain": "googleapis.com"}
    return {"@type": TYPES + "ErrorInfo", **info}


@pytest.mark.parametrize(
    ("status", "type_", "message", "fault"),
    [
        (
            400,
            "invalid_request_error",
            "prompt is too long: 210015 tokens > 200000 maximum",
            Fault.CONTEXT_LENGTH,
        ),
        (
            400,
            "invalid_request_error",
            (
                "input length and `max_tokens` exceed context limit: 199000 + 21333 > 200000,"
                " decrease input length or `max_tokens` and try again"
            ),
            Fault.CONTEXT_LENGTH,
        ),
        (
            400,
            "invalid_request_error",
            (
                "Your credit balance is too low to access the Anthropic API. Please go to Plans &"
                " Billing to upgrade or purchase credits."
            ),
            Fault.QUOTA,
        ),
        (
            400,
            "invalid_request_error",
            "This organization has been disabled.",
            Fault.AUTH,
        ),
        (
            400,
            "invalid_request_error",
            "Output blocked by content filtering policy",
            Fault.CONTENT_FILTER,
        ),
        (
            400,
            "invalid_request_error",
            "`temperature` is deprecated for this model.",
            Fault.CALLER,
        ),
        (
            400,
            "invalid_request_error",
            (
                "This model does not support assistant message prefill. The conversation must end"
                " with a user message."
            ),
            Fault.CALLER,
        ),
        (
            400,
            "invalid_request_error",
            "messages.1.content.0: Invalid `signature` in `thinking` block",
            Fault.CALLER,
        ),
        (401, "authentication_error", "invalid x-api-key", Fault.AUTH),
        (402, "billing_error", "There's an issue with your billing information.", Fault.QUOTA),
        (403, "permission_error", "Your API key does not have permission.", Fault.FORBIDDEN),
        (404, "not_found_error", "model: claude-nope", Fault.MODEL_NOT_FOUND),
        (404, "not_found_error", "Not Found", Fault.CONFIG),
        (
            413,
            "request_too_large",
            "Request exceeds the maximum allowed number of bytes.",
            Fault.CALLER,
        ),
        (
            429,
            "rate_limit_error",
            (
                "This request would exceed the rate limit for your organization (0a1b) of 30,000"
                " input tokens per minute."
            ),
            Fault.RATE_LIMITED,
        ),
        (500, "api_error", "Internal server error", Fault.STATUS),
        (504, "timeout_error", "The request timed out.", Fault.STATUS),
        (529, "overloaded_error", "Overloaded", Fault.OVERLOADED),
    ],
)
def test_anthropics_errors(status: int, type_: str, message: str, fault: Fault) -> None:
    failure = read(status, anthropic(type_, message))
    assert (failure.fault, failure.code) == (fault, type_)
    assert failure.message == message


def test_anthropics_monthly_limit_is_a_spent_quota_that_says_when_it_comes_back() -> None:
    message = (
        "You have reached your specified API usage limits. You will regain access on 2026-12-01"
        " at 00:00 UTC."
    )
    failure = read(400, anthropic("invalid_request_error", message))
    assert failure.fault is Fault.QUOTA
    assert failure.retry_after_s == datetime(2026, 12, 1, tzinfo=UTC).timestamp() - NOW


def test_anthropics_newer_errors_say_more_in_their_details() -> None:
    body = anthropic("invalid_request_error", "It cannot be paid.")
    body["error"]["details"] = {"error_code": "insufficient_credits"}
    assert read(400, body).fault is Fault.QUOTA


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (
            400,
            google(
                400,
                "INVALID_ARGUMENT",
                "API key not valid. Please pass a valid API key.",
                reason("API_KEY_INVALID"),
            ),
            Fault.AUTH,
        ),
        (400, google(400, "INVALID_ARGUMENT", "Bad.", reason("API_KEY_INVALID")), Fault.AUTH),
        (
            403,
            google(
                403,
                "PERMISSION_DENIED",
                "Your API key was reported as leaked. Please use another API key.",
            ),
            Fault.AUTH,
        ),
        (
            403,
            google(
                403,
                "PERMISSION_DENIED",
                "Generative Language API has not been used in project 1 before or it is disabled.",
                reason("SERVICE_DISABLED"),
            ),
            Fault.AUTH,
        ),
        (
            403,
            google(
                403,
                "PERMISSION_DENIED",
                "This API method requires billing to be enabled.",
                reason("BILLING_DISABLED"),
            ),
            Fault.QUOTA,
        ),
        (
            403,
            google(403, "PERMISSION_DENIED", "The caller does not have permission"),
            Fault.FORBIDDEN,
        ),
        (
            400,
            google(400, "FAILED_PRECONDITION", "User location is not supported for the API use."),
            Fault.FORBIDDEN,
        ),
        (
            400,
            google(
                400,
                "FAILED_PRECONDITION",
                "Gemini API free tier is not available in your country. Please enable billing on"
                " your project in Google AI Studio.",
            ),
            Fault.QUOTA,
        ),
        (
            400,
            google(
                400,
                "FAILED_PRECONDITION",
                "The File abc is not in an ACTIVE state and usage is not allowed.",
            ),
            Fault.CALLER,
        ),
        (
            400,
            google(
                400,
                "INVALID_ARGUMENT",
                "The input token count (1200000) exceeds the maximum number of tokens allowed"
                " (1048576).",
            ),
            Fault.CONTEXT_LENGTH,
        ),
        (
            400,
            google(
                400,
                "INVALID_ARGUMENT",
                "Function call is missing a thought_signature in functionCall parts.",
            ),
            Fault.CALLER,
        ),
        (
            404,
            google(
                404,
                "NOT_FOUND",
                "models/gemini-nope is not found for API version v1beta, or is not supported for"
                " generateContent. Call ListModels to see the list of available models.",
            ),
            Fault.MODEL_NOT_FOUND,
        ),
        (
            404,  # Vertex
            google(
                404,
                "NOT_FOUND",
                "Publisher Model `projects/p/locations/us-central1/publishers/google/models/x` was"
                " not found or your project does not have access to it.",
            ),
            Fault.MODEL_NOT_FOUND,
        ),
        (
            429,  # Vertex
            google(429, "RESOURCE_EXHAUSTED", "Resource exhausted. Please try again later."),
            Fault.RATE_LIMITED,
        ),
        (
            429,
            google(
                429,
                "RESOURCE_EXHAUSTED",
                "Your prepayment credits are depleted. Please go to AI Studio to manage them.",
            ),
            Fault.QUOTA,
        ),
        (
            429,
            google(
                429, "RESOURCE_EXHAUSTED", "Your project has exceeded its monthly spending cap."
            ),
            Fault.QUOTA,
        ),
        (
            503,
            google(503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
            Fault.OVERLOADED,
        ),
        (500, google(500, "INTERNAL", "An internal error has occurred."), Fault.STATUS),
        (504, google(504, "DEADLINE_EXCEEDED", "Deadline expired."), Fault.STATUS),
    ],
)
@pytest.mark.parametrize("is_wrapped", [False, True])
def test_googles_errors_in_a_list_or_not(
    status: int, body: Any, fault: Fault, *, is_wrapped: bool
) -> None:
    assert read(status, [body] if is_wrapped else body).fault is fault


def test_a_blocked_location_keeps_no_caller_from_another_provider() -> None:
    words = "User location is not supported for the API use."
    failure = read(400, google(400, "FAILED_PRECONDITION", words))
    assert failure.body is None


def quota(quota_id: str, delay: str) -> dict[str, Any]:
    violation = {
        "quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests",
        "quotaId": quota_id,
        "quotaDimensions": {"location": "global", "model": "gemini-2.5-pro"},
        "quotaValue": "10",
    }
    return google(
        429,
        "RESOURCE_EXHAUSTED",
        "You exceeded your current quota, please check your plan and billing details.\n* Quota"
        " exceeded for metric: generativelanguage.googleapis.com/"
        "generate_content_free_tier_requests, limit: 10\nPlease retry in 34.074824224s.",
        {"@type": TYPES + "QuotaFailure", "violations": [violation]},
        {"@type": TYPES + "Help", "links": [{"description": "Learn more", "url": "https://x"}]},
        {"@type": TYPES + "RetryInfo", "retryDelay": delay},
    )


def test_a_quota_a_minute_of_googles_comes_back_when_it_says() -> None:
    body = quota("GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "34s")
    failure = read(429, body)
    assert (failure.fault, failure.stated_by) == (Fault.RATE_LIMITED, "retryDelay")
    assert failure.retry_after_s == 34


def test_a_quota_a_day_of_googles_comes_back_at_midnight_in_california() -> None:
    body = quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "34s")
    failure = read(429, body)
    assert (failure.fault, failure.stated_by) == (Fault.RATE_LIMITED, "quotaId")
    assert failure.retry_after_s == 12 * 3600  # from 20:00 to 08:00 UTC


def test_a_wait_that_stands_in_the_message_alone_is_read_last() -> None:
    words = "Rate limit reached for gpt-5 in organization org-1. Please try again in {}."
    body: dict[str, Any] = {"error": {"message": "", "code": "rate_limit_exceeded"}}
    for said, seconds in (("11.054s", 11.054), ("6m0s", 360), ("20ms", 0.02), ("1h2m", 3720)):
        body["error"]["message"] = words.format(said)
        failure = read(429, body)
        assert (failure.retry_after_s, failure.stated_by) == (seconds, "message")
    assert read(429, body, (b"retry-after", b"7")).retry_after_s == 7
    body["error"]["message"] = words.format("a while")
    assert read(429, body).retry_after_s is None


@pytest.mark.parametrize(
    ("member", "value"), [("resets_at", int(NOW) + 3600), ("resets_in_seconds", 3600)]
)
def test_the_usage_limit_of_a_plan_is_a_quota_until_it_resets(member: str, value: int) -> None:
    error = {
        "type": "usage_limit_reached",
        "message": "The usage limit has been reached",
        "plan_type": "plus",
        member: value,
    }
    failure = read(429, {"error": error})
    assert (failure.fault, failure.retry_after_s) == (Fault.QUOTA, 3600)


# What comes with a 200: in the middle of a stream, or in a response that has failed.


def in_reply(document: Any) -> Failure | None:
    payload = json.dumps(document).encode()
    judge = Judging(wall=lambda: NOW)
    return judge.error_in(document, payload, otherwise=Fault.BAD_STREAM)


@pytest.mark.parametrize(
    ("document", "fault", "status"),
    [
        (anthropic("overloaded_error", "Overloaded"), Fault.OVERLOADED, 503),
        (anthropic("api_error", "Internal server error"), Fault.BAD_STREAM, 200),
        (anthropic("timeout_error", "The request timed out."), Fault.BAD_STREAM, 200),
        (anthropic("rate_limit_error", "Too many."), Fault.RATE_LIMITED, 429),
        (anthropic("invalid_request_error", "tools.0: bad"), Fault.CALLER, 400),
        (anthropic("request_too_large", "Too many bytes."), Fault.CALLER, 400),
        (google(503, "UNAVAILABLE", "The model is overloaded."), Fault.OVERLOADED, 503),
        ([google(429, "RESOURCE_EXHAUSTED", "Quota.")], Fault.RATE_LIMITED, 429),
        (google(500, "INTERNAL", "An internal error has occurred."), Fault.BAD_STREAM, 200),
    ],
)
def test_an_error_in_a_stream_is_what_it_says(document: Any, fault: Fault, status: int) -> None:
    failure = in_reply(document)
    assert failure is not None
    assert (failure.fault, failure.status) == (fault, status)


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("server_error", Fault.BAD_STREAM),
        ("rate_limit_exceeded", Fault.RATE_LIMITED),
        ("context_length_exceeded", Fault.CONTEXT_LENGTH),
        ("insufficient_quota", Fault.QUOTA),
        ("usage_not_included", Fault.QUOTA),
        ("server_is_overloaded", Fault.OVERLOADED),
        ("slow_down", Fault.OVERLOADED),
        ("invalid_prompt", Fault.CONTENT_FILTER),
        ("image_content_policy_violation", Fault.CONTENT_FILTER),
        ("invalid_image_url", Fault.CALLER),
        ("failed_to_download_image", Fault.CALLER),
    ],
)
def test_a_response_fails_by_its_code_nested_or_flat(code: str, fault: Fault) -> None:
    said = {"code": code, "message": "It did not work."}
    flat = {"type": "error", **said, "param": None, "sequence_number": 3}
    for document in ({"id": "resp_1", "status": "failed", "error": said, "usage": None}, flat):
        failure = in_reply(document)
        assert failure is not None
        assert (failure.fault, failure.code) == (fault, code)


def test_a_rate_limit_within_a_stream_says_in_its_message_how_long_it_lasts() -> None:
    words = "Rate limit reached for gpt-5. Please try again in 7.5s. Visit https://x to learn more."
    failure = in_reply({"error": {"code": "rate_limit_exceeded", "message": words}})
    assert failure is not None
    assert failure.retry_after_s == 7.5


@pytest.mark.parametrize(
    "document",
    [
        {"type": "message_start", "message": {"id": "msg_1", "role": "assistant", "content": []}},
        {"id": "resp_1", "object": "response", "status": "completed", "error": None},
        {"candidates": [{"content": {"parts": [{"text": "error"}]}}]},
        {"totalTokens": 3},
        {"input_tokens": 3},
        {"type": "ping"},
    ],
)
def test_what_is_no_error_is_not_taken_for_one(document: Any) -> None:
    assert in_reply(document) is None


@pytest.mark.parametrize(
    ("finish", "blame"),
    [
        ("end_turn", Blame.NOBODY),
        ("STOP", Blame.NOBODY),
        ("refusal", Blame.CALLER),
        ("MAX_TOKENS", Blame.CALLER),
        ("IMAGE_SAFETY", Blame.CALLER),
        ("MODEL_ARMOR", Blame.CALLER),
        ("MALFORMED_FUNCTION_CALL", Blame.PROVIDER),
        ("MISSING_THOUGHT_SIGNATURE", Blame.PROVIDER),
        ("failed", Blame.PROVIDER),
    ],
)
def test_a_finish_says_whose_doing_it_is(finish: str, blame: Blame) -> None:
    assert Judging().blame(finish) is blame
