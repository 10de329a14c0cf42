"""Which endpoint a path calls, in all the forms in which base addresses are written."""

from __future__ import annotations

from typing import Any

import pytest

from providers.protocols import Protocol
from providers.protocols.chat import CHAT, TEXT
from providers.protocols.embeddings import EMBEDDINGS
from routing.gateway.families import ANTHROPIC, FAMILIES, GEMINI, OPENAI, family_of
from routing.gateway.routes import ROUTES, Routes, family_at, is_inference, model_named, query_key
from tests.support.made_up import PLAIN, Plain

pytestmark = pytest.mark.pure


def named(of: str, at: str, *verbs: str) -> Protocol:
    """A protocol that only has a name and a place."""
    protocol = Plain()
    protocol.name, protocol.path, protocol.verbs = of, at, frozenset(verbs)
    return protocol


RESPONSES = named("openai_responses", "/v1/responses")
MESSAGES = named("anthropic_messages", "/v1/messages")
COUNT = named("anthropic_count_tokens", "/v1/messages/count_tokens")
GENERATE = named("gemini_generate", "/v1beta/models", "generateContent", "streamGenerateContent")
COUNTING = named("gemini_count_tokens", "/v1beta/models", "countTokens")
SERVED = (CHAT, TEXT, EMBEDDINGS, RESPONSES, MESSAGES, COUNT, GENERATE, COUNTING, PLAIN)
BY_NAME = {"anthropic": ANTHROPIC, "gemini": GEMINI}
ROUTED = Routes(SERVED, {p.name: BY_NAME.get(p.name.split("_")[0], OPENAI) for p in SERVED})


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    ("path", "protocol"),
    [
        ("/v1/chat/completions", CHAT),
        ("/chat/completions", CHAT),
        ("/openai/v1/chat/completions", CHAT),
        ("/openai/chat/completions", CHAT),
        ("/v1beta/openai/chat/completions", CHAT),
        ("/v1/completions", TEXT),
        ("/embeddings", EMBEDDINGS),
        ("/v1/responses", RESPONSES),
        ("/responses", RESPONSES),
        ("/v1/v1/responses", RESPONSES),
        ("//v1//responses", RESPONSES),
        ("/v1/messages", MESSAGES),
        ("/messages", MESSAGES),
        ("/v1/v1/messages", MESSAGES),
        ("/anthropic/v1/messages", MESSAGES),
        ("/anthropic/v1/v1/messages", MESSAGES),
        ("/v1/messages/count_tokens", COUNT),
        ("/anthropic/v1/messages/count_tokens", COUNT),
        ("/v9/plain", PLAIN),
    ],
)
def test_an_endpoint_is_found_behind_every_base_address(
    path: str, slash: str, protocol: Protocol
) -> None:
    route = ROUTED.find(path + slash)

    assert route is not None
    assert (route.protocol, route.endpoint, route.target) == (protocol, *[protocol.path] * 2)


@pytest.mark.parametrize(
    "base", ["/v1beta", "/v1", "", "/gemini/v1beta", "/v1/v1beta", "/v1beta/v1beta"]
)
@pytest.mark.parametrize("model", ["m", "a/m", "a/m:free", "a/models/m", "m ä?#%", "a:b:c"])
def test_a_model_in_the_path_is_handed_on_as_one_escaped_segment(base: str, model: str) -> None:
    route = ROUTED.find(f"{base}/models/{model}:streamGenerateContent")

    assert route is not None
    assert (route.protocol, route.family) == (GENERATE, GEMINI)
    assert route.endpoint == "/v1beta/models/{model}:streamGenerateContent"
    assert route.target == route.naming(model)
    escaped = route.target.removeprefix("/v1beta/models/").removesuffix(":streamGenerateContent")
    assert not set(escaped) & set("/:?# ")


def test_each_verb_is_its_protocols() -> None:
    found = ROUTED.find("/v1/models/m:countTokens/")

    assert found is not None
    assert found.protocol is COUNTING
    assert found.asked(None) == "/v1beta/models/m:countTokens"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/nothing",
        "/v1/models",
        "/v1/models/m",
        "/v1/models/m:embedContent",
        "/v1/models/:generateContent",
        "/v1/messages/batches",
        "/v2/chat/completions",
        "/chat/completions/v1",
        "/v1/v1/v1/v1/chat/completions",
        "/openai/deployments/completions",
        "/openai/deployments/m/nothing",
        "/admin/",
    ],
)
def test_other_paths_call_nothing(path: str) -> None:
    assert ROUTED.find(path) is None


@pytest.mark.parametrize("model", ["m", "a/m", "a/chat/completions"])
def test_a_deployment_in_azures_paths_is_the_model(model: str) -> None:
    route = ROUTED.find(f"/openai/deployments/{model}/chat/completions")

    assert route is not None
    assert (route.protocol, route.model) == (CHAT, model)


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        (b"", ""),
        (b"beta=true", "?beta=true"),
        (b"alt=sse&key=sy_secret", "?alt=sse"),
        (b"key=sy_secret", ""),
        (b"k%65y=sy_secret&alt=sse&access_token=x", "?alt=sse"),
        (b"keys=1&a%26key=2&b", "?keys=1&a%26key=2&b"),
    ],
)
def test_no_credential_in_a_query_is_handed_on(query: bytes, kept: str) -> None:
    route = ROUTED.find("/v1/messages")

    assert route is not None
    assert route.asked(query) == f"/v1/messages{kept}"


@pytest.mark.parametrize(
    ("query", "key"),
    [(b"key=a%2Bb", b"a+b"), (b"alt=sse&key=x", b"x"), (b"alt=sse", b""), (b"key=", b"")],
)
def test_a_geminis_key_is_read_from_its_query(query: bytes, key: bytes) -> None:
    assert query_key(query) == key


VERSION = {b"anthropic-version": b"2023-06-01"}
GOOGLE = {b"x-goog-api-key": b"k"}


@pytest.mark.parametrize(
    ("path", "headers", "query", "family"),
    [
        ("/v1/chat/completions", {}, b"", OPENAI),
        ("/v1/nothing", {}, b"", OPENAI),
        ("/v1/messages/batches", {}, b"", ANTHROPIC),
        ("/messages", {}, b"", ANTHROPIC),
        ("/anthropic/nothing", {}, b"", ANTHROPIC),
        ("/v1/models/m:embedContent", {}, b"", GEMINI),
        ("/v1beta/nothing", {}, b"", GEMINI),
        ("/gemini/nothing", {}, b"", GEMINI),
        ("/v1/models", {}, b"", OPENAI),
        ("/v1/models/m:latest", {}, b"", OPENAI),
        ("/v1/models", VERSION, b"", ANTHROPIC),
        ("/anthropic/v1/models", {}, b"", ANTHROPIC),
        ("/v1/models/m", GOOGLE, b"", GEMINI),
        ("/v1/models", {}, b"key=k", GEMINI),
        ("/v1/models", {b"authorization": b"Bearer k"}, b"key=k", OPENAI),
        ("/v1beta/models", {}, b"", GEMINI),
        ("/v1beta/openai/models", {}, b"", OPENAI),
        ("/openai/v1/models", {}, b"", OPENAI),
    ],
)
def test_whose_client_calls_is_told_by_path_and_headers(
    path: str, headers: dict[bytes, bytes], query: bytes, family: Any
) -> None:
    assert family_at(path, headers, query) is family


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/models", ""),
        ("/models/", ""),
        ("/v1beta/models", ""),
        ("/v1/models/a/m:free/", "a/m:free"),
        ("/anthropic/v1/models/m", "m"),
        ("/v1/modelsx", None),
        ("/v1", None),
    ],
)
def test_lists_of_models_and_their_entries_are_found_as_well(path: str, name: str | None) -> None:
    assert model_named(path) == name


@pytest.mark.parametrize("path", ["/v1/x", "/chat/completions", "//v1/models", "/anthropic", "/v1"])
def test_what_is_this_planes_where_django_serves_the_rest(path: str) -> None:
    assert is_inference(path)


@pytest.mark.parametrize("path", ["/", "/admin/", "/api/keys", "/v1x", "/static/models"])
def test_what_is_not_this_planes(path: str) -> None:
    assert not is_inference(path)


def test_every_registered_protocol_has_a_family_and_an_endpoint() -> None:
    for name in FAMILIES:
        route = ROUTES.named(name)
        assert route is not None
        assert route.family is family_of(name)
