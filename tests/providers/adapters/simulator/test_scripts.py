"""What the simulator says in each protocol: the vendor's own grammar, whole, cut and failed."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from providers.adapters.classify import classify
from providers.adapters.judging import Judging
from providers.adapters.simulator.faults import parse_fault
from providers.adapters.simulator.provider import Simulator
from providers.adapters.simulator.scripts import SCRIPTS
from providers.errors import ConnectionReset, Fault
from providers.protocols import PROTOCOLS
from providers.transport import Response
from providers.validation import PROTOCOL_NAMES

pytestmark = pytest.mark.pure

HELLO = "Hello from Switchyard's simulator: provider sim answered as model m-1."
FOUR = ("openai_chat", "openai_responses", "anthropic_messages", "gemini_generate")
ARGUMENTS = '{"city": "Köln 🌍", "days": [1, 2], "note": "a } b"}'
ORDER = f"Please call the tool get_weather with {ARGUMENTS} and wait."


class Event(NamedTuple):
    name: str
    data: Any


def body_of(protocol: str, said: str, *, offers: bool = False) -> dict[str, Any]:
    """A request in which a person says something, and may offer a tool."""
    schema = {"type": "object", "properties": {}}
    message = {"role": "user", "content": said}
    tools: dict[str, list[dict[str, Any]]] = {
        "openai_chat": [
            {"type": "function", "function": {"name": "get_weather", "parameters": schema}}
        ],
        "openai_responses": [{"type": "function", "name": "get_weather", "parameters": schema}],
        "anthropic_messages": [{"name": "get_weather", "input_schema": schema}],
        "gemini_generate": [{"functionDeclarations": [{"name": "get_weather"}]}],
    }
    found: dict[str, Any] = {
        "openai_chat": {"model": "m-1", "messages": [message]},
        "openai_responses": {"model": "m-1", "input": said},
        "anthropic_messages": {"model": "m-1", "max_tokens": 9, "messages": [message]},
        "gemini_generate": {"contents": [{"role": "user", "parts": [{"text": said}]}]},
    }[protocol]
    return found | ({"tools": tools[protocol]} if offers else {})


async def call(
    protocol: str, body: dict[str, Any], *, stream: bool = False, fault: str = ""
) -> Response:
    simulator = Simulator("sim", parse_fault(fault) if fault else None)
    path = ""
    if protocol.startswith("gemini"):
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        path = f"/models/m-1:{verb}"
    elif stream:
        body = body | {"stream": True}
    return await simulator.answer(protocol, json.dumps(body).encode(), 1e12, path)


async def whole(protocol: str, body: dict[str, Any]) -> Any:
    response = await call(protocol, body)
    assert response.status == 200
    return json.loads(await response.read_all(1e12))


def events_in(raw: bytes) -> list[Event]:
    """The events, each of one `data:` line with or without a name before it, and nothing else."""
    found = []
    *blocks, rest = raw.split(b"\n\n")
    assert rest == b""
    for block in blocks:
        *name, data = block.split(b"\n")
        assert data.startswith(b"data: ")
        assert len(name) < 2
        if data == b"data: [DONE]":
            continue
        title = name[0].removeprefix(b"event: ").decode() if name else ""
        found.append(Event(title, json.loads(data[6:])))
    return found


async def streamed(protocol: str, body: dict[str, Any], fault: str = "") -> list[Event]:
    response = await call(protocol, body, stream=True, fault=fault)
    assert response.header(b"content-type") == b"text/event-stream; charset=utf-8"
    return events_in(await response.read_all(1e12))


def test_the_simulator_speaks_every_protocol_that_there_is() -> None:
    assert set(PROTOCOLS) <= set(SCRIPTS) <= set(PROTOCOL_NAMES)


@pytest.mark.parametrize("protocol", sorted(SCRIPTS))
async def test_a_number_that_nobody_can_read_is_the_callers_mistake(protocol: str) -> None:
    answer = await Simulator("lab").answer(protocol, b'{"model": "m", "x": 1e400}', 1e9)

    assert answer.status == 400
    assert b"Number out of range" in await answer.read_all(1e9)


async def test_a_size_of_another_type_is_none() -> None:
    body = b'{"model": "m", "input": "a", "dimensions": true}'
    answer = await Simulator("lab").answer("openai_embeddings", body, 1e9)

    assert len(json.loads(await answer.read_all(1e9))["data"][0]["embedding"]) == 16


# Text


def text_of(protocol: str, reply: dict[str, Any]) -> str:
    match protocol:
        case "openai_chat":
            text = reply["choices"][0]["message"]["content"]
        case "openai_responses":
            text = reply["output"][0]["content"][0]["text"]
        case "anthropic_messages":
            text = reply["content"][0]["text"]
        case _:
            text = reply["candidates"][0]["content"]["parts"][0]["text"]
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize("protocol", FOUR)
async def test_it_says_hello_and_what_was_said(protocol: str) -> None:
    reply = await whole(protocol, body_of(protocol, "what's up?"))
    assert text_of(protocol, reply) == f"{HELLO} You said: what's up?"
    long = text_of(protocol, await whole(protocol, body_of(protocol, "x" * 300)))
    assert long.endswith("x" * 200 + "…")


async def test_responses_come_in_numbered_events_from_created_to_completed() -> None:
    body = body_of("openai_responses", "hi")
    events = await streamed("openai_responses", body)
    assert [event.data["sequence_number"] for event in events] == list(range(len(events)))
    assert all(event.name == event.data["type"] for event in events)
    names = [event.name.removeprefix("response.") for event in events]
    deltas = [event.data["delta"] for event in events if event.name.endswith(".delta")]
    assert names == [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *("output_text.delta" for _ in deltas),
        *("output_text.done", "content_part.done", "output_item.done", "completed"),
    ]
    text = "".join(deltas)
    final = events[-1].data["response"]
    assert final["status"] == "completed"
    assert events[-4].data["text"] == text == text_of("openai_responses", final)
    assert events[-2].data["item"] == final["output"][0]
    assert len({event.data["item_id"] for event in events if "item_id" in event.data}) == 1
    whole_reply = await whole("openai_responses", body)
    assert (final["output"][0]["content"], final["usage"]) == (
        whole_reply["output"][0]["content"],
        whole_reply["usage"],
    )
    usage = final["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 2


async def test_messages_come_in_blocks_from_start_to_stop() -> None:
    body = body_of("anthropic_messages", "hi")
    events = await streamed("anthropic_messages", body)
    assert all(event.name == event.data["type"] for event in events)
    deltas = [e.data["delta"] for e in events if e.name == "content_block_delta"]
    assert [event.name for event in events] == [
        *("message_start", "content_block_start", "ping"),
        *("content_block_delta" for _ in deltas),
        *("content_block_stop", "message_delta", "message_stop"),
    ]
    message = events[0].data["message"]
    assert (message["content"], message["stop_reason"]) == ([], None)
    assert message["usage"]["input_tokens"] > 0
    reply = await whole("anthropic_messages", body)
    assert "".join(delta["text"] for delta in deltas) == text_of("anthropic_messages", reply)
    assert events[-2].data["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert events[-2].data["usage"]["output_tokens"] == reply["usage"]["output_tokens"] > 2


async def test_gemini_comes_in_whole_responses_of_which_the_last_says_why_it_ended() -> None:
    body = body_of("gemini_generate", "hi")
    events = await streamed("gemini_generate", body)
    assert {event.name for event in events} == {""}
    candidates = [event.data["candidates"][0] for event in events]
    text = "".join(c["content"]["parts"][0]["text"] for c in candidates)
    reply = await whole("gemini_generate", body)
    assert text == text_of("gemini_generate", reply)
    assert ["finishReason" in c for c in candidates] == [*(False for _ in candidates[1:]), True]
    assert len({event.data["responseId"] for event in events}) == 1
    assert events[-1].data["usageMetadata"] == reply["usageMetadata"]
    usage = reply["usageMetadata"]
    parts = usage["promptTokenCount"] + usage["candidatesTokenCount"]
    assert usage["totalTokenCount"] == parts > 2


async def test_geminis_model_is_that_of_the_path() -> None:
    body = json.dumps(body_of("gemini_generate", "")).encode()
    for path, model in (
        ("/models/a%2Fb:generateContent", "a/b"),
        ("/models/gemini-2.5-pro:generateContent?x=1", "gemini-2.5-pro"),
        ("/models/tuned:2:generateContent", "tuned:2"),
    ):
        response = await Simulator("sim").answer("gemini_generate", body, 1e12, path)
        reply = json.loads(await response.read_all(1e12))
        assert reply["modelVersion"] == model
        assert f"as model {model}." in text_of("gemini_generate", reply)


@pytest.mark.parametrize(
    ("protocol", "body", "field"),
    [
        ("anthropic_count_tokens", body_of("anthropic_messages", "hi"), "input_tokens"),
        ("gemini_count_tokens", body_of("gemini_generate", "hi"), "totalTokens"),
        (
            "gemini_count_tokens",
            {"generateContentRequest": body_of("gemini_generate", "hi")},
            "totalTokens",
        ),
    ],
)
async def test_tokens_are_counted(protocol: str, body: dict[str, Any], field: str) -> None:
    short = await whole(protocol, body)
    assert short[field] > 0
    longer = await whole(protocol, body | {"tools": [{"name": "x" * 400}]})
    assert longer[field] > short[field] or "generateContentRequest" in body


# Tool calls


class Called(NamedTuple):
    name: str
    arguments: Any
    finish: str


def call_in(protocol: str, reply: dict[str, Any]) -> Called:
    match protocol:
        case "openai_chat":
            choice = reply["choices"][0]
            (found,) = choice["message"]["tool_calls"]
            assert found["id"].startswith("call_")
            inner = found["function"]
            finish = choice["finish_reason"]
            return Called(inner["name"], json.loads(inner["arguments"]), finish)
        case "openai_responses":
            (item,) = reply["output"]
            assert item["type"] == "function_call"
            assert item["call_id"] != item["id"]
            return Called(item["name"], json.loads(item["arguments"]), reply["status"])
        case "anthropic_messages":
            (block,) = reply["content"]
            return Called(block["name"], block["input"], reply["stop_reason"])
    (part,) = reply["candidates"][0]["content"]["parts"]
    inner = part["functionCall"]
    return Called(inner["name"], inner["args"], reply["candidates"][0]["finishReason"])


FINISHES = {
    "openai_chat": "tool_calls",
    "openai_responses": "completed",
    "anthropic_messages": "tool_use",
    "gemini_generate": "STOP",
}


@pytest.mark.parametrize("protocol", FOUR)
async def test_a_tool_is_called_when_a_person_says_so(protocol: str) -> None:
    reply = await whole(protocol, body_of(protocol, ORDER, offers=True))
    expected = Called("get_weather", json.loads(ARGUMENTS), FINISHES[protocol])
    assert call_in(protocol, reply) == expected


def streamed_call(protocol: str, events: list[Event]) -> tuple[str, Any]:
    """Name and arguments of the one call in a stream, put together as a client does."""
    data = [event.data for event in events]
    match protocol:
        case "openai_chat":
            deltas = [d["choices"][0]["delta"] for d in data]
            pieces = [call for d in deltas for call in d.get("tool_calls", ())]
            assert [("id" in p, p["index"]) for p in pieces[:2]] == [(True, 0), (False, 0)]
            arguments = "".join(p["function"]["arguments"] for p in pieces)
            return pieces[0]["function"]["name"], json.loads(arguments)
        case "openai_responses":
            item = data[-2]["item"]
            added = next(d["item"] for d in data if d["type"].endswith("output_item.added"))
            assert (added["arguments"], added["id"]) == ("", item["id"])
            arguments = "".join(d["delta"] for d in data if d["type"].endswith(".delta"))
            assert arguments == item["arguments"] == data[-3]["arguments"]
            assert data[-1]["response"]["output"] == [item]
            return item["name"], json.loads(arguments)
        case "anthropic_messages":
            starts = [d["content_block"] for d in data if d["type"] == "content_block_start"]
            assert [start["input"] for start in starts] == [{}]
            deltas = [d["delta"] for d in data if d["type"] == "content_block_delta"]
            arguments = "".join(d["partial_json"] for d in deltas)
            assert data[-2]["delta"]["stop_reason"] == "tool_use"
            return starts[0]["name"], json.loads(arguments)
    parts = [d["candidates"][0]["content"]["parts"][0] for d in data]
    (found,) = (p["functionCall"] for p in parts if "functionCall" in p)
    return found["name"], found["args"]


@pytest.mark.parametrize("protocol", FOUR)
async def test_a_streamed_call_adds_up_to_the_same(protocol: str) -> None:
    events = await streamed(protocol, body_of(protocol, ORDER, offers=True))
    assert streamed_call(protocol, events) == ("get_weather", json.loads(ARGUMENTS))


@pytest.mark.parametrize("protocol", FOUR)
@pytest.mark.parametrize(
    "said",
    [
        "call the tool get_time with {}",
        "call the tool get_weather with nothing",
        'call the tool get_weather with {"a": }',
        'call the tool get_weather with {"a": NaN}',
        "call the tool get_weather with " + '{"a":' * 2_000,
        "get_weather",
    ],
)
async def test_what_is_no_order_is_answered_with_text(protocol: str, said: str) -> None:
    reply = await whole(protocol, body_of(protocol, said, offers=True))
    assert text_of(protocol, reply).startswith(HELLO)


@pytest.mark.parametrize("protocol", FOUR)
async def test_without_the_tool_there_is_no_call(protocol: str) -> None:
    reply = await whole(protocol, body_of(protocol, ORDER))
    assert text_of(protocol, reply).startswith(HELLO)


RESULTS: dict[str, list[dict[str, Any]]] = {
    "openai_chat": [{"role": "tool", "tool_call_id": "c", "content": ORDER}],
    "openai_responses": [{"type": "function_call_output", "call_id": "c", "output": ORDER}],
    "anthropic_messages": [
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c", "content": ORDER},
            ],
        }
    ],
    "gemini_generate": [
        {
            "role": "user",
            "parts": [{"functionResponse": {"name": "get_weather", "response": {"output": ORDER}}}],
        }
    ],
}


@pytest.mark.parametrize("protocol", FOUR)
async def test_the_result_of_a_tool_is_answered_with_text_whatever_it_says(protocol: str) -> None:
    body = body_of(protocol, ORDER, offers=True)
    field = {"openai_responses": "input", "gemini_generate": "contents"}.get(protocol, "messages")
    before = body[field]
    if isinstance(before, str):
        before = [{"role": "user", "content": before}]
    reply = await whole(protocol, body | {field: before + RESULTS[protocol]})
    assert text_of(protocol, reply).startswith(HELLO)


async def test_an_order_may_stand_in_any_text_of_the_last_message() -> None:
    body = body_of("anthropic_messages", "", offers=True)
    texts = [ORDER, "<system-reminder>be brief</system-reminder>"]
    body["messages"][0]["content"] = [{"type": "text", "text": text} for text in texts]
    reply = await whole("anthropic_messages", body)
    assert reply["content"][0]["input"] == json.loads(ARGUMENTS)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [('{"input": "*** Begin\\nPatch"}', "*** Begin\nPatch"), ('{"other": 1}', '{"other": 1}')],
)
async def test_a_free_form_tool_gets_bare_text(arguments: str, text: str) -> None:
    said = f"call the tool apply_patch with {arguments}"
    tool = {"type": "custom", "name": "apply_patch"}
    body = body_of("openai_responses", said) | {"tools": [tool]}
    (item,) = (await whole("openai_responses", body))["output"]
    assert (item["type"], item["input"]) == ("custom_tool_call", text)
    events = await streamed("openai_responses", body)
    names = {event.name for event in events}
    assert names >= {
        "response.custom_tool_call_input.delta",
        "response.custom_tool_call_input.done",
    }
    told = events[-2].data["item"]
    assert (told["type"], told["input"]) == (item["type"], text)

    tool = {"type": "custom", "custom": {"name": "apply_patch"}}
    body = body_of("openai_chat", said) | {"tools": [tool]}
    (found,) = (await whole("openai_chat", body))["choices"][0]["message"]["tool_calls"]
    assert (found["type"], found["custom"]) == ("custom", {"name": "apply_patch", "input": text})


# Faults

SHAPES = {
    "openai_chat": "error type",
    "openai_responses": "error type",
    "anthropic_messages": "error type",
    "anthropic_count_tokens": "error type",
    "gemini_generate": "error status",
    "gemini_count_tokens": "error status",
}


@pytest.mark.parametrize("protocol", SHAPES)
@pytest.mark.parametrize(
    ("status", "fault", "openai", "anthropic", "google"),
    [
        (400, Fault.CALLER, "invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"),
        (401, Fault.AUTH, "authentication_error", "authentication_error", "UNAUTHENTICATED"),
        (402, Fault.QUOTA, "insufficient_quota", "billing_error", "FAILED_PRECONDITION"),
        (403, Fault.FORBIDDEN, "permission_error", "permission_error", "PERMISSION_DENIED"),
        (404, Fault.MODEL_NOT_FOUND, "invalid_request_error", "not_found_error", "NOT_FOUND"),
        (413, Fault.CALLER, "invalid_request_error", "request_too_large", "INVALID_ARGUMENT"),
        (429, Fault.RATE_LIMITED, "rate_limit_error", "rate_limit_error", "RESOURCE_EXHAUSTED"),
        (500, Fault.STATUS, "server_error", "api_error", "INTERNAL"),
        (504, Fault.STATUS, "server_error", "timeout_error", "DEADLINE_EXCEEDED"),
        (529, Fault.OVERLOADED, "overloaded_error", "overloaded_error", "UNAVAILABLE"),
    ],
)
async def test_a_status_comes_with_the_vendors_words_for_it(
    protocol: str, status: int, fault: Fault, openai: str, anthropic: str, google: str
) -> None:
    response = await call(protocol, {"model": "m-1"}, fault=f"status:{status}")
    body = await response.read_all(1e12)
    document = json.loads(body)
    error = document["error"]
    if protocol.startswith("openai"):
        assert (set(document), error["type"]) == ({"error"}, openai)
    elif protocol.startswith("anthropic"):
        assert (document["type"], error["type"]) == ("error", anthropic)
    else:
        assert (error["code"], error["status"]) == (status, google)
    assert response.status == status
    assert classify(response.status, response.headers, body, now=0).fault is fault


@pytest.mark.parametrize("protocol", FOUR)
async def test_a_refusal_says_when_to_come_again(protocol: str) -> None:
    response = await call(protocol, {}, fault="status:429:retry_after=7")
    body = await response.read_all(1e12)
    headers = response.headers if protocol != "gemini_generate" else ()
    failure = classify(429, headers, body, now=0)
    assert (failure.fault, failure.retry_after_s) == (Fault.RATE_LIMITED, 7)


@pytest.mark.parametrize("protocol", FOUR)
async def test_an_error_event_has_the_protocols_own_form(protocol: str) -> None:
    body = body_of(protocol, "hi")
    for fault, least in (("error_event", 1), ("error_event:3", 4)):
        events = await streamed(protocol, body, fault)
        last = events[-1]
        assert len(events) >= least
        match protocol:
            case "openai_chat":
                assert (last.name, last.data["error"]["type"]) == ("", "server_error")
            case "openai_responses":
                assert last.name == last.data["type"] == "error"
                assert last.data["code"] == "server_error"
                assert last.data["sequence_number"] == len(events) - 1
            case "anthropic_messages":
                assert last.name == last.data["type"] == "error"
                assert last.data["error"]["type"] == "api_error"
            case _:
                assert (last.name, last.data["error"]["code"]) == ("", 500)
        payload = json.dumps(last.data).encode()
        failure = Judging().error_in(last.data, payload, otherwise=Fault.BAD_STREAM)
        assert failure is not None
        assert failure.fault is Fault.BAD_STREAM
        assert failure.message == "simulated error event of sim"


@pytest.mark.parametrize("protocol", FOUR)
async def test_a_stream_is_cut_after_so_many_words(protocol: str) -> None:
    body = body_of(protocol, "hi")
    whole_stream = await streamed(protocol, body)
    for after in (0, 2):
        cut = await streamed(protocol, body, f"clean_cut:{after}")
        assert [event.name for event in cut] == [event.name for event in whole_stream[: len(cut)]]
        assert json.dumps([event.data for event in cut]).count("Hello") == min(after, 1)
        assert len(cut) == after + {"openai_chat": 1, "gemini_generate": 0}.get(
            protocol, 4 if protocol == "openai_responses" else 3
        )
        response = await call(protocol, body, stream=True, fault=f"cut:{after}")
        with pytest.raises(ConnectionReset):
            await response.read_all(1e12)
    assert await streamed(protocol, body, "empty") == []


@pytest.mark.parametrize("protocol", [*FOUR, "anthropic_count_tokens", "gemini_count_tokens"])
async def test_a_plain_answer_fails_as_told(protocol: str) -> None:
    body = body_of(protocol, "hi") if protocol in FOUR else {"model": "m-1"}
    assert await (await call(protocol, body, fault="empty")).read_all(1e12) == b""
    half = await (await call(protocol, body, fault="clean_cut:1")).read_all(1e12)
    with pytest.raises(ValueError, match=r"."):
        json.loads(half)
    told = await (await call(protocol, body, fault="error_event")).read_all(1e12)
    failure = Judging().error_in(json.loads(told), told, otherwise=Fault.BAD_REPLY)
    assert failure is not None
    assert failure.fault is Fault.BAD_REPLY


# Whatever callers send


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("protocol", sorted(SCRIPTS))
@pytest.mark.parametrize(
    "odd", [None, [], {}, "\ud83d", 7, [None], ["x"], [[]], [{"content": 3}], [{"parts": {}}]]
)
async def test_nothing_that_a_caller_sends_makes_it_raise(
    protocol: str, odd: Any, *, stream: bool
) -> None:
    names = ("messages", "input", "prompt", "contents", "tools", "model", "stream_options")
    response = await call(protocol, dict.fromkeys(names, odd), stream=stream)
    assert response.status == 200
    assert await response.read_all(1e12)
