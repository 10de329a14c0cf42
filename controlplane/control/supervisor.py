"""
The parent of a running host: holds the listening socket, starts the children, keeps them alive.

Children are fresh processes, not forks, so that a worker imports only what it needs. Each has a
process group of its own: Ctrl-C reaches the parent alone, which lets them finish. Each also
watches a pipe that only the parent holds, so none outlives it, however it ends.
"""

from __future__ import annotations

import contextlib
import logging
import math
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
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType

RESTART_FIRST_S, RESTART_MAX_S = 0.1, 2.0
STEADY_S = 10.0  # a child that lived so long is started again at once
KILL_AFTER_S = 5.0  # beyond the time that was given
SHORTENED_S = 5.0  # what a worker has left after a second SIGTERM
STOP_AT_ONCE = 3  # signals
READY_WITHIN_S = 60.0
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
    number: int = 0


def control_child(*, is_quiet: bool = False) -> ChildSpec:
    """The control child; a quiet one tells only what goes wrong."""
    return _command("control", "control", is_quiet=is_quiet)


def job_worker(*, is_quiet: bool = False) -> ChildSpec:
    """The Celery worker, for hosts that run one beside."""
    return _command("job worker", "worker", is_quiet=is_quiet)


def _command(name: str, command: str, *, is_quiet: bool) -> ChildSpec:
    argv = (sys.executable, "manage.py", command, "--verbosity", "0" if is_quiet else "1")
    return ChildSpec(name=name, argv=argv)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSpec:
    """
    What all workers have in common; `at(n)` is the n-th.

    `grace_s`: how long they accept after SIGTERM; `drain_s`: what running requests get then;
    `limits`: `NAME=VALUE` of routing.gateway.limits; `workers`: how many there are, so that each
    knows its share. For plane inference a worker is given nothing that would make it import Django.
    """

    listener: socket.socket
    data_dir: Path
    plane: str
    grace_s: float = 0.0
    drain_s: float = 30.0
    limits: tuple[str, ...] = ()
    workers: int = 1

    def at(self, number: int) -> ChildSpec:
        fd = self.listener.fileno()
        argv = [sys.executable, "-m", "routing.gateway.serving.worker", "--fd", str(fd)]
        argv += ["--data-dir", str(self.data_dir), "--plane", self.plane]
        argv += ["--worker", str(number), "--workers", str(self.workers)]
        argv += ["--grace", f"{self.grace_s:g}", "--drain", f"{self.drain_s:g}"]
        for limit in self.limits:
            argv += ["--limit", limit]
        if self.plane != "inference":
            argv += ["--app", "controlplane.asgi:mount"]
        return ChildSpec(name=f"worker {number}", argv=tuple(argv), pass_fds=(fd,), number=number)


class _Child:
    """A child and its restarts."""

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.process: subprocess.Popen[bytes] | None = None
        self.kill_at = math.inf
        self._is_replaced = False
        self._started_at = 0.0
        self._backoff_s = 0.0
        self._start_at = 0.0

    def start_if_due(
        self, now: float, *, cwd: Path, lifeline: int, ready_fd: int | None = None
    ) -> float:
        """Start it if it is not running and its time has come; seconds until then otherwise."""
        if self.process is not None:
            return RESTART_MAX_S
        if now < self._start_at:
            return self._start_at - now
        argv = [*self.spec.argv, "--parent-fd", str(lifeline)]
        pass_fds = [*self.spec.pass_fds, lifeline]
        if ready_fd is not None:
            argv += ["--ready-fd", str(ready_fd)]
            pass_fds.append(ready_fd)
        self.process = subprocess.Popen(  # noqa: S603 - our own command line
            argv,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            pass_fds=pass_fds,
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
        self.kill_at = math.inf
        if self._is_replaced:
            self._is_replaced = False
            logger.info("%s has ended, and is started anew", self.spec.name)
            return
        if now - self._started_at >= STEADY_S:
            self._backoff_s = 0.0
        else:
            self._backoff_s = min(max(self._backoff_s * 2, RESTART_FIRST_S), RESTART_MAX_S)
        self._start_at = now + self._backoff_s
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        logger.error("%s %s; it is started again", self.spec.name, how)

    def end(self, signum: int, *, kill_at: float) -> None:
        """Ask it to end; from `kill_at` on it may be killed."""
        self.kill_at = kill_at
        self.send(signum)

    def replace(self, *, kill_at: float) -> None:
        """Ask it to end, and start it anew when it has."""
        self._is_replaced = self.process is not None
        self.end(signal.SIGTERM, kill_at=kill_at)

    def send(self, signum: int) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signum)

    def is_gone(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def kill_if_late(self, now: float) -> float:
        """Seconds until it is late."""
        if now >= self.kill_at and not self.is_gone():
            logger.error("%s did not end in time, and is killed", self.spec.name)
            self.send(signal.SIGKILL)
            return RESTART_MAX_S
        return self.kill_at - now


class _Newcomer:
    """A worker that is to take an old one's place once it is ready."""

    def __init__(self, spec: ChildSpec, old: _Child, now: float) -> None:
        self.child = _Child(spec)
        self.old = old
        self.patience_until = now + READY_WITHIN_S
        self.ready_read, self._ready_write = os.pipe()

    def start(self, now: float, *, cwd: Path, lifeline: int) -> None:
        self.child.start_if_due(now, cwd=cwd, lifeline=lifeline, ready_fd=self._ready_write)
        os.close(self._ready_write)  # so that its end is the child's end

    def is_ready(self) -> bool | None:
        """None as long as it is not known."""
        if not select.select([self.ready_read], [], [], 0)[0]:
            return None
        return os.read(self.ready_read, 1) != b""

    def close(self) -> None:
        os.close(self.ready_read)


class Supervisor:
    """
    Runs the control child, `worker.workers` workers and what is `beside` until SIGTERM or SIGINT.

    A first signal lets the workers drain, a second leaves them 5 s, a third kills them. The
    control child ends after the last worker. SIGHUP replaces all of them without a lost request:
    one worker after the other, the new one ready before the old one leaves, the others last.
    """

    def __init__(
        self,
        control: ChildSpec,
        worker: WorkerSpec,
        *,
        cwd: Path,
        beside: tuple[ChildSpec, ...] = (),
    ) -> None:
        self._control = _Child(control)
        self._beside = [_Child(spec) for spec in beside]
        self._spec = worker
        self._workers = [_Child(worker.at(number)) for number in range(1, worker.workers + 1)]
        self._leaving: list[_Child] = []
        self._to_replace: list[_Child] = []
        self._newcomer: _Newcomer | None = None
        self._cwd = cwd
        self._lifeline = -1
        self._asked_to_stop = self._asked_to_replace = 0
        self._wakeups: socket.socket | None = None

    def run(self) -> None:
        self._lifeline, write_end = os.pipe()
        try:
            with self._signals():
                while not self._asked_to_stop:
                    self._sleep(self._look_after_all(time.monotonic()))
                self._stop()
        finally:
            for child in self._all():
                child.send(signal.SIGKILL)
            for child in self._all():
                if child.process is not None:
                    child.process.wait()
            if self._newcomer is not None:
                self._newcomer.close()
            os.close(write_end)
            os.close(self._lifeline)

    def _all(self) -> list[_Child]:
        newcomers = [self._newcomer.child] if self._newcomer is not None else []
        return [self._control, *self._beside, *self._workers, *self._leaving, *newcomers]

    def _look_after_all(self, now: float) -> float:
        """Start what is missing, and go on with a replacement. Seconds until the next look."""
        waits = [child.kill_if_late(now) for child in self._all()]
        self._leaving = [child for child in self._leaving if not child.is_gone()]
        if self._asked_to_replace and self._newcomer is None and not self._to_replace:
            self._asked_to_replace = 0
            self._to_replace = list(self._workers)
        self._replace(now)
        for child in (self._control, *self._beside, *self._workers):
            child.reap(now)
            waits.append(child.start_if_due(now, cwd=self._cwd, lifeline=self._lifeline))
        return max(min(waits), 0)

    def _replace(self, now: float) -> None:
        """One step of a replacement, if one is going on and its next step can be taken."""
        newcomer = self._newcomer
        if newcomer is None:
            if self._to_replace:
                old = self._to_replace.pop(0)
                newcomer = _Newcomer(self._spec.at(self._free_number()), old, now)
                newcomer.start(now, cwd=self._cwd, lifeline=self._lifeline)
                self._newcomer = newcomer
            return
        is_ready = newcomer.is_ready()
        if is_ready is None and now < newcomer.patience_until:
            return
        self._newcomer = None
        newcomer.close()
        if not is_ready:
            newcomer.child.end(signal.SIGKILL, kill_at=now)
            self._leaving.append(newcomer.child)
            self._to_replace = []
            logger.error("%s does not get ready; the workers stay", newcomer.child.spec.name)
            return
        logger.info("%s takes the place of %s", newcomer.child.spec.name, newcomer.old.spec.name)
        self._workers[self._workers.index(newcomer.old)] = newcomer.child
        kill_at = now + self._spec.drain_s + KILL_AFTER_S
        newcomer.old.end(signal.SIGHUP, kill_at=kill_at)
        self._leaving.append(newcomer.old)
        if self._to_replace:
            self._replace(now)
        else:
            for child in (self._control, *self._beside):
                child.replace(kill_at=now + KILL_AFTER_S)

    def _free_number(self) -> int:
        """The lowest that no living worker has, so that no two ever write to one file."""
        taken = {child.spec.number for child in self._all()}
        return next(number for number in range(1, len(taken) + 2) if number not in taken)

    def _stop(self) -> None:
        # The workers hold the listening socket as long as they accept. With our copy closed too,
        # callers are refused after that, rather than kept waiting.
        self._spec.listener.close()
        now = time.monotonic()
        kill_at = now + self._spec.grace_s + self._spec.drain_s + KILL_AFTER_S
        workers = [child for child in self._all() if child is not self._control]
        for child in workers:
            child.end(signal.SIGTERM, kill_at=kill_at)
        if not self._wait_for(workers, passed_on=1):
            return
        self._control.end(signal.SIGTERM, kill_at=time.monotonic() + KILL_AFTER_S)
        self._wait_for([self._control], passed_on=self._asked_to_stop)

    def _wait_for(self, children: list[_Child], *, passed_on: int) -> bool:
        """Until all are gone. A signal meanwhile is passed on; False at the third of all."""
        while not all(child.is_gone() for child in children):
            if self._asked_to_stop >= STOP_AT_ONCE:
                return False
            now = time.monotonic()
            if self._asked_to_stop > passed_on:
                passed_on = self._asked_to_stop
                latest = now + SHORTENED_S + KILL_AFTER_S
                for child in children:
                    child.end(signal.SIGTERM, kill_at=min(child.kill_at, latest))
            self._sleep(max(min(child.kill_if_late(now) for child in children), 0))
        return True

    def _sleep(self, limit_s: float) -> None:
        """Until a signal comes (a child's end is one), a newcomer is ready, or `limit_s`."""
        assert self._wakeups is not None  # noqa: S101 - run() holds _signals()
        news: list[socket.socket | int] = [self._wakeups]
        if self._newcomer is not None:
            news.append(self._newcomer.ready_read)
        if self._wakeups in select.select(news, [], [], min(limit_s, RESTART_MAX_S))[0]:
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
        if signum == signal.SIGHUP:
            self._asked_to_replace += 1
        elif signum != signal.SIGCHLD:
            self._asked_to_stop += 1
