"""Figures against goals: a Markdown table for people, JSON for later."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.processes import ROOT

RESULTS = Path(__file__).parent / "results"

Values = Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table. A goal is "at most", or "at least" where `more_is_better`."""

    figure: str
    label: str
    unit: str = ""
    digits: int = 0
    goal: float | None = None
    more_is_better: bool = False

    def is_reached(self, value: float) -> bool:
        assert self.goal is not None
        return value >= self.goal if self.more_is_better else value <= self.goal

    def shown(self, value: float) -> str:
        return f"{value:,.{self.digits}f}"


# The first two goals are the CPU time of the Go gateway of docs/performance.md on the machine
# named there; they say nothing about another machine.
ROWS = (
    Row(figure="plain_cpu_us", label="plain chat, CPU per request", unit="µs", goal=115),
    Row(figure="plain_worker_us", label="— of it in the worker", unit="µs"),
    Row(figure="plain_rate", label="plain chat, 32 connections", unit="1/s"),
    Row(figure="plain_p50_ms", label="— p50", unit="ms", digits=2),
    Row(figure="plain_p99_ms", label="— p99", unit="ms", digits=2),
    Row(figure="plain_errors", label="— failed", goal=0),
    Row(figure="stream_cpu_us", label="60-chunk stream, CPU per stream", unit="µs", goal=870),
    Row(figure="stream_worker_us", label="— of it in the worker", unit="µs"),
    Row(figure="stream_rate", label="60-chunk streams, 32 connections", unit="1/s"),
    Row(figure="stream_p50_ms", label="— p50", unit="ms", digits=2),
    Row(figure="stream_p99_ms", label="— p99", unit="ms", digits=2),
    Row(figure="stream_errors", label="— failed or without [DONE]", goal=0),
    Row(figure="paced_cpu_us", label="60 chunks 5 ms apart, CPU per stream", unit="µs"),
    Row(figure="paced_worker_us", label="— of it in the worker", unit="µs"),
    Row(figure="paced_rate", label="— 128 connections", unit="1/s"),
    Row(figure="paced_errors", label="— failed or without [DONE]", goal=0),
    Row(
        figure="failover_added_ms",
        label="failover after a 503, added at p50",
        unit="ms",
        digits=2,
        goal=20,
    ),
    Row(figure="failover_errors", label="— failed", goal=0),
    Row(
        figure="latency_p50_added_ms",
        label="300 requests/s, added at p50",
        unit="ms",
        digits=2,
        goal=1,
    ),
    Row(figure="latency_p99_added_ms", label="— at p99", unit="ms", digits=2, goal=10),
    Row(figure="latency_errors", label="— failed", goal=0),
    Row(figure="idle_mb", label="idle inference worker, resident", unit="MiB", goal=90),
    Row(
        figure="open_streams",
        label="streams open on one worker, of 1,000 at four providers",
        goal=1000,
        more_is_better=True,
    ),
    Row(figure="open_streams_mb", label="— worker, resident", unit="MiB", goal=200),
    Row(
        figure="open_streams_one_provider",
        label="— of 1,000 at a single provider",
        goal=1000,
        more_is_better=True,
    ),
    Row(figure="plan_us", label="plan(), pool of 8, table of 10", unit="µs", digits=1, goal=15),
    Row(figure="plan_of_many_us", label="— table of 10,000 pools", unit="µs", digits=1, goal=15),
    Row(figure="plan_limited_us", label="— a key with patterns", unit="µs", digits=1, goal=15),
    Row(figure="plan_weighted_us", label="— weighted_round_robin", unit="µs", digits=1, goal=15),
    Row(
        figure="plan_weighted_of_many_us",
        label="— the same, table of 10,000 pools",
        unit="µs",
        digits=1,
        goal=15,
    ),
    Row(figure="plan_benched_us", label="— one candidate benched", unit="µs", digits=1, goal=15),
    Row(
        figure="plan_weighted_benched_us",
        label="— weighted_round_robin, one benched",
        unit="µs",
        digits=1,
        goal=15,
    ),
    Row(figure="plan_session_us", label="— a session", unit="µs", digits=1, goal=15),
    Row(
        figure="plan_session_benched_us",
        label="— a session, one benched",
        unit="µs",
        digits=1,
        goal=15,
    ),
    Row(figure="plan_random_us", label="— weighted_random", unit="µs", digits=1, goal=15),
    Row(figure="plan_latency_us", label="— lowest_latency", unit="µs", digits=1, goal=15),
    Row(
        figure="forwarded_chat_us",
        label="60 chunks read in passing, without sockets: chat",
        unit="µs",
    ),
    Row(figure="forwarded_responses_us", label="— Responses", unit="µs"),
    Row(figure="forwarded_messages_us", label="— Messages", unit="µs"),
    Row(figure="forwarded_gemini_us", label="— Gemini", unit="µs"),
    Row(figure="messages_to_chat_us", label="— Messages told to a chat caller", unit="µs"),
    Row(figure="chat_to_messages_us", label="— chat told to a Messages caller", unit="µs"),
    Row(figure="chat_to_responses_us", label="— chat told to a Responses caller", unit="µs"),
    Row(figure="chat_to_gemini_us", label="— chat told to a Gemini caller", unit="µs"),
    Row(
        figure="image_translated_ms",
        label="an image of 5 MB read, counted and translated: the event loop held",
        unit="ms",
        digits=1,
        goal=15,
    ),
    Row(figure="image_forwarded_ms", label="— forwarded", unit="ms", digits=1),
    Row(
        figure="snapshot_s",
        label="snapshot of 10,000 pools of 4: encode, decode, compile",
        unit="s",
        digits=2,
        goal=3,
    ),
    Row(figure="snapshot_encode_s", label="— encode", unit="s", digits=2),
    Row(figure="snapshot_decode_s", label="— decode and check", unit="s", digits=2),
    Row(figure="snapshot_compile_s", label="— compile", unit="s", digits=2),
    Row(
        figure="snapshot_hold_ms",
        label="— event loop held while it is loaded",
        unit="ms",
        goal=20,
    ),
    Row(
        figure="snapshot_build_s",
        label="— built from the database (SQLite)",
        unit="s",
        digits=2,
        goal=3,
    ),
    Row(
        figure="snapshot_edit_s",
        label="— published after an edit of one pool",
        unit="s",
        digits=2,
    ),
    *(
        Row(figure=f"{figure}{end}", label=f"— {label} ({database})", unit="s", digits=2, goal=1)
        for figure, label in (
            ("return_preview_s", "preview of a return over 20 edits"),
            ("return_s", "the return itself"),
            ("undo_s", "and undone"),
        )
        for end, database in (("", "SQLite"), ("_postgres", "PostgreSQL"))
    ),
)


def markdown(values: Values) -> str:
    """The table: the median of the runs, their range, the goal, and whether it is reached."""
    lines = ["| | median | range | goal | |", "|---|---:|---:|---:|---|"]
    for row in ROWS:
        runs = values.get(row.figure)
        if not runs:
            continue
        median = statistics.median(runs)
        goal, verdict = "", ""
        if row.goal is not None:
            sign = "≥" if row.more_is_better else "≤"
            goal = f"{sign} {row.goal:,g} {row.unit}".strip()
            verdict = "reached" if row.is_reached(median) else "**missed**"
        value = f"{row.shown(median)} {row.unit}".strip()
        spread = f"{row.shown(min(runs))} … {row.shown(max(runs))}"
        lines.append(f"| {row.label} | {value} | {spread} | {goal} | {verdict} |")
    return "\n".join(lines)


def machine() -> dict[str, str | int | None]:
    """Where the figures come from."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "commit": _commit(),
    }


def write(values: Values, *, driver: str) -> Path:
    """Keep the figures of every run; the file's path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / time.strftime("%Y%m%d-%H%M%S.json")
    document = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "machine": machine(),
        "plain_load": driver,
        "figures": {name: list(runs) for name, runs in values.items()},
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path


def _commit() -> str | None:
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None  # no git here
    return done.stdout.strip() or None
