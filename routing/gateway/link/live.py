"""
Keeps a worker's gateway current: snapshots from disk, news and benches from the control child.

Level-triggered: the snapshot file is looked at twice a second whatever the control child says, so
that its news only hasten what happens anyway. Without a control child a worker goes on serving.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from math import inf
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from routing.gateway.deciding.snapshot import Snapshot, Steps, decoding
from routing.gateway.deciding.switches import without_overdue
from routing.gateway.link import channel
from routing.gateway.link.children import errors_of, read_children
from routing.gateway.link.kept import read_kept
from routing.gateway.link.version import VERSION
from routing.gateway.telemetry.failure_log import note_bench

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from failover.engine.bench_entries import BenchEntry, Place
    from failover.engine.benches import Benches
    from routing.gateway.deciding.affinity import PinEntry, Pins
    from routing.gateway.link.scraping import WorkerMetrics

LOOK_EVERY_S = 0.5
RECONNECT_S = 0.25
TELL_COUNTS_EVERY_S = 1.0
FAREWELL_S = 1.0
PINS_EVERY_S = 0.05
PINS_AT_ONCE = 1000  # what is more is told by those who use it next

logger = logging.getLogger("switchyard.live")

Stamp = tuple[int, int, int]
Value = TypeVar("Value")


class Fed(Protocol):
    """What of the live state is told from outside (routing.gateway.deciding.state)."""

    @property
    def pins(self) -> Pins: ...

    def note_health(self, statuses: Mapping[str, str]) -> None: ...


class FedGateway(Protocol):
    """What LiveFeed needs of the gateway (routing.gateway.app)."""

    status: dict[str, Any]
    benches: Benches
    clock: Callable[[], float]

    @property
    def live(self) -> Fed: ...

    def loading(self, snapshot: Snapshot) -> Steps[None]:
        """Compile and swap, in steps; ValueError leaves the old one in place."""


async def _in_passing(steps: Steps[Value]) -> Value:
    """What `steps` lead to; requests get their turn between them."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast("Value", end.value)
        await asyncio.sleep(0)


class LiveFeed:
    """
    Feeds one gateway from `data_dir`.

    It writes these keys of the gateway's status: `source` ("disk" until a control child has
    confirmed or replaced what was found there, then "control"), `snapshot_error`,
    `config_errors` (a refused edit of the configuration file), `control_error`, and `processes`
    (routing.gateway.link.fleet) as soon as a control child has told of them; and `children` and
    `process_errors`, by what the parent process says (routing.gateway.link.children).
    """

    def __init__(
        self,
        gateway: FedGateway,
        data_dir: Path,
        *,
        worker: str = "1",
        plane: str = "both",
        workers: int = 1,
        counts: WorkerMetrics | None = None,
    ) -> None:
        self._gateway = gateway
        self._data_dir = data_dir
        self._file = data_dir / channel.SNAPSHOT_FILE
        self._hello = channel.Hello(
            worker=worker, pid=os.getpid(), plane=plane, version=VERSION, workers=workers
        )
        self._counts = counts
        self._stamp: Stamp | None = None
        self._generation: int | None = None
        self._switch_due_at = inf
        self._error: str | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._changed: dict[Place, BenchEntry] = {}
        self._moved: dict[tuple[str, int], PinEntry] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._looking = asyncio.Lock()
        gateway.status.update(source="disk", snapshot_error="", config_errors=[], control_error="")

    async def load_from_disk(self) -> None:
        """Take the last good snapshot, if there is one, and the benches that were known then."""
        await self._look()
        if self._generation is None:
            await self._take_kept()
        benches = channel.read_benches(self._data_dir)
        self._gateway.benches.merge(benches, self._gateway.clock())
        self._gateway.live.pins.merge(read_kept(self._data_dir), self._gateway.clock())

    def start(self) -> None:
        """Begin watching; needs a running loop."""
        self._gateway.benches.changes = self._note_change
        self._gateway.live.pins.changes = self._note_pin
        self._tasks = [
            asyncio.create_task(self._look_forever()),
            asyncio.create_task(self._talk_forever()),
            asyncio.create_task(self._tell_counts_forever()),
        ]

    async def aclose(self) -> None:
        self._gateway.benches.changes = None
        self._gateway.live.pins.changes = None
        self._flush_pins()
        await self._tell_last_counts()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _look_forever(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self._look()
            self._look_at_children()

    def _look_at_children(self) -> None:
        """Know what the parent says of the processes here: of the control child, for instance."""
        children = read_children(self._data_dir)
        self._gateway.status["children"] = children
        self._gateway.status["process_errors"] = errors_of(children, time.time())

    async def _look(self) -> None:
        """
        Load the snapshot file if it is another one than at the last look.

        Requests get their turn between its steps: 10,000 pools take some 60 ms in all.
        """
        async with self._looking:
            await self._look_alone()

    async def _look_alone(self) -> None:
        try:
            status = self._file.stat()
        except OSError as error:
            if self._stamp is not None:
                self._refuse(f"the snapshot file cannot be read: {error.strerror}")
                self._stamp = None
            return
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        is_due = time.time() >= self._switch_due_at
        if stamp == self._stamp and not is_due:
            return
        try:
            raw = self._file.read_bytes()
        except OSError as error:
            self._refuse(f"the snapshot file cannot be read: {error.strerror}")
            return
        self._stamp = stamp
        try:
            snapshot = await _in_passing(decoding(raw))
            snapshot, self._switch_due_at = without_overdue(snapshot, time.time())
            if snapshot.generation != self._generation or self._error is not None or is_due:
                await _in_passing(self._gateway.loading(snapshot))
        except ValueError as error:
            self._refuse(str(error))
            return
        except Exception as error:
            # A mistake of ours, which must not end the looking: the next one may be good.
            logger.exception("a snapshot could not be loaded")
            self._refuse(f"{type(error).__name__} while it was loaded; the log says where")
            return
        self._generation = snapshot.generation
        self._error = None
        self._gateway.status["snapshot_error"] = ""

    async def _take_kept(self) -> None:
        """Serve the snapshot as it was before its file broke, until that has been written anew."""
        try:
            raw = (self._data_dir / channel.KEPT_SNAPSHOT_FILE).read_bytes()
            snapshot = await _in_passing(decoding(raw))
            snapshot, self._switch_due_at = without_overdue(snapshot, time.time())
            await _in_passing(self._gateway.loading(snapshot))
        except (OSError, ValueError):
            return  # none either, or no better
        self._generation = snapshot.generation
        logger.error("generation %d is served as it was kept", snapshot.generation)

    def _refuse(self, reason: str) -> None:
        if reason != self._error:
            logger.error("snapshot refused, the one before stays: %s", reason)
        self._error = reason
        self._gateway.status["snapshot_error"] = reason

    async def _talk_forever(self) -> None:
        while True:
            # A control child that is away, or restarts, is met again later; until then the
            # snapshot file is looked at all the same.
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
                await self._talk()
            await asyncio.sleep(RECONNECT_S)

    async def _talk(self) -> None:
        path = channel.socket_path(self._data_dir)
        reader, writer = await asyncio.open_unix_connection(path, limit=channel.LINE_LIMIT)
        self._writer = writer
        try:
            self._send(self._hello)
            now = self._gateway.clock()
            self._send_benches(self._gateway.benches.told(now))
            self._send(channel.PinsChanged(entries=tuple(self._gateway.live.pins.entries(now))))
            if self._counts is not None:
                self._send(self._counts.all())
            while raw := await reader.readline():
                await self._hear(channel.read_by_worker(raw))
        finally:
            self._writer = None
            writer.close()

    async def _hear(self, message: channel.ToWorker) -> None:
        if isinstance(message, channel.BenchesChanged):
            self._gateway.benches.merge(message.entries, self._gateway.clock())
            if message.ack:
                self._send(channel.Acknowledged(ack=message.ack))
            return
        if isinstance(message, channel.PinsChanged):
            self._gateway.live.pins.merge(message.entries, self._gateway.clock())
            return
        if isinstance(message, channel.HealthSeen):
            self._gateway.live.note_health(message.statuses)
            return
        status = self._gateway.status
        if isinstance(message, channel.FleetSeen):
            status["processes"] = message.fleet
            return
        status["config_errors"] = list(message.refused)
        status["control_error"] = message.error
        if message.generation is None:
            return
        if message.generation != self._generation:
            await self._look()
        if message.generation == self._generation:
            status["source"] = "control"
            self._send(channel.Loaded(generation=message.generation, error=self._error))
        else:
            reason = self._error or f"the file holds generation {self._generation}"
            self._send(channel.Loaded(generation=message.generation, error=reason))

    def _note_change(self, entry: BenchEntry) -> None:
        """Collect the changes of one turn of the event loop into one message."""
        if not self._changed:
            asyncio.get_running_loop().call_soon(self._flush_changes)
        self._changed[entry.place] = entry
        if self._counts is not None:
            self._counts.note_bench(entry)
        note_bench(entry)

    def _flush_changes(self) -> None:
        entries = list(self._changed.values())
        self._changed.clear()
        self._send_benches(entries)

    def _send_benches(self, entries: Sequence[BenchEntry]) -> None:
        if entries:
            self._send(channel.BenchesChanged(entries=tuple(entries)))

    def _note_pin(self, entry: PinEntry) -> None:
        """Collect what moves within a moment into one message."""
        if not self._moved:
            asyncio.get_running_loop().call_later(PINS_EVERY_S, self._flush_pins)
        if len(self._moved) < PINS_AT_ONCE:
            self._moved[(entry.pool, entry.session)] = entry

    def _flush_pins(self) -> None:
        if self._moved:
            self._send(channel.PinsChanged(entries=tuple(self._moved.values())))
            self._moved.clear()

    def _send(self, message: channel.ToHub) -> None:
        """Say it to the control child; without one it is told all at the next meeting."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(channel.line(message))

    # WorkerMetrics

    async def _tell_counts_forever(self) -> None:
        while True:
            await asyncio.sleep(TELL_COUNTS_EVERY_S)
            self._tell_counts()

    def _tell_counts(self) -> None:
        if self._counts is not None and self._writer is not None:  # who comes later is told all
            self._send(self._counts.news())

    async def _tell_last_counts(self) -> None:
        self._tell_counts()
        if self._writer is not None:
            # A control child that does not read any more has to do without.
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(FAREWELL_S):
                    await self._writer.drain()
