"""One part of what is measured in-process, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import msgspec

from bench.processes import ROOT, BenchmarkFailed

Figures = dict[str, float]


def measure(part: str) -> Figures:
    """The figures of `part`, from a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.inprocess", part],
        cwd=ROOT,
        capture_output=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise BenchmarkFailed(f"{part} failed:\n{done.stderr.decode(errors='replace')[-2000:]}")
    return msgspec.json.decode(done.stdout, type=Figures)
