"""A running `manage.py worker`."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.gateways import ROOT
from tests.support.processes import children_of, die_with_parent, is_alive, wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class JobWorker:
    """Its log is at `log`; `env` says where it works."""

    def __init__(self, log: Path, env: Mapping[str, str]) -> None:
        self.log = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "worker"],
                cwd=ROOT,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - no thread of ours holds a lock
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def logs(self) -> str:
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        """As the kernel does it; nobody of its children may stay."""
        children = children_of(self.pid)
        self.process.kill()
        self.process.wait()
        wait_for(lambda: not any(map(is_alive, children)), what="the children to go")

    def stop(self) -> int:
        """SIGTERM, and how it ended."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)
