"""Processes that a benchmark starts, and what the kernel says of them."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
PROC = Path("/proc")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
STOP_S = 10.0
QUIET_STEP_S, QUIET_SHARE = 0.3, 0.05


class BenchmarkFailed(Exception):
    """A part of the benchmark cannot be done; the text says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One live process. `cpu_s` is user and system time, its reaped children's included."""

    pid: int
    parent: int
    cpu_s: float
    rss_bytes: int


def tree(root: int) -> list[Process]:
    """`root` and all its live descendants."""
    table = {process.pid: process for process in _processes()}
    if root not in table:
        raise BenchmarkFailed(f"process {root} has ended")
    found, last = [table[root]], {root}
    while last:
        children = [process for process in table.values() if process.parent in last]
        found += children
        last = {process.pid for process in children}
    return found


def cpu_s(root: int) -> float:
    """User and system seconds that the tree has used so far, with children that have ended."""
    return sum(process.cpu_s for process in tree(root))


def wait_until_quiet(root: int, limit_s: float = 15.0) -> None:
    """
    Wait until the tree uses less than 5 % of a core, or `limit_s`.

    What a gateway still does after its last answer (recording above all) was caused by the
    requests, and is to be paid for by them.
    """
    deadline = time.monotonic() + limit_s
    before = cpu_s(root)
    while time.monotonic() < deadline:
        time.sleep(QUIET_STEP_S)
        now = cpu_s(root)
        if now - before < QUIET_STEP_S * QUIET_SHARE:
            return
        before = now


def allow_many_files() -> None:
    """Raise the soft limit of open files, for this process and those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 20_000 if hard == resource.RLIM_INFINITY else min(20_000, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextmanager
def started(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdout: IO[bytes] | int | None = None,
    stdin: int | None = subprocess.DEVNULL,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `argv` from the root of the checkout, and end it with the block, however that ends."""
    process = subprocess.Popen(
        list(argv),
        cwd=ROOT,
        env=dict(env) if env is not None else None,
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.STDOUT if stdout not in (None, subprocess.PIPE) else None,
    )
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes], signum: int = signal.SIGTERM) -> None:
    """Ask it to end; kill it if it does not."""
    if process.poll() is None:
        process.send_signal(signum)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _processes() -> Iterator[Process]:
    if not (PROC / "self" / "stat").exists():
        yield from _processes_of_ps()
        return
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue  # it ended while we looked
        yield Process(
            pid=int(entry.name),
            parent=int(fields[1]),
            cpu_s=sum(int(ticks) for ticks in fields[11:15]) / TICKS_PER_S,
            rss_bytes=int(fields[21]) * PAGE_BYTES,
        )


def _processes_of_ps() -> Iterator[Process]:
    """For systems without /proc. Its times do not include children that have ended."""
    done = subprocess.run(
        ["ps", "-ax", "-o", "pid=,ppid=,rss=,time="], capture_output=True, text=True, check=True
    )
    for line in done.stdout.splitlines():
        pid, parent, rss, used = line.split()
        yield Process(
            pid=int(pid), parent=int(parent), cpu_s=seconds_of(used), rss_bytes=int(rss) * 1024
        )


def seconds_of(used: str) -> float:
    """`ps`'s CPU time: [[dd-]hh:]mm:ss[.cc]."""
    days, _, rest = used.rpartition("-")
    total = 0.0
    for part in rest.split(":"):
        total = total * 60 + float(part)
    return total + 86_400 * int(days or 0)
