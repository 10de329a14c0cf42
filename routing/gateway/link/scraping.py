"""/metrics: what a worker tells of itself, and how it learns what the others tell."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from routing.gateway.auth import authenticate
from routing.gateway.errors import Refused, not_ready
from routing.gateway.link import channel
from routing.gateway.records.aside import count_aside
from routing.gateway.records.spool import SPOOL_DIR, lag_s
from routing.gateway.telemetry.logs import LineHandler
from routing.gateway.telemetry.metrics import bench_samples, process_samples
from routing.gateway.telemetry.promtext import (
    BODY_BYTES,
    COMPLETE,
    GENERATION,
    IN_FLIGHT,
    LOG_DROPPED,
    RECORD_LAG,
    RECORDS,
    RECORDS_DROPPED,
    RECORDS_WAITING,
    SET_ASIDE,
    SHED,
    SNAPSHOT_REFUSED,
    STREAMS,
    TASKS,
    UPLOADS,
    WAITING,
    WORKERS,
    Sample,
    render,
)

if TYPE_CHECKING:
    from routing.gateway.app import Gateway

PUBLIC: Final = "METRICS_PUBLIC"
ANSWER_WITHIN_S: Final = 1.0
_YES: Final = frozenset({"1", "on", "true", "yes"})


class WorkerMetrics:
    """The counts of one worker, for the hub of its host and for whoever scrapes the worker."""

    def __init__(
        self,
        gateway: Gateway,
        data_dir: Path,
        *,
        worker: str,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._gateway = gateway
        self._data_dir = data_dir
        self._labels = (worker, str(os.getpid()))
        public = (os.environ if environ is None else environ).get(PUBLIC, "")
        self._is_public = public.strip().lower() in _YES
        self.note_bench = gateway.meter.note_bench

    def all(self) -> channel.Metered:
        gauges = self._gauges()
        meter = self._gateway.meter
        return channel.Metered(instance=meter.instance, counters=meter.samples(), gauges=gauges)

    def news(self) -> channel.Metered:
        """Those that have moved since this was last asked."""
        gauges = self._gauges()
        meter = self._gateway.meter
        return channel.Metered(instance=meter.instance, counters=meter.news(), gauges=gauges)

    async def scrape(self, headers: Mapping[bytes, bytes]) -> str:
        """
        The metrics of all workers, or of this one alone if the control child is away.

        They tell of models and traffic, so they are for operators unless these say otherwise.
        Raises Refused, or GatewayError without a routing table.
        """
        gateway = self._gateway
        if not self._is_public:
            self._authenticate(headers)
        told = self.all()
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await self._ask(told)
        except (OSError, ValueError):
            pass  # away, or not well (TimeoutError is an OSError): better one worker than none
        return render(
            [
                *told.counters,
                *told.gauges,
                *bench_samples(gateway.benches.entries(gateway.clock())),
                (RECORD_LAG.name, (), (lag_s(self._data_dir),)),
                (SET_ASIDE.name, (), (count_aside(self._data_dir / SPOOL_DIR),)),
                (WORKERS.name, (), (1,)),
                (COMPLETE.name, (), (0,)),
            ]
        )

    def _authenticate(self, headers: Mapping[bytes, bytes]) -> None:
        table = self._gateway.table
        keys = table.keys if table is not None else {}
        try:
            authenticate(headers, keys, master=self._gateway.master, now=time.time(), scope="admin")
        except Refused:
            if table is None:  # the key may be a good one
                raise not_ready() from None
            raise

    async def _ask(self, told: channel.Metered) -> str:
        path = channel.socket_path(self._data_dir)
        reader, writer = await asyncio.open_unix_connection(path, limit=channel.LINE_LIMIT)
        try:
            writer.write(channel.line(told))
            answer = channel.read_by_client(await reader.readline(), channel.MetricsTold)
            return answer.text
        finally:
            writer.close()

    def _gauges(self) -> tuple[Sample, ...]:
        """What the worker is like at this moment. Takes over what others count, too."""
        gateway, labels = self._gateway, self._labels
        meter, recorder, admission = gateway.meter, gateway.recorder, gateway.admission
        meter.put(RECORDS, recorder.counters.recorded)
        meter.put(RECORDS_DROPPED, recorder.counters.dropped)
        meter.put(SHED, admission.shed)
        meter.put(LOG_DROPPED, _log_lines_dropped())
        return (
            (IN_FLIGHT.name, labels, (admission.in_flight + admission.streams,)),
            (STREAMS.name, labels, (admission.streams,)),
            (WAITING.name, labels, (admission.waiting,)),
            (UPLOADS.name, labels, (gateway.intake.reading,)),
            (BODY_BYTES.name, labels, (gateway.intake.held_bytes,)),
            (GENERATION.name, labels, (gateway.table.generation if gateway.table else 0,)),
            (SNAPSHOT_REFUSED.name, labels, (int(bool(gateway.status.get("snapshot_error"))),)),
            (RECORDS_WAITING.name, labels, (recorder.lag,)),
            (TASKS.name, labels, (len(asyncio.all_tasks()),)),
            *process_samples(labels),
        )


def _log_lines_dropped() -> int:
    handlers = logging.getLogger().handlers
    return sum(handler.dropped for handler in handlers if isinstance(handler, LineHandler))
