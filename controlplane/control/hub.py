"""
The hub of one host: workers hear here of snapshots, of each other's benches, and of sessions that
have moved; so do the ways to other hosts (controlplane.control.sharing).

Runs in the control child's event loop. Views and commands ask it by controlplane.edits.poke; the
messages stand in routing.gateway.link.channel.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from controlplane.control.board import BenchBoard, PinBoard
from failover.engine.bench_entries import by_hand, released
from routing.gateway.link import channel
from routing.gateway.link.fleet import WorkerSeen
from routing.gateway.telemetry.failure_log import note_bench

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from controlplane.control.metering import Metering
    from failover.engine.bench_entries import BenchEntry
    from routing.gateway.deciding.affinity import PinEntry
    from routing.gateway.link.fleet import Fleet

ANSWER_WITHIN_S = 2.0
BACKLOG_LIMIT = 64 * 1024 * 1024  # of bytes that a worker has not read; it is met afresh then
PINS_AT_ONCE = 1000

logger = logging.getLogger("switchyard.hub")


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRound:
    """
    What the control child last did.

    `generation` is the one on disk, None before the first. `refused` are the mistakes of an edit
    of the configuration file, found at `refused_at` (Unix time), `error` is what kept the last
    round from publishing ("" nothing). `config_checksum` is of the file as it was looked at last.
    """

    generation: int | None = None
    refused: tuple[str, ...] = ()
    refused_at: float | None = None
    error: str = ""
    config_checksum: str = ""


@dataclass(slots=True, eq=False)
class _Worker:
    """A connected worker. It owes an answer for `due_generation`; `seen` is its last ack."""

    hello: channel.Hello
    writer: asyncio.StreamWriter
    instance: str = ""
    generation: int | None = None
    error: str | None = None
    due_generation: int | None = None
    seen: int = -1

    def send(self, message: channel.ToWorker) -> None:
        if self.writer.transport.get_write_buffer_size() > BACKLOG_LIMIT:
            self.writer.transport.abort()
            return
        self.writer.write(channel.line(message))


@dataclass(slots=True, kw_only=True)
class Told:
    """
    Who hears of what was news to this host: a way to other hosts. `by` is who told the hub.

    `edits` is called when this host has found that somebody edited something.
    """

    benches: Callable[[Sequence[BenchEntry], object], None]
    pins: Callable[[Sequence[PinEntry], object], None] | None = None
    edits: Callable[[], None] | None = None


class Hub:
    """
    Listens at `path`. `publish` makes the database's state the published one and returns the
    last round after that; it never raises. Without `metering` nobody's counts are kept. `told` are
    the ways to other hosts, among whom `host` is this one's name.
    """

    def __init__(
        self,
        path: Path,
        publish: Callable[[], Awaitable[LastRound]],
        metering: Metering | None = None,
    ) -> None:
        self._path = path
        self._publish = publish
        self._metering = metering
        self._last_round = LastRound()
        self._workers: list[_Worker] = []
        self.told: list[Told] = []
        self.host = ""
        self.edited = asyncio.Event()  # set by other hosts' word
        self.expected_workers = 0
        self._fleet: Fleet | None = None
        self._health: channel.HealthSeen | None = None
        self.board = BenchBoard()
        self.pins = PinBoard()
        self._progress = asyncio.Event()
        self._connections: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        self._server: asyncio.Server | None = None

    @property
    def dropped_at(self) -> float | None:
        """When a worker last told of more records that it dropped, in Unix time."""
        return None if self._metering is None else self._metering.dropped_at

    async def start(self) -> None:
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(
            self._serve, path=self._path, limit=channel.LINE_LIMIT
        )
        self._path.chmod(0o600)

    async def aclose(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._connections:
            writer.transport.abort()
        # They end by themselves now; one that had to be cancelled would be logged by asyncio.
        await asyncio.gather(*filter(None, self._connections.values()))
        self._path.unlink(missing_ok=True)

    def announce(self, last_round: LastRound) -> None:
        """Tell every worker, if something is new."""
        if last_round == self._last_round:
            return
        self._last_round = last_round
        for worker in self._workers:
            self._announce_to(worker)

    def tell_edit(self) -> None:
        """Have other hosts look at the database now."""
        for told in self.told:
            if told.edits is not None:
                told.edits()

    @property
    def last_round(self) -> LastRound:
        return self._last_round

    def tell_fleet(self, fleet: Fleet) -> None:
        """Have every worker know of all processes."""
        self._fleet = fleet
        message = channel.FleetSeen(fleet=fleet)
        for worker in self._workers:
            worker.send(message)

    def tell_health(self, statuses: Mapping[str, str]) -> None:
        """Have every worker know how providers are, if that is news."""
        message = channel.HealthSeen(statuses=dict(statuses))
        if message == self._health:
            return
        self._health = message
        for worker in self._workers:
            worker.send(message)

    def workers_seen(self) -> tuple[WorkerSeen, ...]:
        """This host's workers, sorted."""
        return tuple(
            WorkerSeen(
                worker=w.hello.worker,
                pid=w.hello.pid,
                plane=w.hello.plane,
                version=w.hello.version,
                generation=w.generation,
                error=w.error,
            )
            for w in sorted(self._workers, key=lambda w: (w.hello.worker, w.hello.pid))
        )

    def _announce_to(self, worker: _Worker) -> None:
        last_round = self._last_round
        worker.due_generation = last_round.generation
        worker.send(
            channel.Announced(
                generation=last_round.generation, refused=last_round.refused, error=last_round.error
            )
        )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections[writer] = asyncio.current_task()
        worker: _Worker | None = None
        try:
            while raw := await reader.readline():
                message = channel.read_by_hub(raw)
                if isinstance(message, channel.Hello):
                    worker = self._meet(message, writer)
                elif worker is not None:
                    self._hear(worker, message)
                else:
                    writer.write(channel.line(await self._answer(message)))
        except msgspec.DecodeError as error:
            writer.write(channel.line(channel.NotAnswered(error=str(error))))
        except (OSError, ValueError) as error:  # it went away, or its line is over the limit
            logger.debug("a connection ended: %s", error)
        finally:
            del self._connections[writer]
            if worker is not None:
                self._workers.remove(worker)
                self._see_off(worker)
                self._progress.set()
            writer.close()

    def _meet(self, hello: channel.Hello, writer: asyncio.StreamWriter) -> _Worker:
        worker = _Worker(hello=hello, writer=writer)
        self._workers.append(worker)
        self.expected_workers = hello.workers
        wall = time.time()
        # Before the snapshot: an edit that mends something releases what it knows of.
        worker.send(
            channel.BenchesChanged(
                entries=tuple(self.board.everything(wall)), ack=self.board.number
            )
        )
        self._announce_to(worker)
        pins = self.pins.everything(wall)
        for first in range(0, len(pins), PINS_AT_ONCE):
            worker.send(channel.PinsChanged(entries=tuple(pins[first : first + PINS_AT_ONCE])))
        if self._health is not None:
            worker.send(self._health)
        if self._fleet is not None:
            worker.send(channel.FleetSeen(fleet=self._fleet))
        return worker

    def _see_off(self, worker: _Worker) -> None:
        is_back = any(other.instance == worker.instance for other in self._workers)
        if self._metering is not None and worker.instance and not is_back:
            self._metering.leave(worker.instance)

    def _hear(self, worker: _Worker, message: channel.ToHub) -> None:
        if isinstance(message, channel.Loaded):
            worker.error = message.error
            if message.error is None:
                worker.generation = message.generation
            else:
                logger.error("worker %s: %s", worker.hello.worker, message.error)
            if message.generation == worker.due_generation:
                worker.due_generation = None
        elif isinstance(message, channel.Acknowledged):
            worker.seen = max(worker.seen, message.ack)
        elif isinstance(message, channel.BenchesChanged):
            self.take(message.entries, by=worker)
            return
        elif isinstance(message, channel.PinsChanged):
            self.take_pins(message.entries, by=worker)
            return
        elif isinstance(message, channel.Metered):
            worker.instance = message.instance
            if self._metering is not None:
                self._metering.hear(message, is_here=True)
            return
        self._progress.set()

    def take(self, entries: Iterable[BenchEntry], *, by: object = None) -> int:
        """Merge benches, and pass on what is news; the number to wait for with `is_seen`."""
        news = self.board.take(entries, time.time())
        if news:
            number = self.board.number
            for worker in self._workers:
                known = () if worker is by else tuple(news)
                worker.send(channel.BenchesChanged(entries=known, ack=number))
            for told in self.told:
                told.benches(news, by)
        return self.board.number

    def take_pins(self, entries: Iterable[PinEntry], *, by: object = None) -> None:
        """Merge pins, and pass on what is news."""
        news = self.pins.take(entries, time.time())
        if not news:
            return
        message = channel.PinsChanged(entries=tuple(news))
        for worker in self._workers:
            if worker is not by:
                worker.send(message)
        for told in self.told:
            if told.pins is not None:
                told.pins(news, by)

    @property
    def workers(self) -> int:
        return len(self._workers)

    def seen(self, number: int) -> int:
        """How many workers have dealt with the board as it was at `number`."""
        return sum(worker.seen >= number for worker in self._workers)

    async def _answer(self, message: channel.ToHub) -> channel.ToClient | channel.NotAnswered:
        if isinstance(message, channel.Publish):
            return await self._answer_publish()
        if isinstance(message, channel.Status):
            return self._answer_status()
        if isinstance(message, channel.BenchesChanged):
            return channel.Sitting(entries=tuple(self.board.sitting(time.time())))
        if isinstance(message, channel.Metered) and self._metering is not None:
            return channel.MetricsTold(text=self._metrics(message, self._metering))
        if isinstance(message, channel.BenchByHand):
            return channel.Benched(entry=await self._bench(message.entry))
        if isinstance(message, channel.Release):
            return channel.Released(released=await self._release(message))
        if isinstance(message, channel.Board):
            return self._answer_board()
        return channel.NotAnswered(error="only a worker that has said hello may say this")

    async def _answer_publish(self) -> channel.Published:
        last_round = await self._publish()
        self.announce(last_round)
        await self._wait_until(lambda: all(w.due_generation is None for w in self._workers))
        refused = [
            f"worker {w.hello.worker}: {w.error or 'it has not loaded it within 2 s'}"
            for w in self._workers
            if w.error is not None or w.due_generation is not None
        ]
        if last_round.error:
            refused.insert(0, last_round.error)
        return channel.Published(generation=last_round.generation, refused=tuple(refused))

    def _answer_status(self) -> channel.StatusTold:
        return channel.StatusTold(
            generation=self._last_round.generation,
            config_errors=self._last_round.refused,
            error=self._last_round.error,
            workers=self.workers_seen(),
        )

    def _answer_board(self) -> channel.BoardTold:
        return channel.BoardTold(
            host=self.host,
            workers=self.workers,
            rows=tuple(
                channel.BoardRow(entry=entry, seen=self.seen(self.board.number_of(entry.place)))
                for entry in self.board.sitting(time.time())
            ),
        )

    def _metrics(self, told: channel.Metered, metering: Metering) -> str:
        """For a scrape of the worker that asks; its own counts come with the question."""
        is_here = any(worker.instance == told.instance for worker in self._workers)
        metering.hear(told, is_here=is_here)
        return metering.text(
            self.board.sitting(time.time()), is_config_refused=bool(self._last_round.refused)
        )

    async def _bench(self, entry: BenchEntry) -> BenchEntry:
        """Put an operator's bench on the board; it holds over the one before."""
        current = self.board.get((*entry.key, True))
        entry = by_hand(current, entry, time.time())
        await self._take_and_wait([entry])
        note_bench(entry)
        return entry

    async def _release(self, wanted: channel.Release) -> int:
        """End the benches that `wanted` names; how many there were."""
        wall = time.time()
        ended = [
            released(entry, wall, by=wanted.by, reason=wanted.reason)
            for entry in self.board.sitting(wall)
            if entry.subject == wanted.subject
            and (
                wanted.credential == entry.credential
                or (wanted.credential is None and not wanted.exact)
            )
            and wanted.manual in {None, entry.manual}
        ]
        await self._take_and_wait(ended)
        for entry in ended:
            note_bench(entry)
        return len(ended)

    async def _take_and_wait(self, entries: list[BenchEntry]) -> None:
        number = self.take(entries)
        await self._wait_until(lambda: self.seen(number) == self.workers)

    async def _wait_until(self, is_done: Callable[[], bool]) -> None:
        """Return when `is_done`, or after two seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_WITHIN_S):
                while not is_done():
                    self._progress.clear()
                    await self._progress.wait()
