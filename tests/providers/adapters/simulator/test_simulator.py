"""The provider that fails on demand. Time and dice are the tests' own."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest

from providers.adapters.simulator.faults import SimulatedFault, parse_fault
from providers.adapters.simulator.provider import Simulator
from providers.adapters.simulator.scripts import SCRIPTS, Ask
from providers.adapters.spec import ProviderSpec
from providers.adapters.upstream import Upstream
from providers.errors import ConnectionReset, Failure, Fault, UpstreamTimedOut
from providers.protocols import Usage, slices
from providers.transport import Response, Transport
from tests.support.wire import check_reply, parse, scanner_of

pytestmark = pytest.mark.pure

BODIES = {
    "openai_chat": {"model": "m", "messages": [{"role": "user", "content": "what's up?"}]},
    "openai_completions": {"model": "m", "prompt": "what's up?"},
    "openai_embeddings": {"model": "m", "input": ["a", "b"]},
}


class Time:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Call:
    def __init__(self, fault: str = "", *, rng: float = 0.5, deadline: float = 1_000) -> None:
        self.time = Time()
        self.deadline = deadline
        self.simulator = Simulator(
            "sim",
            parse_fault(fault) if fault else None,
            sleep=self.time.sleep,
            rng=lambda: rng,
            clock=lambda: self.time.now,
        )

    async def send(self, protocol: str = "openai_chat", **members: Any) -> Response:
        body = json.dumps(BODIES[protocol] | members).encode()
        request = parse(protocol, body)
        return await self.simulator.answer(protocol, request.encode("m-1"), self.deadline)

    async def whole(self, protocol: str = "openai_chat", **members: Any) -> Usage | Failure:
        response = await self.send(protocol, **members)
        body = await response.read_all(self.deadline)
        return check_reply(protocol, response.header(b"content-type"), body)

    async def stream(self, protocol: str = "openai_chat", **members: Any) -> tuple[str, Any]:
        response = await self.send(protocol, stream=True, **members)
        assert response.header(b"content-type") == b"text/event-stream; charset=utf-8"
        scanner = scanner_of(protocol)
        passed = b""
        while piece := await response.read(self.deadline):
            passed += scanner.feed(piece)
        scanner.end()
        return text_of(passed), scanner


def text_of(passed: bytes) -> str:
    text = ""
    for line in passed.split(b"\n\n")[:-1]:
        if line != b"data: [DONE]":
            choice = json.loads(line[6:])["choices"][0]
            text += choice.get("text") or choice.get("delta", {}).get("content") or ""
    return text


HELLO = (
    "Hello from Switchyard's simulator: provider sim answered as model m-1. You said: what's up?"
)


@pytest.mark.parametrize("protocol", BODIES)
async def test_every_protocol_gets_a_sound_answer_with_usage(protocol: str) -> None:
    usage = await Call().whole(protocol)
    assert isinstance(usage, Usage)
    assert usage.input_tokens


@pytest.mark.parametrize("protocol", ["openai_chat", "openai_completions"])
async def test_a_stream_says_the_same_as_a_whole_reply(protocol: str) -> None:
    response = await Call().send(protocol)
    choice = json.loads(await response.read_all(1_000))["choices"][0]
    whole = choice["message"]["content"] if protocol == "openai_chat" else choice["text"]
    text, scanner = await Call().stream(protocol)
    assert whole == text == HELLO
    assert scanner.finished
    assert scanner.usage == await Call().whole(protocol)


async def test_embeddings_depend_on_the_input_alone() -> None:
    async def vectors(**members: Any) -> list[Any]:
        response = await Call().send("openai_embeddings", **members)
        reply = json.loads(await response.read_all(1_000))
        return [entry["embedding"] for entry in reply["data"]]

    a, b = await vectors()
    assert a != b
    assert await vectors(input="a") == [a]
    assert [len(v) for v in await vectors(dimensions=3)] == [3, 3]
    assert len(await vectors(input=[1, 2, 3])) == 1
    packed = (await vectors(input="a", encoding_format="base64"))[0]
    assert list(struct.unpack("<16f", base64.b64decode(packed))) == pytest.approx(a)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("status:503", SimulatedFault(kind="status", status=503)),
        ("status:429:retry_after=7", SimulatedFault(kind="status", status=429, retry_after_s=7)),
        ("stall", SimulatedFault(kind="stall")),
        ("slow:ttft_ms=500:gap_ms=50", SimulatedFault(kind="slow", ttft_ms=500, gap_ms=50)),
        ("slow:gap_ms=5", SimulatedFault(kind="slow", gap_ms=5)),
        ("cut:3", SimulatedFault(kind="cut", after=3)),
        ("clean_cut:0", SimulatedFault(kind="clean_cut")),
        ("empty", SimulatedFault(kind="empty")),
        ("error_event", SimulatedFault(kind="error_event")),
        ("error_event:3", SimulatedFault(kind="error_event", after=3)),
        ("flaky:0.3", SimulatedFault(kind="flaky", share=0.3)),
        (" stall ", SimulatedFault(kind="stall")),
    ],
)
def test_faults_are_read_as_documented(text: str, fault: SimulatedFault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize(
    "text",
    [
        "",
        "status",
        "status:",
        "status:200",
        "status:abc",
        "status:600",
        "status:429:x=1",
        "status:429:retry_after=-1",
        "status:429:retry_after=1:retry_after=2",
        "stall:1",
        "slow",
        "slow:1",
        "slow:ttft_ms=x",
        "slow:gap_ms=1:gap_ms=2",
        "cut",
        "cut:-1",
        "cut:x",
        "cut:1:2",
        "empty:1",
        "error_event:x",
        "flaky",
        "flaky:2",
        "flaky:nan",
        "explode",
    ],
)
def test_other_faults_are_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no fault; allowed are.*status:503.*flaky:0\.3"):
        parse_fault(text)


@pytest.mark.parametrize(
    ("fault", "expected", "wait"),
    [
        ("status:503", Fault.STATUS, None),
        ("status:500", Fault.STATUS, None),
        ("status:529", Fault.OVERLOADED, None),
        ("status:429:retry_after=7", Fault.RATE_LIMITED, 7),
        ("status:401", Fault.AUTH, None),
        ("status:402", Fault.QUOTA, None),
        ("status:403", Fault.FORBIDDEN, None),
        ("status:404", Fault.MODEL_NOT_FOUND, None),
        ("status:400", Fault.CALLER, None),
        ("status:302", Fault.CONFIG, None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_simulated_status_reads_like_a_real_one(
    fault: str, expected: Fault, wait: float | None, stream: bool
) -> None:
    upstream = Upstream.compile(
        ProviderSpec(name="sim", kind="simulator", fault=fault), lambda token: token, {}
    )
    response = await upstream.send(
        Transport(),
        protocol="openai_chat",
        credential=upstream.credentials[0],
        headers=(),
        body=json.dumps(BODIES["openai_chat"] | {"stream": stream}).encode(),
        stream=stream,
        connect_s=1,
        deadline=1e12,
    )
    body = await response.read_all(1e12)
    failure = upstream.classify(response.status, response.headers, body, now=0)
    assert (failure.fault, failure.retry_after_s) == (expected, wait)


@pytest.mark.parametrize("members", [{}, {"stream": True}])
async def test_a_stall_lasts_until_the_deadline(members: dict[str, Any]) -> None:
    call = Call("stall", deadline=130)
    with pytest.raises(UpstreamTimedOut):
        await call.send(**members)
    assert call.time.now == 130


async def test_slow_streams_wait_before_the_first_chunk_and_between_chunks() -> None:
    call = Call("slow:ttft_ms=500:gap_ms=50")
    response = await call.send(stream=True)
    assert call.time.slept == []
    await response.read(1_000)
    await response.read(1_000)
    assert call.time.slept == [0.5, 0.05]
    with pytest.raises(UpstreamTimedOut):
        await response.read(call.time.now + 0.01)


async def test_slow_plain_replies_wait_once() -> None:
    call = Call("slow:ttft_ms=500")
    assert isinstance(await call.whole(), Usage)
    assert call.time.slept == [0.5]
    with pytest.raises(UpstreamTimedOut):
        await Call("slow:ttft_ms=500", deadline=100.1).send()


@pytest.mark.parametrize("words", [0, 1, 3])
async def test_a_cut_resets_after_that_many_chunks_with_content(words: int) -> None:
    response = await Call(f"cut:{words}").send(stream=True)
    scanner = scanner_of("openai_chat")
    pieces: list[bytes] = []

    async def read_on() -> None:
        while True:
            pieces.append(scanner.feed(await response.read(1_000)))

    with pytest.raises(ConnectionReset):
        await read_on()
    passed = b"".join(pieces)
    assert len(text_of(passed).split()) == words
    assert scanner.has_content == (words > 0)


@pytest.mark.parametrize(
    ("fault", "expected", "text"),
    [
        ("clean_cut:3", Fault.INTERRUPTED, "Hello from Switchyard's "),
        ("clean_cut:0", Fault.BAD_STREAM, ""),
        ("empty", Fault.BAD_STREAM, ""),
        ("error_event", Fault.BAD_STREAM, ""),
        ("error_event:2", Fault.INTERRUPTED, "Hello from "),
    ],
)
async def test_streams_break_as_told(fault: str, expected: Fault, text: str) -> None:
    said, scanner = await Call(fault).stream()
    assert (said, scanner.failure.fault) == (text, expected)


@pytest.mark.parametrize("fault", ["clean_cut:3", "empty", "error_event"])
async def test_plain_replies_break_too(fault: str) -> None:
    found = await Call(fault).whole()
    assert isinstance(found, Failure)
    assert found.fault is Fault.BAD_REPLY


async def test_a_cut_plain_reply_is_a_reset() -> None:
    with pytest.raises(ConnectionReset):
        await Call("cut:3").whole()


async def test_flaky_fails_its_share_of_calls() -> None:
    assert (await Call("flaky:0.3", rng=0.29).send()).status == 503
    assert (await Call("flaky:0.3", rng=0.30).send()).status == 200


async def test_a_closed_response_gives_nothing_more() -> None:
    response = await Call().send(stream=True)
    assert await response.read(1_000)
    response.close()
    response.close()
    with pytest.raises(ConnectionReset):
        await response.read(1_000)


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_long_body_is_answered_beside_the_event_loop(
    monkeypatch: pytest.MonkeyPatch, is_stream: bool
) -> None:
    script, were_apart = SCRIPTS["openai_chat"], []

    def noting(work: Callable[[Ask], Any]) -> Callable[[Ask], Any]:
        def noted(ask: Ask) -> Any:
            were_apart.append(slices.is_apart())
            return work(ask)

        return noted

    monkeypatch.setattr(script, "reply", noting(script.reply))
    monkeypatch.setattr(script, "events", noting(script.events))
    for size, is_apart in ((10, False), (slices.LONG, True)):
        were_apart.clear()
        said = [{"role": "user", "content": "x" * size}]
        assert (await Call().send(messages=said, stream=is_stream)).status == 200
        assert set(were_apart) == {is_apart}


async def test_long_bodies_are_values_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    script, real, inside, most = SCRIPTS["openai_chat"], SCRIPTS["openai_chat"].reply, [], []

    def slowly(ask: Ask) -> Any:
        inside.append(ask)
        most.append(len(inside))
        time.sleep(0.02)
        inside.remove(ask)
        return real(ask)

    monkeypatch.setattr(script, "reply", slowly)
    said = [{"role": "user", "content": "x" * slices.LONG}]
    await asyncio.gather(*(Call().send(messages=said, user=str(n)) for n in range(3)))
    assert most == [1, 1, 1]


async def test_the_prompt_of_a_long_body_is_counted_by_its_texts() -> None:
    said = [{"role": "user", "content": [{"type": "text", "text": "x" * slices.LONG}] * 2}]
    usage = await Call().whole(messages=said)
    assert isinstance(usage, Usage)
    assert usage.input_tokens == pytest.approx(2 * slices.LONG // 4, rel=0.01)
