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
import time
from typing import TYPE_CHECKING

from controlplane.control.children import (
    RESTART_MAX_S,
    Child,
    ChildSpec,
    Newcomer,
    WorkerSpec,
    control_child,
    job_worker,
)
from providers.adapters.own_address import LISTENS
from routing.gateway.link.children import ChildSeen, write_children

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType

KILL_AFTER_S = 5.0  # beyond the time that was given
SHORTENED_S = 5.0  # what a worker has left after a second SIGTERM
STOP_AT_ONCE = 3  # signals
ASLEEP_S = 5.0  # a look that comes so much too late says nothing of the children
BACKLOG = 2048

__all__ = [
    "CannotListen", "Supervisor", "WorkerSpec", "control_child", "job_worker", "listen", "origin",
]  # fmt: skip

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
        self._control = Child(control)
        self._beside = [Child(spec) for spec in beside]
        self._spec = worker
        self._workers = [Child(worker.at(number)) for number in range(1, worker.workers + 1)]
        self._leaving: list[Child] = []
        self._to_replace: list[Child] = []
        self._newcomer: Newcomer | None = None
        self._cwd = cwd
        self._lifeline = -1
        self._asked_to_stop = self._asked_to_replace = 0
        self._looked_at = math.inf
        self._told: tuple[ChildSeen, ...] | None = None
        self._env = {**os.environ, LISTENS: origin(worker.listener)}
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
                child.close()
            if self._newcomer is not None:
                self._newcomer.close()
            os.close(write_end)
            os.close(self._lifeline)

    def _all(self) -> list[Child]:
        newcomers = [self._newcomer.child] if self._newcomer is not None else []
        return [self._control, *self._beside, *self._workers, *self._leaving, *newcomers]

    def _look_after_all(self, now: float) -> float:
        """Start what is missing, and go on with a replacement. Seconds until the next look."""
        waits = [child.kill_if_late(now) for child in self._all()]
        was_asleep = now - self._looked_at >= ASLEEP_S
        for child in self._all():
            child.listen_for_beats(now, was_asleep=was_asleep)
        self._looked_at = now
        for child in [child for child in self._leaving if child.is_gone()]:
            child.close()
            self._leaving.remove(child)
        if self._asked_to_replace and self._newcomer is None and not self._to_replace:
            self._asked_to_replace = 0
            self._to_replace = list(self._workers)
        self._replace(now)
        for child in (self._control, *self._beside, *self._workers):
            child.reap(now)
            waits.append(
                child.start_if_due(now, cwd=self._cwd, lifeline=self._lifeline, env=self._env)
            )
        self._tell()
        return max(min(waits), 0)

    def _tell(self) -> None:
        """Write down how the children are, if that is news."""
        wall = time.time()
        children = (self._control, *self._beside, *self._workers)
        told = tuple(child.seen(wall) for child in children)
        if told == self._told:
            return
        self._told = told
        try:
            write_children(self._spec.data_dir, told)
        except OSError as error:
            logger.error("nobody can be told of the processes: %s", error)  # noqa: TRY400 - one line

    def _replace(self, now: float) -> None:
        """One step of a replacement, if one is going on and its next step can be taken."""
        newcomer = self._newcomer
        if newcomer is None:
            if self._to_replace:
                old = self._to_replace.pop(0)
                newcomer = Newcomer(self._spec.at(self._free_number()), old, now)
                newcomer.start(now, cwd=self._cwd, lifeline=self._lifeline, env=self._env)
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

    def _wait_for(self, children: list[Child], *, passed_on: int) -> bool:
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
