"""Any JSON at all: requests, answers and streams of Gemini never raise, and keep their meaning."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.errors import Failure, ProtocolError
from providers.protocols import Reply
from providers.protocols.canonical import Unfit
from providers.protocols.gemini.codec import CODEC
from providers.protocols.protocol import Target
from tests.support import validator
from tests.support.gemini import (
    ARRAY,
    CHAT,
    GEMINI,
    answered,
    completed,
    events,
    read,
    through,
    to_chat,
    to_gemini,
)
from tests.support.gemini_stream import read_stream, read_whole
from tests.support.wire import JUDGE, asked

pytestmark = pytest.mark.pure

JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
NAMES = (
    "text", "thought", "thoughtSignature", "inlineData", "inline_data", "fileData",
    "functionCall", "functionResponse", "executableCode", "name", "args", "response", "id",
    "mimeType", "data", "fileUri", "parts", "role", "mode", "output", "error", "properties",
    "type", "items", "anyOf", "nullable",
)  # fmt: skip
WORDS = st.sampled_from(["user", "model", "f", "ANY", "QUJD", "image/png", "OBJECT"])
NAMED = st.recursive(
    WORDS | JSON,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES), inner, min_size=1, max_size=4)
    ),
    max_leaves=8,
)
PART = st.dictionaries(st.sampled_from(NAMES), NAMED, max_size=3)
CONTENT = st.fixed_dictionaries({"parts": st.lists(PART, max_size=3) | PART},
                                optional={"role": WORDS | JSON})  # fmt: skip
MEMBERS = st.dictionaries(
    st.sampled_from(["tools", "toolConfig", "generationConfig", "generation_config", "labels",
                     "systemInstruction", "cachedContent", "serviceTier", "safetySettings"]),
    st.dictionaries(
        st.sampled_from(["functionDeclarations", "functionCallingConfig", "thinkingConfig",
                         "responseSchema", "stopSequences", "maxOutputTokens", "candidateCount",
                         "temperature", "responseModalities", "parts", "googleSearch"]),
        NAMED, max_size=4) | NAMED,
    max_size=4,
)  # fmt: skip


@settings(max_examples=100)
@given(MEMBERS, st.lists(CONTENT | JSON, min_size=1, max_size=4))
def test_any_json_is_translated_or_refused_in_words(members: Any, contents: Any) -> None:
    try:
        request = asked("gemini_generate", contents=contents, **members)
        request.needs, request.session, request.max_output_tokens  # noqa: B018
        assert request.estimated_input_tokens >= 0
        for spoken in (CHAT, GEMINI):
            prompt = CODEC.prompt(request)
            written = spoken.codec.write(prompt, Target(model="gemini-3-pro"))
            spoken.parse(written.body, "/v1beta/models/m:generateContent")
    except (ProtocolError, Unfit):
        return


@settings(max_examples=100)
@given(
    st.dictionaries(
        st.sampled_from(["usageMetadata", "promptFeedback", "responseId", "createTime", "error"]),
        NAMED,
    ),
    st.lists(PART, max_size=3),
    st.sampled_from(["STOP", "MAX_TOKENS", "SAFETY", "OTHER"]) | JSON,
)
def test_any_answer_is_read_or_refused(document: Any, parts: Any, finish: Any) -> None:
    document["candidates"] = [{"content": {"parts": parts}, "finishReason": finish}]
    body = json.dumps(document).encode()
    for request in (to_gemini(), asked("gemini_generate", stream=True), asked("gemini_generate")):
        for kind, sent in (
            (b"application/json", body),
            (b"application/json", b"[" + body + b"]"),
            (b"text/event-stream", b"data: " + body + b"\n\n"),
        ):
            assert isinstance(request.read(kind, sent, JUDGE), (Reply, Failure))
    first = events(answered({"text": "Hi"}, finish=""))
    for target in ("/v1beta/models/m:streamGenerateContent?alt=sse", ARRAY):
        scanner = asked("gemini_generate", target).scanner(JUDGE)
        scanner.feed(first + b"data: " + body + b"\n\n")
        scanner.end()
    told, failure = through(to_gemini(stream=True), [first + b"data: " + body + b"\n\n"])
    if failure is None:
        validator.read_stream(told)


@settings(max_examples=100)
@given(st.binary(max_size=60), st.integers(0, 60))
def test_any_bytes_are_a_stream_or_none(data: bytes, cut: int) -> None:
    for request in (to_gemini(stream=True), asked("gemini_generate", stream=True)):
        scanner = request.scanner(JUDGE)
        scanner.feed(data[:cut])
        scanner.feed(data[cut:])
        _, failure = scanner.end()
        assert failure is not None


@pytest.mark.parametrize("depth", [70, *range(955, 1000)])
def test_arguments_nested_to_the_bounds_of_the_decoder_raise_nothing(depth: int) -> None:
    deep = '{"a":' * depth + "1" + "}" * depth
    called = '{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":%s}}]},'
    body = (called % deep + '"finishReason":"STOP"}]}').encode()
    function = {"name": "f", "arguments": deep}
    message = {"tool_calls": [{"id": "a", "type": "function", "function": function}]}
    for request in (to_gemini(), asked("gemini_generate", stream=True), asked("gemini_generate")):
        for kind, sent in (
            (b"application/json", body),
            (b"application/json", b"[" + body + b"]"),
            (b"text/event-stream", b"data: " + body + b"\n\n"),
        ):
            assert isinstance(request.read(kind, sent, JUDGE), (Reply, Failure))
    assert isinstance(read(to_chat(), completed(message, "tool_calls")), (Reply, Failure))
    user = {"role": "user", "content": "x"}
    sent = to_gemini(messages=[user, {"role": "assistant", **message}]).encode("")
    GEMINI.parse(sent, "/v1beta/models/m:generateContent")


TEXTS = st.text(min_size=1, max_size=8)
SIGNATURES = st.sampled_from(["", "QUJD", "REVG"])


@st.composite
def answers(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Parts of an honest answer, each call with an id of its own."""
    parts: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["text", "thought", "call"]))
        part: dict[str, Any]
        if kind == "call":
            args = draw(st.dictionaries(TEXTS, st.integers() | TEXTS, max_size=2))
            part = {"functionCall": {"id": f"c{number}", "name": "f", "args": args}}
        else:
            part = {"text": draw(TEXTS)}
            if kind == "thought":
                part["thought"] = True
        if signature := draw(SIGNATURES):
            part["thoughtSignature"] = signature
        parts.append(part)
    return parts


@settings(max_examples=100)
@given(answers(), st.integers(1, 300))
def test_a_round_trip_keeps_the_meaning(parts: list[dict[str, Any]], cut: int) -> None:
    """Gemini's answer, decoded and written again for a Gemini caller, whole and as a stream."""
    document = answered(*parts)
    given = read_whole(json.dumps(document).encode())
    request = asked("gemini_generate", stream=True)
    answer = CODEC.answer(document, JUDGE)
    assert not isinstance(answer, Failure)
    decoder = CODEC.decoder(JUDGE)
    sent = events(*({**document, "candidates": [
        {"content": {"role": "model", "parts": [part]}}]} for part in parts),
        answered({"text": ""}))  # fmt: skip
    decoder.feed(sent[:cut])
    decoder.feed(sent[cut:])
    assert decoder.end()[1] is None
    encoded = CODEC.encoder(request).write(decoder.take())
    for said in (read_whole(CODEC.reply(answer, request)), read_stream(encoded)):
        assert (said.text, said.thoughts, said.calls) == (given.text, given.thoughts, given.calls)
        assert set(said.signatures) >= set(given.signatures)
