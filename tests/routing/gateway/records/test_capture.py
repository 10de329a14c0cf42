"""Prompts and answers: kept where asked for, whole or cut, without secrets and encoded data."""

from __future__ import annotations

import json
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from providers.secrets.redaction import Secrets
from routing.gateway.app import Gateway
from routing.gateway.deciding.snapshot import CaptureSpec, KeySpec
from routing.gateway.records.capture import (
    REQUEST_LIMIT,
    RESPONSE_LIMIT,
    CaptureRow,
    Room,
    begin,
    merged,
    text_of,
)
from routing.gateway.records.recorder import Recorder
from routing.gateway.records.spool import (
    BUDGET_BYTES,
    CAPTURED,
    SUFFIX,
    SpoolRefused,
    SpoolWriter,
    spool_files,
    take,
)
from tests.support.builders import FakeClock, content, pool, provider, snapshot

BOTH = CaptureSpec(requests=True, responses=True)
KEY = "a-key-of-the-tests"
PROMPT = "what is in my prompt"


class World:
    """A gateway whose only provider is the simulator, and what it has captured."""

    def __init__(
        self, folder: Path, *, room: int | None = None, budget_bytes: int = BUDGET_BYTES
    ) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.gateway = Gateway(
            decrypt=lambda token: token,
            environ={},
            clock=self.clock,
            wall=self.clock.wall,
            spool=SpoolWriter(folder, worker="1", budget_bytes=budget_bytes),
        )
        if room is not None:
            self.gateway.recorder.room.free = room

    def load(
        self,
        *,
        key: CaptureSpec | None = None,
        of_pool: CaptureSpec | None = None,
        general: CaptureSpec | None = None,
        fault: str = "",
    ) -> None:
        self.gateway.load(
            snapshot(
                content(
                    pool("chat", "sim/m", capture=of_pool),
                    providers=(provider("sim", kind="simulator", base_url="", fault=fault),),
                    keys=(KeySpec(name="team", digest=sha256(KEY.encode()).digest(), capture=key),),
                    capture=general,
                )
            )
        )

    async def ask(self, *, stream: bool = False, model: str = "chat", **more: Any) -> bytes:
        body = json.dumps(
            {"model": model, "stream": stream, **more,
             "messages": [{"role": "user", "content": more.pop("content", PROMPT)}]}
        ).encode()  # fmt: skip
        sent: list[bytes] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message.get("body", b""))

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/chat/completions",
            "query_string": b"",
            "headers": [(b"authorization", b"Bearer " + KEY.encode())],
        }
        await self.gateway(scope, receive, send)
        return b"".join(sent)

    async def captured(self) -> list[CaptureRow]:
        self.gateway.recorder.start()
        await self.gateway.recorder.aclose()
        found: list[CaptureRow] = []
        for path in spool_files(self.folder, CAPTURED):
            taken = take(path)
            assert taken is not None
            rows, lost = taken.captures()
            taken.release()
            assert lost == 0
            found += rows
        return found

    @property
    def records(self) -> int:
        return self.gateway.recorder.counters.recorded


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_nothing_is_captured_where_nobody_asks(world: World) -> None:
    world.load(key=CaptureSpec(requests=False, keep_days=3))
    await world.ask()

    assert world.gateway.table is not None
    assert not world.gateway.table.captures
    assert await world.captured() == []
    assert world.records == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_prompt_and_its_answer_are_kept_as_they_came_and_went(
    world: World, stream: bool
) -> None:
    world.load(key=BOTH)
    answer = await world.ask(stream=stream)
    [row] = await world.captured()

    assert json.loads(row.request)["messages"][0]["content"] == PROMPT
    assert row.response == answer.decode()
    assert (row.key, row.pool, row.is_cut, row.keep_days) == ("team", "chat", False, 7)
    [path] = spool_files(world.folder)
    taken = take(path)
    assert taken is not None
    [[identifier, *record]], _lost = taken.read()
    taken.release()
    assert identifier == row.record
    assert PROMPT not in str(record)


@pytest.mark.parametrize(
    ("asked", "has_request", "has_response"),
    [(CaptureSpec(requests=True), True, False), (CaptureSpec(responses=True), False, True)],
)
async def test_one_of_both_is_kept_alone(
    world: World, asked: CaptureSpec, has_request: bool, has_response: bool
) -> None:
    world.load(of_pool=asked)
    await world.ask()
    [row] = await world.captured()

    assert (bool(row.request), bool(row.response)) == (has_request, has_response)


async def test_what_the_caller_was_told_of_a_failure_is_an_answer_too(world: World) -> None:
    world.load(general=BOTH, fault="status:503")
    answer = await world.ask()
    [row] = await world.captured()

    assert b"upstream_failed" in answer or b"overloaded" in answer
    assert row.response == answer.decode()


async def test_a_request_that_could_not_be_decided_is_not_captured(world: World) -> None:
    world.load(key=BOTH)
    await world.ask(model="nobody")

    assert await world.captured() == []
    assert world.records == 1


async def test_a_pool_that_says_no_is_left_out_of_what_is_captured_in_general(
    world: World,
) -> None:
    world.load(general=BOTH, of_pool=CaptureSpec(requests=False, responses=False))
    await world.ask()

    assert await world.captured() == []


async def test_without_room_nothing_is_captured_and_that_is_counted(tmp_path: Path) -> None:
    world = World(tmp_path, room=10)
    world.load(key=BOTH)
    answer = await world.ask()

    assert json.loads(answer)["choices"]
    assert await world.captured() == []
    assert world.gateway.recorder.status()["captures_dropped"] == 1
    assert world.records == 1


async def test_room_is_given_back_whatever_becomes_of_a_request(world: World) -> None:
    free = world.gateway.recorder.room.free
    world.load(key=BOTH)
    await world.ask()
    assert world.gateway.recorder.room.free < free
    await world.ask(stream=True)
    await world.captured()

    assert world.gateway.recorder.room.free == free


async def test_a_full_spool_costs_captures_and_no_record(tmp_path: Path) -> None:
    world = World(tmp_path, budget_bytes=2500)
    world.load(key=BOTH)
    await world.ask(content="long " * 1000)

    assert await world.captured() == []
    assert world.records == 1
    assert world.gateway.recorder.status()["captures_dropped"] == 1


def test_captures_leave_half_of_the_spool_to_records(tmp_path: Path) -> None:
    spool = SpoolWriter(tmp_path, worker="1", budget_bytes=1000).for_captures()

    spool.append([b"x" * 400])
    with pytest.raises(SpoolRefused):
        spool.append([b"x" * 400])
    spool.close()


def test_records_and_captures_may_be_written_in_the_same_moment(tmp_path: Path) -> None:
    spool = SpoolWriter(tmp_path, worker="1")
    captures = spool.for_captures()
    for _ in range(50):
        for writer in (spool, captures):
            writer.append([b"x"])
            writer.close()

    assert [len(list(spool_files(tmp_path, kind))) for kind in (SUFFIX, CAPTURED)] == [50, 50]


def test_a_dropped_trail_gives_its_room_back() -> None:
    recorder = Recorder()
    capture = begin(recorder.room, b"x" * 100, None)
    assert capture is not None
    free = recorder.room.free
    capture.release()
    capture.release()

    assert recorder.room.free == free + 100


# Who asks


@pytest.mark.pure
def test_a_keys_word_is_over_its_pools_and_that_over_the_general_one() -> None:
    key = CaptureSpec(requests=False)
    of_pool = CaptureSpec(requests=True, responses=True)
    general = CaptureSpec(requests=True, responses=False, keep_days=3)

    assert merged(key, of_pool, general) == CaptureSpec(requests=False, responses=True, keep_days=3)
    assert merged(None, None, None) == CaptureSpec()


# What is made of it


@pytest.mark.pure
def test_secrets_are_taken_out_wherever_they_stand() -> None:
    secrets = Secrets()
    secret = "correct-horse-battery"
    secrets.remember(secret)
    own = b"a-callers-own-key-0123"
    secrets.digests = {sha256(own).digest()}
    filler = "word " * 2000
    body = json.dumps([secret, filler, own.decode(), f"sk-{'a' * 30}", filler, secret]).encode()

    text, is_cut = text_of(body, 1 << 20, secrets)
    assert json.loads(text) == [
        "[redacted]", filler, "[redacted]", "[redacted]", filler, "[redacted]",
    ]  # fmt: skip
    assert not is_cut


@pytest.mark.pure
@pytest.mark.parametrize("shift", range(0, 30, 3))
def test_a_secret_at_the_cut_is_not_kept_in_part(shift: int) -> None:
    secrets = Secrets()
    secrets.remember("correct-horse-battery-staple")
    body = ("x " * 40 + " " * shift + "correct-horse-battery-staple and more").encode()

    text, is_cut = text_of(body, 110, secrets)
    assert is_cut
    assert "corr" not in text


@pytest.mark.pure
@pytest.mark.parametrize("escaped", [False, True])
def test_encoded_data_is_shortened_and_what_follows_it_is_kept(escaped: bool) -> None:
    image = "data:image/png;base64," + "iVBORw0KGgo/AAA" * 20_000
    body = json.dumps({"image": image, "text": PROMPT})
    if escaped:
        body = body.replace("/", "\\/")
    text, is_cut = text_of(body.encode(), REQUEST_LIMIT, Secrets())

    told = json.loads(text)
    assert told["text"] == PROMPT
    assert told["image"].startswith("data:image/png;base64,iVBORw0KGgo")
    assert told["image"].endswith("bytes)")
    assert len(text) < 300
    assert not is_cut


@pytest.mark.pure
def test_no_more_of_a_long_body_is_looked_at_than_is_kept() -> None:
    spent = time.thread_time()
    text, is_cut = text_of(b'"' * (31 << 20), REQUEST_LIMIT, Secrets())

    assert is_cut
    assert len(text) <= REQUEST_LIMIT
    assert time.thread_time() - spent < 1  # CPU time is the promise: all quotes would take 3 s


def test_prose_in_any_script_is_no_encoded_data() -> None:
    body = json.dumps({"text": "漢字" * 500 + " word" * 200}).encode()

    assert text_of(body, REQUEST_LIMIT, Secrets()) == (body.decode(), False)


@pytest.mark.pure
def test_a_body_that_is_no_text_is_kept_as_far_as_it_can_be() -> None:
    text, _is_cut = text_of(b'{"a": "\xff\x00b"}', REQUEST_LIMIT, Secrets())

    assert text == '{"a": "�b"}'


@pytest.mark.pure
async def test_of_an_answer_no_more_is_held_than_is_kept() -> None:
    room = Room()
    capture = begin(room, b"", None)
    assert capture is not None
    free, sent = room.free, 0

    async def send(message: Any) -> None:
        nonlocal sent
        sent += len(message["body"])

    sending = capture.sending(send)
    for _ in range(10):
        await sending({"type": "http.response.body", "body": b"x" * 50_000})
    await sending({"type": "http.response.body", "body": b"\n"})

    assert sent == 500_001
    assert len(capture.response) == RESPONSE_LIMIT == free - room.free
    assert capture.is_cut
