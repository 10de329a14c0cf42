"""Calls of generateContent and countTokens: what routing sees, and the bytes that go on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.errors import ProtocolError
from providers.protocols import PROTOCOLS, Request
from providers.protocols.canonical import Reasoning
from providers.protocols.gemini.parts import BYPASS, sealed

pytestmark = pytest.mark.pure

GENERATE = PROTOCOLS["gemini_generate"]
COUNT = PROTOCOLS["gemini_count_tokens"]
PATH = "/v1beta/models/gemini-2.5-flash:generateContent"
HELLO = [{"role": "user", "parts": [{"text": "Hello"}]}]


def parsed(target: str = PATH, **members: Any) -> Request:
    body = {"contents": HELLO, **members}
    return GENERATE.parse(json.dumps(body).encode(), target)


@pytest.mark.parametrize(
    ("target", "model"),
    [
        ("/v1beta/models/gemini-2.5-flash:generateContent", "gemini-2.5-flash"),
        ("/v1/models/gemini-2.5-flash:generateContent", "gemini-2.5-flash"),
        ("/v1beta/models/google/gemini:generateContent", "google/gemini"),
        ("/v1beta/models/google%2Fgemini:generateContent", "google/gemini"),
        ("/v1beta/models/llama3:8b:generateContent", "llama3:8b"),
        ("/v1beta/models/llama3%3A8b:generateContent", "llama3:8b"),
        ("/v1beta/models/models%2Fgemini-3-pro:generateContent", "gemini-3-pro"),
        ("/v1beta/models/a,b%2Cc:generateContent/", "a,b,c"),
        ("/v1beta/models/m%C3%BC:generateContent?key=secret", "mü"),
        ("/v1beta/models/my%20model:generateContent", "my model"),
    ],
)
def test_the_path_names_the_model(target: str, model: str) -> None:
    request = parsed(target)
    assert (request.model, request.stream) == (model, False)


@pytest.mark.parametrize("target", ["/v1beta/models/:generateContent", "/v1beta/models/m", "/x"])
def test_a_path_without_a_model_is_refused(target: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        parsed(target)
    assert refused.value.param == "model"


@pytest.mark.parametrize(
    ("query", "content_type"),
    [
        ("", b"application/json"),
        ("?alt=json", b"application/json"),
        ("?key=k&alt=sse", b"text/event-stream; charset=utf-8"),
        ("?%24alt=sse", b"text/event-stream; charset=utf-8"),
    ],
)
def test_the_query_says_in_which_form_a_stream_comes(query: str, content_type: bytes) -> None:
    request = parsed(f"/v1beta/models/m:streamGenerateContent{query}")
    assert request.stream
    assert request.stream_type == content_type


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-2.5-flash", "/models/gemini-2.5-flash:generateContent"),
        ("models/gemini-2.5-flash", "/models/gemini-2.5-flash:generateContent"),
        ("tunedModels/mine", "/tunedModels/mine:generateContent"),
        ("google/gemini:x", "/models/google/gemini:x:generateContent"),
        ("a b?c#d", "/models/a%20b%3Fc%23d:generateContent"),
        ("../../admin", "/models/..%2F..%2Fadmin:generateContent"),
    ],
)
def test_the_provider_is_asked_for_its_own_model_and_nothing_else(model: str, path: str) -> None:
    assert parsed(f"{PATH}?key=secret&alt=json").upstream_path(model) == path


def test_a_stream_always_comes_as_events_from_the_provider() -> None:
    for query in ("", "?alt=sse&key=secret"):
        request = parsed(f"/v1beta/models/m:streamGenerateContent{query}")
        assert request.upstream_path("g") == "/models/g:streamGenerateContent?alt=sse"


def test_the_body_goes_on_as_it_came() -> None:
    body = b'{ "brandNew" : 1.50, "contents":[{"parts":{"text":"\\u00fc \\ud83d"}}],"model":"x" }'
    request = GENERATE.parse(body, PATH)
    assert request.encode("other") == body


def test_reasoning_that_was_sealed_here_does_not_go_to_google() -> None:
    foreign = sealed(Reasoning(text="hm", origin="openai_responses", encrypted="e"))
    contents = [
        *HELLO,
        {"role": "model", "parts": [
            {"text": "hm", "thought": True, "thoughtSignature": foreign},
            {"text": "Hi", "thoughtSignature": "QUJD"},
            {"text": f'say "{foreign}"'},
        ]},
    ]  # fmt: skip
    sent = json.loads(parsed(contents=contents).encode("m"))["contents"]
    contents[1]["parts"][0]["thoughtSignature"] = BYPASS
    assert sent == contents


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{}", "contents"),
        (b'{"contents":[]}', "contents"),
        (b'{"contents":"Hello"}', "contents"),
        (b'{"contents":null}', "contents"),
        (b"[]", None),
        (b"", None),
    ],
)
def test_a_body_without_contents_is_refused(body: bytes, param: str | None) -> None:
    for protocol, path in ((GENERATE, PATH), (COUNT, "/v1beta/models/m:countTokens")):
        with pytest.raises(ProtocolError) as refused:
            protocol.parse(body, path)
        assert refused.value.param == param


def test_without_a_path_the_body_names_the_model_which_does_not_go_on() -> None:
    body = {"model": "m", "stream": True, "contents": HELLO}
    request = GENERATE.parse(json.dumps(body).encode())
    assert (request.model, request.stream) == ("m", True)
    assert json.loads(request.encode("g")) == {"contents": HELLO}


def part(**member: Any) -> dict[str, Any]:
    return {"contents": [{"parts": [{"text": "see"}, member]}]}


@pytest.mark.parametrize(
    ("members", "needs"),
    [
        ({}, set()),
        (part(inlineData={"mimeType": "image/png", "data": "AAAA"}), {"vision"}),
        (part(inline_data={"mime_type": "image/png", "data": "AAAA"}), {"vision"}),
        (part(inlineData={"mimeType": "application/pdf", "data": "AAAA"}), {"files"}),
        (part(inlineData={"mimeType": "audio/wav", "data": "AAAA"}), {"audio"}),
        (part(fileData={"mimeType": "video/mp4", "fileUri": "gs://a/b"}), {"vision"}),
        (part(fileData={"fileUri": "gs://a/b"}), {"files"}),
        ({"contents": [{"parts": [{"text": '"inlineData" "mimeType": "image/png"'}]}]}, set()),
        ({"tools": [{"functionDeclarations": [{"name": "f"}]}]}, {"tools"}),
        ({"tools": [{"function_declarations": [{"name": "f"}]}]}, {"tools"}),
        ({"tools": [{"functionDeclarations": []}, {"googleSearch": {}}]}, set()),
        ({"generationConfig": {"responseSchema": {"type": "OBJECT"}}}, {"json_schema"}),
        ({"generation_config": {"response_json_schema": {"type": "object"}}}, {"json_schema"}),
        ({"generationConfig": {"responseMimeType": "application/json"}}, set()),
        ({"generationConfig": {"thinkingConfig": {"thinkingBudget": 9}}}, {"reasoning"}),
        ({"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW"}}}, {"reasoning"}),
        ({"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}, {"reasoning"}),
        ({"generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}}, set()),
        ({"generationConfig": {"thinkingConfig": {"includeThoughts": False}}}, set()),
        ({"generationConfig": {"responseModalities": ["AUDIO"]}}, {"audio"}),
        ({"generationConfig": None}, set()),
    ],
)
def test_what_a_request_needs(members: dict[str, Any], needs: set[str]) -> None:
    assert parsed(**members).needs == needs
    assert parsed("/v1/models/m:streamGenerateContent", **members).needs == needs | {"streaming"}


def test_what_a_request_costs_at_most() -> None:
    assert parsed(generationConfig={"maxOutputTokens": 77}).max_output_tokens == 77
    assert parsed(generation_config={"max_output_tokens": 77}).max_output_tokens == 77
    assert parsed().max_output_tokens is None
    bare = parsed().estimated_input_tokens
    more = parsed(systemInstruction={"parts": [{"text": "x" * 400}]}).estimated_input_tokens
    image = parsed(**part(inlineData={"mimeType": "image/png", "data": "A" * 400_000}))
    assert more - bare > 100
    assert 1000 < image.estimated_input_tokens < 1100


def test_what_is_cached_at_one_credential_is_the_session() -> None:
    assert parsed(cachedContent="cachedContents/1").session == "cachedContents/1"
    assert parsed().session is None


# countTokens


def counted(body: Any, target: str = "/v1beta/models/m:countTokens") -> Request:
    return COUNT.parse(json.dumps(body).encode(), target)


def test_a_count_is_asked_for_below_the_providers_model() -> None:
    request = counted({"contents": HELLO})
    assert request.upstream_path("g") == "/models/g:countTokens"
    assert json.loads(request.encode("g")) == {"contents": HELLO}


@pytest.mark.parametrize("name", ["generateContentRequest", "generate_content_request"])
def test_a_counted_request_that_names_its_model_names_the_providers(name: str) -> None:
    request = counted({name: {"model": "models/m", "contents": HELLO}})
    assert request.model == "m"
    assert json.loads(request.encode("g")) == {name: {"model": "models/g", "contents": HELLO}}


def test_a_count_can_be_estimated() -> None:
    request = counted({"contents": HELLO})
    told = json.loads(COUNT.estimated(request) or b"null")
    assert told == {"totalTokens": request.estimated_input_tokens}
    assert told["totalTokens"] > 0


def test_credentials_and_what_chooses_an_account_stay_here() -> None:
    kept = [(b"x-goog-api-client", b"genai/3.4"), (b"x-server-timeout", b"60")]
    dropped = [
        (b"x-goog-api-key", b"k"), (b"x-goog-user-project", b"p"), (b"authorization", b"b"),
        (b"x-goog-request-params", b"model=x"), (b"cookie", b"c"), (b"x-switchyard-gate", b"g"),
        (b"x-goog-api-client", b"a\r\nb"),
    ]  # fmt: skip
    for protocol in (GENERATE, COUNT):
        assert protocol.forwarded([*dropped, *kept]) == kept
