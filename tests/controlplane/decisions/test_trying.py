"""Requests from within: given up in time, cut to size, and with a key that opens nothing else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from controlplane.decisions.trying import KEPT_BYTES, ShownAnswer, try_request
from tests.support.builders import content, pool, provider, snapshot
from tests.support.workers import local_worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controlplane.decisions.local_worker import LocalWorker

CONTENT = content(
    pool("m", "a/x"),
    pool("slow", "b/x"),
    providers=(
        provider("a", kind="simulator", credentials=()),
        provider("b", kind="simulator", credentials=(), fault="stall"),
    ),
)


@pytest.fixture(scope="module")
def worker() -> Iterator[LocalWorker]:
    with local_worker(snapshot(CONTENT)) as started:
        yield started


def send(worker: LocalWorker, model: str, limit_s: float = 10, **body: Any) -> Any:
    messages = [{"role": "user", "content": "Hello"}]
    sent = try_request(
        worker.gateway,
        path="/v1/chat/completions",
        body={"model": model, "messages": messages, **body},
        headers={},
        who="ada",
        limit_s=limit_s,
    )
    return worker.run(sent, limit_s + 10)


def test_what_does_not_end_is_given_up_and_its_request_cancelled(worker: LocalWorker):
    answer = send(worker, "slow", limit_s=0.3)
    assert answer.timed_out
    assert worker.read(lambda: len(worker.gateway.visits)) == 0
    assert worker.gateway.guests == {}


def test_its_key_opens_nothing_afterwards(worker: LocalWorker):
    answer = send(worker, "m")
    assert answer.status == 200
    assert worker.gateway.guests == {}


class Babbler:
    """Stands in for a gateway: it says `pieces`, and no more."""

    def __init__(self, *pieces: bytes) -> None:
        self.guests: dict[bytes, Any] = {}
        self._pieces = pieces

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"Content-Type", b"text/event-stream"), (b"x-switchyard-provider", b"p")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def said_by(babbler: Any) -> ShownAnswer:
    return await try_request(babbler, path="/", body={}, headers={}, who="ada", limit_s=10)


async def test_a_long_answer_is_cut_and_its_size_told():
    answer = await said_by(Babbler(b"x" * KEPT_BYTES, b"y" * 1000))
    assert answer.size == KEPT_BYTES + 1000
    assert answer.body == b"x" * KEPT_BYTES


async def test_heartbeats_are_no_pieces_and_text_is_put_together_from_chunks():
    chunk = b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n'
    answer = await said_by(Babbler(b"\n", chunk % b"Hel", chunk % b"lo", b"data: [DONE]\n\n"))
    assert (answer.pieces, answer.text) == (3, "Hello")
    assert answer.shown_headers == [("x-switchyard-provider", "p")]


async def test_what_is_no_json_has_no_words():
    assert (await said_by(Babbler(b"data: {\n\n", b"data: []\n\n"))).text == ""


def test_what_is_asked_in_the_loop_fails_where_it_was_asked(worker: LocalWorker):
    with pytest.raises(ZeroDivisionError):
        worker.read(lambda: 1 // 0)


def test_what_takes_too_long_in_the_loop_is_cancelled(worker: LocalWorker):
    with pytest.raises(TimeoutError):
        worker.run(asyncio.sleep(30), 0.05)
