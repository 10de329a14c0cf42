"""
How providers are, from the database to this host's workers.

The database is asked four times a second whether anything has changed. While it is away the
workers go by what was known last, as long as that is not stale.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from django.db import connections

from controlplane.health.models import HealthVersion
from controlplane.health.statuses import standing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from controlplane.control.hub import Hub

POLL_S: Final = 0.25
READ_EVERY_S: Final = 5.0  # by a check a status may stay as it is, and go stale later

logger = logging.getLogger("switchyard.control")


class HealthWatch:
    """Tells `hub` of every status that is not stale. `clock` is monotonic, in seconds."""

    def __init__(self, hub: Hub, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._hub = hub
        self._clock = clock
        self._version = -1
        self._read_at = float("-inf")
        self._known: Mapping[str, tuple[str, float]] = {}
        self._error = ""
        # Of its own: a publish that takes seconds must keep nobody from hearing of this.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="health")

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._watch_forever(), name="health")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._thread.submit(connections.close_all)
            self._thread.shutdown(wait=False)

    async def _watch_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            told = await loop.run_in_executor(self._thread, self.look)
            if told is not None:
                self._hub.tell_health(told)
            await asyncio.sleep(POLL_S)

    def look(self) -> Mapping[str, str] | None:
        """The statuses that count now; None before any could be read. Never raises."""
        try:
            self._read()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next look tries again
            text = f"{type(error).__name__}: {error}".strip().splitlines()[0]
            if not self._error:
                logger.error("nothing new is heard of providers' health: %s", text)  # noqa: TRY400 - one line
            self._error = text
            self._version = -1
            connections.close_all()
            if self._read_at == float("-inf"):
                return None
        else:
            if self._error:
                logger.info("providers' health is heard of again")
            self._error = ""
        now = self._clock()
        return {name: status for name, (status, until) in self._known.items() if now < until}

    def _read(self) -> None:
        version = HealthVersion.objects.filter(pk=1).values_list("value", flat=True).first() or 0
        now = self._clock()
        if version == self._version and now < self._read_at + READ_EVERY_S:
            return
        self._known = {name: (status, now + for_s) for name, status, for_s in standing()}
        self._version, self._read_at = version, now
