"""Which row of the verdict table an answer belongs to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from failover.engine.verdicts import VERDICTS
from providers.adapters.classify import classify
from providers.adapters.judging import Judging
from providers.errors import MESSAGE_LIMIT, Failure, Fault
from providers.secrets.redaction import safe_text

pytestmark = pytest.mark.pure

JSON = [(b"content-type", b"application/json")]


def verdict(status: int, error: Any = None, headers: Any = (), secrets: Any = ()) -> Failure:
    body = b"" if error is None else json.dumps({"error": error}).encode()
    return classify(status, [*JSON, *headers], body, now=1_000, secrets=secrets)


def says(message: str, **members: Any) -> dict[str, Any]:
    return {"message": message, "type": None, "param": None, "code": None, **members}


@pytest.mark.parametrize(
    ("status", "error", "fault"),
    [
        (408, None, Fault.STATUS),
        (500, None, Fault.STATUS),
        (502, None, Fault.STATUS),
        (503, None, Fault.STATUS),
        (504, None, Fault.STATUS),
        (524, None, Fault.STATUS),
        (500, says("The server had an error", type="server_error"), Fault.STATUS),
        (500, says("x", type="overloaded_error"), Fault.OVERLOADED),
        (503, says("The engine is currently overloaded"), Fault.OVERLOADED),
        (503, says("no capacity left"), Fault.OVERLOADED),
        (503, says("x", status="UNAVAILABLE", code=503), Fault.OVERLOADED),
        (503, says("x", code="server_is_overloaded"), Fault.OVERLOADED),
        (529, None, Fault.OVERLOADED),
        (429, None, Fault.RATE_LIMITED),
        (429, says("Rate limit reached", code="rate_limit_exceeded"), Fault.RATE_LIMITED),
        (
            429,
            says("You exceeded your current quota", status="RESOURCE_EXHAUSTED"),
            Fault.RATE_LIMITED,
        ),
        (429, says("x", code="insufficient_quota"), Fault.QUOTA),
        (429, says("Your credit balance is too low"), Fault.QUOTA),
        (429, says("x", type="engine_overloaded_error"), Fault.OVERLOADED),
        (402, None, Fault.QUOTA),
        (400, says("Your credit balance is too low to access the API"), Fault.QUOTA),
        (403, says("Insufficient balance"), Fault.QUOTA),
        (401, None, Fault.AUTH),
        (401, says("Incorrect API key provided", code="invalid_api_key"), Fault.AUTH),
        (401, says("x", code="insufficient_quota"), Fault.QUOTA),
        (400, says("API key not valid. Please pass a valid API key.", code=400), Fault.AUTH),
        (403, says("Invalid API key"), Fault.AUTH),
        (403, None, Fault.FORBIDDEN),
        (403, says("Country not supported", code="unsupported_country"), Fault.FORBIDDEN),
        (
            403,
            says("Project `p` does not have access to model `gpt-x`", code="model_not_found"),
            Fault.FORBIDDEN_MODEL,
        ),
        (403, says("You may not use this model"), Fault.FORBIDDEN_MODEL),
        (403, says("The model `x` has been deprecated"), Fault.MODEL_NOT_FOUND),
        (403, says("Your input was flagged by moderation"), Fault.CONTENT_FILTER),
        (404, says("The model `x` does not exist", code="model_not_found"), Fault.MODEL_NOT_FOUND),
        (404, says('model "x" not found, try pulling it first'), Fault.MODEL_NOT_FOUND),
        (404, says("x", type="not_found_error"), Fault.MODEL_NOT_FOUND),
        (404, says("No endpoints found that support image input", code=404), Fault.CALLER),
        (404, None, Fault.CONFIG),
        (404, says("Not Found"), Fault.CONFIG),
        (410, says("This model was retired"), Fault.MODEL_NOT_FOUND),
        (400, says("The model `x` does not exist", code="model_not_found"), Fault.MODEL_NOT_FOUND),
        (
            400,
            says("The model gpt-4.1-x doesn't exist or you don't have it"),
            Fault.MODEL_NOT_FOUND,
        ),
        (400, says("Invalid model: mistral-nope", code="1500"), Fault.MODEL_NOT_FOUND),
        (400, says("The model 'x' has been decommissioned"), Fault.MODEL_NOT_FOUND),
        (400, says("x", code="context_length_exceeded"), Fault.CONTEXT_LENGTH),
        (400, says("This model's maximum context length is 8192 tokens"), Fault.CONTEXT_LENGTH),
        (
            413,
            says("Request too large for model `x`", code="rate_limit_exceeded"),
            Fault.CONTEXT_LENGTH,
        ),
        (400, says("prompt is too long: 210000 tokens > 200000 maximum"), Fault.CONTEXT_LENGTH),
        (400, says("x", code="content_filter"), Fault.CONTENT_FILTER),
        (
            400,
            says("x", code="odd", innererror={"code": "ResponsibleAIPolicyViolation"}),
            Fault.CONTENT_FILTER,
        ),
        (400, None, Fault.CALLER),
        (
            400,
            says("Unsupported parameter: 'max_tokens' is not supported with this model."),
            Fault.CALLER,
        ),
        (400, says("model must be a string", param="messages", code="invalid_model"), Fault.CALLER),
        (400, says("Invalid tool 'model x not found'", param="tools"), Fault.CALLER),
        (400, says("Invalid tool name 'the model is not available'"), Fault.CALLER),
        (409, None, Fault.CALLER),
        (413, None, Fault.CALLER),
        (422, says("model: unknown model"), Fault.CALLER),
        (418, None, Fault.CALLER),
        (451, None, Fault.CALLER),
        *((status, None, Fault.CONFIG) for status in (301, 302, 307, 308, 204, 205, 304)),
        *((status, None, Fault.CONFIG) for status in (405, 407, 415, 426, 501, 505, 499)),
        *((status, None, Fault.CONFIG) for status in (0, 99, 101, 202, 206, 600, 999)),
    ],
)
def test_an_answer_belongs_to_one_row(status: int, error: Any, fault: Fault) -> None:
    failure = verdict(status, error)
    assert failure.fault is fault
    assert failure.status == status
    assert fault in VERDICTS


def test_every_status_belongs_to_some_row() -> None:
    assert {verdict(status).fault for status in range(1_000)} <= set(VERDICTS)


@pytest.mark.parametrize(
    "body",
    [
        b'{"detail":"model not found"}',
        b'{"detail":[{"msg":"model not found","loc":["body"]}]}',
        b'{"object":"error","message":"model not found","type":"NotFoundError","code":404}',
        b'{"message":"model not found"}',
        b'{"error":"model not found"}',
        b'[{"error":{"message":"model not found","code":404}}]',
        b'{"error":{"message":"model not found"}}',
    ],
)
def test_errors_are_found_in_every_shape_that_servers_give_them(body: bytes) -> None:
    failure = classify(404, JSON, body, now=0)
    assert failure.fault is Fault.MODEL_NOT_FOUND
    assert failure.message == "model not found"


@pytest.mark.parametrize(
    "body", [b"", b"<html>Bad Gateway</html>", b"[" * 9_000, b"\xff\xfe", b'{"error":', b"[]", b"7"]
)
def test_a_body_that_says_nothing_leaves_the_status_to_speak(body: bytes) -> None:
    failure = classify(502, [(b"content-type", b"text/html")], body, now=0)
    assert failure.fault is Fault.STATUS
    assert failure.message == ("HTTP 502 (text/html)" if body else "HTTP 502 (no body)")


def test_a_huge_body_is_not_parsed() -> None:
    body = b'{"error":{"code":"insufficient_quota","message":"' + b"x" * (3 << 20) + b'"}}'
    assert classify(429, JSON, body, now=0).fault is Fault.RATE_LIMITED


@pytest.mark.parametrize("status", [400, 409, 413, 422])
def test_the_callers_errors_keep_the_upstreams_words(status: int) -> None:
    body = b'{"error": {"message": "n must be 1", "zz": 1.10}}'
    failure = classify(status, [(b"content-type", b"application/json; x=1")], body, now=0)
    assert failure.body == body
    assert failure.content_type == "application/json; x=1"


@pytest.mark.parametrize("status", [401, 402, 403, 404, 429, 500, 503, 529, 302])
def test_no_other_failure_carries_a_body(status: int) -> None:
    assert verdict(status, says("model not found")).body is None


def test_keys_are_taken_out_of_messages_and_bodies() -> None:
    secret = "my-own-secret-value"
    text = f"Key {secret} or sk-proj-ab*******wxyz or Bearer abcdef123456 or AIzaSyA1234567890abc"
    failure = verdict(400, says(text), secrets=("", secret))
    assert failure.message == ("Key [redacted] or [redacted] or Bearer [redacted] or [redacted]")
    assert failure.body is not None
    assert secret.encode() not in failure.body


ECHO = rb"""{ "error": {"message":"limit 1, \u0031 null \ud83d {}",  "1": 1, "null": null, "x":1.10,
  "code":"caf\u00e9\/{}\n"} }"""


@pytest.mark.parametrize("secret", ["1", "null", "message", "1.10", '"x":1.10', "error"])
def test_a_short_key_takes_nothing_out_of_a_callers_error(secret: str) -> None:
    body = ECHO.replace(b"{}", b"s0-long")
    failure = classify(400, JSON, body, now=0, secrets=(secret,))
    assert failure.body == body
    assert failure.message.startswith("limit 1, 1 null")


@pytest.mark.parametrize(
    ("secret", "told"),
    [
        ("s0-long-enough", rb"s0-long-enough"),
        ("s0/long&enough", rb"s0\/long&enough"),
        ("s0/long&enough", rb"s0%2Flong%26enough"),
        ("s0-long-enough", rb"s\u0030-long-enough"),
        ('s0-"long"\\enough', rb"s0-\"long\"\\enough"),
    ],
)
def test_a_key_is_taken_out_of_a_body_that_is_the_same_byte_for_byte_otherwise(
    secret: str, told: bytes
) -> None:
    failure = classify(400, JSON, ECHO.replace(b"{}", told), now=0, secrets=(secret,))
    assert failure.body == ECHO.replace(b"{}", b"[redacted]")


@pytest.mark.parametrize("name", ["12345678", "requested"])
def test_a_key_that_is_a_number_or_a_name_of_json_is_left_where_it_is_no_text(name: str) -> None:
    body = b'{"requested": 12345678, "error": {"message": "requested 12345678 of 123456789"}}'
    failure = classify(400, JSON, body, now=0, secrets=(name,))
    assert failure.body == body[:45] + body[45:].replace(name.encode() + b" ", b"[redacted] ")


def test_only_whole_tokens_are_taken_for_a_key() -> None:
    body = b'{"error": {"message": "prefixes: abcdefgh-1 xabcdefgh abcdefgh_ abcdefgh."}}'
    failure = classify(400, JSON, body, now=0, secrets=("abcdefgh",))
    assert failure.body == body.replace(b"abcdefgh.", b"[redacted].")


def test_a_key_is_taken_out_of_a_body_that_is_no_json() -> None:
    failure = classify(400, [], b"bad key: abcdefgh\xff!", now=0, secrets=("abcdefgh",))
    assert failure.body == b"bad key: [redacted]\xff!"


TOO_LARGE = (
    "Request too large for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000,"
    " Requested 45000. The input or output tokens must be reduced in order to run successfully."
)


@pytest.mark.parametrize("status", [413, 429])
@pytest.mark.parametrize(
    "message",
    [
        TOO_LARGE,
        "Request too large for model `x` on tokens per minute (TPM): Limit 12000, Requested 13,500",
        "Token limit: 6,000. Requested: 7,000",
    ],
)
def test_a_request_above_a_limit_is_too_large_and_not_too_soon(status: int, message: str) -> None:
    failure = verdict(status, says(message, type="tokens", code="rate_limit_exceeded"))
    assert failure.fault is Fault.CONTEXT_LENGTH
    assert failure.body is not None
    assert failure.retry_after_s is None


@pytest.mark.parametrize(
    "message",
    [
        "Rate limit reached on tokens per min (TPM): Limit 30000, Used 25000, Requested 10000.",
        "Limit 30000, Requested 30000",
        "Requested 45000 tokens",
        "Limit 30000 reached",
    ],
)
def test_a_request_within_its_limit_was_only_too_soon(message: str) -> None:
    assert verdict(429, says(message, code="rate_limit_exceeded")).fault is Fault.RATE_LIMITED


def test_words_that_only_look_like_keys_stay() -> None:
    text = "unknown field key_attributes of task-force in api_key sk-1"
    assert safe_text(text) == text


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("a\r\nb\0c\x1b[31m", "a\\r\\nb\\x00c\\x1b[31m"),
        ("right\u202eleft", "right\\u202eleft"),
        ("a\u3000b wörld 🌍", "a\u3000b wörld 🌍"),
        ("\ud800", "\\ud800"),
    ],
)
def test_control_characters_are_escaped(text: str, safe: str) -> None:
    assert safe_text(text) == safe


def test_messages_are_bounded_and_no_part_of_a_key_is_left_at_the_cut() -> None:
    secret = "k" * 40
    message = safe_text("x" * (MESSAGE_LIMIT - 20) + " " + secret, (secret,))
    assert len(message) <= MESSAGE_LIMIT
    assert "k" not in message
    assert len(safe_text("x" * 10_000)) == MESSAGE_LIMIT


@pytest.mark.parametrize(
    ("status", "error", "wait"),
    [
        (429, None, 7.0),
        (503, None, 7.0),
        (529, None, 7.0),
        (402, None, 7.0),
        (401, None, None),
        (400, None, None),
        (404, None, None),
    ],
)
def test_a_time_to_return_counts_where_waiting_helps(
    status: int, error: Any, wait: float | None
) -> None:
    assert verdict(status, error, [(b"retry-after", b"7")]).retry_after_s == wait


def test_the_field_that_states_the_time_is_named() -> None:
    failure = verdict(429, None, [(b"x-ratelimit-reset-requests-day", b"7.5")])
    assert (failure.retry_after_s, failure.stated_by) == (7.5, "x-ratelimit-reset-requests-day")


def test_a_reset_within_a_reply_that_says_200_is_read_by_the_same_clock() -> None:
    headers = {"X-RateLimit-Reset": "1795255260000", "X-RateLimit-Remaining": "0"}
    error = {"message": "Rate limit exceeded", "code": 429, "metadata": {"headers": headers}}
    judge = Judging(wall=lambda: 1795255200.0)

    failure = judge.error_in({"error": error}, b"", otherwise=Fault.BAD_REPLY)

    assert failure is not None
    assert failure.fault is Fault.RATE_LIMITED
    assert (failure.retry_after_s, failure.stated_by) == (60, "x-ratelimit-reset")


def test_a_request_above_its_limit_is_too_large_in_a_reply_that_says_200_too() -> None:
    error = says(TOO_LARGE, type="tokens", code="rate_limit_exceeded")
    failure = Judging().error_in({"error": error}, b"{}", otherwise=Fault.BAD_REPLY)
    assert failure is not None
    assert (failure.fault, failure.body) == (Fault.CONTEXT_LENGTH, b"{}")


def test_limit_resets_count_for_rate_limits_only() -> None:
    headers = [(b"x-ratelimit-reset-requests", b"3s")]
    assert verdict(429, None, headers).retry_after_s == 3
    assert verdict(500, None, headers).retry_after_s is None


def test_the_code_is_the_most_telling_name() -> None:
    assert verdict(400, says("x", code="a", type="b")).code == "a"
    assert verdict(400, says("x", type="b")).code == "b"
    assert verdict(400, says("x", code=1500)).code == "1500"
    assert verdict(400, None).code is None
