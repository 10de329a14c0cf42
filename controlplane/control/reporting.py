"""
This host's word to the others about its processes, and theirs to this one: by the database.

A host that tells nothing for ten seconds counts as silent, and is forgotten after an hour. While
the database is away, workers hear what was known last, with this host as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec
from django.db import connections
from django.db.models.functions import Now

from controlplane.config.file import VARIABLE
from controlplane.hosts.fleet import fleet
from controlplane.hosts.models import HostReport
from providers.secrets.encryption import load_keyring, read_or_create
from routing.gateway.link.channel import RUN_DIR
from routing.gateway.link.children import read_children
from routing.gateway.link.fleet import Fleet, HostSeen, judge
from routing.gateway.link.version import VERSION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from controlplane.control.hub import Hub

TICK_S: Final = 0.25
LOOK_EVERY_S: Final = 1.0  # if there is no news here
TELL_EVERY_S: Final = 3.0  # as above
PRUNE_EVERY_S: Final = 60.0
FORGET_AFTER: Final = timedelta(hours=1)
LAST_WORD_S: Final = 2.0

logger = logging.getLogger("switchyard.control")
_encode = msgspec.json.Encoder().encode


class Reporter:
    """Tells of `hub`'s host, and has its workers know of all hosts."""

    def __init__(self, hub: Hub, data_dir: Path, environ: Mapping[str, str]) -> None:
        self._hub = hub
        self._data_dir = data_dir
        host = socket.gethostname()
        # A folder may be a copy of another host's, and hosts of one name may share none.
        token = read_or_create(data_dir / RUN_DIR / "host", lambda: secrets.token_hex(4))
        self._same = HostSeen(
            id=f"{host} {token}"[:200],
            host=host,
            data_dir=str(data_dir),
            pid=os.getpid(),
            version=VERSION,
            config_file=environ.get(VARIABLE, "").strip(),
            keys_fingerprint=load_keyring(environ, data_dir).fingerprint,
        )
        self._told: HostSeen | None = None
        self._tell_at = float("-inf")
        self._prune_at = float("-inf")
        self._known = Fleet()
        self._known_at = 0.0
        self._error = ""
        # Of its own: neither a publish that takes seconds nor ingest must make a host seem silent.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="report")

    @contextlib.asynccontextmanager
    async def reporting(self) -> AsyncIterator[None]:
        """Meanwhile; at the end the host takes its leave."""
        task = asyncio.create_task(self._report_forever(), name="report")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            loop = asyncio.get_running_loop()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORD_S):
                    await loop.run_in_executor(self._thread, self._leave)
            self._thread.shutdown(wait=False)

    async def _report_forever(self) -> None:
        loop = asyncio.get_running_loop()
        looked: HostSeen | None = None
        look_at = 0.0
        while True:
            mine = self._mine()
            if mine != looked or time.monotonic() >= look_at:
                looked, look_at = mine, time.monotonic() + LOOK_EVERY_S
                self._hub.tell_fleet(await loop.run_in_executor(self._thread, self._exchange, mine))
            await asyncio.sleep(TICK_S)

    def _mine(self) -> HostSeen:
        last_round = self._hub.last_round
        return msgspec.structs.replace(
            self._same,
            generation=last_round.generation,
            config_checksum=last_round.config_checksum,
            refused=last_round.refused,
            refused_at=last_round.refused_at,
            error=last_round.error,
            dropped_at=self._hub.dropped_at,
            expected_workers=self._hub.expected_workers,
            workers=self._hub.workers_seen(),
            children=read_children(self._data_dir),
        )

    def _exchange(self, mine: HostSeen) -> Fleet:
        """Tell what is news, and look. Never raises: without the database this host knows less."""
        try:
            if mine != self._told or time.monotonic() >= self._tell_at:
                self._tell(mine)
            self._known, self._known_at = fleet(), time.monotonic()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next round tries again
            text = f"{type(error).__name__}: {error}".strip().splitlines()[0]
            if not self._error:
                logger.error("other hosts are not seen: %s", text)  # noqa: TRY400 - one line
            self._error = text
            self._told = None
            connections.close_all()
            return self._alone(mine)
        if self._error:
            logger.info("other hosts are seen again")
            self._error = ""
        return self._known

    def _tell(self, mine: HostSeen) -> None:
        report = _encode(mine).decode()
        rows = HostReport.objects.filter(host=mine.id)
        if not rows.update(report=report, seen_at=Now()):
            HostReport.objects.create(host=mine.id, report=report, seen_at=Now())
        self._told = mine
        self._tell_at = time.monotonic() + TELL_EVERY_S
        if time.monotonic() >= self._prune_at:
            HostReport.objects.filter(seen_at__lt=Now() - FORGET_AFTER).delete()
            self._prune_at = time.monotonic() + PRUNE_EVERY_S

    def _alone(self, mine: HostSeen) -> Fleet:
        """What was known last, with this host as it is, and the others as long silent as so."""
        passed_s = round(time.monotonic() - self._known_at, 1) if self._known.hosts else 0.0
        others = [
            msgspec.structs.replace(host, silent_s=host.silent_s + passed_s)
            for host in self._known.hosts
            if host.id != mine.id
        ]
        newest = max((w.generation or 0 for w in mine.workers), default=0)
        newest = max(newest, mine.generation or 0, self._known.generation or 0)
        return judge([mine, *others], [(newest, time.time())] if newest else [], time.time())

    def _leave(self) -> None:
        with contextlib.suppress(Exception):  # then others see that this host is silent
            HostReport.objects.filter(host=self._same.id).delete()
        connections.close_all()
