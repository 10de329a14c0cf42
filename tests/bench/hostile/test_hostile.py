"""What hostile callers send can be sent again, and the verdict on what they do can be trusted."""

from __future__ import annotations

import asyncio
import json

import pytest

from bench.hostile.field import Field, Notes
from bench.hostile.mutating import mutated
from bench.hostile.sound import SOUND
from bench.hostile.verdict import Ordinary, growth, problems
from bench.hostile.world import configuration
from controlplane.config.document import parse
from providers.protocols import PROTOCOLS
from tests.support.hostile import PATHS


def test_the_same_seed_and_number_are_the_same_bytes() -> None:
    first = [mutated(7, number) for number in range(300)]

    assert [mutated(7, number) for number in reversed(range(300))] == first[::-1]
    assert len({each.raw for each in first}) > 280
    assert mutated(8, 0) != first[0]


def test_every_protocol_and_the_admin_side_are_mutated() -> None:
    targets = {sound.target.decode().partition("?")[0] for sound in SOUND}

    assert set(PATHS) == set(PROTOCOLS)
    assert {path for path in PATHS.values() if "/models/" not in path} <= targets
    assert any(target.endswith(":generateContent") for target in targets)
    assert any(target.startswith("/api/") for target in targets)
    assert any(target.startswith("/admin/") for target in targets)
    for sound in SOUND:
        if b"application/json" in dict(sound.fields).values() and sound.body:
            json.loads(sound.body)


def said(*took_ms: float, name: str = "through") -> Ordinary:
    ordinary = Ordinary()
    for at, took in enumerate(took_ms):
        ordinary.hear(f"{at} {name} {took}\n")
    return ordinary


def sample(mib: float, *, peak: float = 0.0, pid: int = 7) -> dict[str, dict[str, float]]:
    return {f"worker 1 ({pid})": {"rss_mib": mib, "peak_mib": peak}}


@pytest.mark.parametrize(
    ("ordinary", "samples", "failures", "tracebacks", "found"),
    [
        (said(*[9.0] * 199, 500.0), [sample(100), sample(290)], [], 0, ""),
        (said(*[9.0] * 9, 101.0), [sample(100)], [], 0, "p99 is 101 ms of 100"),
        (said(9.0, -1), [sample(100)], [], 0, "1 of the ordinary caller's requests failed"),
        (said(), [sample(100)], [], 0, "never answered"),
        (said(9.0), [sample(100), sample(90, peak=301)], [], 0, "grew from 100 to 301 MiB"),
        (said(9.0), [sample(100), sample(100, pid=8)], [], 0, "worker 1 (7) died"),
        (said(9.0), [sample(100)], [], 3, "3 tracebacks"),
        (said(9.0), [sample(100)], ["a 500 for --number 5"], 0, "a 500 for --number 5"),
    ],
)
def test_every_line_that_is_not_held_is_said(ordinary, samples, failures, tracebacks, found):
    said_of = problems(ordinary, samples, failures, tracebacks)

    assert bool(said_of) is bool(found)
    assert not found or any(found in line for line in said_of)


def test_what_the_machine_takes_is_not_held_against_the_gateway() -> None:
    slow = said(*[150.0] * 10)
    assert problems(slow, [sample(100)], [], 0)
    for at in range(10):
        slow.hear(f"{at} beside 60\n")
    assert not problems(slow, [sample(100)], [], 0)


def test_growth_is_from_the_first_to_the_most_that_there_ever_was() -> None:
    held = growth([sample(100), sample(120, peak=150), sample(110, peak=150)])
    assert held == {"worker 1 (7)": (100, 150, 110)}


async def test_answers_are_counted_by_status_and_a_500_by_what_was_sent() -> None:
    answers = {b"/a": b"200 OK", b"/b": b"500 No"}

    async def serve(reader, writer):
        while (head := await reader.readuntil(b"\r\n\r\n")) is not None:
            status = answers.get(head.split()[1])
            if status is None:
                writer.close()
                return
            writer.write(b"HTTP/1.1 %b\r\ncontent-length: 0\r\n\r\n" % status)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        field, notes = Field(*server.sockets[0].getsockname()), Notes("x")
        for path in (b"/a", b"/b", b"/c"):
            await field.ask(notes, b"GET %b HTTP/1.1\r\n\r\n" % path, what=path.decode())
        await field.burst(notes, b"GET /a HTTP/1.1\r\n\r\n" * 50, 50, what="many")

    assert (notes.sent, str(notes)) == (53, "51 of 200, 1 of 500, 1 of closed")
    assert notes.failures == ["x: a 500 for /b"]


@pytest.mark.parametrize("address", ["", "127.0.0.1:9"])
def test_the_configuration_is_one_that_the_gateway_takes(address: str) -> None:
    parse(json.dumps(configuration(1, (2, 3, 4, 5), address)), filename="x.yaml", environ={})
