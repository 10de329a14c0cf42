"""The harness's own callers: what they ask, how they wait, what they count."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from itertools import chain
from typing import cast
from urllib.parse import urlsplit

import msgspec

HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length:"
CHUNKED_END = b"\r\n0\r\n\r\n"
DONE = b"data: [DONE]"
PATIENCE_S = 30.0
DIALS_AT_ONCE = 50


class LoadResult(msgspec.Struct, frozen=True, kw_only=True):
    """What callers saw. `requests` counts whole answers only, `errors` all the others."""

    requests: int
    errors: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


class PairResult(msgspec.Struct, frozen=True, kw_only=True):
    first: LoadResult
    second: LoadResult


class HoldResult(msgspec.Struct, frozen=True, kw_only=True):
    """`held` streams have brought content and are open; `refused` ended some other way."""

    held: int
    refused: int


class Target(msgspec.Struct, frozen=True, kw_only=True):
    host: str
    port: int
    path: str
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, url: str, headers: Sequence[tuple[str, str]]) -> Target:
        parts = urlsplit(url)
        return cls(
            host=parts.hostname or "127.0.0.1",
            port=parts.port or 80,
            path=parts.path or "/",
            headers=tuple(headers),
        )

    def request(self, body: bytes) -> bytes:
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers)
        head = (
            f"POST {self.path} HTTP/1.1\r\nhost: {self.host}:{self.port}\r\n"
            f"content-type: application/json\r\n{lines}content-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


class Caller(asyncio.Protocol):
    """
    One connection that asks one thing at a time.

    `ask` returns whether the answer was whole: status 200, and for a stream [DONE] before its
    framing's end. `content` is set at the first event of a stream.
    """

    def __init__(self) -> None:
        self.content = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[bool] | None = None
        self._begin()

    def _begin(self) -> None:
        self._head = b""
        self._left = -1  # body bytes still to come; -1: chunked
        self._tail = b""
        self._is_ok = False

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, request: bytes) -> asyncio.Future[bool]:
        self._begin()
        self._answer = asyncio.get_running_loop().create_future()
        if self._transport is None:
            self._answer.set_result(False)
        else:
            self._transport.write(request)
        return self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        self._finish(is_whole=False)

    def data_received(self, data: bytes) -> None:
        if not self._tail and self._left < 0:
            data = self._read_head(data)
            if not data:
                return
        if self._left >= 0:
            self._left -= len(data)
            if self._left <= 0:
                self._finish(is_whole=self._is_ok)
            return
        self._tail = (self._tail + data)[-64:]
        if self._tail.endswith(CHUNKED_END):
            self._finish(is_whole=self._is_ok and DONE in self._tail)
        elif not self.content.is_set() and b"data: {" in data:
            self.content.set()

    def _read_head(self, data: bytes) -> bytes:
        """Take the head in; the body's first bytes, or nothing if there is nothing to do yet."""
        received = self._head + data
        end = received.find(HEAD_END)
        if end < 0:
            self._head = received
            return b""
        head = received[:end].lower()
        self._head = b""
        self._is_ok = head[9:12] == b"200"
        at = head.find(LENGTH)
        if at < 0:
            self._tail = b"\r\n"  # so that an empty chunked body ends like any other
            return received[end + 4 :]
        self._left = int(head[at + len(LENGTH) :].split(b"\r", 1)[0])
        body = received[end + 4 :]
        if not self._left:
            self._finish(is_whole=self._is_ok)
        return body

    def _finish(self, *, is_whole: bool) -> None:
        answer = self._answer
        if answer is not None and not answer.done():
            answer.set_result(is_whole)


class Tally:
    """Counts answers while they come."""

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.errors = 0
        self.began = time.perf_counter()

    async def ask(self, caller: Caller, request: bytes) -> None:
        sent = time.perf_counter()
        try:
            is_whole = await asyncio.wait_for(caller.ask(request), PATIENCE_S)
        except TimeoutError:
            caller.close()
            is_whole = False
        if is_whole:
            self.latencies.append(time.perf_counter() - sent)
        else:
            self.errors += 1

    def result(self) -> LoadResult:
        latencies = sorted(self.latencies)
        return LoadResult(
            requests=len(latencies),
            errors=self.errors,
            seconds=time.perf_counter() - self.began,
            p50_ms=quantile(latencies, 0.50) * 1000,
            p99_ms=quantile(latencies, 0.99) * 1000,
        )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of `ordered` lies; 0 of nothing."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


async def dial(target: Target) -> Caller:
    loop = asyncio.get_running_loop()
    _transport, caller = await loop.create_connection(Caller, target.host, target.port)
    return caller


async def closed(
    target: Target, body: bytes, *, connections: int, seconds: float, limit: int = sys.maxsize
) -> LoadResult:
    """As many requests as `connections` callers get answered, one at a time each."""
    request = target.request(body)
    callers = [await dial(target) for _ in range(connections)]
    tally = Tally()
    until = tally.began + seconds

    async def keep_asking(caller: Caller) -> None:
        while time.perf_counter() < until and len(tally.latencies) + tally.errors < limit:
            if not caller.is_open:
                caller = await dial(target)
            await tally.ask(caller, request)
        caller.close()

    await asyncio.gather(*map(keep_asking, callers))
    return tally.result()


async def rate(
    targets: Sequence[Target], body: bytes, *, per_second: float, seconds: float
) -> list[LoadResult]:
    """
    Requests on a fixed timetable, `per_second` at each target, evenly mixed so that a noisy moment
    falls on all alike.

    Latency counts from the moment of sending, which never waits for an answer: a gateway that
    stands still cannot make its callers ask less.
    """
    requests = [target.request(body) for target in targets]
    tallies = [Tally() for _ in targets]
    free = [[await dial(target) for _ in range(16)] for target in targets]
    asking: set[asyncio.Task[None]] = set()

    async def ask(at: int) -> None:
        caller = free[at].pop() if free[at] else await dial(targets[at])
        if not caller.is_open:
            caller = await dial(targets[at])
        await tallies[at].ask(caller, requests[at])
        free[at].append(caller)

    began = time.perf_counter()
    each_s = 1 / (per_second * len(targets))
    for number in range(int(per_second * seconds) * len(targets)):
        await asyncio.sleep(began + number * each_s - time.perf_counter())
        task = asyncio.create_task(ask(number % len(targets)))
        asking.add(task)
        task.add_done_callback(asking.discard)
    await asyncio.gather(*asking)
    for caller in chain.from_iterable(free):
        caller.close()
    return [tally.result() for tally in tallies]


async def pair(target: Target, asked: tuple[bytes, bytes], *, requests: int) -> PairResult:
    """Each of two whole requests `requests` times, in turn, over one connection."""
    caller = await dial(target)
    tallies = (Tally(), Tally())
    for _ in range(requests):
        for tally, request in zip(tallies, asked, strict=True):
            if not caller.is_open:
                caller = await dial(target)
            await tally.ask(caller, request)
    caller.close()
    return PairResult(first=tallies[0].result(), second=tallies[1].result())


async def hold(target: Target, body: bytes, *, streams: int) -> list[Caller]:
    """Open `streams` streams; those that have brought content within the patience."""
    request = target.request(body)
    gate = asyncio.Semaphore(DIALS_AT_ONCE)

    async def open_one() -> Caller | None:
        async with gate:
            caller = await dial(target)
            answer = caller.ask(request)
            content = asyncio.create_task(caller.content.wait())
            await asyncio.wait(
                (answer, content), timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED
            )
            content.cancel()
            if caller.content.is_set() and not answer.done():
                return caller
            caller.close()
            return None

    opened = await asyncio.gather(*(open_one() for _ in range(streams)))
    return [caller for caller in opened if caller is not None]
