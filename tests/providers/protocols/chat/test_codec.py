"""Chat completions to and from the canonical form."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.errors import Failure, ProtocolError
from providers.protocols import PROTOCOLS, Reply
from providers.protocols.canonical import Unfit
from providers.protocols.chat import CHAT
from providers.protocols.protocol import Target
from providers.protocols.translating import Translated
from tests.support.validator import read_stream
from tests.support.wire import JUDGE, asked

pytestmark = pytest.mark.pure

CASES = sorted(Path("tests/wire/openai_chat").glob("*/facts.json"))
CUSTOM = {"type": "custom", "custom": {"name": "g", "format": {"type": "text"}}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def says(part: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": [part]}


def translated(refuses: frozenset[str] = frozenset(), **members: Any) -> Translated:
    target = Target(model="their-model", refuses=refuses)
    return Translated(asked("openai_chat", **members), CHAT, target)


def written(refuses: frozenset[str] = frozenset(), **members: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(translated(refuses, **members).encode("ignored"))
    return body


SAID = {
    "a system text": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "x"}],
    "a system text in the middle": [
        {"role": "user", "content": "x"},
        {"role": "system", "content": "now be brief"},
        {"role": "user", "content": "y"},
    ],
    "an image": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what is it?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "image_url", "image_url": {"url": "https://h/a.png", "detail": "low"}},
            ],
        }
    ],
    "a file and a sound": [
        {
            "role": "user",
            "content": [
                {
                    "type": "file",
                    "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA"},
                },
                {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
            ],
        }
    ],
    "calls and their results": [
        {"role": "user", "content": "x"},
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
                {"id": "b", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": "done"},
        {"role": "user", "content": "go on"},
    ],
}


@pytest.mark.parametrize("name", SAID)
def test_what_is_said_survives_the_canonical_form(name: str) -> None:
    assert written(messages=SAID[name])["messages"] == SAID[name]


@pytest.mark.parametrize(
    "members",
    [
        {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        {
            "tools": [
                TOOL,
                {"type": "custom", "custom": {"name": "g", "format": {"type": "text"}}},
            ],
            "tool_choice": {"type": "custom", "custom": {"name": "g"}},
        },
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
            }
        },
        {"response_format": {"type": "json_object"}},
        {"max_completion_tokens": 7, "temperature": 0.5, "top_p": 1, "seed": 3, "stop": ["a"]},
        {"reasoning_effort": "high", "verbosity": "low", "user": "u", "prompt_cache_key": "k"},
    ],
)
def test_what_is_asked_for_survives_the_canonical_form(members: dict[str, Any]) -> None:
    body = written(**members)
    assert {name: body[name] for name in members} == members


def test_a_stream_asks_for_its_usage() -> None:
    body = written(stream=True)
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})


def test_what_has_no_place_is_dropped_and_told() -> None:
    request = translated(
        metadata={"a": "b"}, top_k=3, service_tier="flex", stop=list("abcde"), odd=None, other=1
    )
    body = json.loads(request.encode(""))
    assert set(request.written().dropped) == {"metadata", "top_k", "service_tier", "stop", "other"}
    assert body["stop"] == list("abcd")
    assert not {"metadata", "top_k", "service_tier", "other"} & body.keys()


@pytest.mark.parametrize(
    ("members", "what"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"prediction": {"type": "content", "content": "x"}}, "prediction"),
        ({"modalities": ["text", "audio"], "audio": {"voice": "x"}}, "audio"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"tools": [{"type": "mcp", "mcp": {}}]}, "mcp"),
        ({"tools": [{"type": {}}], "tool_choice": {"type": []}}, "{}"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}
                ]
            },
            "file_id",
        ),
    ],
)
def test_what_only_its_own_protocol_can_carry_goes_nowhere_else(
    members: dict[str, Any], what: str
) -> None:
    with pytest.raises(Unfit) as refused:
        written(**members)
    assert refused.value.what == what


@pytest.mark.parametrize(
    "members", [{"n": 1}, {"logprobs": False}, {"logit_bias": {}}, {"n": None}]
)
def test_what_says_nothing_binds_nobody(members: dict[str, Any]) -> None:
    assert not members.keys() & written(**members).keys()


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"messages": [{"role": "ghost", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "tool_call_id": "a"}]}, "messages[0].tool_call_id"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "max_tokens"),
        (
            {"messages": [says({"type": "image_url", "image_url": "data:x"})]},
            "messages[0].content[0]",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]},
         "messages[0].content[0].type"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused_before_any_call(
    members: dict[str, Any], param: str
) -> None:
    with pytest.raises(ProtocolError) as refused:
        translated(**members)
    assert refused.value.param == param


def test_free_form_tools_are_functions_where_nobody_knows_them() -> None:
    tool = {"type": "custom", "custom": {"name": "patch", "description": "d"}}
    messages = [
        {"role": "user", "content": "x"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "b", "type": "custom", "custom": {"name": "patch", "input": "*"}}
            ],
        },
    ]
    body = written(frozenset({"custom_tools"}), tools=[tool], messages=messages, tool_choice="auto")
    assert body["tools"][0]["function"]["parameters"]["required"] == ["input"]
    assert body["messages"][1]["tool_calls"][0]["function"] == {
        "name": "patch",
        "arguments": '{"input":"*"}',
    }


def through(case: Path, pieces: list[bytes]) -> tuple[bytes, Failure | None]:
    facts = json.loads(case.read_text())
    options = {"stream_options": {"include_usage": True}} if facts["wants_usage"] else {}
    scanner = translated(stream=True, **options).scanner(JUDGE)
    passed = b"".join([scanner.feed(piece) for piece in pieces])
    last, failure = scanner.end()
    told = re.sub(rb'"created":[0-9]+', b'"created":1', passed + last)  # if nobody said when
    return told, failure


@pytest.mark.parametrize("case", CASES, ids=[case.parent.name for case in CASES])
def test_every_recorded_stream_is_a_strict_one_when_it_is_written_anew(case: Path) -> None:
    facts = json.loads(case.read_text())
    upstream = (case.parent / "upstream.sse").read_bytes()

    told, failure = through(case, [upstream])

    assert (failure.fault.value if failure else None) == facts["fault"]
    if failure is None:
        wants_usage = facts["wants_usage"]
        said = read_stream(told, wants_usage=wants_usage)
        assert said.finish
        native = (case.parent / "caller.sse").read_bytes()
        assert said.text == text_of(native)
        assert (said.usage is not None) == wants_usage
    for cut in range(1, len(upstream), 7):
        assert through(case, [upstream[:cut], upstream[cut:]])[0] == told


def text_of(stream: bytes) -> str:
    found = []
    for line in stream.decode().split("\n\n"):
        payload = line.removeprefix("data: ")
        if payload and payload != "[DONE]":
            for choice in json.loads(payload).get("choices") or []:
                content = choice.get("delta", {}).get("content") if choice.get("delta") else None
                if isinstance(content, str):
                    found.append(content)
                parts = content if isinstance(content, list) else []
                found.extend(part.get("text", "") for part in parts)
    return "".join(found)


WHOLE = {
    "id": "c1",
    "created": 7,
    "model": "m-1",
    "object": "chat.completion",
    "usage": {"prompt_tokens": 5, "completion_tokens": 3},
}


def read(message: dict[str, Any], finish: str = "stop", *, stream: bool = False) -> Any:
    document = {**WHOLE, "choices": [{"index": 0, "message": message, "finish_reason": finish}]}
    return translated(stream=stream).read(b"application/json", json.dumps(document).encode(), JUDGE)


def test_a_whole_answer_says_the_same_and_keeps_the_providers_model() -> None:
    calls = [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    reply = read({"content": "hi", "reasoning_content": "hm", "tool_calls": calls})

    assert isinstance(reply, Reply)
    told = json.loads(reply.body)
    message = told["choices"][0]["message"]
    assert (told["id"], told["model"], told["created"]) == ("chatcmpl-c1", "m-1", 7)
    assert (message["content"], message["reasoning_content"]) == ("hi", "hm")
    assert message["tool_calls"] == calls
    assert told["choices"][0]["finish_reason"] == "tool_calls"
    assert told["usage"]["total_tokens"] == 8
    assert reply.usage.output_tokens == 3


def test_a_whole_answer_where_a_stream_was_asked_for_is_a_strict_stream() -> None:
    calls = [
        {"id": i, "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
        for i in "ab"
    ]
    reply = read({"content": "hi", "reasoning_content": "hm", "tool_calls": calls}, stream=True)

    assert isinstance(reply, Reply)
    assert reply.content_type.startswith(b"text/event-stream")
    said = read_stream(reply.body)
    assert (said.text, said.finish) == ("hi", "tool_calls")
    assert [call["arguments"] for call in said.choices[0].calls] == ['{"a":1}', '{"a":1}']


def test_a_stream_where_a_whole_answer_was_asked_for_is_one() -> None:
    stream = b"".join(
        b"data: " + json.dumps({**WHOLE, "choices": [{"index": 0, **choice}]}).encode() + b"\n\n"
        for choice in (
            {"delta": {"role": "assistant", "content": "h"}},
            {"delta": {"content": "i"}},
            {"delta": {}, "finish_reason": "length"},
        )
    )
    reply = translated().read(b"text/event-stream", stream, JUDGE)

    assert isinstance(reply, Reply)
    choice = json.loads(reply.body)["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("hi", "length")


def piece(**call: Any) -> bytes:
    choice = {"index": 0, "delta": {"tool_calls": [call]}}
    return b"data: " + json.dumps({"id": "c", "choices": [choice]}).encode() + b"\n\n"


END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


@pytest.mark.parametrize(
    ("pieces", "arguments"),
    [
        ([{"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x":'}},
          {"index": 0, "function": {"arguments": "1}"}}], ['{"x":1}']),
        ([{"index": 1, "id": "a", "function": {"name": "f"}},
          {"index": 1, "function": {"arguments": "{}"}}], ["{}"]),
        ([{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}},
          {"index": 0, "id": "b", "function": {"name": "g", "arguments": "[]"}}], ["{}", "[]"]),
        ([{"index": 0, "function": {"name": "f", "arguments": "{}"}}], ["{}"]),
        ([{"index": 0, "id": "a", "function": {"name": "f"}},
          {"index": 1, "id": "b", "function": {"name": "g"}},
          {"index": 0, "function": {"arguments": "{1}"}},
          {"index": 1, "function": {"arguments": "{2}"}}], ["{1}", "{2}"]),
        ([{"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": 1}}}], ['{"x":1}']),
        ([{"index": {}, "id": "a", "function": {"name": "f", "arguments": "{"}},
          {"index": [], "function": {"arguments": "}"}}], ["{}"]),
    ],
)  # fmt: skip
def test_no_piece_of_a_call_is_lost_however_a_server_tells_it(
    pieces: list[dict[str, Any]], arguments: list[str]
) -> None:
    scanner = translated(stream=True).scanner(JUDGE)
    told = scanner.feed(b"".join(piece(**call) for call in pieces) + END)

    said = read_stream(told)

    assert [call["arguments"] for call in said.choices[0].calls] == arguments
    assert len({call["id"] for call in said.choices[0].calls}) == len(arguments)
    assert said.finish == "tool_calls"


def test_a_piece_of_a_call_that_is_a_text_breaks_the_stream_and_nothing_else() -> None:
    scanner = translated(stream=True).scanner(JUDGE)
    scanner.feed(piece(index=0, id="a", function={"name": "f", "arguments": "{}"}))
    scanner.feed(piece(index=1, function="f") + END)

    assert scanner.failure is not None
    assert not scanner.finished


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)
KNOWN = st.sampled_from(
    ["tools", "tool_choice", "response_format", "stop", "n", "functions", "function_call",
     "reasoning_effort", "max_tokens", "metadata", "messages", "modalities", "logit_bias"]
)  # fmt: skip
MESSAGE = st.dictionaries(
    st.sampled_from(["role", "content", "tool_calls", "tool_call_id", "function_call", "refusal",
                     "reasoning_details", "name", "type"]),
    st.sampled_from(["user", "assistant", "tool", "system", "function"]) | JSON,
    max_size=5,
)  # fmt: skip


@settings(max_examples=200)
@given(st.dictionaries(KNOWN, JSON, max_size=4), st.lists(MESSAGE, min_size=1, max_size=4))
def test_any_json_is_translated_or_refused_in_words(members: Any, messages: Any) -> None:
    members.pop("messages", None)
    try:
        body = translated(messages=messages, **members).encode("")
    except (ProtocolError, Unfit):
        return
    PROTOCOLS["openai_chat"].parse(body)


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(["choices", "usage", "id", "created", "error"]), JSON),
       st.lists(MESSAGE, max_size=2))  # fmt: skip
def test_any_answer_is_read_or_refused(document: Any, messages: Any) -> None:
    document["choices"] = [{"message": message, "delta": message} for message in messages]
    body = json.dumps(document).encode()
    for stream in (False, True):
        found = translated(stream=stream).read(b"application/json", body, JUDGE)
        assert isinstance(found, (Reply, Failure))
    scanner = translated(stream=True).scanner(JUDGE)
    scanner.feed(b"data: " + body + b"\n\n" + END)
    scanner.end()
