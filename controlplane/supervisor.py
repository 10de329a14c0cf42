"""
The parent of a running host: holds the listening socket, starts the children, keeps them alive.

Children are fresh processes, not forks, so that a worker imports only what it needs. Each has a
process group of its own: Ctrl-C reaches the parent alone, which lets them finish. Each also
watches a pipe that only the parent holds, so none outlives it, however it ends.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from types import FrameType

RESTART_FIRST_S, RESTART_MAX_S = 0.1, 2.0
STEADY_S = 10.0  # a child that lived so long is started again at once
KILL_AFTER_S = 5.0  # beyond the drain
BACKLOG = 2048

logger = logging.getLogger("switchyard.supervisor")


class CannotListen(Exception):
    """The address is taken, unknown, or not ours to bind. The text is for the operator."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket on exactly `host`; port 0 lets the kernel choose. Raises CannotListen."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise CannotListen(f"{host} is no address of this machine: {error.strerror}") from error
    family, kind, protocol, _name, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        reason = (error.strerror or str(error)).lower()
        raise CannotListen(f"cannot listen on {host} port {port}: {reason}") from error
    return listener


def origin(listener: socket.socket) -> str:
    """`http://host:port` of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """A process to keep running. `--parent-fd` is appended to `argv`."""

    name: str
    argv: tuple[str, ...]
    pass_fds: tuple[int, ...] = ()


def control_child(*, is_quiet: bool = False) -> ChildSpec:
    """The control child; a quiet one tells only what goes wrong."""
    argv = (sys.executable, "manage.py", "control", "--verbosity", "0" if is_quiet else "1")
    return ChildSpec(name="control", argv=argv)


def worker_child(
    number: int, listener: socket.socket, *, data_dir: Path, plane: str, drain_s: int
) -> ChildSpec:
    """A worker. For plane inference it is given nothing that would make it import Django."""
    fd = listener.fileno()
    argv = [sys.executable, "-m", "routing.gateway.worker", "--fd", str(fd)]
    argv += ["--data-dir", str(data_dir), "--plane", plane]
    argv += ["--worker", str(number), "--drain", str(drain_s)]
    if plane != "inference":
        argv += ["--app", "controlplane.asgi:mount"]
    return ChildSpec(name=f"worker {number}", argv=tuple(argv), pass_fds=(fd,))


class _Child:
    """A child and its restarts."""

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._backoff_s = 0.0
        self._start_at = 0.0

    def start_if_due(self, now: float, *, cwd: Path, lifeline: int) -> float:
        """Start it if it is not running and its time has come; seconds until then otherwise."""
        if self.process is not None:
            return RESTART_MAX_S
        if now < self._start_at:
            return self._start_at - now
        self.process = subprocess.Popen(  # noqa: S603 - our own command line
            [*self.spec.argv, "--parent-fd", str(lifeline)],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            pass_fds=(*self.spec.pass_fds, lifeline),
            process_group=0,
        )
        self._started_at = now
        return RESTART_MAX_S

    def reap(self, now: float) -> None:
        """Notice that it ended, and plan its restart."""
        if self.process is None or self.process.poll() is None:
            return
        code = self.process.returncode
        self.process = None
        if now - self._started_at >= STEADY_S:
            self._backoff_s = 0.0
        else:
            self._backoff_s = min(max(self._backoff_s * 2, RESTART_FIRST_S), RESTART_MAX_S)
        self._start_at = now + self._backoff_s
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        logger.error("%s %s; it is started again", self.spec.name, how)

    def send(self, signum: int) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signum)

    def is_gone(self) -> bool:
        return self.process is None or self.process.poll() is not None


class Supervisor:
    """
    Runs `children` until SIGTERM, SIGINT or SIGHUP.

    At the first the listener is closed, so that new callers are refused rather than kept waiting,
    and the children may finish for `drain_s`; at the second they are killed.
    """

    def __init__(
        self,
        children: Sequence[ChildSpec],
        listener: socket.socket,
        *,
        cwd: Path,
        drain_s: float,
    ) -> None:
        self._children = [_Child(spec) for spec in children]
        self._listener = listener
        self._cwd = cwd
        self._drain_s = drain_s
        self._asked_to_stop = 0
        self._wakeups: socket.socket | None = None

    def run(self) -> None:
        read_end, write_end = os.pipe()
        try:
            with self._signals():
                while not self._asked_to_stop:
                    now = time.monotonic()
                    for child in self._children:
                        child.reap(now)
                    self._sleep(
                        min(
                            child.start_if_due(now, cwd=self._cwd, lifeline=read_end)
                            for child in self._children
                        )
                    )
                self._stop()
        finally:
            for child in self._children:
                child.send(signal.SIGKILL)
            for child in self._children:
                if child.process is not None:
                    child.process.wait()
            os.close(write_end)
            os.close(read_end)

    def _stop(self) -> None:
        self._listener.close()
        for child in self._children:
            child.send(signal.SIGTERM)
        deadline = time.monotonic() + self._drain_s + KILL_AFTER_S
        while self._asked_to_stop < 2 and not all(child.is_gone() for child in self._children):
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                logger.error("some children did not end in time, and are killed")
                return
            self._sleep(left_s)

    def _sleep(self, limit_s: float) -> None:
        """Until a signal comes (a child's end is one), or `limit_s`."""
        assert self._wakeups is not None  # noqa: S101 - run() holds _signals()
        if select.select([self._wakeups], [], [], limit_s)[0]:
            self._wakeups.recv(4096)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        reader, writer = socket.socketpair()
        writer.setblocking(False)
        self._wakeups = reader
        before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}
        previous_fd = signal.set_wakeup_fd(writer.fileno())
        try:
            for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
                before[signum] = signal.signal(signum, self._note)
            yield
        finally:
            for earlier, handler in before.items():
                signal.signal(earlier, handler)
            signal.set_wakeup_fd(previous_fd)
            reader.close()
            writer.close()

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        if signum != signal.SIGCHLD:
            self._asked_to_stop += 1
