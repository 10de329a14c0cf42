"""The soak's verdict can be trusted: wrong answers, growth and lost records are seen."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3

import pytest

from bench.soak import watch, world
from bench.soak.callers import Answer, Callers
from bench.soak.ledger import Ledger
from bench.soak.world import BROKEN, ERROR, WHOLE, Kind

TEXT = "Hello from steady , which is well today ."
PLAIN = Kind(name="plain", model="m", right=frozenset({WHOLE}))
STREAM = Kind(name="stream", model="m", stream=True, right=frozenset({WHOLE}))


def http(body, *, status=200, kind="application/json", provider="steady"):
    head = (
        f"HTTP/1.1 {status} So\r\ncontent-type: {kind}\r\nx-request-id: r1\r\n"
        f"x-switchyard-provider: {provider}\r\nx-switchyard-provider-model: m~ok\r\n"
    )
    if kind == "text/event-stream":
        pieces = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in body]
        return (
            f"{head}transfer-encoding: chunked\r\n\r\n".encode() + b"".join(pieces) + b"0\r\n\r\n"
        )
    raw = json.dumps(body).encode()
    return f"{head}content-length: {len(raw)}\r\n\r\n".encode() + raw


def said(text, finish="stop"):
    return {"choices": [{"message": {"content": text}, "finish_reason": finish}]}


def event(text, finish=None):
    choice = {"delta": {"content": text}, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
BREAK = b'data: {"error": {"message": "it broke", "type": "server_error"}}\n\n'


async def answered(kind, raw):
    """What the soak makes of these bytes."""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        callers = Callers(*server.sockets[0].getsockname())
        answer = await callers.ask(kind, "r1")
        callers.close()
    return answer


@pytest.mark.parametrize(
    ("raw", "verdict"),
    [
        (http(said(TEXT)), WHOLE),
        (http(said(TEXT[:-5])), "wrong"),
        (http(said(TEXT), provider="second"), "wrong"),
        (http(said(TEXT, finish=None)), "wrong"),
        (http({"error": {"message": "no", "type": "x"}}, status=503), ERROR),
        (http({"detail": "no"}, status=503), "wrong"),
        (http(said(TEXT))[:-3], "wrong"),
        (http(said(TEXT)).replace(b"id: r1", b"id: r2"), "wrong"),
        (b"", "wrong"),
    ],
)
async def test_a_plain_answer_is_whole_an_honest_error_or_wrong(raw, verdict):
    assert (await answered(PLAIN, raw)).verdict == verdict


@pytest.mark.parametrize(
    ("events", "verdict"),
    [
        ([event(TEXT), event("", "stop"), DONE], WHOLE),
        ([event(TEXT[:9]), event("", "stop"), DONE], "wrong"),
        ([event(TEXT), DONE], "wrong"),
        ([event(TEXT), event("", "stop")], "wrong"),
        ([event(TEXT[:9])], "wrong"),
        ([event(TEXT[:9]), BREAK], BROKEN),
        ([event(TEXT[:9]), BREAK, DONE], "wrong"),
        ([event("Hello from second"), BREAK], "wrong"),
        ([event(TEXT), event("", "stop"), DONE[:-1]], "wrong"),
    ],
)
async def test_a_stream_is_whole_broken_with_a_word_or_wrong(events, verdict):
    assert (await answered(STREAM, http(events, kind="text/event-stream"))).verdict == verdict


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "records.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE controlplane_requestrecord (request_id, outcome, status)")
    return path


def write(database, *rows):
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.executemany("INSERT INTO controlplane_requestrecord VALUES (?, ?, ?)", rows)


def test_records_that_equal_what_was_seen_leave_nothing_to_say(database):
    ledger = Ledger()
    ledger.note("a", PLAIN, Answer(WHOLE, 200))
    ledger.note("b", PLAIN, Answer(ERROR, 503))
    ledger.note(
        "c", Kind(name="no key", right=frozenset({ERROR}), is_recorded=False), Answer(ERROR)
    )
    write(database, ("a", "answered", 200), ("b", "failed", 503))

    assert ledger.compare(database) == []
    assert ledger.to_be_recorded == 2


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([], "1 asked, and not recorded: a (plain)"),
        ([("a", "answered", 200)] * 2, "1 recorded more than once: a"),
        ([("a", "answered", 200), ("b", "answered", 200)], "1 recorded, and nobody asked: b"),
        ([("a", "failed", 200)], "whole was recorded as failed"),
        ([("a", "answered", 502)], "status 200 was recorded as 502"),
    ],
)
def test_a_record_that_is_missing_doubled_or_false_is_seen(database, rows, problem):
    ledger = Ledger()
    ledger.note("a", PLAIN, Answer(WHOLE, 200))
    write(database, *rows)

    (found,) = ledger.compare(database)
    assert problem in found


def samples(values, measure="rss_mib"):
    held = dict.fromkeys(watch.MEASURES, 10.0)
    return [{"worker 1": {**held, measure: value}} for value in values]


@pytest.mark.pure
def test_growth_is_the_second_sixth_against_the_last():
    found = watch.growth(samples([1, 1, 50, 60, 50, 60, 60, 70, 80, 90, 90, 92]))

    (rss,) = [each for each in found if each.measure == "rss_mib"]
    assert (rss.early, rss.late, rss.is_too_much) == (55, 91, True)
    assert not any(each.is_too_much for each in found if each.measure != "rss_mib")


@pytest.mark.pure
def test_a_process_that_came_or_went_is_named():
    steady = samples([1, 1])

    assert watch.came_and_went(steady) == set()
    assert watch.came_and_went([*steady, {"worker 2": steady[0]["worker 1"]}]) == {
        "worker 1", "worker 2",
    }  # fmt: skip


@pytest.mark.pure
def test_every_kind_asks_a_pool_that_the_configuration_has():
    pools = world.configuration([1, 2, 3, 4])["routing"]["model_pools"]

    assert {kind.model for _, kind in world.kinds() if kind.model} <= set(pools)
