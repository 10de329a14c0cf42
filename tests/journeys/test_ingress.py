"""What is answered before any provider is asked, always in the caller's own protocol."""

from __future__ import annotations

import http.client
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from openai import APIStatusError, AuthenticationError

from tests.journeys.stage import HELLO, Stage, candidate
from tests.support.gateways import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module", autouse=True)
def config(whole_session_stage: Stage) -> None:
    stage = whole_session_stage
    stage.add(
        providers={"behind": stage.first.provider()},
        pools={
            "open": {"candidates": [candidate("behind", "open-1")]},
            "shut": {"candidates": [candidate("behind", "shut-1", enabled=False)]},
        },
    )


def send(
    stage: Stage, headers: Mapping[str, str], body: Any = None, path: str = CHAT
) -> tuple[int, dict[str, Any]]:
    """A request with these headers and no others, and its JSON answer."""
    connection = http.client.HTTPConnection(stage.gateway.url.removeprefix("http://"))
    try:
        text = json.dumps(body or {"model": "open", "messages": HELLO})
        connection.request("POST", path, text, dict(headers))
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())
    finally:
        connection.close()


def refusal(stage: Stage, body: bytes, path: str = CHAT, **more: Any) -> dict[str, Any]:
    """The error object of a request that must be refused with a 400."""
    stage.first.clear()
    reply = stage.gateway.request(path, body, **more)
    assert reply.status == 400, reply.body
    assert stage.first.requests == []
    error: dict[str, Any] = reply.json()["error"]
    assert error["type"] == "invalid_request_error"
    return error


def test_a_wrong_key_is_an_authentication_error(stage: Stage) -> None:
    with pytest.raises(AuthenticationError) as refused:
        stage.client("sy_wrong").chat.completions.create(model="open", messages=HELLO)

    assert refused.value.code == "invalid_api_key"


def test_no_key_is_a_401_that_says_how_to_send_one(stage: Stage) -> None:
    status, body = send(stage, {})

    assert status == 401
    assert body["error"]["code"] == "invalid_api_key"
    assert "Authorization: Bearer" in body["error"]["message"]


@pytest.mark.parametrize("name", ["x-api-key", "api-key", "X-Goog-Api-Key"])
def test_a_key_is_taken_from_other_headers_too(stage: Stage, name: str) -> None:
    assert send(stage, {name: stage.gateway.key})[0] == 200


def test_the_first_key_present_counts_and_the_others_are_ignored(stage: Stage) -> None:
    right, wrong = stage.gateway.key, "sy_wrong"

    assert send(stage, {"api-key": wrong, "x-api-key": right})[0] == 200
    assert send(stage, {"x_api_key": right})[0] == 401  # another name
    assert send(stage, {"x-api-key": wrong, "api-key": right})[0] == 401
    assert send(stage, {"authorization": f"Bearer {wrong}", "x-api-key": right})[0] == 401
    assert send(stage, {"x-api-key": wrong, "authorization": f"bearer {right}"})[0] == 200


def test_authentication_comes_before_everything_that_tells_something(stage: Stage) -> None:
    assert send(stage, {}, {"model": "no-such", "messages": HELLO})[0] == 401
    assert stage.gateway.request("/v1/models", headers={"authorization": "Bearer x"}).status == 401


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"messages":[{"role":"user","content":"x"}]}', "model"),
        (b'{"model":7,"messages":[{"role":"user","content":"x"}]}', "model"),
        (b'{"model":"","messages":[{"role":"user","content":"x"}]}', "model"),
        (b'{"model":"open"}', "messages"),
        (b'{"model":"open","messages":"x"}', "messages"),
        (b'{"model":"open","messages":[]}', "messages"),
        (b'{"model":"open","stream":"yes","messages":[{"role":"user","content":"x"}]}', "stream"),
    ],
)
def test_a_field_that_routing_needs_is_named_when_it_is_wrong(
    stage: Stage, body: bytes, param: str
) -> None:
    assert refusal(stage, body)["param"] == param


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"null", b"\xff\xfe", b'{"model":"open"} x'])
def test_a_body_that_is_no_json_object_is_refused_in_words(stage: Stage, body: bytes) -> None:
    assert "JSON" in refusal(stage, body)["message"] or "UTF-8" in refusal(stage, body)["message"]


def test_a_body_that_is_nested_too_deeply_is_refused(stage: Stage) -> None:
    deep = b"[" * 200_000 + b"]" * 200_000

    error = refusal(stage, b'{"model":"open","messages":[{}],"x":%b}' % deep)

    assert "nested" in error["message"]


def test_what_only_the_provider_can_judge_is_the_providers(stage: Stage) -> None:
    reply = stage.gateway.chat("open", temperature="hot", messages=[{"role": "nobody"}], n=-1)

    assert reply.status == 200


def test_a_body_over_32_mib_is_refused_and_one_below_is_not(stage: Stage) -> None:
    stage.first.clear()
    limit = 32 << 20

    with pytest.raises(APIStatusError) as refused:
        stage.client().chat.completions.create(
            model="open", messages=[{"role": "user", "content": "x" * limit}]
        )
    assert refused.value.status_code == 413
    assert stage.first.requests == []

    reply = stage.gateway.chat("open", messages=[{"role": "user", "content": "x" * (limit - 200)}])
    assert reply.status == 200
    stage.first.clear()


def test_a_compressed_body_is_refused_with_415(stage: Stage) -> None:
    reply = stage.gateway.request(CHAT, b"x", headers={"content-encoding": "gzip"})

    assert reply.status == 415
    assert "gzip" in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", CHAT, 405),
        ("PUT", CHAT, 405),
        ("DELETE", "/v1/models", 405),
        ("POST", "/v1/models", 405),
        ("GET", "/v1/nothing", 404),
        ("POST", "/v1/nothing", 404),
        ("GET", "/v1", 404),
    ],
)
def test_a_wrong_method_or_path_is_an_error_in_openais_shape(
    stage: Stage, method: str, path: str, status: int
) -> None:
    reply = stage.gateway.request(path, method=method)

    assert reply.status == status
    assert reply.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/v1/embeddings", "/v1/models"])
def test_a_trailing_slash_changes_nothing(stage: Stage, path: str) -> None:
    body = {"model": "open", "messages": HELLO, "prompt": "x", "input": "x"}
    sent = None if path == "/v1/models" else body

    without, with_slash = (stage.gateway.request(path + end, sent) for end in ("", "/"))

    assert without.status == with_slash.status == 200
    assert without.body == with_slash.body


@pytest.mark.parametrize(
    "path",
    [
        "/chat/completions",
        "/v1/v1/chat/completions/",
        "/openai/v1/chat/completions",
        "/openai/deployments/open/chat/completions?api-version=2024-10-21",
    ],
)
def test_base_addresses_are_taken_as_callers_know_them(stage: Stage, path: str) -> None:
    reply = stage.gateway.request(path, {"model": "open", "messages": HELLO})

    assert reply.status == 200


def bare(
    stage: Stage, path: str, headers: Mapping[str, str] | None = None, method: str = "GET"
) -> Reply:
    """A request with no header but these, and no redirect followed."""
    connection = http.client.HTTPConnection(stage.gateway.url.removeprefix("http://"), timeout=30)
    connection.request(method, path, headers=dict(headers or {}))
    reply = connection.getresponse()
    told = Reply(status=reply.status, headers=reply.headers, body=reply.read())
    connection.close()
    return told


def test_whoever_asks_if_we_are_here_is_answered_and_not_sent_elsewhere(stage: Stage) -> None:
    assert bare(stage, "/", method="HEAD").status == 200


@pytest.mark.parametrize("path", ["/v1/models", "/models/", "/openai/v1/models"])
def test_the_list_of_models_is_there_under_every_base_address(stage: Stage, path: str) -> None:
    assert stage.gateway.request(path).json()["object"] == "list"


def test_gemini_and_anthropic_clients_get_lists_of_their_own_shape(stage: Stage) -> None:
    key = stage.gateway.key
    anthropic = stage.gateway.request(
        "/v1/models?limit=1", headers={"anthropic-version": "2023-06-01", "x-api-key": key}
    )
    gemini = bare(stage, f"/v1beta/models?key={key}")
    by_header = bare(stage, "/v1/models/open", {"x-goog-api-key": key})

    assert len(anthropic.json()["data"]) == 1
    assert anthropic.headers["request-id"] == anthropic.headers["x-request-id"]
    assert "models/open" in [entry["name"] for entry in gemini.json()["models"]]
    assert by_header.json()["name"] == "models/open"


def test_a_sane_request_id_is_kept_and_any_other_replaced(stage: Stage) -> None:
    def answered_id(given: str) -> str:
        found = stage.gateway.request(
            CHAT, {"model": "open", "messages": HELLO}, headers={"x-request-id": given}
        ).headers["x-request-id"]
        assert found is not None
        return found

    assert answered_id("my.id-1:2_3") == "my.id-1:2_3"
    made = {answered_id("a b"), answered_id("x" * 500), answered_id("")}
    assert len(made) == 3
    assert all(re.fullmatch(r"req_[0-9a-f]{12}7[0-9a-f]{3}a[0-9a-f]{15}", name) for name in made)


def test_an_error_has_a_request_id_too(stage: Stage) -> None:
    with pytest.raises(AuthenticationError) as refused:
        stage.client("sy_wrong").models.list()

    assert refused.value.request_id
    assert refused.value.request_id.startswith("req_")


def test_nobody_to_try_is_a_503_that_lists_why(stage: Stage) -> None:
    reply = stage.gateway.chat("shut")

    assert reply.status == 503
    error = reply.json()["error"]
    assert error["code"] == "no_candidate"
    assert error["rejected"] == [
        {"provider": "behind", "model": "shut-1", "reason": "candidate_disabled"}
    ]
    assert reply.headers["retry-after"] is None
    assert reply.headers["x-should-retry"] == "false"


def test_health_and_readiness_need_no_key(stage: Stage) -> None:
    anonymous = {"authorization": ""}

    assert stage.gateway.request("/healthz", headers=anonymous).json() == {"status": "ok"}
    ready = stage.gateway.request("/readyz", headers=anonymous).json()
    assert ready["ready"] is True
    assert ready["generation"] >= 1
    assert set(ready) == {"ready", "draining", "generation"}
    assert stage.gateway.request("/readyz").json()["source"] == "control"
