"""Every request leaves one record, and it says what the caller and the providers saw."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.journeys.stage import HELLO, Stage, calls, candidate
from tests.support.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.gateways import Reply

CALLER_KEY = "sy_key-of-the-records-journey-0123456789"
ONCE = {"same_candidate_retries": 0}


@pytest.fixture(scope="module", autouse=True)
def config(whole_session_stage: Stage) -> None:
    stage = whole_session_stage
    pools: dict[str, Any] = {
        "kept": [candidate("kept-1", "kept")],
        "kept-moving": [
            candidate("kept-1", "kept-moves~status:503:message=Busy-today"),
            candidate("kept-2", "m"),
        ],
        "kept-refusing": [candidate("kept-1", "kept-refuses~status:400:code=bad_tool")],
        "kept-failing": [
            candidate("kept-1", "kept-fails~status:500"),
            candidate("kept-2", "kept-fails~status:500"),
        ],
        "kept-breaking": [candidate("kept-1", "kept-breaks~reset_after:3:gate=2")],
        "kept-endless": [candidate("kept-1", "kept-endless~slow:gap_ms=20:chunks=5000")],
        "kept-stalling": [candidate("kept-1", "kept-stalls~stall")],
        "kept-off": [candidate("kept-off", "m")],
        "kept-ruled": [candidate("kept-1", "kept-rules~status:500")],
    }
    stage.add(
        providers={
            "kept-1": stage.first.provider(bench={"failures": 1000}),
            "kept-2": stage.second.provider(bench={"failures": 1000}),
            "kept-off": stage.second.provider(enabled=False),
        },
        pools={name: {"failover": ONCE, "candidates": who} for name, who in pools.items()},
        aliases={"kept-alias": "kept"},
        rules={"kept-ruled": ["kept"]},
        keys=[
            {
                "name": "kept-caller",
                "key": CALLER_KEY,
                "team": "search",
                "user_path": "/search",
                "models": ["kept*"],
            }
        ],
    )


class Kept:
    """Requests with ids of their own, and their records."""

    def __init__(self, stage: Stage, name: str) -> None:
        self._gateway = stage.gateway
        self.id = f"kept-{name}"

    def ask(self, model: str | None, *, key: str = CALLER_KEY, **more: Any) -> Reply:
        headers = {"x-request-id": self.id, **more.pop("headers", {})}
        body = {"messages": HELLO, **more} | ({"model": model} if model else {})
        return self._gateway.request(
            "/v1/chat/completions", body, headers={"authorization": f"Bearer {key}", **headers}
        )

    def record(self) -> Mapping[str, Any]:
        """The one record of the request."""
        found = wait_for(self.records, what=f"the record of {self.id}")
        assert len(found) == 1
        whole = self._gateway.request(f"/api/requests/{self.id}").json()
        assert {name: whole[name] for name in found[0]} == found[0]
        return dict(whole)

    def records(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._gateway.request(f"/api/requests?id={self.id}").json()[
            "results"
        ]
        return found


@pytest.fixture
def kept(stage: Stage, request: pytest.FixtureRequest) -> Kept:
    return Kept(stage, request.node.name.replace("[", "-").replace("]", ""))


def test_an_answer_is_told_whole(stage: Stage, kept: Kept) -> None:
    reply = kept.ask("kept-alias", max_tokens=50, headers={"x-switchyard-provider": "nobody"})
    record = kept.record()

    assert reply.status == 200
    assert record["outcome"] == "answered"
    assert record["status"] == 200
    expected = {
        "key": "kept-caller",
        "team": "search",
        "user_path": "/search",
        "endpoint": "/v1/chat/completions",
        "requested_model": "kept-alias",
        "canonical_model": reply.headers["x-switchyard-model"],
        "provider": reply.headers["x-switchyard-provider"],
        "model": reply.headers["x-switchyard-provider-model"],
        "failover": False,
        "stream": False,
        "generation": int(reply.headers["x-switchyard-generation"]),
        "input_tokens": reply.json()["usage"]["prompt_tokens"],
        "output_tokens": reply.json()["usage"]["completion_tokens"],
    }
    assert {name: record[name] for name in expected} == expected
    decided = {
        "resolved_by": "alias",
        "strategy": "priority_failover",
        "config_primary": "kept-1/kept",
        "effective": "kept-1/kept",
        "planned": ["kept-1/kept"],
        "rejected": [],
    }
    assert {name: record["decision"][name] for name in decided} == decided
    assert record["features"]["max_output_tokens"] == 50
    assert record["features"]["preferred_provider"] == "nobody"
    [attempt] = record["attempts"]
    assert attempt["status"] == 200
    assert attempt["fault"] == ""
    times = [attempt[f"{name}_ms"] for name in ("started", "headers", "content", "ended")]
    assert times == sorted(times)
    assert record["first_content_ms"] == attempt["content_ms"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_failover_is_told_with_the_attempt_that_failed(kept: Kept, stream: bool) -> None:
    reply = kept.ask("kept-moving", stream=stream)
    record = kept.record()

    assert reply.headers["x-switchyard-failover"] == "true"
    assert (record["outcome"], record["failover"], record["stream"]) == ("answered", True, stream)
    assert record["provider"] == "kept-2"
    assert record["decision"]["effective"] == "kept-1/kept-moves~status:503:message=Busy-today"
    assert len(record["attempts"]) == int(reply.headers["x-switchyard-attempts"]) == 2
    first, second = record["attempts"]
    assert (first["status"], first["fault"]) == (503, "status")
    assert "Busy-today" in first["message"]
    assert second["fault"] == ""
    assert second["started_ms"] >= first["ended_ms"]
    assert record["output_tokens"] is not None
    assert record["fallback_target"] == ""


def test_a_rules_target_that_served_is_named(kept: Kept) -> None:
    assert kept.ask("kept-ruled").status == 200
    record = kept.record()

    assert record["fallback_target"] == "kept"
    assert record["canonical_model"] == "kept-ruled"
    assert (record["provider"], record["model"]) == ("kept-1", "kept")


def test_a_caller_error_is_the_providers_word(kept: Kept) -> None:
    reply = kept.ask("kept-refusing")
    record = kept.record()

    assert reply.status == 400
    assert (record["outcome"], record["status"], record["code"]) == (
        "caller_error",
        400,
        "bad_tool",
    )
    assert [a["fault"] for a in record["attempts"]] == ["caller"]
    assert record["provider"] == ""


def test_a_failure_of_everybody_is_told_attempt_by_attempt(kept: Kept) -> None:
    reply = kept.ask("kept-failing")
    record = kept.record()

    assert (record["outcome"], record["status"]) == ("failed", reply.status)
    assert record["code"] == reply.json()["error"]["code"]
    told = [(a["provider"], a["status"]) for a in reply.json()["error"]["attempts"]]
    assert [(a["provider"], a["status"]) for a in record["attempts"]] == told


def test_nobody_to_try_is_told_with_the_reasons(kept: Kept) -> None:
    reply = kept.ask("kept-off")
    record = kept.record()

    assert (record["outcome"], record["status"]) == ("unavailable", reply.status)
    assert record["decision"]["rejected"] == [
        {"candidate": "kept-off/m", "reason": "provider_disabled"}
    ]
    assert record["attempts"] == []


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("kept-nowhere", 404, "model_not_found"),
        ("nothing", 403, "key_not_allowed"),
        (None, 400, ""),
    ],
)
def test_what_we_refuse_is_told_and_made_no_call(
    kept: Kept, model: str | None, status: int, code: str
) -> None:
    assert kept.ask(model).status == status
    record = kept.record()

    assert (record["outcome"], record["status"], record["code"]) == ("refused", status, code)
    assert record["requested_model"] == (model or "")
    assert record["attempts"] == []


def test_a_stream_that_broke_off_is_interrupted(stage: Stage, kept: Kept) -> None:
    client = stage.client(CALLER_KEY)
    stream = client.chat.completions.create(
        model="kept-breaking", messages=HELLO, stream=True, extra_headers={"x-request-id": kept.id}
    )
    next(stream)
    stage.first.set("ok")  # opens the gate
    with pytest.raises(Exception, match="broke off"):
        list(stream)
    record = kept.record()

    assert (record["outcome"], record["status"]) == ("interrupted", 200)
    assert record["code"] == "stream_interrupted"
    assert record["provider"] == "kept-1"
    assert [a["fault"] for a in record["attempts"]] == ["interrupted"]


@pytest.mark.parametrize("model", ["kept-endless", "kept-stalling"])
def test_a_caller_that_hangs_up_is_told_with_the_call_that_ran(
    stage: Stage, kept: Kept, model: str
) -> None:
    host, port = stage.gateway.url.removeprefix("http://").split(":")
    body = f'{{"model":"{model}","stream":true,"messages":[{{"role":"user","content":"Hi"}}]}}'
    with socket.create_connection((host, int(port))) as caller:
        caller.sendall(
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-request-id: {kept.id}\r\n"
            f"authorization: Bearer {CALLER_KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
            f"{body}".encode()
        )
        if model == "kept-endless":
            assert caller.recv(100)
        else:
            wait_for(
                lambda: calls(stage.first, "kept-stalls~stall"),
                what="the provider to be asked",
            )
    record = kept.record()

    assert record["outcome"] == "abandoned"
    assert record["status"] == (200 if model == "kept-endless" else None)
    [attempt] = record["attempts"]
    assert (attempt["fault"], attempt["ended_ms"]) == ("", None)


def test_who_is_not_let_in_leaves_no_record(kept: Kept) -> None:
    assert kept.ask("kept", key="sy_wrong").status == 401
    after = Kept.__new__(Kept)
    after._gateway, after.id = kept._gateway, f"{kept.id}-after"
    after.ask("kept")
    after.record()

    assert kept.records() == []


def test_no_prompt_and_no_answer_is_in_a_record(kept: Kept) -> None:
    reply = kept.ask("kept", messages=[{"role": "user", "content": "a canary sang"}])
    record = kept.record()

    answer = reply.json()["choices"][0]["message"]["content"]
    assert "canary" not in str(record)
    assert answer
    assert answer not in str(record)
