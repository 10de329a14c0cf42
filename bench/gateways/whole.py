"""A whole gateway: `manage.py serve`, both planes, several workers, in a folder of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bench.gateways.under_test import FOREIGN, is_ready
from bench.processes import ROOT, BenchmarkFailed

START_S: Final = 60.0


class WholeGateway:
    """Two workers on SQLite; `more` are variables of its environment."""

    def __init__(self, folder: Path, configuration: Mapping[str, Any], **more: str) -> None:
        self._config = folder / "switchyard.yaml"
        self._log = folder / "serve.log"
        self.write(json.dumps(configuration))
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}
        self.env |= {"DATA_DIR": str(folder / "data"), "SWITCHYARD_CONFIG": str(self._config)}
        self.env |= {"PYTHONUNBUFFERED": "1", "METRICS_PUBLIC": "true", **more}
        self.manage("migrate", "--verbosity", "0")
        with self._log.open("ab") as log:
            serve = [sys.executable, "manage.py", "serve", "--port", "0", "--workers", "2"]
            self.process = subprocess.Popen(
                serve, cwd=ROOT, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.database = next((folder / "data").glob("*.sqlite3"))

    def manage(self, *arguments: str) -> None:
        """A command that must succeed."""
        command = [sys.executable, "manage.py", *arguments]
        with self._log.open("ab") as log:
            subprocess.run(command, cwd=ROOT, env=self.env, stdout=log, stderr=log, check=True)

    def write(self, text: str) -> None:
        draft = self._config.with_suffix(".new")
        draft.write_text(text)
        draft.replace(self._config)

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def tracebacks(self) -> int:
        return self.log().count("Traceback (most recent call last)")

    async def address(self) -> tuple[str, int]:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            found = re.search(r"listens on (http://([^:/\s]+):(\d+))", self.log())
            if found and await asyncio.to_thread(is_ready, f"{found[1]}/readyz"):
                return found[2], int(found[3])
            await asyncio.sleep(0.1)
        raise BenchmarkFailed(f"the gateway did not start:\n{self.log()[-4000:]}")
