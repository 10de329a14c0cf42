"""Counts that real processes share through a file."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from routing.gateway.keylimits.counters import REQUESTS, Full, KeyCounters, Quota
from tests.support.gateways import ROOT
from tests.support.processes import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = sha256(b"key").digest()
NOW = time.monotonic()
WORKER = """
import sys
from hashlib import sha256
from pathlib import Path
from routing.gateway.keylimits.counters import KeyCounters, Quota

now = float(sys.argv[2])  # the same for all: while time passes, a limit fills up again
tries = int(sys.argv[3])
counters = KeyCounters(Path(sys.argv[1]), clock=lambda: now, **({"tries": tries} if tries else {}))
key = sha256(b"key").digest()
print("ready", flush=True)
for line in sys.stdin:
    rpm, parallel, times = (int(word) for word in line.split())
    quota = Quota(rpm=rpm or None, max_parallel=parallel or None)
    print(sum(not counters.take(key, quota, 0).stopped for _ in range(times)), flush=True)
"""
HOLDER = """
import fcntl, os, sys, time
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.lockf(fd, fcntl.LOCK_EX, 8192, 0)
print("held", flush=True)
time.sleep(60)
"""


class Worker:
    def __init__(self, file: Path, tries: int = 0) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(file), str(NOW), str(tries)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - no thread of ours holds a lock
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def ask(self, *, times: int, rpm: int = 0, parallel: int = 0) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"%d %d %d\n" % (rpm, parallel, times))
        self.process.stdin.flush()

    def admitted(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def end(self, signum: int) -> None:
        self.process.send_signal(signum)
        self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "limits"


@pytest.fixture
def workers(file: Path) -> Iterator[list[Worker]]:
    made = [Worker(file) for _ in range(3)]
    yield made
    for worker in made:
        if worker.process.returncode is None:
            worker.end(signal.SIGKILL)


def test_three_workers_at_once_admit_exactly_the_limit(file: Path) -> None:
    # On a busy machine a worker may be stopped in the middle of a row: here the others wait.
    workers = [Worker(file, tries=1_000_000) for _ in range(3)]
    for worker in workers:
        worker.ask(rpm=5000, times=4000)
    assert sum(worker.admitted() for worker in workers) == 5000
    for worker in workers:
        worker.end(signal.SIGKILL)


def test_a_limit_smaller_than_the_number_of_workers_is_kept(workers: list[Worker]) -> None:
    for worker in workers:
        worker.ask(rpm=1, times=50)
    assert sum(worker.admitted() for worker in workers) == 1


def test_what_a_killed_worker_held_is_free_again(workers: list[Worker], file: Path) -> None:
    dead, alive, other = workers
    dead.ask(parallel=5, times=4)
    alive.ask(parallel=5, times=0)
    assert dead.admitted() == 4
    assert alive.admitted() == 0
    other.ask(parallel=5, times=9)
    assert other.admitted() == 1
    dead.end(signal.SIGKILL)
    alive.ask(parallel=5, times=9)
    assert alive.admitted() == 4


def test_who_follows_a_killed_worker_begins_with_nothing(workers: list[Worker], file: Path) -> None:
    workers[0].ask(parallel=5, times=4)
    assert workers[0].admitted() == 4
    workers[0].end(signal.SIGKILL)
    follower = Worker(file)
    follower.ask(parallel=5, times=9)
    assert follower.admitted() == 5
    follower.end(signal.SIGKILL)


def test_counts_outlive_the_processes_that_made_them(workers: list[Worker], file: Path) -> None:
    for worker in workers:
        worker.ask(rpm=10, times=3)
        assert worker.admitted() == 3
        worker.end(signal.SIGTERM)
    late = Worker(file)
    late.ask(rpm=10, times=9)
    assert late.admitted() == 1
    late.end(signal.SIGKILL)


def test_a_worker_that_stands_still_holds_up_no_other(workers: list[Worker]) -> None:
    still, going, _ = workers
    for _ in range(5):  # sometimes it is stopped while it holds the row
        still.ask(rpm=10_000_000, times=10_000)
        os.kill(still.process.pid, signal.SIGSTOP)
        going.ask(rpm=10_000_000, times=2_000)
        assert going.admitted() == 2_000
        os.kill(still.process.pid, signal.SIGCONT)
        assert still.admitted() == 10_000


def test_the_file_is_for_its_owner_alone_and_takes_little_of_the_disk(file: Path) -> None:
    counters = KeyCounters(file)
    counters.take(KEY, Quota(rpm=1), 0)
    counters.close()
    status = file.stat()
    assert status.st_mode & 0o777 == 0o600
    assert status.st_blocks * 512 < 1 << 20


def test_no_room_on_the_disk_is_an_error_and_no_signal(file: Path) -> None:
    counters = KeyCounters(file)
    counters.take(KEY, Quota(rpm=1), 0)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(Full):
            counters.take(sha256(b"other").digest(), Quota(rpm=1), 0)
        assert counters.take(KEY, Quota(rpm=1), 0).stopped == REQUESTS
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
        counters.close()


def test_a_row_that_is_never_let_go_is_counted_in_all_the_same(file: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(file)],
        stdout=subprocess.PIPE,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - no thread of ours holds a lock
    )
    counters = KeyCounters(file, clock=lambda: NOW)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        stops = [counters.take(KEY, Quota(rpm=1000), 0).stopped for _ in range(2000)]
        assert stops == [""] * 1000 + [REQUESTS] * 1000
    finally:
        counters.close()
        holder.kill()
        holder.wait(10)
        holder.stdout.close()
