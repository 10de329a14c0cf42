"""
Keeps a record of every request, at next to no cost for the request.

`add` notes a finished request in a bounded list. A few times a second what has come together is
made into records and shown to the observers, in the event loop and a few at a time; a thread then
appends them to a spool file. A request never waits for any of it: what there is no room for, in
memory or on the disk, is dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

from msgspec import Struct

from providers.secrets.redaction import known
from routing.gateway.records.capture import Capture, Room
from routing.gateway.records.capture import row_of as capture_row
from routing.gateway.records.record import RequestRecord
from routing.gateway.records.recording import RecordMaker
from routing.gateway.records.spool import SpoolRefused, SpoolWriter
from routing.gateway.records.trail import Trail
from routing.gateway.records.underway import Underway

BUFFER_LIMIT: Final = 10_000
FLUSH_EVERY_S: Final = 0.2
FLUSH_AT: Final = 500
SLICE: Final = 50  # records made in one turn of the event loop
COMPLAIN_EVERY_S: Final = 60.0
CAPTURES_AT_ONCE: Final = 50

log = logging.getLogger("switchyard.recorder")


class RecorderCounts(Struct, kw_only=True):
    """Since the worker started. `dropped` are requests that no record will tell of."""

    recorded: int = 0
    dropped: int = 0
    bytes: int = 0


class Recorder:
    """
    The recorder of one worker; without a `spool`, only the observers learn of requests.

    `room` is what prompts and answers may take until they are written, where any are kept.
    `underway` knows of the requests that have no record yet. `observers` are called in the event
    loop with records, those without a key included, a few at a time. `clock` is that of the trails
    and of their attempts, in seconds; `wall` is Unix time.
    """

    def __init__(
        self,
        *,
        spool: SpoolWriter | None = None,
        worker: str = "",
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        underway: Underway | None = None,
    ) -> None:
        self.underway = underway or Underway(None, worker=worker)
        self.observers: list[Callable[[Sequence[RequestRecord]], None]] = []
        self.counters = RecorderCounts()
        self.error = ""
        self.room = Room()
        self._spool = spool
        self._capture_spool = spool.for_captures() if spool is not None else None
        self._captures: list[tuple[RequestRecord, Capture]] = []
        self._saving: asyncio.Task[None] | None = None
        self._clock = clock
        self._wall = wall
        self._maker = RecordMaker(worker)
        self._buffer: list[Trail] = []
        self._in_flush = 0
        self._is_flush_due = asyncio.Event()
        self._is_closing = False
        self._task: asyncio.Task[None] | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._complain_at = float("-inf")
        self._complained_of = 0

    @property
    def lag(self) -> int:
        """Requests that have ended and are not on the disk yet."""
        return len(self._buffer) + self._in_flush

    def status(self) -> dict[str, Any]:
        """For /readyz."""
        return {
            "recorded": self.counters.recorded,
            "dropped": self.counters.dropped,
            "error": self.error,
            "captures_dropped": self.room.dropped,
            "set_aside": self._spool.set_aside if self._spool is not None else 0,
        }

    def add(self, trail: Trail) -> None:
        """Note a request that has ended. Never raises, never waits."""
        buffer = self._buffer
        if len(buffer) >= FLUSH_AT:
            if len(buffer) + self._in_flush >= BUFFER_LIMIT:
                self.counters.dropped += 1
                self.underway.end((trail,))
                if trail.capture is not None:
                    trail.capture.release()
                return
            self._is_flush_due.set()
        if trail.calls:
            for attempt in trail.calls:
                # A body may be large, and nobody will look at it any more.
                if attempt.failure is not None and attempt.failure.body is not None:
                    attempt.failure = replace(attempt.failure, body=None)
        buffer.append(trail)

    def start(self) -> None:
        """Begin to flush; needs a running loop."""
        self._is_closing = False
        self.underway.open()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool")
        self._task = asyncio.create_task(self._flush_forever(), name="recorder")

    async def aclose(self) -> None:
        """Write what is left, and give the spool file away."""
        if self._task is None or self._thread is None:
            return
        self._is_closing = True
        self._is_flush_due.set()
        await self._task
        await self._flush()
        if self._saving is not None:
            await self._saving
        if self._spool is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._spool.close)
        self._thread.shutdown()
        self._task = self._thread = None
        self.underway.close()

    async def _flush_forever(self) -> None:
        while not self._is_closing:
            try:
                async with asyncio.timeout(FLUSH_EVERY_S):
                    await self._is_flush_due.wait()
            except TimeoutError:
                pass  # the usual case: it is time
            await self._flush()

    async def _flush(self) -> None:
        """Make records of everything that is in the buffer now, and store them."""
        self._is_flush_due.clear()
        trails, self._buffer = self._buffer, []
        self._in_flush = len(trails)
        self._maker.begin(self._wall() - self._clock())
        for start in range(0, len(trails), FLUSH_AT):
            records: list[RequestRecord] = []
            for at in range(start, min(start + FLUSH_AT, len(trails)), SLICE):
                self._make(trails[at : min(at + SLICE, start + FLUSH_AT)], records)
                await asyncio.sleep(0)
            await self._store(records)
            self.underway.end(trails[start : start + FLUSH_AT])
            self._in_flush -= min(FLUSH_AT, len(trails) - start)
        if not trails:
            await self._store([])
        self._complain()

    def _make(self, trails: list[Trail], kept: list[RequestRecord]) -> None:
        """Show the records of `trails` to the observers, and add those that are kept to `kept`."""
        made: list[RequestRecord] = []
        for trail in trails:
            try:
                record = self._maker.record(trail)
            except Exception:
                # Whatever it is, the other records are not to suffer from it.
                log.exception("the record of request %s was lost", trail.request_id.decode())
                self.counters.dropped += 1
                if trail.capture is not None:
                    trail.capture.release()
                continue
            made.append(record)
            if record.key:
                kept.append(record)
            if trail.capture is not None:
                self._captures.append((record, trail.capture))
                if self._saving is None or self._saving.done():
                    self._saving = asyncio.create_task(self._save(), name="captures")
        for observer in self.observers:
            try:
                observer(made)
            except Exception:
                # Whoever cannot take them: they are stored, and the other observers told.
                log.exception("%d requests were not counted", len(made))

    async def _save(self) -> None:
        """Write what was captured, in a thread of its own: records do not wait for it."""
        loop = asyncio.get_running_loop()
        spool = self._capture_spool
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="captures") as thread:
            while self._captures:
                captures, self._captures = (
                    self._captures[:CAPTURES_AT_ONCE],
                    self._captures[CAPTURES_AT_ONCE:],
                )
                try:
                    if spool is not None:
                        await loop.run_in_executor(thread, _write_captures, spool, captures)
                except Exception as error:
                    self.room.dropped += len(captures)
                    if not isinstance(error, SpoolRefused):
                        log.exception("prompts and answers could not be stored")
                finally:
                    for _record, capture in captures:
                        capture.release()

    async def _store(self, records: list[RequestRecord]) -> None:
        spool, thread = self._spool, self._thread
        if spool is None or thread is None or not (records or spool.is_open):
            return
        loop = asyncio.get_running_loop()
        try:
            written = await loop.run_in_executor(thread, spool.write, records)
        except SpoolRefused as error:
            self.error = str(error)
            self.counters.dropped += len(records)
        except Exception as error:
            # It costs these records, not the recorder.
            log.exception("records could not be stored")
            self.error = type(error).__name__
            self.counters.dropped += len(records)
        else:
            if records:
                self.error = ""
            self.counters.recorded += len(records)
            self.counters.bytes += written

    def _complain(self) -> None:
        """Say in the log that records are dropped, at most once a minute."""
        dropped, now = self.counters.dropped, self._clock()
        if dropped > self._complained_of and now >= self._complain_at:
            log.error(
                "%d request records dropped, %d since this was last said: %s",
                dropped,
                dropped - self._complained_of,
                self.error or "they come quicker than they can be stored",
            )
            self._complained_of = dropped
            self._complain_at = now + COMPLAIN_EVERY_S


def _write_captures(spool: SpoolWriter, captures: Sequence[tuple[RequestRecord, Capture]]) -> None:
    rows = [
        capture_row(record.id, record.key, record.canonical_model, capture, known)
        for record, capture in captures
    ]
    try:
        spool.append(rows)
    finally:
        spool.close()
