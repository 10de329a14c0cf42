"""The test's end of tests.support.upstream."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent


class Upstream:
    """A running provider. Its modes stand in the docstring of tests.support.upstream."""

    def __init__(self, name: str = "first", mode: str = "ok") -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.upstream", name],
            cwd=ROOT,
            stdin=subprocess.PIPE,  # its end is the server's end: it cannot outlive this process
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        port, control = self._process.stdout.readline().split()
        self.port = int(port)
        self.base_url = f"http://127.0.0.1:{self.port}/v1"
        self._control = f"http://127.0.0.1:{int(control)}"
        if mode != "ok":
            self.set(mode)

    def set(self, mode: str, *, times: int | None = None, body: str | None = None) -> None:
        """Answer so from now on, or for `times` requests and then well again."""
        self._order("/_set", {"mode": mode, "times": times, "body": body})

    def refuse(self) -> None:
        """Close the port and every connection."""
        self._order("/_refuse")

    def accept(self) -> None:
        self._order("/_accept")

    def clear(self) -> None:
        """Forget the log."""
        self._order("/_clear")

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The log, first request first."""
        found: list[dict[str, Any]] = self._order("/_log")["requests"]
        return found

    @property
    def connections(self) -> int:
        """How many are open now."""
        return int(self._order("/_log")["connections"])

    def stop(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        finally:
            self._process.kill()
            self._process.wait(5)
            self._process.stdout.close()

    def provider(self, **more: Any) -> dict[str, Any]:
        """This server as an entry of `providers:` in the configuration file."""
        return {
            "kind": "openai_compatible",
            "base_url": self.base_url,
            "api_key": f"key-of-{self.name}",
            **more,
        }

    def _order(self, path: str, order: dict[str, Any] | None = None) -> dict[str, Any]:
        data = json.dumps(order or {}).encode()
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            f"{self._control}{path}", data=data, timeout=10
        ) as reply:
            answer: dict[str, Any] = json.load(reply)
        return answer
