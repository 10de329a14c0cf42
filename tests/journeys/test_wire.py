"""What a provider sees of a request: its bytes, our credential, nothing else of the caller's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.journeys.stage import HELLO, Stage, asked, calls, candidate

if TYPE_CHECKING:
    from collections.abc import Mapping

ODD = (
    '{"zeta":{"b" : 1.10,  "a":1e2},"model":"MODEL","temperature":1.0,'
    '"seed":12345678901234567890123,"x_unknown":[null,{"z":1,"y":-0.0}],'
    '"messages":[{"role":"user","content":"\\u00e9 é \\/ \\ud83d\\ude00"}],"a_last":true}'
)
TYPED = '{"input":["a",  "b"],"model":"MODEL","dimensions":1e0,"user":"\\u0041"}'
PROMPT = '{"prompt":[1, 2,3],"model":"MODEL","logit_bias":{"50256":-100.0}}'


@pytest.fixture(scope="module", autouse=True)
def config(whole_session_stage: Stage) -> None:
    stage = whole_session_stage
    keyless = stage.first.provider()
    del keyless["api_key"]
    stage.add(
        providers={
            "seen": stage.first.provider(headers={"x-operator": "says so"}),
            "keyless": keyless,
            "by-x-api-key": stage.first.provider(auth="x-api-key"),
        },
        pools={
            "as-it-is": {"candidates": [candidate("seen", "exact-id")]},
            "nobodys": {"candidates": [candidate("keyless", "keyless-id")]},
            "other-header": {"candidates": [candidate("by-x-api-key", "other-header-id")]},
        },
    )


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/chat/completions", ODD), ("/v1/embeddings", TYPED), ("/v1/completions", PROMPT)],
)
def test_only_the_model_is_replaced_in_a_body(stage: Stage, path: str, body: str) -> None:
    stage.first.clear()

    reply = stage.gateway.request(path, body.replace("MODEL", "as-it-is").encode())

    assert reply.status == 200, reply.body
    [call] = calls(stage.first, "exact-id")
    assert call["path"] == path
    assert call["body"] == body.replace("MODEL", "exact-id")


def test_a_stream_adds_one_field_and_changes_nothing_else(stage: Stage) -> None:
    stage.first.clear()
    body = ODD.replace("{", '{"stream":true,', 1)

    stage.gateway.request("/v1/chat/completions", body.replace("MODEL", "as-it-is").encode())

    [call] = calls(stage.first, "exact-id")
    injected = ',"stream_options":{"include_usage":true}}'
    assert call["body"] == body.replace("MODEL", "exact-id")[:-1] + injected


def test_the_sdks_extra_fields_arrive(stage: Stage) -> None:
    stage.first.clear()

    stage.client().chat.completions.create(
        model="as-it-is",
        messages=HELLO,
        extra_body={"top_k": 7, "vendor": {"deep": [1]}},
        extra_headers={"x-custom": "stays here"},
    )

    [call] = calls(stage.first, "exact-id")
    assert asked(call)["top_k"] == 7
    assert asked(call)["vendor"] == {"deep": [1]}


def headers_seen(stage: Stage, model: str, **sent: str) -> Mapping[str, str]:
    stage.first.clear()
    pool = {"exact-id": "as-it-is", "keyless-id": "nobodys", "other-header-id": "other-header"}
    stage.client(default_headers=sent).chat.completions.create(model=pool[model], messages=HELLO)
    [call] = calls(stage.first, model)
    pairs = [(name.lower(), value) for name, value in call["headers"]]
    assert len(dict(pairs)) == len(pairs)  # nothing is said twice
    return dict(pairs)


def test_nothing_that_identifies_the_caller_goes_upstream(stage: Stage) -> None:
    seen = headers_seen(
        stage,
        "exact-id",
        **{
            "cookie": "session=1",
            "x-api-key": "callers",
            "api-key": "callers",
            "x-goog-api-key": "callers",
            "x-forwarded-for": "192.0.2.1",
            "x-request-id": "callers-id",
            "x-switchyard-session": "s1",
            "user-agent": "callers-program",
        },
    )

    assert seen["authorization"] == "Bearer key-of-first"
    assert seen["host"] == f"127.0.0.1:{stage.first.port}"
    assert seen["user-agent"] != "callers-program"
    assert not {"cookie", "x-api-key", "api-key", "x-goog-api-key", "x-forwarded-for"} & set(seen)
    assert not [name for name in seen if name.startswith("x-switchyard")]
    assert not [v for v in seen.values() if stage.gateway.key in v or v == "callers-id"]


def test_what_sdks_say_of_themselves_and_the_operators_headers_go_upstream(stage: Stage) -> None:
    seen = headers_seen(
        stage, "exact-id", **{"OpenAI-Beta": "assistants=v2", "OpenAI-Organization": "org-1"}
    )

    assert seen["x-stainless-lang"] == "python"
    assert seen["openai-beta"] == "assistants=v2"
    assert "openai-organization" not in seen  # the account is ours
    assert seen["x-operator"] == "says so"
    assert seen["accept-encoding"] == "identity"


def test_a_provider_without_a_key_gets_none(stage: Stage) -> None:
    seen = headers_seen(stage, "keyless-id")

    assert "authorization" not in seen


def test_a_provider_may_want_its_key_in_another_header(stage: Stage) -> None:
    seen = headers_seen(stage, "other-header-id")

    assert seen["x-api-key"] == "key-of-first"
    assert "authorization" not in seen


def test_an_answer_is_passed_on_byte_for_byte(stage: Stage) -> None:
    words = (
        '{ "x_vendor" : 1.10, "choices":[{"index":0,"message":{"role":"assistant",'
        '"content":"\\u00e9 \u00e9"},"finish_reason":"stop"}],\n "usage":null }\n'
    )
    stage.first.set("status:200", body=words)

    reply = stage.gateway.chat("as-it-is")

    assert reply.body == words.encode()
    assert reply.headers["content-length"] == str(len(words.encode()))
    assert reply.headers["x-switchyard-provider"] == "seen"
    assert reply.headers["x-switchyard-provider-model"] == "exact-id"
