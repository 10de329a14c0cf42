"""The metrics of all workers of a host, kept by the hub and on disk."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from providers.files import write_whole
from routing.gateway.records.aside import count_aside
from routing.gateway.records.record import Outcome
from routing.gateway.records.spool import SPOOL_DIR, lag_s
from routing.gateway.telemetry.ledger import Ledger
from routing.gateway.telemetry.metrics import bench_samples
from routing.gateway.telemetry.promtext import (
    COMPLETE,
    CONFIG_REFUSED,
    RECORD_LAG,
    RECORDS_DROPPED,
    REQUESTS,
    SET_ASIDE,
    WORKERS,
    render,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from failover.engine.benches import BenchEntry
    from routing.gateway.link.channel import Metered

SAVE_EVERY_S: Final = 10.0

logger = logging.getLogger("switchyard.metrics")


class Metering:
    """
    Counts that never go back: they outlive workers at once, and the control child by what was
    last saved below `data_dir`, at most ten seconds ago.
    """

    def __init__(self, data_dir: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._data_dir = data_dir
        self._file = data_dir / "run" / "metrics.json"
        self._clock = clock
        self._saved_at = clock()
        self._ledger = Ledger()
        self._lost: deque[tuple[str, str]] = deque()
        self.dropped_at: float | None = None  # Unix time: more records than before
        # The first start has no file; what cannot be read was not written by us.
        with contextlib.suppress(OSError, ValueError):
            self._ledger.restore(self._file.read_bytes())

    def hear(self, told: Metered, *, is_here: bool) -> None:
        """Take a worker's counts; `is_here` if they came by its own connection."""
        before = self._ledger.value(told.instance, RECORDS_DROPPED.name)
        self._ledger.hear(told.instance, told.counters, told.gauges if is_here else None)
        if self._ledger.value(told.instance, RECORDS_DROPPED.name) > before:
            self.dropped_at = time.time()
        if self._clock() - self._saved_at >= SAVE_EVERY_S:
            self.save()

    def note_lost(self, protocol: str, model: str) -> None:
        """A request died with its worker, which cannot count it. From any thread."""
        self._lost.append((protocol, model))

    def _count_lost(self) -> None:
        while self._lost:
            self._ledger.count(REQUESTS.name, (*self._lost.popleft(), Outcome.LOST.value), 1)

    def leave(self, instance: str) -> None:
        """The worker's connection has ended."""
        self._ledger.leave(instance)
        self.save()

    def save(self) -> None:
        self._saved_at = self._clock()
        self._count_lost()
        try:
            write_whole(self._file, self._ledger.dump(), is_durable=False)
        except OSError as error:
            logger.error("counts cannot be saved: %s", error.strerror)  # noqa: TRY400 - one line

    def text(self, benches: Iterable[BenchEntry], *, is_config_refused: bool) -> str:
        """Prometheus' text."""
        self._count_lost()
        return render(
            [
                *self._ledger.samples(),
                *bench_samples(benches),
                (CONFIG_REFUSED.name, (), (int(is_config_refused),)),
                (RECORD_LAG.name, (), (lag_s(self._data_dir),)),
                (SET_ASIDE.name, (), (count_aside(self._data_dir / SPOOL_DIR),)),
                (WORKERS.name, (), (self._ledger.present,)),
                (COMPLETE.name, (), (1,)),
            ]
        )
