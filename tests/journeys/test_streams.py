"""What a streaming caller sees: every word that came, and the truth about how it ended."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
from openai import APIError, BadRequestError

from tests.journeys.stage import HELLO, Stage, asked, benched, calls, candidate
from tests.support.processes import wait_for

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionChunk

# What breaks before the first content has gone out fails over, so the break waits at a gate.
BREAKS = {
    "reset": "reset_after:3:gate=2",
    "stall": "stall_after:3:gate=2",
    "error-event": "error_after:3:gate=2",
    "garbage": "garbage_after:3:gate=2",
    "clean-cut": "cut_after:3:gate=2",
}
FIRST_WORDS = "Hello from first "
CANNOT = "status:400:message=Unknown field stream_options."


@pytest.fixture(scope="module", autouse=True)
def config(whole_session_stage: Stage) -> None:
    stage = whole_session_stage
    providers: dict[str, Any] = {
        "live": stage.first.provider(),
        "spare": stage.second.provider(),
    }
    pools: dict[str, Any] = {
        "plain-stream": pool("plain-stream"),
        "counted": pool("counted"),
        "old-server": pool("old-server"),
        "endless": pool("endless~slow:gap_ms=20:chunks=5000"),
        "quiet": pool("quiet~stall_after:2"),
        "silent": pool("silent~stall"),
        "bulky": pool("bulky~ok:chunks=200:chunk_bytes=20000"),
        "held": {
            "timeouts": {"first_token_s": 2},
            "failover": {"hold_s": 1},
            "candidates": [candidate("live", "held~stall"), candidate("spare", "held")],
        },
        "held-in-vain": {
            "timeouts": {"first_token_s": 1.5},
            "failover": {"hold_s": 0.5, "same_candidate_retries": 0},
            "candidates": [
                candidate("live", "vain~stall"),
                candidate("spare", "vain~status:500"),
            ],
        },
    }
    for name, mode in BREAKS.items():
        providers[f"breaking-{name}"] = stage.first.provider(timeouts={"idle_s": 1.5})
        pools[f"breaking-{name}"] = pool(f"broken~{mode}", f"breaking-{name}")
        providers[f"healed-{name}"] = stage.first.provider(timeouts={"idle_s": 1})
        healed = pool(f"broken-{name}~{mode.partition(':gate')[0]}", f"healed-{name}")
        pools[f"healed-{name}"] = healed | {"failover": {"gate": "whole_answer"}}
        pools[f"asked-{name}"] = healed
    stage.add(providers=providers, pools=pools)


def pool(model: str, provider: str = "live") -> dict[str, Any]:
    return {"candidates": [candidate(provider, model), candidate("spare", "spare-model")]}


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@pytest.mark.parametrize("name", BREAKS)
def test_a_stream_that_breaks_ends_with_an_error_after_what_came(stage: Stage, name: str) -> None:
    """litellm #6957, #28216: after content nobody else can go on, and silence would be a lie."""
    chunks: list[ChatCompletionChunk] = []

    with pytest.raises(APIError) as broken:  # noqa: PT012 - the loop is what raises
        for chunk in stage.client().chat.completions.create(
            model=f"breaking-{name}", messages=HELLO, stream=True
        ):
            chunks.append(chunk)
            stage.first.set("ok")  # opens the gate

    assert text_of(chunks) == FIRST_WORDS
    assert broken.value.code == "stream_interrupted"
    assert not calls(stage.second, "spare-model")


@pytest.mark.parametrize("name", BREAKS)
def test_a_stream_that_breaks_never_says_done(stage: Stage, name: str) -> None:
    reply = stage.client().chat.completions.with_streaming_response.create(
        model=f"breaking-{name}", messages=HELLO, stream=True
    )
    body = b""
    with reply as open_reply:
        for piece in open_reply.iter_bytes():
            body += piece
            stage.first.set("ok")  # opens the gate

    *_, last, after = body.split(b"\n\n")
    assert after == b""
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "stream_interrupted"
    assert b"[DONE]" not in body
    assert b'"finish_reason":"stop"' not in body


@pytest.mark.parametrize("name", BREAKS)
@pytest.mark.parametrize("way", ["healed", "asked"])
def test_a_break_is_not_seen_by_a_caller_who_wants_a_whole_answer(
    stage: Stage, name: str, way: str
) -> None:
    headers = {"x-switchyard-gate": "whole_answer"} if way == "asked" else {}
    before = len(calls(stage.second, "spare-model"))

    chunks = list(
        stage.client().chat.completions.create(
            model=f"{way}-{name}", messages=HELLO, stream=True, extra_headers=headers
        )
    )

    assert text_of(chunks).startswith("Hello from second")
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert len(calls(stage.second, "spare-model")) == before + 1


def test_a_gate_that_nobody_knows_is_refused(stage: Stage) -> None:
    with pytest.raises(BadRequestError, match="x-switchyard-gate is 'half'"):
        stage.client().chat.completions.create(
            model="plain-stream", messages=HELLO, extra_headers={"x-switchyard-gate": "half"}
        )


def test_a_large_stream_arrives_whole_at_a_slow_reader(stage: Stage) -> None:
    chunks = list(
        stage.client().chat.completions.create(model="bulky", messages=HELLO, stream=True)
    )

    assert len(text_of(chunks)) == 200 * 20000
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_usage_is_asked_for_and_withheld_where_the_caller_did_not_ask(stage: Stage) -> None:
    stream = stage.client().chat.completions.create(
        model="plain-stream", messages=HELLO, stream=True
    )
    chunks = list(stream)

    assert [chunk.usage for chunk in chunks] == [None] * len(chunks)
    assert all(chunk.choices for chunk in chunks)
    [call] = calls(stage.first, "plain-stream")
    assert asked(call)["stream_options"] == {"include_usage": True}


def test_usage_is_delivered_where_the_caller_asked(stage: Stage) -> None:
    options = {"include_usage": True, "include_obfuscation": False}
    stream = stage.client().chat.completions.create(
        model="counted", messages=HELLO, stream=True, stream_options=options
    )
    last = list(stream)[-1]

    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens == 12
    [call] = calls(stage.first, "counted")
    assert asked(call)["stream_options"] == options


def test_a_provider_that_refuses_our_own_field_is_asked_again_without_it_and_that_is_remembered(
    stage: Stage,
) -> None:
    stage.first.set(CANNOT, times=1)

    for _ in range(2):
        reply = stage.client().chat.completions.with_raw_response.create(
            model="old-server", messages=HELLO, stream=True
        )
        assert "first" in text_of(list(reply.parse()))
        assert reply.http_response.headers["x-switchyard-attempts"] == "1"
        assert reply.http_response.headers["x-switchyard-provider"] == "live"

    asked_for = ["stream_options" in asked(call) for call in calls(stage.first, "old-server")]
    assert asked_for == [True, False, False]


def test_a_provider_that_refuses_the_callers_own_stream_options_is_not_asked_again(
    stage: Stage,
) -> None:
    stage.first.set(CANNOT, times=1)
    model = "live/refuses-the-callers"

    reply = stage.gateway.chat(model, stream=True, stream_options={"include_usage": True})

    assert reply.status == 400
    assert b"Unknown field stream_options" in reply.body
    assert len(calls(stage.first, "refuses-the-callers")) == 1


@pytest.mark.parametrize(
    ("name", "model"),
    [("endless", "endless~slow:gap_ms=20:chunks=5000"), ("quiet", "quiet~stall_after:2")],
)
def test_a_hang_up_in_mid_stream_closes_the_upstream_connection_and_benches_nobody(
    stage: Stage, name: str, model: str
) -> None:
    for count in range(1, 5):  # one more than the failures that would bench
        stream = stage.client().chat.completions.with_raw_response.create(
            model=name, messages=HELLO, stream=True
        )
        chunks = stream.parse()
        assert next(iter(chunks)) is not None
        assert stream.http_response.headers["x-switchyard-provider"] == "live"
        assert stream.http_response.headers["x-switchyard-failover"] == "false"
        chunks.close()
        wait_for(
            lambda count=count: len([c for c in calls(stage.first, model) if c["hung_up_at"]])
            == count,
            what="the upstream's connection to be closed",
        )  # fmt: skip

    assert f"live/{model}" not in benched(stage.gateway)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_hang_up_before_the_answer_closes_the_upstream_connection_and_calls_nobody_else(
    stage: Stage, stream: bool
) -> None:
    """Bifrost #4911: what is cancelled must not be tried again."""
    before = len(calls(stage.first, "silent~stall"))
    others = len(calls(stage.second, "spare-model"))
    body = json.dumps({"model": "silent", "messages": HELLO, "stream": stream}).encode()
    host, port = stage.gateway.url.removeprefix("http://").split(":")
    for count in range(1, 5):
        with socket.create_connection((host, int(port))) as caller:
            caller.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
                b"authorization: Bearer %b\r\ncontent-length: %d\r\n\r\n%b"
                % (stage.gateway.key.encode(), len(body), body)
            )
            wait_for(
                lambda count=count: len(calls(stage.first, "silent~stall")) == before + count,
                what="the call to reach the upstream",
            )
        wait_for(
            lambda: all(call["hung_up_at"] for call in calls(stage.first, "silent~stall")),
            what="the upstream's connection to be closed",
        )

    assert len(calls(stage.second, "spare-model")) == others
    assert "live/silent~stall" not in benched(stage.gateway)


def test_a_caller_of_a_slow_provider_gets_heartbeats_and_then_the_seconds_answer(
    stage: Stage,
) -> None:
    """litellm #5859, #17991: the first-token limit really bounds the first token."""
    reply = stage.client().chat.completions.with_raw_response.create(
        model="held", messages=HELLO, stream=True
    )

    assert "x-switchyard-provider" not in reply.http_response.headers  # sent before it was known
    chunks = list(reply.parse())
    assert "from second" in text_of(chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_heartbeats_are_empty_lines(stage: Stage) -> None:
    reply = stage.gateway.chat("held", stream=True)

    beats, events = reply.body.split(b"data:", 1)
    assert reply.status == 200
    assert beats
    assert not beats.strip(b"\n")
    assert events.endswith(b"data: [DONE]\n\n")


def test_after_an_early_200_a_failure_is_an_error_event(stage: Stage) -> None:
    stream = stage.client().chat.completions.create(
        model="held-in-vain", messages=HELLO, stream=True
    )

    with pytest.raises(APIError) as failed:
        list(stream)

    assert failed.value.code == "upstream_failed"
    assert isinstance(failed.value.body, dict)
    assert [attempt["provider"] for attempt in failed.value.body["attempts"]] == ["live", "spare"]
