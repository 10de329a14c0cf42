"""The main job: a provider fails in any of the common ways, and the caller does not notice."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
from openai import APIStatusError

from tests.journeys.stage import HELLO, Stage, calls, candidate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai import OpenAI

GOOD = "good-model"
TINY = {"first_token_s": 0.3, "total_s": 0.3}

# Other statuses: tests/faults/test_statuses.py.
FAILURES = {
    "500": "status:500",
    "429": "status:429",
    "401": "status:401",
    "redirect": "status:302:location=/elsewhere",
    "400-model-gone": "status:400:code=model_not_found",
    "400-bad-key": "status:400:code=invalid_api_key",
    "500-html": "status:500:body=<h1>oops</h1>:content-type=text/html",
    "refused": "",
    "reset-before-headers": "reset",
    "close-before-headers": "close",
    "no-answer": "stall",
    "html": "html",
    "empty": "empty",
    "truncated": "truncated",
    "error-object": "error_object",
}
PLAIN_ONLY = {
    "shorter-than-announced": "cut",
    "no-choices": "no_choices",
    "reset-in-the-body": "reset_after:1",
    "stall-in-the-body": "stall_after:1",
}
STREAM_ONLY = {
    "empty-stream": "empty_stream",
    "done-alone": "done_only",
    "role-alone": "role_only",
    "error-as-first-event": "error_first",
    "reset-before-content": "reset_after:0",
    "stall-before-content": "stall_after:0",
    "error-before-content": "error_after:0",
    "garbage-before-content": "garbage_after:0",
    "cut-before-content": "cut_after:0",
}
CASES = {
    "plain": FAILURES | PLAIN_ONLY,
    "stream": FAILURES | STREAM_ONLY,
}
ALL = [(way, name) for way, modes in CASES.items() for name in modes]
CALLER_ERRORS = [400, 422]


@pytest.fixture(scope="module", autouse=True)
def config(whole_session_stage: Stage) -> Iterator[None]:
    """Every case has a provider of its own, since some failures bench a whole provider."""
    stage = whole_session_stage
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, so nobody else takes it, and not listening
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        providers: dict[str, Any] = {"well": stage.second.provider()}
        pools: dict[str, Any] = {}
        for way, name in ALL:
            pool = f"{way}-{name}"
            failing = stage.first.provider(api_key=f"secret~{CASES[way][name]}")
            if name == "refused":
                failing["base_url"] = nowhere
            providers[f"failing-{pool}"] = failing
            pools[pool] = {
                "candidates": [
                    candidate(f"failing-{pool}", "bad-model", timeouts=TINY),
                    candidate("well", GOOD),
                ]
            }
        providers["choosy"] = stage.first.provider()
        for status in CALLER_ERRORS:
            pools[f"caller-{status}"] = {
                "candidates": [
                    candidate("choosy", f"caller~status:{status}"),
                    candidate("well", f"never-{status}"),
                ]
            }
        for kind in ("completions", "embeddings"):
            failing = candidate("choosy", f"{kind}~status:503")
            pools[kind] = {"candidates": [failing, candidate("well", GOOD)]}
        stage.add(providers=providers, pools=pools)
        yield


def ask_second(stage: Stage) -> OpenAI:
    """The SDK at the second provider itself."""
    return stage.client("any", base_url=stage.second.base_url)


@pytest.mark.parametrize("name", CASES["plain"])
def test_a_plain_caller_gets_the_second_providers_whole_answer(stage: Stage, name: str) -> None:
    pool = f"plain-{name}"
    expected = ask_second(stage).chat.completions.with_raw_response.create(
        model=GOOD, messages=HELLO
    )

    reply = stage.client().chat.completions.with_raw_response.create(model=pool, messages=HELLO)

    assert reply.http_response.content == expected.http_response.content
    assert "from second" in (reply.parse().choices[0].message.content or "")
    assert_second_served(reply.http_response.headers, pool)


@pytest.mark.parametrize("name", CASES["stream"])
def test_a_streaming_caller_gets_the_second_providers_whole_answer(stage: Stage, name: str) -> None:
    """litellm #26067, #32237, #6957; Bifrost #5395: errors inside a 200 stream fail over too."""
    pool = f"stream-{name}"
    expected = ask_second(stage).chat.completions.create(model=GOOD, messages=HELLO, stream=True)

    reply = stage.client().chat.completions.with_raw_response.create(
        model=pool, messages=HELLO, stream=True
    )
    chunks = [chunk.to_dict() for chunk in reply.parse()]

    assert chunks == [chunk.to_dict() for chunk in expected]
    assert len(chunks) > 3
    assert_second_served(reply.http_response.headers, pool)


def assert_second_served(headers: Any, pool: str) -> None:
    shown = {name: headers.get(f"x-switchyard-{name}") for name in (
        "model", "provider", "provider-model", "attempts", "failover"
    )}  # fmt: skip
    assert shown == {
        "model": pool,
        "provider": "well",
        "provider-model": GOOD,
        "attempts": "2",
        "failover": "true",
    }
    assert not [value for name, value in headers.items() if "failing" in value]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("status", CALLER_ERRORS)
def test_a_callers_own_mistake_goes_back_in_the_upstreams_words_and_reaches_nobody_else(
    stage: Stage, status: int, stream: bool
) -> None:
    direct = stage.client("any", base_url=stage.first.base_url)
    with pytest.raises(APIStatusError) as expected:
        direct.chat.completions.create(model=f"x~status:{status}", messages=HELLO)

    with pytest.raises(APIStatusError) as found:
        stage.client().chat.completions.create(
            model=f"caller-{status}", messages=HELLO, stream=stream
        )

    assert type(found.value) is type(expected.value)
    assert found.value.status_code == status
    assert found.value.response.content == expected.value.response.content
    assert found.value.response.headers["x-switchyard-attempts"] == "1"
    assert calls(stage.second, f"never-{status}") == []


def test_an_upstreams_refusal_keeps_its_bytes(stage: Stage) -> None:
    words = '{ "error" : {"message":"no \\u00e9 and no \u00e9", "weird": 1.10, "type":"x"} }\n'
    stage.first.set("status:422", body=words)

    reply = stage.gateway.chat("choosy/free")

    assert reply.status == 422
    assert reply.body == words.encode()
    assert reply.headers["content-type"] == "application/json"


def test_text_completions_fail_over_too(stage: Stage) -> None:
    client = stage.client()

    whole = client.completions.create(model="completions", prompt="Hello")
    pieces = client.completions.create(model="completions", prompt="Hello", stream=True)

    assert "from second" in whole.choices[0].text
    assert "from second" in "".join(piece.choices[0].text for piece in pieces)


def test_embeddings_fail_over_inside_their_pool(stage: Stage) -> None:
    reply = stage.client().embeddings.with_raw_response.create(
        model="embeddings", input=["a", "b"], encoding_format="float"
    )

    assert [item.embedding for item in reply.parse().data] == [[0.5, 0.25], [0.5, 0.25]]
    assert reply.http_response.headers["x-switchyard-provider"] == "well"
    assert reply.http_response.headers["x-switchyard-failover"] == "true"
