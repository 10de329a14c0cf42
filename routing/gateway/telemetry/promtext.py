"""
Metrics as values, and as Prometheus' text format 0.0.4.

Every family that there is stands in FAMILIES; docs/metrics.md explains them to operators. A
sample's values are a single number, or for a histogram the count of each bucket (the last is
+Inf's, none includes another) followed by the sum. So samples of several workers add up place by
place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"
OTHER: Final = "other"  # the label of every name that operators did not write

Labels = tuple[str, ...]
Series = tuple[str, Labels]
Sample = tuple[str, Labels, tuple[float, ...]]

SECONDS: Final = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricFamily:
    """`kind` is counter, gauge or histogram; a histogram has upper bounds in `buckets`."""

    name: str
    kind: str
    text: str
    labels: Labels = ()
    buckets: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """How many values a sample has."""
        return len(self.buckets) + 2 if self.buckets else 1


def _counter(name: str, text: str, *labels: str) -> MetricFamily:
    return MetricFamily(name=f"switchyard_{name}_total", kind="counter", text=text, labels=labels)


def _gauge(name: str, text: str, *labels: str) -> MetricFamily:
    return MetricFamily(name=f"switchyard_{name}", kind="gauge", text=text, labels=labels)


def _seconds(name: str, text: str, *labels: str) -> MetricFamily:
    full = f"switchyard_{name}_seconds"
    return MetricFamily(name=full, kind="histogram", text=text, labels=labels, buckets=SECONDS)


_PROCESS: Final = ("worker", "pid")

REQUESTS: Final = _counter(
    "requests", "Inference requests that have ended.", "protocol", "model", "outcome"
)
DURATION: Final = _seconds(
    "request_duration", "From the request's arrival to its end.", "model", "stream"
)
FIRST_TOKEN: Final = _seconds(
    "time_to_first_token", "From a streamed request's arrival to its first content.", "model"
)
ATTEMPTS: Final = _counter(
    "attempts", "Calls to providers; the fault is none if it went well.",
    "provider", "model", "fault",
)  # fmt: skip
ATTEMPT_FIRST_CONTENT: Final = _seconds(
    "attempt_first_content", "From a call to its first content; plain replies come whole.",
    "provider", "model", "stream",
)  # fmt: skip
FAILOVERS: Final = _counter(
    "failovers", "Requests served by another candidate than the one first in line.",
    "model", "provider", "reason",
)  # fmt: skip
HEDGES: Final = _counter(
    "hedges", "Calls made beside one that had no content yet; won if they were first.",
    "model", "outcome",
)  # fmt: skip
TOKENS: Final = _counter("tokens", "Tokens as providers counted them.", "provider", "model", "kind")
BENCHINGS: Final = _counter("benchings", "Benches that traffic set.", "provider", "reason")
RECORDS: Final = _counter("records", "Request records written to the spool.")
RECORDS_DROPPED: Final = _counter(
    "records_dropped", "Request records for which there was no room or no disk."
)
SHED: Final = _counter("requests_shed", "Requests turned away because too many were in flight.")
KEY_LIMITED: Final = _counter("key_limited", "Requests that a key's own limits refused.", "limit")
LOG_DROPPED: Final = _counter("log_lines_dropped", "Log lines that nobody took in time.")

IN_FLIGHT: Final = _gauge("requests_in_flight", "Requests that are being served.", *_PROCESS)
STREAMS: Final = _gauge(
    "streams_open", "Those of them whose streamed answer has begun to flow.", *_PROCESS
)
WAITING: Final = _gauge("requests_waiting", "Requests that wait for a place.", *_PROCESS)
UPLOADS: Final = _gauge("requests_arriving", "Requests whose body is not whole yet.", *_PROCESS)
BODY_BYTES: Final = _gauge(
    "request_body_bytes", "Bytes of request bodies that are held against the bound.", *_PROCESS
)
GENERATION: Final = _gauge(
    "routing_generation", "Generation of the routing snapshot that a worker serves.", *_PROCESS
)
SNAPSHOT_REFUSED: Final = _gauge(
    "snapshot_refused", "1 while a worker refuses the newest snapshot.", *_PROCESS
)
RECORDS_WAITING: Final = _gauge(
    "records_waiting", "Ended requests whose record is not on the disk yet.", *_PROCESS
)
TASKS: Final = _gauge("tasks", "Tasks in a worker's event loop.", *_PROCESS)
MEMORY: Final = _gauge("worker_resident_memory_bytes", "Resident memory.", *_PROCESS)
CPU: Final = MetricFamily(
    name="switchyard_worker_cpu_seconds_total",
    kind="counter",
    text="User and system time of a worker.",
    labels=_PROCESS,
)
STARTED: Final = _gauge(
    "worker_start_time_seconds", "When a worker started, in Unix time.", *_PROCESS
)

BENCHES: Final = _gauge(
    "benches", "Endpoints, candidates and credentials that sit out or are half-open.", "reason"
)
CONFIG_REFUSED: Final = _gauge(
    "config_refused", "1 while an edit of the configuration file is refused."
)
RECORD_LAG: Final = _gauge(
    "record_lag_seconds", "Age of the oldest spool file that is not in the database yet."
)
SET_ASIDE: Final = _gauge(
    "spool_set_aside", "Things in the spool that are no files of records, and were put aside."
)
WORKERS: Final = _gauge("workers", "Workers whose numbers are in here.")
COMPLETE: Final = _gauge(
    "metrics_complete", "1: numbers of all workers of the host; 0: only of the one that answered."
)

FAMILIES: Final = (
    REQUESTS, DURATION, FIRST_TOKEN, ATTEMPTS, ATTEMPT_FIRST_CONTENT, FAILOVERS, HEDGES, TOKENS,
    BENCHINGS, BENCHES, IN_FLIGHT, STREAMS, WAITING, UPLOADS, BODY_BYTES, SHED, KEY_LIMITED,
    GENERATION, SNAPSHOT_REFUSED, CONFIG_REFUSED, RECORDS, RECORDS_DROPPED, RECORDS_WAITING,
    RECORD_LAG, SET_ASIDE, LOG_DROPPED, TASKS, MEMORY, CPU, STARTED, WORKERS, COMPLETE,
)  # fmt: skip
BY_NAME: Final[Mapping[str, MetricFamily]] = MappingProxyType({f.name: f for f in FAMILIES})


def render(samples: Iterable[Sample]) -> str:
    """The text of `samples`, sorted. Families without a sample are left out."""
    found: dict[str, list[tuple[Labels, tuple[float, ...]]]] = {}
    for name, labels, values in samples:
        found.setdefault(name, []).append((labels, values))
    lines: list[str] = []
    for family in FAMILIES:
        entries = found.get(family.name)
        if entries is None:
            continue
        lines.append(f"# HELP {family.name} {family.text}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        for labels, values in sorted(entries):
            shown = _shown(family.labels, labels)
            if family.buckets:
                _add_histogram(lines, family, shown, values)
            else:
                lines.append(f"{family.name}{_braced(shown)} {_number(values[0])}")
    lines.append("")
    return "\n".join(lines)


def _add_histogram(
    lines: list[str], family: MetricFamily, shown: str, values: tuple[float, ...]
) -> None:
    name, count = family.name, 0.0
    comma = "," if shown else ""
    for bound, value in zip((*family.buckets, "+Inf"), values, strict=False):
        count += value
        lines.append(f'{name}_bucket{{{shown}{comma}le="{bound}"}} {_number(count)}')
    lines.append(f"{name}_sum{_braced(shown)} {_number(values[-1])}")
    lines.append(f"{name}_count{_braced(shown)} {_number(count)}")


def _shown(names: Labels, values: Labels) -> str:
    pairs = zip(names, values, strict=True)
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs)


def _braced(shown: str) -> str:
    return f"{{{shown}}}" if shown else ""


def _escaped(value: str) -> str:
    text = value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return text.encode("utf-8", "replace").decode()


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
