"""What a caller is told when nobody could serve, and that its SDK then leaves it at that."""

from __future__ import annotations

from typing import Any

import pytest
from openai import APIStatusError, InternalServerError, RateLimitError

from tests.journeys.stage import HELLO, Stage, benched, calls, candidate

ONCE = {"same_candidate_retries": 0}
BOTH = {
    "all-failed": ("status:500", "html", 502, "upstream_failed"),
    "all-limited": ("status:429:retry-after=9", "status:429:retry-after=7", 429, ""),
    "out-of-quota": ("status:402", "status:429:code=insufficient_quota", 429, "insufficient_quota"),
    "overloaded": ("status:529", "status:529", 503, "server_is_overloaded"),
    "bad-keys": ("status:401", "status:401", 502, "upstream_failed"),
    "behind-a-proxy": ("status:500", "html", 503, "upstream_failed"),
}


@pytest.fixture(scope="module", autouse=True)
def config(whole_session_stage: Stage) -> None:
    stage = whole_session_stage
    providers: dict[str, Any] = {
        "ending-1": stage.first.provider(),
        "ending-2": stage.second.provider(),
    }
    pools: dict[str, Any] = {
        "budget": {
            "failover": ONCE,
            "candidates": [candidate("ending-1", f"budget-{n}~status:500") for n in range(5)],
        },
        "hanging": {
            "candidates": [candidate("ending-1", "hangs~stall"), candidate("ending-2", "idle")],
        },
        "dripping": {"candidates": [candidate("ending-1", "drips~slow:gap_ms=150")]},
        "then-refused": {
            "failover": ONCE,
            "candidates": [
                candidate("ending-1", "fails~status:500"),
                candidate("ending-2", "refuses~status:400"),
            ],
        },
    }
    for name, (one, other, _status, _code) in BOTH.items():
        for way in ("plain", "stream", "sdk"):
            providers[f"{name}-{way}-1"] = stage.first.provider(api_key=f"hidden~{one}")
            providers[f"{name}-{way}-2"] = stage.second.provider(api_key=f"hidden~{other}")
            told = {"exhausted_status": 503} if name == "behind-a-proxy" else {}
            pools[f"{name}-{way}"] = {
                "failover": {**ONCE, **told},
                "candidates": [
                    candidate(f"{name}-{way}-1", f"{name}-1"),
                    candidate(f"{name}-{way}-2", f"{name}-2"),
                ],
            }
    stage.add(providers=providers, pools=pools)


def failure(stage: Stage, model: str, **more: Any) -> APIStatusError:
    with pytest.raises(APIStatusError) as failed:
        stage.client().chat.completions.create(model=model, messages=HELLO, **more)
    return failed.value


@pytest.mark.parametrize("way", ["plain", "stream"])
@pytest.mark.parametrize("name", BOTH)
def test_when_everybody_failed_one_error_says_how_each_did(
    stage: Stage, name: str, way: str
) -> None:
    """litellm #16752: why it failed over is no secret."""
    one, other, status, code = BOTH[name]

    error = failure(stage, f"{name}-{way}", stream=way == "stream")

    assert error.status_code == status
    assert error.code == (code or "rate_limit_exceeded")
    assert isinstance(error.body, dict)
    attempts = error.body["attempts"]
    assert [(a["provider"], a["model"]) for a in attempts] == [
        (f"{name}-{way}-1", f"{name}-1"),
        (f"{name}-{way}-2", f"{name}-2"),
    ]
    assert [a["status"] for a in attempts] == [
        int(mode.split(":")[1]) if mode.startswith("status") else 200 for mode in (one, other)
    ]
    assert all(a["reason"] for a in attempts)
    assert "hidden" not in error.response.text
    assert "oops" not in error.response.text
    assert error.response.headers["x-switchyard-attempts"] == "2"
    assert "x-switchyard-provider" not in error.response.headers


def test_a_final_error_tells_the_sdk_to_stop(stage: Stage) -> None:
    """litellm #25285: attempts of the gateway do not multiply with the SDK's own retries."""
    with pytest.raises(InternalServerError) as failed:
        stage.client(max_retries=2).chat.completions.create(model="budget", messages=HELLO)

    assert failed.value.response.headers["x-should-retry"] == "false"
    made = [len(calls(stage.first, f"budget-{n}~status:500")) for n in range(5)]
    assert made == [1, 1, 1, 0, 0]


@pytest.mark.parametrize("name", ["out-of-quota", "bad-keys"])
def test_an_error_that_no_waiting_mends_tells_the_sdk_to_stop(stage: Stage, name: str) -> None:
    """Nobody returns within the minute that Retry-After can say, so the SDK must not wait it."""
    error = failure(stage, f"{name}-sdk")

    assert error.response.headers["x-should-retry"] == "false"


def test_a_rate_limit_everywhere_says_when_the_soonest_returns(stage: Stage) -> None:
    with pytest.raises(RateLimitError) as limited:
        stage.client().chat.completions.create(model="all-limited-sdk", messages=HELLO)

    assert 1 <= int(limited.value.response.headers["retry-after"]) <= 7


def test_a_refusal_after_another_ones_failure_is_a_failure_too(stage: Stage) -> None:
    error = failure(stage, "then-refused")

    assert error.status_code == 502
    assert isinstance(error.body, dict)
    assert [attempt["status"] for attempt in error.body["attempts"]] == [500, 400]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_callers_deadline_ends_in_504_and_benches_nobody(stage: Stage, stream: bool) -> None:
    """Bifrost #7034, #6472: a silent provider is no reason to wait longer than was asked."""
    before = len(calls(stage.first, "hangs~stall"))
    for _ in range(4):
        with pytest.raises(InternalServerError) as late:
            stage.client().chat.completions.create(
                model="hanging",
                messages=HELLO,
                stream=stream,
                extra_headers={"x-switchyard-timeout": "0.4"},
            )
        assert late.value.status_code == 504
        assert late.value.code == "upstream_timeout"

    assert len(calls(stage.first, "hangs~stall")) - before == 4
    assert calls(stage.second, "idle") == []
    assert "ending-1/hangs~stall" not in benched(stage.gateway)


def test_an_sdks_own_read_timeout_shortens_the_wait_for_content(stage: Stage) -> None:
    """The SDK says by header how long it will wait, and gets an answer before that."""
    with pytest.raises(InternalServerError) as late:
        stage.client().chat.completions.create(
            model="hanging", messages=HELLO, extra_headers={"x-stainless-read-timeout": "0.5"}
        )

    assert late.value.code == "upstream_timeout"


def test_an_sdks_own_read_timeout_never_shortens_a_running_stream(stage: Stage) -> None:
    stream = stage.client().chat.completions.create(
        model="dripping",
        messages=HELLO,
        stream=True,
        extra_headers={"x-stainless-read-timeout": "1"},
    )

    assert list(stream)[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize("value", ["0", "-1", "soon", "nan", "inf", ""])
def test_a_deadline_that_is_no_time_is_refused(stage: Stage, value: str) -> None:
    reply = stage.gateway.request(
        "/v1/chat/completions",
        {"model": "hanging", "messages": HELLO},
        headers={"x-switchyard-timeout": value},
    )

    assert reply.status == 400
    assert "x-switchyard-timeout" in reply.json()["error"]["message"]
