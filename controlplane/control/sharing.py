"""
Benches between this host's hub and the database; they, and what providers keep, onto its disk.

The database is asked four times a second and written to at once. While it is away the hub goes on
with what it has, and what happened meanwhile is put in as soon as it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

from django.db import connections

from controlplane.benches.store import BenchStore
from controlplane.control.board import PINS_KEPT
from controlplane.control.bus import Bus
from controlplane.control.hub import Told
from routing.gateway.deciding.affinity import STATE
from routing.gateway.link import channel
from routing.gateway.link.kept import append_kept, read_kept, write_kept

if TYPE_CHECKING:
    from pathlib import Path

    from controlplane.control.hub import Hub
    from failover.engine.bench_entries import BenchEntry, Place
    from routing.gateway.deciding.affinity import PinEntry

POLL_S: Final = 0.25
WRITE_EVERY_S: Final = 0.02  # what comes together is written together
SAVE_EVERY_S: Final = 0.1
SAVE_SHARE: Final = 20  # times what it takes; a large board is written less often
KEPT_EVERY_S: Final = 0.1
KEPT_LINES: Final = 2 * PINS_KEPT  # half of them past, it is time to write the file anew
AWAY_POLL_S: Final = 0.5
FIRST_READ_S: Final = 2.0
LAST_WRITE_S: Final = 2.0

T = TypeVar("T")

logger = logging.getLogger("switchyard.control")


class DatabaseShare:
    """Benches of `hub`, by way of `store`, both ways."""

    def __init__(self, hub: Hub, store: BenchStore) -> None:
        self._hub = hub
        self._store = store
        self._ours: dict[Place, BenchEntry] = {}
        self._due = asyncio.Event()
        self._error = ""
        # Of its own: a publish that takes seconds, or ingest, must not hold benches up.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="benches")
        self._task: asyncio.Task[None] | None = None
        hub.told.append(Told(benches=self._hear))

    async def start(self) -> None:
        """Read what is known, for a moment before anybody is served, and go on from there."""
        self._task = asyncio.create_task(self._exchange_forever(), name="benches")
        first = asyncio.create_task(self._wait_for_first())
        await asyncio.wait([first], timeout=FIRST_READ_S)
        first.cancel()

    async def aclose(self) -> None:
        """Write what is left, if that is quickly done."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WRITE_S):
                await self._exchange()
                await self._run(self._leave)
                await self._run(connections.close_all)
        self._thread.shutdown(wait=False)

    def _hear(self, news: Sequence[BenchEntry], by: object) -> None:
        if by is self:
            return
        self._ours.update((entry.place, entry) for entry in news)
        if not isinstance(by, Bus):
            self._due.set()  # else the host that it came from writes it; if not, the next round

    async def _wait_for_first(self) -> None:
        while self._store.version < 0 and not self._error:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(WRITE_EVERY_S)

    async def _exchange_forever(self) -> None:
        while True:
            await self._exchange()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(AWAY_POLL_S if self._error else POLL_S):
                    await self._due.wait()
            if self._error:
                await asyncio.sleep(AWAY_POLL_S)  # a burst of benches must not knock in vain
            elif self._due.is_set():
                await asyncio.sleep(WRITE_EVERY_S)
            self._due.clear()

    async def _exchange(self) -> None:
        ours, self._ours = self._ours, {}
        everything = self._hub.board.everything(time.time())
        try:
            theirs = await self._run(self._store.exchange, list(ours.values()), lambda: everything)
            number = self._hub.take(theirs, by=self)
            if self._hub.workers and self._hub.seen(number) == self._hub.workers:
                await self._run(self._store.tell, self._store.version, self._hub.workers)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next round tries again
            self._ours = {**ours, **self._ours}
            text = f"{type(error).__name__}: {error}".strip().splitlines()[0]
            if not self._error:
                logger.error("benches go without the database: %s", text)  # noqa: TRY400 - one line
            self._error = text
            await self._run(connections.close_all)
            return
        if self._error:
            logger.info("benches are in the database again")
            self._error = ""

    def _leave(self) -> None:
        with contextlib.suppress(Exception):  # then others see that this host tells nothing more
            self._store.leave()

    async def _run(self, what: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, what, *arguments)


class DiskShare:
    """What `hub` knows of benches, kept where workers look before there is a hub."""

    def __init__(self, hub: Hub, data_dir: Path) -> None:
        self._hub = hub
        self._data_dir = data_dir
        self._timer: asyncio.TimerHandle | None = None
        self._error = ""
        self._took_s = 0.0
        hub.take(channel.read_benches(data_dir), by=self)
        hub.told.append(Told(benches=self._hear))

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._save()

    def _hear(self, news: Sequence[BenchEntry], by: object) -> None:
        del news, by  # all of it is written
        if self._timer is None:
            every_s = max(SAVE_EVERY_S, SAVE_SHARE * self._took_s)
            self._timer = asyncio.get_running_loop().call_later(every_s, self._save)

    def _save(self) -> None:
        self._timer = None
        began = time.monotonic()
        try:
            channel.write_benches(self._data_dir, self._hub.board.everything(time.time()))
        except OSError as error:
            if not self._error:
                logger.error("benches cannot be written to disk: %s", error)  # noqa: TRY400
            self._error = str(error)
        else:
            self._error = ""
        self._took_s = time.monotonic() - began


class KeptShare:
    """What providers keep for callers, as `hub` knows it, on the disk for the next start."""

    def __init__(self, hub: Hub, data_dir: Path) -> None:
        self._hub = hub
        self._data_dir = data_dir
        self._timer: asyncio.TimerHandle | None = None
        self._error = ""
        self._news: list[PinEntry] = []
        kept = read_kept(data_dir)
        self._lines = KEPT_LINES if kept else 0  # written anew first: its end may be torn
        hub.take_pins(kept, by=self)
        hub.told.append(Told(benches=lambda _news, _by: None, pins=self._hear))

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._save()

    def _hear(self, news: Sequence[PinEntry], by: object) -> None:
        del by
        self._news += [entry for entry in news if entry.pool == STATE]
        if self._news and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(KEPT_EVERY_S, self._save)

    def _save(self) -> None:
        self._timer = None
        news, self._news = self._news, []
        try:
            if self._lines + len(news) > KEPT_LINES:
                whole = [e for e in self._hub.pins.everything(time.time()) if e.pool == STATE]
                write_kept(self._data_dir, whole)
                self._lines = len(whole)
            else:
                append_kept(self._data_dir, news)
                self._lines += len(news)
        except OSError as error:
            if not self._error:
                logger.error("ids that providers keep cannot be written to disk: %s", error)  # noqa: TRY400
            self._error = str(error)
            self._lines = KEPT_LINES  # what was missed is written with the whole
        else:
            self._error = ""
