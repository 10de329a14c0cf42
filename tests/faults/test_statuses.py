"""
Rows 39 to 60: what a provider's status means, told by who answers: the spare, or the provider's
own words. With nobody behind it, what the caller is told instead.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.faults.field import Case, Field
from tests.faults.says import dump, head, whole
from tests.faults.tongues import SPARE_TEXT


def refusal(status: int, kind: str = "some_error", code: str | None = None, **more: Any) -> bytes:
    said = {"message": more.pop("message", "so it is"), "type": kind, "code": code, "param": None}
    return whole(dump({"error": said | more.pop("error", {})}), status=f"{status} So", **more)


FAILED, LIMITED = (502, "upstream_failed"), (429, "rate_limit_exceeded")
SPENT, OVERLOADED = (429, "insufficient_quota"), (503, "server_is_overloaded")
SIGNATURE = "messages.1.content.0: Invalid `signature` in `thinking` block"
TOO_LONG = refusal(400, "invalid_request_error", "context_length_exceeded")
# The next candidate is called; alone, the caller gets this status and code.
NEXT: dict[str, tuple[bytes, tuple[int, str]]] = {
    "row-40-context-length": (TOO_LONG, (400, "context_length_exceeded")),
    "row-44-401": (refusal(401, "authentication_error", "invalid_api_key"), FAILED),
    "row-44-403-bad-key": (refusal(403, message="Invalid API key"), FAILED),
    "row-45-402": (refusal(402), SPENT),
    "row-45-quota": (refusal(429, "insufficient_quota", "insufficient_quota"), SPENT),
    "row-45-400-balance": (refusal(400, message="Your credit balance is too low"), SPENT),
    "row-46-403": (refusal(403, message="Country not supported"), FAILED),
    "row-47-404-model": (refusal(404, code="model_not_found"), FAILED),
    "row-47-404-page": (whole(b"Not Found", "text/plain", status="404 Not Found"), FAILED),
    **{f"row-48-{status}": (refusal(status), FAILED) for status in (405, 501)},
    "row-49-408": (refusal(408), FAILED),
    "row-53-429": (refusal(429), LIMITED),
    "row-54-retry-after": (refusal(429, retry_after="7"), LIMITED),
    "row-54-retry-after-nonsense": (refusal(429, retry_after="-1"), LIMITED),
    "row-55-retry-after-ms": (refusal(429, retry_after_ms="7000"), LIMITED),
    "row-56-499": (refusal(499), FAILED),
    **{f"row-57-{s}": (refusal(s), FAILED) for s in (500, 504, 520)},
    "row-57-page": (whole(b"<h1>Bad gateway</h1>", "text/html", status="502 Bad Gateway"), FAILED),
    "row-58-529": (refusal(529, "overloaded_error"), OVERLOADED),
    "row-58-503-overloaded": (refusal(503, code="server_is_overloaded"), OVERLOADED),
    "row-59-999": (refusal(999), FAILED),
    "row-59-600": (refusal(600), FAILED),
    "row-59-no-number": (b"HTTP/1.1 abc What\r\ncontent-length: 0\r\n\r\n", FAILED),
    "row-60-204": (head(None, status="204 No Content"), FAILED),
    "row-60-205": (head(None, status="205 Reset Content", content_length="0"), FAILED),
    "row-60-304": (head(None, status="304 Not Modified"), FAILED),
}
# The provider's words go back as they are, and nobody else is asked.
FINAL = {
    "row-39-400": refusal(400, "invalid_request_error"),
    "row-41-content-filter": refusal(400, code="content_filter"),
    "row-42-unsupported-parameter": refusal(400, code="unsupported_parameter"),
    "row-43-signature": refusal(400, "invalid_request_error", message=SIGNATURE),
    "row-50-409": refusal(409),
    "row-51-413": refusal(413),
    "row-52-422": refusal(422),
}
CASES = {
    **{name: Case(script=(said,)) for name, said in FINAL.items()},
    **{name: Case(script=(said,)) for name, (said, _) in NEXT.items()},
    **{
        f"{name}-alone": Case(script=(said,), is_alone=True, failover={"same_candidate_retries": 0})
        for name, (said, _) in NEXT.items()
    },
}


@pytest.mark.parametrize("name", NEXT)
def test_the_spare_answers_after_a_status_that_is_the_providers_matter(
    field: Field, name: str
) -> None:
    asked = field.ask(name, stream=True)

    assert asked.told is not None
    assert (asked.told.text, asked.told.finish) == (SPARE_TEXT, "stop")
    assert asked.calls == [name, "spare-stream"]


@pytest.mark.parametrize("name", NEXT)
def test_where_nobody_is_left_the_caller_never_hears_of_our_trouble_as_his(
    field: Field, name: str
) -> None:
    """No 401 or 403 of ours, at which he would throw his good key away; no redirect, no 404."""
    asked = field.ask(f"{name}-alone")

    assert asked.answer is not None
    error = json.loads(asked.answer.body)["error"]
    assert (asked.answer.status, error["code"]) == NEXT[name][1]


@pytest.mark.parametrize("name", FINAL)
def test_what_is_the_callers_matter_comes_back_in_the_providers_words(
    field: Field, name: str
) -> None:
    for _turn in range(3):  # as often as would bench a provider that failed
        asked = field.ask(name)

        assert asked.answer is not None
        sent, _, body = FINAL[name].partition(b"\r\n\r\n")
        assert asked.answer.status == int(sent.split(b" ")[1])
        assert asked.answer.body == body
        assert asked.calls == [name]
    assert not field.is_benched(name)
