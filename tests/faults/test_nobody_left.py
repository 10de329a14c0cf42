"""
Rows 1 to 38 with nobody behind the one that fails: the status is the fault's, never a 200, and the
body one honest error. After an early 200 the same is an error event.
"""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from tests.faults import says
from tests.faults.field import Case, Field
from tests.faults.provider import HANG, REFUSED, RESET, Flood
from tests.faults.says import BEGUN, DONE, FINISH, PAGE, SSE, chunked, dump, event, head, whole
from tests.faults.tongues import SPARE_TEXT

SHORT = {"first_token_s": 0.4, "total_s": 0.4}
HELD = {"hold_s": 0.2}


def error(kind: str, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": "so it is", "type": kind, "code": code, "param": None}}


def alone(*script: bytes | Any, unlogged: int = 0, base_url: str = "", **timeouts: float) -> Case:
    return Case(
        script=script, is_alone=True, unlogged=unlogged, base_url=base_url, timeouts=timeouts,
        failover={"same_candidate_retries": 0},
    )  # fmt: skip


LIMITED = error("rate_limit_error", "rate_limit_exceeded")
SPENT = error("insufficient_quota", "insufficient_quota")
TOO_LARGE = {
    "error": {
        "message": "Request too large for m on tokens per min (TPM): Limit 300, Requested 450.",
        "type": "tokens", "param": None, "code": "rate_limit_exceeded",
    }
}  # fmt: skip
TOO_LONG = error("invalid_request_error", "context_length_exceeded")
# The case, and the status and code that its caller gets.
ALONE: dict[str, tuple[Case, int, str | None]] = {
    "row-1-connect-refused": (alone(base_url=REFUSED, unlogged=1), 502, "upstream_failed"),
    "row-6-reset": (alone(RESET), 502, "upstream_failed"),
    "row-14-no-headers": (alone(HANG, **SHORT), 502, "upstream_failed"),
    "row-20-html": (alone(whole(PAGE, "text/html")), 502, "upstream_failed"),
    "row-21-empty": (alone(whole(b"")), 502, "upstream_failed"),
    "row-22-rate-limit": (alone(whole(dump(LIMITED))), 429, "rate_limit_exceeded"),
    "row-22-quota": (alone(whole(dump(SPENT))), 429, "insufficient_quota"),
    "row-22-overloaded": (
        alone(whole(dump(error("overloaded_error")))), 503, "server_is_overloaded",
    ),
    "row-25-no-event": (alone(chunked()), 502, "upstream_failed"),
    "row-28-rate-limit": (alone(chunked(event(LIMITED))), 429, "rate_limit_exceeded"),
    "row-28-quota": (alone(chunked(event(SPENT))), 429, "insufficient_quota"),
    "row-28-other": (alone(chunked(event(error("server_error")))), 502, "upstream_failed"),
    "row-30-truncated": (alone(whole(b'{"id":"up-1","choi')), 502, "upstream_failed"),
    "row-34-brotli": (alone(whole(b"?", content_encoding="br")), 502, "upstream_failed"),
    "row-34-packed-refusal": (
        alone(
            whole(
                gzip.compress(dump(TOO_LONG)), status="400 Bad Request", content_encoding="gzip"
            )
        ),
        400,
        "context_length_exceeded",
    ),
    "row-36-a-byte-at-a-time": (
        alone(head(content_length="9000"), Flood(b" ", pause_s=0.05), **SHORT),
        502,
        "upstream_failed",
    ),
}  # fmt: skip
WAITS = 0.5
EARLY = {
    "row-14-then-the-spare": Case(script=(HANG,), timeouts={"first_token_s": 0.7}, failover=HELD),
    "row-23-late": Case(script=(WAITS, whole(dump(says.reply()))), failover=HELD),
    "row-24-late": Case(script=(WAITS, whole(BEGUN + FINISH + DONE, "text/plain")), failover=HELD),
    "row-28-late": Case(
        script=(head(SSE), WAITS, event(LIMITED)), is_alone=True,
        failover=HELD | {"same_candidate_retries": 0},
    ),
}  # fmt: skip
KINDS = ["plain", "stream"]
CASES = {
    **{f"{name}-{kind}": case for name, (case, _, _) in ALONE.items() for kind in KINDS},
    **EARLY,
    "too-large-for-its-limit": alone(whole(dump(TOO_LARGE), status="429 Too Many Requests")),
    "row-36-the-callers-own-deadline": Case(
        script=(head(content_length="9000"), Flood(b" ", pause_s=0.05))
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ALONE)
def test_when_nobody_is_left_the_status_is_the_faults(field: Field, name: str, kind: str) -> None:
    _case, status, code = ALONE[name]

    asked = field.ask(f"{name}-{kind}", stream=kind == "stream")

    assert asked.answer is not None
    assert asked.answer.status == status
    assert asked.answer.headers["content-type"] == "application/json"
    assert json.loads(asked.answer.body)["error"]["code"] == code


def test_a_request_above_its_providers_limit_is_told_so_and_not_to_come_again(
    field: Field,
) -> None:
    name = "too-large-for-its-limit"

    for _turn in range(2):
        asked = field.ask(name)

        assert asked.answer is not None
        assert asked.answer.status == 429
        assert asked.answer.body == dump(TOO_LARGE)
        assert asked.answer.headers["x-should-retry"] == "false"
        assert "retry-after" not in asked.answer.headers
        assert asked.calls == [name]
    assert not field.is_benched(name)


@pytest.mark.parametrize("kind", KINDS)
def test_row_36_the_requests_own_deadline_is_a_504_and_nobody_elses_fault(
    field: Field, kind: str
) -> None:
    name = "row-36-the-callers-own-deadline"

    for _turn in range(4):
        asked = field.ask(name, stream=kind == "stream", x_switchyard_timeout="0.3")

        assert asked.answer is not None
        assert asked.answer.status == 504
        assert asked.calls == [name]
    assert not field.is_benched(name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("row-14-then-the-spare", SPARE_TEXT),
        ("row-23-late", says.TEXT),
        ("row-24-late", "Hello from"),
    ],
)
def test_after_an_early_200_the_answer_comes_behind_the_heartbeats(
    field: Field, name: str, text: str
) -> None:
    asked = field.ask(name, stream=True)

    assert asked.told is not None
    assert asked.told.heartbeats > 0
    assert (asked.told.text, asked.told.finish) == (text, "stop")


def test_after_an_early_200_a_failure_is_an_error_event(field: Field) -> None:
    asked = field.ask("row-28-late", stream=True)

    assert asked.told is not None
    assert asked.told.heartbeats > 0
    assert asked.told.error is not None
    assert asked.told.error["code"] == "rate_limit_exceeded"
