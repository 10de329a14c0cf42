"""A provider that pretends a fault: what is its own answer, and what is only said to be."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from providers.adapters.simulator.faults import parse_fault
from providers.adapters.simulator.pretending import Pretence
from providers.errors import ConnectionReset, UpstreamTimedOut
from providers.transport import Response
from tests.support.builders import FakeClock, FakeResponse, FakeUpstream
from tests.support.wire import asked, parse

pytestmark = pytest.mark.pure

ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n'
WORDS = [b'data: {"choices":[{"index":0,"delta":{"content":"%d"}}]}\n\n' % n for n in range(5)]
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
STREAM = b"".join([b": hello\n\n", ROLE, *WORDS, END])
REPLY = b'{"choices":[{"index":0,"message":{"content":"real"},"finish_reason":"stop"}]}'
SSE = [(b"content-type", b"text/event-stream")]


class Pretending:
    """One call to a provider that answers well, and pretends `fault`."""

    def __init__(self, fault: str, real: FakeResponse) -> None:
        self.real = real
        self.clock = FakeClock()
        self.upstream = FakeUpstream("p", [real], ["main"])
        self.pretence = Pretence(
            self.upstream,  # type: ignore[arg-type]
            asked("openai_chat", stream=True),
            parse_fault(fault),
            sleep=self.clock.sleep,
            clock=self.clock,
        )

    @property
    def was_called(self) -> bool:
        return bool(self.upstream.calls)

    async def send(
        self, *, stream: bool, wait_s: float = 60, protocol: str = "openai_chat", path: str = ""
    ) -> Response:
        fields: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
        request = parse("openai_chat", json.dumps(fields | {"stream": stream}).encode())
        return await self.pretence.send(
            None,  # type: ignore[arg-type]
            protocol=protocol,
            credential=self.upstream.credentials[0],
            headers=(),
            body=request.encode("m-1"),
            stream=stream,
            connect_s=5,
            deadline=self.clock() + wait_s,
            path=path,
        )

    async def events(self) -> list[bytes]:
        """All that is read, one entry a read."""
        response = await self.send(stream=True)
        found = []
        while piece := await response.read(self.clock() + 60):
            found.append(piece)
        return found


def streamed(*pieces: bytes) -> FakeResponse:
    return FakeResponse(pieces=pieces or (STREAM,), headers=SSE)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "status"),
    [("status:503", 503), ("status:429:retry_after=7", 429), ("empty", 200), ("error_event", 200)],
)
async def test_what_fails_at_once_calls_nobody(fault: str, status: int, stream: bool) -> None:
    call = Pretending(fault, streamed())
    response = await call.send(stream=stream)
    assert response.status == status
    assert not call.was_called


async def test_a_stall_lasts_until_the_deadline_and_calls_nobody() -> None:
    call = Pretending("stall", streamed())
    with pytest.raises(UpstreamTimedOut):
        await call.send(stream=True, wait_s=9)
    assert call.clock.slept == [9]
    assert not call.was_called


@pytest.mark.parametrize("fault", ["cut:3", "clean_cut:3", "error_event:3"])
async def test_a_plain_answer_is_broken_in_the_simulators_words(fault: str) -> None:
    call = Pretending(fault, FakeResponse(pieces=[REPLY]))
    response = await call.send(stream=False)
    if fault == "cut:3":
        with pytest.raises(ConnectionReset):
            await response.read_all(call.clock() + 60)
    else:
        assert b"real" not in await response.read_all(call.clock() + 60)
    assert not call.was_called


async def test_a_cut_comes_after_so_many_of_the_providers_own_chunks() -> None:
    call = Pretending("cut:3", streamed())
    response = await call.send(stream=True)
    passed = [await response.read(call.clock() + 60) for _ in range(5)]
    assert passed == [b": hello\n\n", ROLE, *WORDS[:3]]
    with pytest.raises(ConnectionReset, match="simulated"):
        await response.read(call.clock() + 60)
    assert call.real.closed


async def test_a_cut_at_zero_passes_what_is_no_content() -> None:
    assert await Pretending("clean_cut:0", streamed()).events() == [b": hello\n\n", ROLE]


async def test_a_clean_cut_ends_without_a_terminator() -> None:
    call = Pretending("clean_cut:2", streamed())
    assert await call.events() == [b": hello\n\n", ROLE, *WORDS[:2]]
    assert call.real.closed


async def test_an_error_event_is_the_last_one() -> None:
    *before, last = await Pretending("error_event:1", streamed()).events()
    assert before == [b": hello\n\n", ROLE, WORDS[0]]
    assert json.loads(last[6:])["error"]["message"].startswith("simulated")


@pytest.mark.parametrize("size", [1, 7, 64])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
async def test_chunks_are_counted_however_the_bytes_arrive(size: int, newline: bytes) -> None:
    data = STREAM.replace(b"\n", newline)
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    found = await Pretending("clean_cut:2", streamed(*pieces)).events()
    assert b"".join(found).replace(b"\r", b"") == b"".join([b": hello\n\n", ROLE, *WORDS[:2]])


async def test_a_stream_shorter_than_its_cut_is_whole() -> None:
    assert b"".join(await Pretending("cut:50", streamed()).events()) == STREAM


async def test_a_slow_stream_is_the_providers_own_with_its_gaps() -> None:
    call = Pretending("slow:ttft_ms=500:gap_ms=50", streamed())
    assert b"".join(await call.events()) == STREAM
    assert call.clock.slept[:3] == [0.5, 0.05, 0.05]


async def test_what_has_no_end_of_event_is_passed_all_the_same() -> None:
    cut = STREAM[:-1]
    call = Pretending("slow:ttft_ms=1", streamed(cut))
    assert b"".join(await call.events()) == cut


async def test_a_slow_plain_answer_is_the_providers_own() -> None:
    call = Pretending("slow:ttft_ms=500", FakeResponse(pieces=[REPLY]))
    response = await call.send(stream=False)
    assert await response.read_all(call.clock() + 60) == REPLY
    assert call.clock.slept == [0.5]


async def test_an_answer_that_is_slower_than_the_deadline_does_not_come() -> None:
    call = Pretending("slow:ttft_ms=500", FakeResponse(pieces=[REPLY]))
    response = await call.send(stream=False)
    with pytest.raises(UpstreamTimedOut):
        await response.read_all(call.clock() + 0.1)


async def test_a_packed_answer_is_unpacked_before_its_chunks_are_counted() -> None:
    packed = FakeResponse(
        pieces=[gzip.compress(STREAM)], headers=[*SSE, (b"content-encoding", b"gzip")]
    )
    call = Pretending("clean_cut:1", packed)
    response = await call.send(stream=True)
    assert response.header(b"content-encoding") is None
    assert response.header(b"content-type") == b"text/event-stream"
    assert [await response.read(call.clock() + 60) for _ in range(4)][2:] == [WORDS[0], b""]


async def test_a_refusal_of_the_provider_itself_is_passed_as_it_is() -> None:
    refusal = FakeResponse(401, [b"{}"])
    assert await Pretending("cut:3", refusal).send(stream=True) is refusal


@pytest.mark.parametrize(
    ("protocol", "path", "type_"),
    [
        ("openai_responses", "", "rate_limit_error"),
        ("anthropic_messages", "", "rate_limit_error"),
        ("gemini_generate", "/models/m-1:generateContent", "RESOURCE_EXHAUSTED"),
    ],
)
async def test_a_pretended_refusal_has_the_words_of_the_protocol_that_is_spoken(
    protocol: str, path: str, type_: str
) -> None:
    call = Pretending("status:429:retry_after=7", streamed())
    response = await call.send(stream=False, protocol=protocol, path=path)
    error = json.loads(await response.read_all(call.clock() + 60))["error"]
    assert type_ in (error.get("type"), error.get("status"))
    assert not call.was_called


async def test_a_pretended_stream_knows_from_the_path_that_it_is_one() -> None:
    call = Pretending("error_event", streamed())
    path = "/models/m-1:streamGenerateContent?alt=sse"
    response = await call.send(stream=True, protocol="gemini_generate", path=path)
    assert response.header(b"content-type") == b"text/event-stream; charset=utf-8"
    event = await response.read(call.clock() + 60)
    assert json.loads(event.removeprefix(b"data: "))["error"]["status"] == "INTERNAL"
    assert not call.was_called


@pytest.mark.parametrize(
    ("protocol", "start"),
    [("openai_responses", b"event: error\n"), ("anthropic_messages", b"event: error\n")],
)
async def test_a_late_error_event_is_in_the_protocol_of_what_came_before(
    protocol: str, start: bytes
) -> None:
    call = Pretending("error_event:2", streamed())
    response = await call.send(stream=True, protocol=protocol)
    events = []
    while event := await response.read(call.clock() + 60):
        events.append(event)
    assert events[:-1] == [b": hello\n\n", ROLE, *WORDS[:2]]
    assert events[-1].startswith(start)
    data = json.loads(events[-1].split(b"\n")[1].removeprefix(b"data: "))
    assert data["type"] == "error"
    assert data.get("sequence_number", 4) == 4
