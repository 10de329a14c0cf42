"""The recorder: bounded, off the request's way, and honest about what it drops."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from uuid import UUID

import pytest

from failover.engine.outcome import Attempt
from failover.engine.plan import Inputs, Plan, Rejected
from failover.engine.policy import FailoverPolicy
from providers.adapters.simulator.faults import parse_fault
from providers.errors import Failure, Fault
from providers.protocols import Usage
from routing.gateway.deciding.features import Features
from routing.gateway.deciding.keys import Key
from routing.gateway.deciding.resolver import resolve
from routing.gateway.deciding.snapshot import KeySpec, RuleSpec
from routing.gateway.ingress import new_id
from routing.gateway.records.record import (
    AttemptRecord,
    DecisionRecord,
    Detail,
    FeaturesRecord,
    Outcome,
    RecordRow,
    RejectedRecord,
    RequestRecord,
)
from routing.gateway.records.recorder import BUFFER_LIMIT, COMPLAIN_EVERY_S, FLUSH_AT, Recorder
from routing.gateway.records.recording import RecordMaker
from routing.gateway.records.spool import SpoolWriter, read_frames, spool_files
from routing.gateway.replies import Trail
from tests.support.builders import WALL, FakeClock, candidate, pool, table

KEY = Key.compile(KeySpec(name="team-a", digest=b"", team="a", user_path="/a"))

RULES = (RuleSpec(primary="chat", fallbacks=("spare",)),)


def trail(number: int = 0, *, key: Key | None = KEY) -> Trail:
    return Trail(
        b"req_%d" % number,
        1000.0,
        1000.5,
        key=key,
        outcome=Outcome.ANSWERED,
        status=200,
        is_named=True,
    )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def recorder(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Recorder]:
    made = Recorder(spool=SpoolWriter(tmp_path, worker="1"), clock=clock, wall=clock.wall)
    made.start()
    yield made
    await made.aclose()


def stored(folder: Path) -> list[RecordRow]:
    return [
        RecordRow(*row) for path in spool_files(folder) for row in read_frames(path.read_bytes())[0]
    ]


async def test_what_was_added_is_on_the_disk_when_the_recorder_closes(
    recorder: Recorder, tmp_path: Path
) -> None:
    count = 3 * FLUSH_AT + 7
    for number in range(count):
        recorder.add(trail(number))

    await recorder.aclose()

    found = stored(tmp_path)
    assert [r.request_id for r in found] == [f"req_{n}" for n in range(count)]
    assert len({r.id for r in found}) == count
    assert recorder.counters.recorded == count
    assert recorder.counters.bytes == sum(p.stat().st_size for p in spool_files(tmp_path))
    assert recorder.lag == 0


async def test_a_request_that_nobody_was_let_in_with_is_shown_and_not_kept(
    recorder: Recorder, tmp_path: Path
) -> None:
    shown: list[RequestRecord] = []
    recorder.observers.append(shown.extend)
    recorder.add(trail(1, key=None))
    recorder.add(trail(2))

    await recorder.aclose()

    assert [r.request_id for r in shown] == ["req_1", "req_2"]
    assert [r.request_id for r in stored(tmp_path)] == ["req_2"]


async def test_the_buffer_has_a_bound_and_counts_what_it_cannot_take() -> None:
    recorder = Recorder()  # not started: nobody empties it

    for number in range(BUFFER_LIMIT + 25):
        recorder.add(trail(number))

    assert recorder.lag == BUFFER_LIMIT
    assert recorder.counters.dropped == 25


async def test_a_spool_that_cannot_be_written_costs_records_and_nothing_else(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "spool").write_text("in the way")
    recorder = Recorder(
        spool=SpoolWriter(tmp_path / "spool", worker="1"), clock=clock, wall=clock.wall
    )
    recorder.start()
    for number in range(3):
        recorder.add(trail(number))
        await recorder._flush()
        clock.now += 1
    said_at_first = len(caplog.records)
    clock.now += COMPLAIN_EVERY_S
    recorder.add(trail(3))
    await recorder._flush()
    (tmp_path / "spool").unlink()
    recorder.add(trail(4))
    await recorder.aclose()

    assert said_at_first == 1
    assert [r.levelno for r in caplog.records] == [logging.ERROR] * 2
    assert caplog.records[1].getMessage().startswith("4 request records dropped, 3 since")
    assert recorder.counters.dropped == 4
    assert [r.request_id for r in stored(tmp_path / "spool")] == ["req_4"]
    assert recorder.status() == {
        "recorded": 1,
        "dropped": 4,
        "error": "",
        "captures_dropped": 0,
        "set_aside": 0,
    }


async def test_an_observer_that_fails_costs_no_record_and_no_other_observer_its_own(
    recorder: Recorder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_records: Sequence[RequestRecord]) -> None:
        raise RuntimeError("cannot count this")

    shown: list[RequestRecord] = []
    recorder.observers += [refuse, shown.extend]
    for number in range(3):
        recorder.add(trail(number))

    await recorder.aclose()

    assert [r.request_id for r in stored(tmp_path)] == ["req_0", "req_1", "req_2"]
    assert len(shown) == 3
    assert recorder.counters.dropped == 0
    assert "cannot count this" in caplog.text


async def test_a_providers_words_are_not_held_beyond_the_request(recorder: Recorder) -> None:
    failure = Failure(fault=Fault.CALLER, message="no", status=400, body=b"x" * 1000)
    call = Attempt(candidate=candidate(), credential="main", started_at=1000.1, failure=failure)
    ended = trail()
    ended.calls = [call]

    recorder.add(ended)

    assert call.failure is not None
    assert call.failure.body is None
    assert call.failure.message == "no"


def test_ids_sort_by_time_and_stay_unique_when_the_clock_is_set_back() -> None:
    maker = RecordMaker("1")
    maker.begin(WALL)
    before = [maker.record(trail()).id for _ in range(100)]
    maker.begin(WALL - 0.05)
    after = [maker.record(trail()).id for _ in range(10_000)]

    assert before == sorted(before)
    assert len({*before, *after}) == 10_100
    assert all(later < before[0] for later in after)


def test_names_that_callers_make_up_are_cut() -> None:
    maker = RecordMaker("1")
    long = trail()
    long.requested = long.canonical_model = "x" * 10_000

    record = maker.record(long)

    assert len(record.requested_model) == len(record.canonical_model) == 200


def test_a_record_says_what_the_trail_said() -> None:
    routes = table(pool("chat", "one/m", "two/n"), pool("spare", "three/o"), rules=RULES)
    resolution = resolve(routes, "chat")
    (first, second), (third,) = (group.pool.candidates for group in resolution.groups)
    limited = Failure(fault=Fault.RATE_LIMITED, message="slow down", status=429)
    rejected = Rejected(candidate=first, reason="benched")
    ended = Trail(
        b"req_1",
        1000.0,
        1000.75,
        endpoint="/v1/chat/completions",
        protocol="openai_chat",
        key=KEY,
        generation=7,
        requested="nick",
        canonical_model="chat",
        resolution=resolution,
        plan=Plan(
            steps=(first, second),
            rejected=(rejected,),
            preferred=first,
            policy=FailoverPolicy(),
            strategy="fill_first",
            last_standing=True,
            inputs=Inputs(pin="two/n"),
        ),
        calls=[
            Attempt(
                candidate=first,
                credential="main",
                started_at=1000.0,
                headers_at=1000.125,
                ended_at=1000.25,
                status=429,
                failure=limited,
                simulated=parse_fault("status:429"),
            ),
            Attempt(
                candidate=third,
                credential="other",
                started_at=1000.25,
                headers_at=1000.375,
                content_at=1000.5,
                ended_at=1000.75,
                status=200,
                is_hedge=True,
            ),
        ],
        served=third,
        usage=Usage(input_tokens=1, output_tokens=2, cached_tokens=3, reasoning_tokens=4),
        stream=True,
        estimated_input_tokens=5,
        max_output_tokens=6,
        needs=frozenset({"tools", "streaming"}),
        features=Features(
            protocol="openai_chat",
            key=KEY,
            preferred_provider="one",
            no_failover=True,
            session=0xABCDEF,
        ),
        status=200,
        code="none",
        outcome=Outcome.ANSWERED,
        is_named=True,
    )
    maker = RecordMaker("3")
    maker.begin(WALL)
    record = maker.record(ended)

    assert record == RequestRecord(
        id=record.id,
        request_id="req_1",
        outcome="answered",
        status=200,
        code="none",
        key="team-a",
        team="a",
        requested_model="nick",
        canonical_model="chat",
        provider="three",
        model="o",
        failover=True,
        stream=True,
        calls=2,
        duration_ms=750.0,
        first_content_ms=500.0,
        input_tokens=1,
        output_tokens=2,
        cached_tokens=3,
        reasoning_tokens=4,
        cost_usd=None,
        generation=7,
        detail=Detail(
            worker="3",
            endpoint="/v1/chat/completions",
            protocol="openai_chat",
            user_path="/a",
            fallback_target="spare",
            features=FeaturesRecord(
                needs=("streaming", "tools"),
                estimated_input_tokens=5,
                max_output_tokens=6,
                preferred_provider="one",
                no_failover=True,
                session="abcdef",
            ),
            decision=DecisionRecord(
                resolved_by="pool",
                strategy="fill_first",
                config_primary="one/m",
                planned=("one/m", "two/n"),
                rejected=(RejectedRecord(candidate="one/m", reason="benched"),),
                last_standing=True,
                inputs=Inputs(pin="two/n"),
            ),
            attempts=(
                AttemptRecord(
                    provider="one",
                    model="m",
                    credential="main",
                    started_ms=0.0,
                    headers_ms=125.0,
                    content_ms=None,
                    ended_ms=250.0,
                    status=429,
                    fault="rate_limited",
                    message="slow down",
                    simulated="status:429",
                ),
                AttemptRecord(
                    provider="three",
                    model="o",
                    credential="other",
                    started_ms=250.0,
                    headers_ms=375.0,
                    content_ms=500.0,
                    ended_ms=750.0,
                    status=200,
                    is_hedge=True,
                ),
            ),
        ),
    )
    assert int(record.id[:12], 16) == (WALL + 1000) * 1000


def test_the_first_content_is_that_of_who_served_though_a_hedge_began_later() -> None:
    called_off = Failure(fault=Fault.HEDGED, message="called off")
    ended = Trail(
        b"req_1",
        1000.0,
        1000.5,
        key=KEY,
        calls=[
            Attempt(candidate=candidate(), credential="", started_at=1000.0, content_at=1000.25),
            Attempt(
                candidate=candidate("two/m"), credential="", started_at=1000.125, is_hedge=True,
                content_at=1000.375, failure=called_off,
            ),
        ],
    )  # fmt: skip

    assert RecordMaker("1").record(ended).first_content_ms == 250.0


def test_a_request_id_of_ours_is_the_id_of_its_record() -> None:
    made = new_id()
    ended = Trail(made, 1000.0, 1000.5, key=KEY)

    record = RecordMaker("1").record(ended)

    assert (record.request_id, record.id) == (made.decode(), made.decode().removeprefix("req_"))
    assert UUID(record.id).version == 7


def test_a_callers_copy_of_an_id_of_ours_does_not_take_its_records_place() -> None:
    made = new_id()
    maker = RecordMaker("1")

    first, second = (
        maker.record(Trail(made, 1000.0, 1000.5, key=KEY, is_named=is_named))
        for is_named in (False, True)
    )

    assert first.request_id == second.request_id
    assert first.id != second.id
