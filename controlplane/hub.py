"""
The hub of one host: workers hear here of snapshots and of each other's benches.

Runs in the control child's event loop. Views and commands ask it by controlplane.poke; the
messages stand in routing.gateway.channel.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from failover.engine.benches import BenchEntry, Key, newer
from routing.gateway import channel
from routing.gateway.failure_log import note_bench

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from pathlib import Path

    from controlplane.metering import Metering

ANSWER_WITHIN_S = 2.0
BACKLOG_LIMIT = 64 * 1024 * 1024  # of bytes that a worker has not read; it is met afresh then
REMEMBERED_S = 3600.0  # earlier benches count for an hour, and so do releases

logger = logging.getLogger("switchyard.hub")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """
    What the control child last did.

    `generation` is the one on disk, None before the first. `refused` are the mistakes of an edit
    of the configuration file, `error` is what kept the last round from publishing ("" nothing).
    """

    generation: int | None = None
    refused: tuple[str, ...] = ()
    error: str = ""


@dataclass(slots=True, eq=False)
class _Worker:
    """A connected worker. `due` is what it owes an answer for: a generation, and acks."""

    hello: channel.Hello
    writer: asyncio.StreamWriter
    instance: str = ""
    generation: int | None = None
    error: str | None = None
    due_generation: int | None = None
    due_acks: set[int] = field(default_factory=set)

    def send(self, message: channel.ToWorker) -> None:
        if self.writer.transport.get_write_buffer_size() > BACKLOG_LIMIT:
            self.writer.transport.abort()
            return
        self.writer.write(channel.line(message))


class Hub:
    """
    Listens at `path`. `publish` makes the database's state the published one and returns the
    standing after that; it never raises. Without `metering` nobody's counts are kept.
    """

    def __init__(
        self,
        path: Path,
        publish: Callable[[], Awaitable[Standing]],
        metering: Metering | None = None,
    ) -> None:
        self._path = path
        self._publish = publish
        self._metering = metering
        self._standing = Standing()
        self._workers: list[_Worker] = []
        self._board: dict[Key, BenchEntry] = {}
        self._acks = 0
        self._progress = asyncio.Event()
        self._connections: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        self._server: asyncio.Server | None = None

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

    def announce(self, standing: Standing) -> None:
        """Tell every worker, if something is new."""
        if standing == self._standing:
            return
        self._standing = standing
        for worker in self._workers:
            self._announce_to(worker)

    def _announce_to(self, worker: _Worker) -> None:
        standing = self._standing
        worker.due_generation = standing.generation
        worker.send(
            channel.Announced(
                generation=standing.generation, refused=standing.refused, error=standing.error
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
            writer.write(channel.line({"error": str(error)}))
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
        self._announce_to(worker)
        self._forget_old_benches()
        if self._board:
            worker.send(channel.BenchesChanged(entries=tuple(self._board.values())))
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
            worker.due_acks.discard(message.ack)
        elif isinstance(message, channel.BenchesChanged):
            self._share(message.entries, told_by=worker)
            return
        elif isinstance(message, channel.Metered):
            worker.instance = message.instance
            if self._metering is not None:
                self._metering.hear(message, is_here=True)
            return
        self._progress.set()

    def _share(
        self, entries: Iterable[BenchEntry], *, told_by: _Worker | None = None, ack: int = 0
    ) -> None:
        """Take the entries that are news to the board, and pass those on."""
        news = []
        for entry in entries:
            current = self._board.get(entry.key)
            if newer(current, entry) is not current:
                self._board[entry.key] = entry
                news.append(entry)
        if not news:
            return
        message = channel.BenchesChanged(entries=tuple(news), ack=ack)
        for worker in self._workers:
            if worker is not told_by:
                worker.send(message)
                if ack:
                    worker.due_acks.add(ack)

    def _forget_old_benches(self) -> None:
        oldest = time.time() - REMEMBERED_S
        self._board = {key: e for key, e in self._board.items() if e.until > oldest}

    async def _answer(self, message: channel.ToHub) -> dict[str, Any]:
        if isinstance(message, channel.Publish):
            return await self._answer_publish()
        if isinstance(message, channel.Status):
            return self._answer_status()
        if isinstance(message, channel.BenchesChanged):
            return {"entries": self._sitting()}
        if isinstance(message, channel.Metered) and self._metering is not None:
            return {"text": self._metrics(message, self._metering)}
        if isinstance(message, channel.BenchByHand):
            return {"entry": await self._bench(message.entry)}
        if isinstance(message, channel.Release):
            return {"released": await self._release(message)}
        return {"error": "only a worker that has said hello may say this"}

    async def _answer_publish(self) -> dict[str, Any]:
        standing = await self._publish()
        self.announce(standing)
        await self._wait_until(lambda: all(w.due_generation is None for w in self._workers))
        refused = [
            f"worker {w.hello.worker}: {w.error}" for w in self._workers if w.error is not None
        ]
        if standing.error:
            refused.insert(0, standing.error)
        return {"generation": standing.generation, "refused": refused}

    def _answer_status(self) -> dict[str, Any]:
        return {
            "generation": self._standing.generation,
            "config_errors": self._standing.refused,
            "error": self._standing.error,
            "workers": [
                {
                    "worker": w.hello.worker,
                    "pid": w.hello.pid,
                    "plane": w.hello.plane,
                    "generation": w.generation,
                    "error": w.error,
                }
                for w in sorted(self._workers, key=lambda w: (w.hello.worker, w.hello.pid))
            ],
        }

    def _sitting(self) -> list[BenchEntry]:
        """
        Who sits out, or may be half-open, sorted.

        A bench that traffic made stays on the board after its time until somebody releases it,
        as half-open, for as long as benches are remembered; a manual one ends with its time.
        """
        self._forget_old_benches()
        now = time.time()
        live = [
            e for e in self._board.values() if not e.released and (now < e.until or not e.manual)
        ]
        return sorted(live, key=lambda e: (e.subject, e.credential or ""))

    def _metrics(self, told: channel.Metered, metering: Metering) -> str:
        """For a scrape of the worker that asks; its own counts come with the question."""
        is_here = any(worker.instance == told.instance for worker in self._workers)
        metering.hear(told, is_here=is_here)
        return metering.text(self._sitting(), is_config_refused=bool(self._standing.refused))

    async def _bench(self, entry: BenchEntry) -> BenchEntry:
        """Put a manual bench on the board; it holds over whatever is there."""
        current = self._board.get(entry.key)
        epoch = current.epoch + 1 if current else entry.epoch
        entry = msgspec.structs.replace(entry, epoch=epoch, manual=True, released=False)
        await self._share_and_wait([entry])
        note_bench(entry)
        return entry

    async def _release(self, wanted: channel.Release) -> int:
        """End the benches that `wanted` names; how many there were."""
        now = time.time()
        ended = [
            msgspec.structs.replace(e, epoch=e.epoch + 1, released=True, until=now)
            for e in self._sitting()
            if e.subject == wanted.subject and wanted.credential in {None, e.credential}
        ]
        await self._share_and_wait(ended)
        for entry in ended:
            note_bench(entry)
        return len(ended)

    async def _share_and_wait(self, entries: list[BenchEntry]) -> None:
        self._acks += 1
        ack = self._acks
        self._share(entries, ack=ack)
        await self._wait_until(lambda: all(ack not in w.due_acks for w in self._workers))

    async def _wait_until(self, is_done: Callable[[], bool]) -> None:
        """Return when `is_done`, or after two seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_WITHIN_S):
                while not is_done():
                    self._progress.clear()
                    await self._progress.wait()
