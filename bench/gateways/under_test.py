"""
Gateways under test. Switchyard is one of them; peers stand beside it behind the same few names.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from bench import scene
from bench.processes import ROOT, BenchmarkFailed, started, stop, tree
from routing.gateway.records.recorder import FLUSH_EVERY_S
from routing.gateway.records.spool import SPOOL_DIR, spool_files

START_S = 30.0
SETTLE_S = 60.0
# What would give the gateway under test another database, file or key than its own.
FOREIGN = (
    "DATABASE_URL", "DATA_DIR", "REDIS_URL", "SWITCHYARD_", "SECRET_KEY", "ENCRYPTION_KEYS",
    "ALLOWED_HOSTS", "DEBUG", "LOG_FORMAT", "FAILOVER_", "FEATURE_FALLBACK_MODE", "DJANGO_",
)  # fmt: skip

T = TypeVar("T")


class GatewayUnderTest(Protocol):
    """
    One gateway with one worker, over the providers on `ports` of bench.load.upstream.

    `url` is the whole address of its chat endpoint, `root_pid` the head of its process tree and
    `worker_pid` the process that answers. Its models are those of bench.scene, or nothing is
    comparable; a request for the failing one goes out with `failing_headers`.
    """

    name: str
    url: str
    headers: Mapping[str, str]
    failing_headers: Mapping[str, str]
    root_pid: int
    worker_pid: int

    def start(self, ports: Sequence[int]) -> None:
        """Start it and wait until it answers."""

    def settle(self) -> None:
        """Wait until what it owes its last answers (records above all) is done, as far as known."""

    def stop(self) -> None:
        """End it and everything that it started."""


class Switchyard:
    """`manage.py serve --plane inference` with one worker, in a data folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.name = "Switchyard"
        self.url = ""
        self.headers: Mapping[str, str] = {"authorization": f"Bearer {scene.KEY}"}
        self.failing_headers: Mapping[str, str] = self.headers
        self.root_pid = 0
        self.worker_pid = 0
        self._folder = folder
        self._log = folder / "serve.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, ports: Sequence[int]) -> None:
        config = self._folder / "switchyard.yaml"
        config.write_text(json.dumps(scene.configuration(ports)))
        env = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}
        env |= {
            "DATA_DIR": str(self._folder / "data"),
            "SWITCHYARD_CONFIG": str(config),
            "PYTHONUNBUFFERED": "1",
        }
        with self._log.open("ab") as log:
            migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
            subprocess.run(migrate, cwd=ROOT, env=env, stdout=log, stderr=log, check=True)
            serve = [sys.executable, "manage.py", "serve", "--port", "0", "--plane", "inference"]
            self._process = subprocess.Popen(
                serve, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.root_pid = self._process.pid
        origin = self._wait_for(self._origin, "its address")
        self.url = origin + scene.PATH
        self._wait_for(lambda: is_ready(origin + "/readyz"), "/readyz to be 200")
        self.worker_pid = self._wait_for(self._worker, "its worker")

    def settle(self) -> None:
        """Wait until every record is in the database; fails if they do not get there."""
        spool = self._folder / "data" / SPOOL_DIR
        deadline = time.monotonic() + SETTLE_S
        time.sleep(FLUSH_EVERY_S * 2)  # until the worker has written down its last ones
        while next(spool_files(spool), None) is not None:
            if time.monotonic() > deadline:
                raise BenchmarkFailed(f"{self.name}: records still wait after {SETTLE_S:g} s")
            time.sleep(0.1)

    def stop(self) -> None:
        if self._process is not None:
            stop(self._process, signal.SIGTERM)

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def _origin(self) -> str | None:
        found = re.search(r"listens on (\S+)", self.log())
        return found[1] if found else None

    def _worker(self) -> int | None:
        for process in tree(self.root_pid):
            ps = ["ps", "-o", "args=", "-p", str(process.pid)]
            done = subprocess.run(ps, capture_output=True, text=True, check=False)
            if "routing.gateway.serving.worker" in done.stdout:
                return process.pid
        return None

    def _wait_for(self, look: Callable[[], T | None], what: str) -> T:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            found = look()
            if found:
                return found
            if self._process is None or self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise BenchmarkFailed(f"{self.name} did not start, waiting for {what}:\n{self.log()}")


def is_ready(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.HTTPError, OSError):
        return False


@contextmanager
def upstream() -> Iterator[tuple[int, ...]]:
    """The ports of a fixed-answer upstream that runs as long as the block."""
    argv = [sys.executable, "-m", "bench.load.upstream"]
    with started(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise BenchmarkFailed("the upstream did not start")
        yield tuple(int(port) for port in line.split())


@contextmanager
def running(gateway: GatewayUnderTest, ports: Sequence[int]) -> Iterator[GatewayUnderTest]:
    try:
        gateway.start(ports)
        yield gateway
    finally:
        gateway.stop()
