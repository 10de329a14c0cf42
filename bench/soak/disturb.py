"""Workers of the soak that are killed, and workers that are replaced, and what may come of it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import dataclass
from typing import Final

from bench.processes import PROC
from bench.soak.callers import Answer
from bench.soak.watch import pid_of, sample, workers_of
from tests.support.callers import callers_of

PATIENCE_S: Final = 30.0
REPLACED_S: Final = 60.0
STOPPED_S: Final = 1.0
LOOKS: Final = 5
# Records that a worker holds in memory at its end, with room for a machine that is busy.
UNWRITTEN_S: Final = 1.0


@dataclass(slots=True)
class Death:
    """
    A worker killed at `at`, in the moment in which `ports` were those of its callers.

    `up_s` is how long it took until another process took callers in its place.
    """

    process: str
    at: float
    ports: frozenset[int]
    newcomer: int = 0
    up_s: float = float("inf")

    def may_have_cut(self, answer: Answer) -> bool:
        """Its own, or one sent on a kept connection before the caller could see that it is dead."""
        return answer.port in self.ports and answer.opened_at <= self.at <= answer.ended_at


def workers(root: int) -> list[str]:
    """Those that run, as the samples name them."""
    return workers_of(sample(root))


def children(root: int) -> set[int]:
    return {pid_of(name) for name in sample(root)} - {root}


def kill(process: str) -> Death:
    """
    Kill a worker in the middle of what it does.

    It is stopped first, so that the callers it had are known exactly.
    """
    pid = pid_of(process)
    os.kill(pid, signal.SIGSTOP)
    until = time.monotonic() + STOPPED_S
    while not _is_stopped(pid) and time.monotonic() < until:
        time.sleep(0.001)
    # Again and again: the kernel's table changes while it is read, and a line may be skipped.
    ports = frozenset().union(*(callers_of(pid) for _ in range(LOOKS)))
    death = Death(process, time.monotonic(), ports)
    os.kill(pid, signal.SIGKILL)
    return death


def _is_stopped(pid: int) -> bool:
    return (PROC / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


async def wait_for_newcomer(
    death: Death, root: int, before: list[str], host: str, port: int
) -> None:
    """Until a new worker takes callers: we connect until one of our connections is with it."""
    held: list[asyncio.StreamWriter] = []
    try:
        while time.monotonic() < death.at + PATIENCE_S:
            new = set(await asyncio.to_thread(workers, root)) - set(before)
            if new:
                pid = death.newcomer = pid_of(new.pop())
                held.append((await asyncio.open_connection(host, port))[1])
                ours = {each.get_extra_info("sockname")[1] for each in held}
                if ours & await asyncio.to_thread(_callers_of, pid):
                    death.up_s = time.monotonic() - death.at
                    return
            await asyncio.sleep(0.02)
    finally:
        for each in held:
            each.close()


def _callers_of(pid: int) -> set[int]:
    try:
        return callers_of(pid)
    except OSError:
        return set()  # it has ended


async def wait_until_replaced(root: int, before: set[int]) -> set[int]:
    """The pids that took the place of those `before`; none if it took too long."""
    until = time.monotonic() + REPLACED_S
    while time.monotonic() < until:
        now = await asyncio.to_thread(children, root)
        if len(now) == len(before) and not now & before:
            return now
        await asyncio.sleep(0.2)
    return set()
