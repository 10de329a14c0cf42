"""Processes that a test starts, and that never outlive it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
PR_SET_PDEATHSIG = 1
UP_S = 2.0
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(signum: int = signal.SIGKILL) -> None:
    """
    For `preexec_fn`: the kernel sends `signum` when the test process ends, however it ends.

    Changing the user clears the setting, so drop privileges before. Nothing on macOS.
    """
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signum)


def up_limit_s() -> float:
    """
    The time that another worker has to take the place of a killed one.

    UP_S, and longer in proportion where more than the machine's cores are asked for.
    """
    return UP_S * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def wait_for(look: Callable[[], T | None], *, what: str, limit_s: float = 15) -> T:
    """The first true thing that `look` returns. Fails the test, naming `what`, at the limit."""
    deadline = time.monotonic() + limit_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {limit_s} s in vain: {what}")
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether `pid` runs; a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    if not Path("/proc/self/stat").exists():
        return True  # not on Linux
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False  # it ended while we looked


def command_lines() -> dict[int, list[str]]:
    """Every process and its arguments (Linux)."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                raw = (entry / "cmdline").read_bytes()
            except OSError:
                continue  # it ended while we looked
            found[int(entry.name)] = raw.decode(errors="replace").split("\0")[:-1]
    return found


def children_of(pid: int) -> dict[int, list[str]]:
    """Direct children of `pid` and their arguments (Linux)."""
    found = {}
    for child, arguments in command_lines().items():
        try:
            fields = Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue  # it ended while we looked
        if int(fields[1]) == pid:
            found[child] = arguments
    return found
