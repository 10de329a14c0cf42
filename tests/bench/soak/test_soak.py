"""The soak's verdict can be trusted: wrong answers, growth and lost records are seen."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sqlite3
import sys

import pytest

from bench.processes import started
from bench.soak import watch, world
from bench.soak.callers import Answer, Callers
from bench.soak.disturb import Death, kill
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


def samples(values, measure="rss_mib", process="worker 1 (11)"):
    held = dict.fromkeys(watch.MEASURES, 10.0)
    return [{process: {**held, measure: value}} for value in values]


@pytest.mark.pure
def test_growth_is_the_second_sixth_against_the_last():
    found = watch.growth(samples([1, 1, 50, 60, 50, 60, 60, 70, 80, 90, 90, 92]))

    (rss,) = [each for each in found if each.measure == "rss_mib"]
    assert (rss.early, rss.late, rss.is_too_much) == (55, 91, True)
    assert not any(each.is_too_much for each in found if each.measure != "rss_mib")


@pytest.mark.pure
@pytest.mark.parametrize(("then", "is_too_much"), [(16, False), (60, True)])
def test_lives_of_a_worker_are_compared_at_the_same_age(then, is_too_much):
    lives = [*samples([1] * 4 + [20] * 4 + [500] * 4), *samples([9] * 8, process="worker 1 (12)")]
    lives += samples([1] * 4 + [then] * 4, process="worker 1 (13)")
    lives += samples([999], process="worker 1 (14)")

    (rss, *others) = watch.growth_of_lives(lives)

    assert (rss.process, rss.measure) == ("worker 1, lives 1 and 4", "rss_mib")
    assert (rss.early, rss.late, rss.is_too_much) == (20, then, is_too_much)
    assert not any(each.is_too_much for each in others)


@pytest.mark.pure
def test_a_worker_whose_tasks_are_not_told_is_named():
    told = samples([1] * watch.SHORTEST_LIFE)
    untold = [
        {"worker 2 (12)": {"rss_mib": 1.0}, "control (13)": {"rss_mib": 1.0}, **each}
        for each in told
    ]

    assert watch.without_tasks(told) == set()
    assert watch.without_tasks(untold) == {"worker 2 (12)"}
    assert watch.without_tasks(untold[1:]) == set()


@pytest.mark.pure
def test_a_process_that_came_or_went_is_named_unless_it_was_to():
    steady = samples([1, 1])
    changed = [*steady, *samples([1], process="worker 2 (12)")]

    assert watch.came_and_went(steady) == set()
    assert watch.came_and_went(changed) == {"worker 1 (11)", "worker 2 (12)"}
    assert watch.came_and_went(changed, {12}) == {"worker 1 (11)"}


@pytest.mark.pure
@pytest.mark.parametrize(
    ("port", "opened_at", "ended_at", "is_hers"),
    [(7, 1, 3, True), (8, 1, 3, False), (7, 1, 1.9, False), (7, 2.1, 3, False)],
)
def test_a_killed_worker_explains_the_breaks_of_its_own_requests_alone(
    port, opened_at, ended_at, is_hers
):
    death = Death("worker 2 (12)", 2.0, frozenset({7}))

    answer = Answer("wrong", is_cut=True, port=port, opened_at=opened_at, ended_at=ended_at)

    assert death.may_have_cut(answer) is is_hers


def test_a_killed_worker_may_take_its_last_records_with_it(database):
    ledger = Ledger()
    ledger.note("a", PLAIN, Answer(WHOLE, 200))
    ledger.note("b", PLAIN, Answer(WHOLE, 200))

    ledger.excuse("a")

    assert ledger.compare(database) == ["1 asked, and not recorded: b (plain)"]


async def test_a_cut_is_told_from_an_answer_that_is_wrong():
    cut = await answered(STREAM, http([event(TEXT)], kind="text/event-stream")[:-5])
    wrong = await answered(PLAIN, http(said(TEXT[:-5])))

    assert (cut.is_cut, cut.is_unanswered, wrong.is_cut) == (True, False, False)


async def test_a_kept_connection_that_ends_without_an_answer_is_told_from_a_cut():
    async def once(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(http(said(TEXT)))
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(once, "127.0.0.1", 0)
    async with server:
        callers = Callers(*server.sockets[0].getsockname())
        first, second = [await callers.ask(PLAIN, "r1") for _ in range(2)]
        callers.close()

    assert (first.verdict, first.is_cut) == (WHOLE, False)
    assert (second.is_cut, second.is_unanswered) == (True, True)


def test_a_process_that_is_killed_is_no_longer_there():
    with started([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        death = kill(f"worker 1 ({process.pid})")

        assert process.wait(5) == -signal.SIGKILL
        assert death.ports == frozenset()


@pytest.mark.pure
def test_every_kind_asks_a_pool_that_the_configuration_has():
    pools = world.configuration([1, 2, 3, 4])["routing"]["model_pools"]

    assert {kind.model for _, kind in world.kinds() if kind.model} <= set(pools)
