"""One process that the parent of a host keeps running: what it is, its restarts, and its beats."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from routing.gateway.link.children import LATELY_S, ChildSeen, End
from routing.gateway.serving.lifeline import BEAT_FD

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping
    from pathlib import Path

RESTART_FIRST_S, RESTART_MAX_S = 0.1, 2.0
STEADY_S = 10.0  # a child that lived so long is started again at once
READY_WITHIN_S = 60.0
SILENT_S = 10.0  # without a beat for so long, a child is taken for hung
FIRST_BEAT_S = 120.0  # until then it may still be loading

logger = logging.getLogger("switchyard.supervisor")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """
    A process to keep running. `--parent-fd` is appended to `argv`. If it `beats`, its environment
    names a pipe that it writes a byte to every second, as long as it is itself.
    """

    name: str
    argv: tuple[str, ...]
    pass_fds: tuple[int, ...] = ()
    number: int = 0
    beats: bool = False


def control_child(*, is_quiet: bool = False) -> ChildSpec:
    """The control child; a quiet one tells only what goes wrong."""
    return _command("control", "control", is_quiet=is_quiet, beats=True)


def job_worker(*, is_quiet: bool = False) -> ChildSpec:
    """The Celery worker, for hosts that run one beside."""
    return _command("job worker", "worker", is_quiet=is_quiet)


def _command(name: str, command: str, *, is_quiet: bool, beats: bool = False) -> ChildSpec:
    argv = (sys.executable, "manage.py", command, "--verbosity", "0" if is_quiet else "1")
    return ChildSpec(name=name, argv=argv, beats=beats)


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
        return ChildSpec(
            name=f"worker {number}", argv=tuple(argv), pass_fds=(fd,), number=number, beats=True
        )


class Child:
    """A child, its restarts, and its beats. `ends` are those that nobody asked for."""

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.process: subprocess.Popen[bytes] | None = None
        self.kill_at = math.inf
        self.ends: tuple[End, ...] = ()
        self._beats: int | None = None
        self._beaten_at = math.inf
        self._silence_s = FIRST_BEAT_S
        self._was_silent = False
        self._is_replaced = False
        self._started_at = 0.0
        self._backoff_s = 0.0
        self._start_at = 0.0

    def start_if_due(
        self,
        now: float,
        *,
        cwd: Path,
        lifeline: int,
        env: Mapping[str, str],
        ready_fd: int | None = None,
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
        beat_fd = self._open_beats(now)
        if beat_fd is not None:
            env = {**env, BEAT_FD: str(beat_fd)}
            pass_fds.append(beat_fd)
        try:
            self.process = subprocess.Popen(  # noqa: S603 - our own command line
                argv,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                pass_fds=pass_fds,
                process_group=0,
            )
        finally:
            if beat_fd is not None:
                os.close(beat_fd)
        self._started_at = now
        return RESTART_MAX_S

    def _open_beats(self, now: float) -> int | None:
        """The end of a new pipe that the child writes its beats to."""
        self.close()
        if not self.spec.beats:
            return None
        self._beats, beat_fd = os.pipe()
        os.set_blocking(self._beats, False)
        self._beaten_at, self._silence_s = now, FIRST_BEAT_S
        return beat_fd

    def close(self) -> None:
        if self._beats is not None:
            os.close(self._beats)
            self._beats = None

    def listen_for_beats(self, now: float, *, was_asleep: bool) -> None:
        """
        Kill it if it has been silent for too long.

        `was_asleep`: this process itself did not run for a while, so that nothing can be said.
        """
        if self._beats is None or self.is_gone():
            return
        heard = b""
        with contextlib.suppress(BlockingIOError):
            heard = os.read(self._beats, 1 << 16)
        if heard:
            self._silence_s = SILENT_S
        if heard or was_asleep:
            self._beaten_at = now
        elif now - self._beaten_at >= self._silence_s:
            silent_s = round(now - self._beaten_at)
            logger.error("%s has been silent for %d s, and is killed", self.spec.name, silent_s)
            self._was_silent = True
            self._beaten_at = now
            self.send(signal.SIGKILL)

    def seen(self, wall: float) -> ChildSeen:
        """What there is to tell of it. `wall` is Unix time."""
        self.ends = tuple(end for end in self.ends if wall - end.at < LATELY_S)
        pid = self.process.pid if self.process is not None else None
        return ChildSeen(name=self.spec.name, pid=pid, ends=self.ends)

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
        if self._was_silent:
            how, self._was_silent = "was silent and was killed", False
        self.ends = (*self.ends[-99:], End(at=time.time(), how=how))
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


class Newcomer:
    """A worker that is to take an old one's place once it is ready."""

    def __init__(self, spec: ChildSpec, old: Child, now: float) -> None:
        self.child = Child(spec)
        self.old = old
        self.patience_until = now + READY_WITHIN_S
        self.ready_read, self._ready_write = os.pipe()

    def start(self, now: float, *, cwd: Path, lifeline: int, env: Mapping[str, str]) -> None:
        ready_fd = self._ready_write
        self.child.start_if_due(now, cwd=cwd, lifeline=lifeline, env=env, ready_fd=ready_fd)
        os.close(self._ready_write)  # so that its end is the child's end

    def is_ready(self) -> bool | None:
        """None as long as it is not known."""
        if not select.select([self.ready_read], [], [], 0)[0]:
            return None
        return os.read(self.ready_read, 1) != b""

    def close(self) -> None:
        os.close(self.ready_read)
