"""The simulator as a provider of each protocol, and what the callers of each get of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.adapters.judging import Judging
from providers.adapters.simulator.faults import parse_fault
from providers.adapters.simulator.provider import Simulator
from providers.errors import Failure, Fault
from providers.protocols import PROTOCOLS, Reply, Request, Scanner
from providers.protocols.protocol import Target
from providers.protocols.translating import Translated

pytestmark = pytest.mark.pure

SPOKEN = [name for name, protocol in PROTOCOLS.items() if protocol.codec is not None]
JUDGE = Judging()
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
ORDER = 'call the tool get_weather with {"city": "Köln 🌍"}'
TOOLS: dict[str, list[dict[str, Any]]] = {
    "openai_chat": [
        {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}
    ],
    "openai_responses": [
        {"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": False}
    ],
    "anthropic_messages": [{"name": "get_weather", "input_schema": SCHEMA}],
    "gemini_generate": [
        {"functionDeclarations": [{"name": "get_weather", "parametersJsonSchema": SCHEMA}]}
    ],
}


def asked(caller: str, spoken: str, said: str, *, stream: bool) -> Request:
    """A request of `caller` for a provider who speaks `spoken`."""
    message = [{"role": "user", "content": said}]
    bodies: dict[str, dict[str, Any]] = {
        "openai_chat": {"model": "m", "messages": message},
        "openai_responses": {"model": "m", "input": said},
        "anthropic_messages": {"model": "m", "max_tokens": 99, "messages": message},
        "gemini_generate": {"contents": [{"role": "user", "parts": [{"text": said}]}]},
    }
    body, path = {**bodies[caller], "tools": TOOLS[caller]}, ""
    if caller == "gemini_generate":
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        path = f"/v1beta/models/m:{verb}"
    elif stream:
        body["stream"] = True
    request = PROTOCOLS[caller].parse(json.dumps(body).encode(), path)
    if caller == spoken:
        return request
    return Translated(request, PROTOCOLS[spoken], Target(model="m-1"))


async def whole(request: Request, fault: str = "") -> Reply | Failure:
    simulator = Simulator("sim", parse_fault(fault) if fault else None)
    path = request.upstream_path("m-1")
    response = await simulator.answer(request.protocol.name, request.encode("m-1"), 1e12, path)
    body = await response.read_all(1e12)
    return request.read(response.header(b"content-type"), body, JUDGE)


async def streamed(request: Request, fault: str = "") -> tuple[bytes, Scanner]:
    simulator = Simulator("sim", parse_fault(fault) if fault else None)
    path = request.upstream_path("m-1")
    response = await simulator.answer(request.protocol.name, request.encode("m-1"), 1e12, path)
    assert response.header(b"content-type") == b"text/event-stream; charset=utf-8"
    scanner, told = request.scanner(JUDGE), b""
    while piece := await response.read(1e12):
        told += scanner.feed(piece)
    last, _ = scanner.end()
    return told + last, scanner


@pytest.mark.parametrize("spoken", SPOKEN)
@pytest.mark.parametrize("caller", SPOKEN)
@pytest.mark.parametrize(("said", "holds"), [("hi", b"Hello"), (ORDER, b"get_weather")])
async def test_every_caller_is_answered_in_every_protocol(
    caller: str, spoken: str, said: str, holds: bytes
) -> None:
    reply = await whole(asked(caller, spoken, said, stream=False))
    assert isinstance(reply, Reply)
    told, scanner = await streamed(asked(caller, spoken, said, stream=True))
    assert (scanner.failure, scanner.finished) == (None, True)
    for body, usage in ((reply.body, reply.usage), (told, scanner.usage)):
        assert holds in body
        assert usage is not None
        assert usage.input_tokens
        assert usage.output_tokens


@pytest.mark.parametrize("spoken", SPOKEN)
@pytest.mark.parametrize("caller", SPOKEN)
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("error_event", Fault.BAD_STREAM),
        ("error_event:2", Fault.INTERRUPTED),
        ("clean_cut:0", Fault.BAD_STREAM),
        ("clean_cut:2", Fault.INTERRUPTED),
        ("empty", Fault.BAD_STREAM),
    ],
)
async def test_every_fault_of_a_stream_is_seen_in_every_protocol(
    caller: str, spoken: str, fault: str, expected: Fault
) -> None:
    told, scanner = await streamed(asked(caller, spoken, "hi", stream=True), fault)
    assert scanner.failure is not None
    assert scanner.failure.fault is expected
    assert scanner.has_content == (expected is Fault.INTERRUPTED) == (b"Hello" in told)


@pytest.mark.parametrize("spoken", SPOKEN)
@pytest.mark.parametrize("fault", ["error_event", "clean_cut:1", "empty"])
async def test_every_fault_of_a_plain_answer_is_seen_in_every_protocol(
    spoken: str, fault: str
) -> None:
    found = await whole(asked(spoken, spoken, "hi", stream=False), fault)
    assert isinstance(found, Failure)
    assert found.fault is Fault.BAD_REPLY
