"""A peer as a process of its own folder, with a clean environment."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bench import scene
from bench.peers.packages import Package
from bench.processes import BenchmarkFailed, stop

START_S: Final = 90.0
# Provider keys and proxies of whoever runs the benchmark are none of its business.
KEPT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ")
KEY: Final = "sk-bench-0123456789abcdef0123456789abcdef"


class PeerProcess:
    """A peer that runs in a folder of its own; subclasses say how it is started."""

    name = ""
    path = scene.PATH

    def __init__(self, package: Package, folder: Path) -> None:
        self.url = ""
        self.headers: Mapping[str, str] = {"authorization": f"Bearer {KEY}"}
        self.failing_headers: Mapping[str, str] = self.headers
        self.root_pid = 0
        self.worker_pid = 0
        self._package = package
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def command(self, _ports: Sequence[int], _port: int) -> tuple[list[str], dict[str, str]]:
        """Its command line and what its environment holds besides; files go to the folder."""
        raise NotImplementedError

    def start(self, ports: Sequence[int]) -> None:
        port = _free_port()
        argv, more = self.command(ports, port)
        env = {name: os.environ[name] for name in KEPT if name in os.environ}
        with (self._folder / "peer.log").open("wb") as log:
            self._process = subprocess.Popen(
                argv, cwd=self._folder, env={**env, **more}, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log,
            )  # fmt: skip
        self.root_pid = self.worker_pid = self._process.pid
        self.url = f"http://127.0.0.1:{port}{self.path}"
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            if self._answers():
                return
            time.sleep(0.2)
        log_end = (self._folder / "peer.log").read_text(errors="replace")[-2000:]
        raise BenchmarkFailed(f"{self.name} did not start:\n{log_end}")

    def stop(self) -> None:
        if self._process is not None:
            stop(self._process, signal.SIGTERM)

    def settle(self) -> None:
        """Nothing is known of what it does behind its answers but its CPU time."""

    def _answers(self) -> bool:
        request = urllib.request.Request(
            self.url,
            data=scene.body(scene.CHAT),
            headers={"content-type": "application/json", **self.headers},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=10) as reply:
                return bool(reply.status == 200)
        except (urllib.error.HTTPError, OSError):
            return False

    def _write(self, name: str, document: Any) -> str:
        """A configuration file. JSON is YAML."""
        path = self._folder / name
        path.write_text(json.dumps(document, indent=1))
        return str(path)


def _free_port() -> int:
    """A port that was free a moment ago: none of the peers can say which one it took."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
