"""
The control child: one process per DATA_DIR that keeps the published snapshot true.

`serve` starts it as `manage.py control`. Four times a second it looks whether the
configuration file or the database has moved, and publishes if so; every 15 seconds it publishes
from scratch, because `QuerySet.update()` moves no counter. Switches whose time is over end in
the same rounds. A database that is down or a broken
edit leaves the last good snapshot in place, and is tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from django.db import connections
from django.utils import timezone

from controlplane.benches.store import BenchStore
from controlplane.config.file import FileWatch, sync_file
from controlplane.control.bus import Bus
from controlplane.control.health import HealthWatch
from controlplane.control.hub import Hub, LastRound
from controlplane.control.metering import Metering
from controlplane.control.reporting import Reporter
from controlplane.control.sharing import DatabaseShare, DiskShare, KeptShare
from controlplane.control.standing_in import standing_in
from controlplane.edits.models import EditCounter
from controlplane.publishing.lock import hold_lock
from controlplane.publishing.publisher import Publication
from controlplane.records.ingest import Ingester
from providers.models import Credential, Provider
from providers.rebinding import bind_stored
from routing.gateway.link import channel
from routing.switches.state import end_expired

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from pathlib import Path

TICK_S = 0.25
REBUILD_S = 15.0
REBUILD_SHARE = 0.05  # of the time may be spent on it

logger = logging.getLogger("switchyard.control")


class Publisher:
    """
    Brings file, database and snapshot together; every method runs in one thread.

    `noticed` is called, there, as soon as an edit is found that nobody has told of.
    """

    def __init__(
        self,
        data_dir: Path,
        environ: Mapping[str, str],
        *,
        clock: Callable[[], float] = time.monotonic,
        noticed: Callable[[], None] = lambda: None,
    ) -> None:
        self._noticed = noticed
        self._publication = Publication(data_dir)
        self._environ = environ
        self._clock = clock
        self._watch = FileWatch(environ)
        self._is_file_pending = True
        self._is_binding_pending = True
        self._edits = -1
        self._is_intact = True
        self._rebuild_at = float("-inf")
        self._last_round = LastRound()

    def round(self, *, is_told: bool = False) -> LastRound:
        """
        One look at everything; `is_told` if another host said that there is something to see.

        Never raises: what fails is in the last round, and logged once.
        """
        before = self._last_round.error
        failures = [_failure_of(self._bind_secrets)]
        failures += [_failure_of(self._take_file_over), _failure_of(_end_switches)]
        undone = "; ".join(filter(None, failures))
        try:
            last_round = replace(self._look(is_told=is_told), error=undone)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next round tries again
            last_round = replace(self._last_round, error=_line(error))
            if last_round.error != before:
                logger.error("nothing can be published: %s", last_round.error)  # noqa: TRY400 - one line
            self._rebuild_at = float("-inf")
            connections.close_all()
        else:
            if undone and undone != before:
                logger.error("edits are published, but this failed: %s", undone)
            elif before and not undone:
                logger.info("publishing works again")
        self._last_round = last_round
        return last_round

    def _bind_secrets(self) -> None:
        """What was migrated without the right keys, or written by an older host meanwhile."""
        if self._is_binding_pending:
            bind_stored(Provider, Credential)
            self._is_binding_pending = False

    def _take_file_over(self) -> None:
        """Look at the file, if there is something new; what fails is tried again."""
        if not (self._watch.changed() or self._is_file_pending):
            return
        self._is_file_pending = True
        # Also if what is in the file cannot be taken over now.
        self._last_round = replace(self._last_round, config_checksum=self._watch.checksum())
        refused = self._sync()
        is_news = refused != self._last_round.refused
        at = (time.time() if is_news else self._last_round.refused_at) if refused else None
        self._last_round = replace(self._last_round, refused=refused, refused_at=at)
        self._is_file_pending = False
        self._rebuild_at = float("-inf")

    def _look(self, *, is_told: bool) -> LastRound:
        last_round = self._last_round
        # Read before building: an edit that comes in between is seen again next time.
        edits = EditCounter.objects.filter(pk=1).values_list("value", flat=True).first() or 0
        whole = self._clock() >= self._rebuild_at
        was_intact, self._is_intact = self._is_intact, self._publication.is_intact()
        if was_intact and not self._is_intact:
            logger.warning("the snapshot file is not as it was published, and is written anew")
        whole = whole or not self._is_intact
        if edits == self._edits and not whole:
            return last_round
        if edits != self._edits and not is_told:
            self._noticed()
        began = self._clock()
        snapshot = self._publication.publish(whole=whole)
        if snapshot.generation != last_round.generation:
            logger.info("published generation %d", snapshot.generation)
        self._edits = edits
        if whole:
            took = self._clock() - began
            self._rebuild_at = self._clock() + max(REBUILD_S, took / REBUILD_SHARE)
        return replace(last_round, generation=snapshot.generation)

    def _sync(self) -> tuple[str, ...]:
        """Take the configuration over; the mistakes if it was refused."""
        return tuple(sync_file(self._environ).errors)


def _end_switches() -> None:
    end_expired(timezone.now())


def _failure_of(part: Callable[[], None]) -> str:
    """Do what must keep nobody's edit from being published; how it failed, "" if it did not."""
    try:
        part()
    except Exception as error:  # noqa: BLE001 - as in round()
        return _line(error)
    return ""


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip().splitlines()[0]


async def control(data_dir: Path, environ: Mapping[str, str]) -> None:
    """Run until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopping.set)
    with hold_lock(data_dir) as lock:
        while not lock.is_ours():  # another `serve` has this DATA_DIR; stand by for it
            if await _is_set_within(TICK_S, stopping):
                return
        metering = Metering(data_dir)
        # One thread, so that one database connection serves all rounds, and none overlap.
        with (
            _ingesting(data_dir, metering),
            standing_in(),
            ThreadPoolExecutor(max_workers=1, thread_name_prefix="publisher") as thread,
        ):

            async def look() -> LastRound:
                is_told = hub.edited.is_set()
                hub.edited.clear()
                call = partial(publisher.round, is_told=is_told)
                return await loop.run_in_executor(thread, call)

            def noticed() -> None:
                loop.call_soon_threadsafe(hub.tell_edit)

            hub = Hub(channel.claim_socket_path(data_dir), look, metering)
            make = partial(Publisher, data_dir, environ, noticed=noticed)
            publisher = await loop.run_in_executor(thread, make)
            reporter = Reporter(hub, data_dir, environ)
            async with (
                _sharing(hub, data_dir, environ),
                reporter.reporting(),
                HealthWatch(hub).watching(),
            ):
                await hub.start()
                try:
                    while not stopping.is_set():
                        hub.announce(await look())
                        await _is_set_within(TICK_S, stopping, hub.edited)
                finally:
                    await hub.aclose()
                    channel.give_up_socket_path(data_dir)


@contextlib.asynccontextmanager
async def _sharing(hub: Hub, data_dir: Path, environ: Mapping[str, str]) -> AsyncIterator[None]:
    """The ways by which `hub` knows what others do, and others what it does."""
    disk, kept = DiskShare(hub, data_dir), KeptShare(hub, data_dir)
    hub.host = f"{socket.gethostname()} {secrets.token_hex(4)}"
    database = DatabaseShare(hub, BenchStore(hub.host))
    bus = None
    if url := environ.get("REDIS_URL"):
        try:
            bus = Bus(url, hub)
            bus.start()
        except ValueError as error:
            logger.error("benches are not shared by Redis: %s", error)  # noqa: TRY400 - one line
    await database.start()
    try:
        yield
    finally:
        if bus is not None:
            await bus.aclose()
        await database.aclose()
        disk.close()
        kept.close()


@contextlib.contextmanager
def _ingesting(data_dir: Path, metering: Metering) -> Iterator[None]:
    """Request records go into the database meanwhile; at the end, the batch under way does."""
    ingester = Ingester(data_dir, note_lost=metering.note_lost)
    thread = threading.Thread(target=ingester.run, args=(TICK_S,), name="ingest")
    thread.start()
    try:
        yield
    finally:
        ingester.stop()
        thread.join()


async def _is_set_within(limit_s: float, *events: asyncio.Event) -> bool:
    """Wait for any of `events`; whether one came within the time."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    done, _late = await asyncio.wait(waits, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    return bool(done)
