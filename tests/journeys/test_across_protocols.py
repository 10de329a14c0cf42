"""One request, three providers of three protocols: the first two are down, the third answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.journeys.stage import Stage, asked, candidate
from tests.support.vendors.server import MODELS, Vendors
from tests.support.vendors.texts import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

SAID = "Hello to you, who said Hello."
HELLO = [{"role": "user", "content": "Hello"}]
# What each protocol's caller sends, plain and streamed; {model} is the pool.
BODIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", "/v1/chat/completions", {"messages": HELLO}),
    "responses": ("/v1/responses", "/v1/responses", {"input": "Hello"}),
    "messages": ("/v1/messages", "/v1/messages", {"messages": HELLO, "max_tokens": 99}),
    "gemini": (
        "/v1beta/models/{model}:generateContent",
        "/v1beta/models/{model}:streamGenerateContent?alt=sse",
        {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]},
    ),
}
LAST = {
    "chat": b"data: [DONE]\n\n",
    "responses": b'"type":"response.completed"',
    "messages": b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    "gemini": b'"finishReason":"STOP"',
}
CASES = [(caller, stream) for caller in BODIES for stream in (False, True)]


@pytest.fixture(scope="module")
def vendors() -> Iterator[Vendors]:
    with Vendors() as started:
        yield started
    assert started.faults == []


@pytest.fixture(scope="module", autouse=True)
def config(whole_session_stage: Stage, vendors: Vendors) -> None:
    """Providers of its own for every case, since whoever is down is benched."""
    providers: dict[str, Any] = {}
    pools: dict[str, Any] = {}
    for pool in map(pool_of, *zip(*CASES, strict=True)):
        served = vendors.providers()
        dead = whole_session_stage.first.provider(api_key="secret~status:503")
        providers |= {f"dead-{pool}": dead} | {
            f"{vendor}-{pool}": served[vendor] for vendor in ("messages", "gemini")
        }
        pools[pool] = {
            "candidates": [
                candidate(f"dead-{pool}", pool),
                candidate(f"messages-{pool}", f"{MODELS['messages']}~down"),
                candidate(f"gemini-{pool}", f"{MODELS['gemini']}~text"),
            ]
        }
    providers |= {"claude": vendors.providers()["messages"]}
    pools["claude"] = {"candidates": [candidate("claude", f"{MODELS['messages']}~text")]}
    whole_session_stage.add(providers=providers, pools=pools)


@pytest.mark.parametrize(("caller", "stream"), CASES)
def test_a_caller_does_not_notice_that_openai_and_anthropic_are_down_and_google_answers(
    stage: Stage, vendors: Vendors, caller: str, stream: bool
) -> None:
    vendors.requests.clear()
    pool = pool_of(caller, stream)
    plain_path, stream_path, body = BODIES[caller]
    path = (stream_path if stream else plain_path).replace("{model}", pool)
    if caller != "gemini":
        body = {**body, "model": pool, "stream": stream}

    reply = stage.gateway.request(path, body, headers={"anthropic-version": "2023-06-01"})

    assert reply.status == 200, reply.body
    assert text_of(caller, reply.body, stream=stream) == SAID
    if stream:
        assert LAST[caller] in reply.body[-2000:]
    shown = {name: reply.headers[f"x-switchyard-{name}"] for name in (
        "provider", "provider-model", "attempts", "failover"
    )}  # fmt: skip
    assert shown == {
        "provider": f"gemini-{pool}",
        "provider-model": f"{MODELS['gemini']}~text",
        "attempts": "3",
        "failover": "true",
    }
    assert [asked(r)["model"] for r in stage.first.requests if pool in r["body"]] == [pool]
    assert [(r["vendor"], r["status"]) for r in vendors.requests] == [
        ("messages", 529),
        ("gemini", 200),
    ]


@pytest.mark.parametrize("stream", [False, True])
def test_what_a_provider_was_told_that_the_caller_has_not_said_is_a_warning(
    stage: Stage, stream: bool
) -> None:
    reply = stage.gateway.chat("claude", stream=stream)
    strict = stage.gateway.request(
        "/v1/chat/completions",
        {"model": "claude", "messages": HELLO, "stream": stream},
        headers={"x-switchyard-params": "strict"},
    )

    for answer in (reply, strict):
        assert answer.status == 200, answer.body
        assert answer.headers["x-switchyard-warning"] == "max_tokens is 4096, since none was given"
        assert "x-switchyard-dropped" not in answer.headers


def pool_of(caller: str, stream: bool) -> str:
    return f"across-{caller}-{'stream' if stream else 'plain'}"
