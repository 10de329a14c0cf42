"""One agent, one task, in a fresh home."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.agents.kinds import Scene

if TYPE_CHECKING:
    from tests.agents.kinds import Agent

SECRET = "copper-lantern-4711"
LIMIT_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Run:
    """`said` is what the agent printed; `complaint` what it wrote besides."""

    code: int | None
    said: str
    complaint: str

    @property
    def did_it(self) -> bool:
        return self.code == 0 and SECRET in self.said


def run(agent: Agent, *, url: str, key: str, model: str, home: Path) -> Run:
    """The agent has to read a file with its own tool, and say the word that stands in it."""
    work = home / "work"
    work.mkdir(parents=True)
    (work / "secret.txt").write_text(f"The secret word is {SECRET}.\n")
    task = f"Read the file {work}/secret.txt and tell me the secret word that stands in it."
    scene = Scene(url=url, key=key, model=model, home=home, task=task)
    for name, text in agent.files(scene).items():
        file = home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    env = {
        "PATH": os.environ["PATH"], "HOME": str(home), "TERM": "dumb", "NO_COLOR": "1", "CI": "1",
        "TMPDIR": str(home), **agent.env(scene),
    }  # fmt: skip
    process = subprocess.Popen(
        [str(agent.path), *agent.command(scene)],
        cwd=work, env=env, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        said, complaint = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        said, complaint = "", f"nothing came of it within {LIMIT_S:.0f} s"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # whatever it has left running
        process.wait()
    return Run(code=process.returncode, said=said, complaint=complaint)
