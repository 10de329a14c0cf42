"""What holds of records on SQLite holds on PostgreSQL; there, also what happens at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.gateways import ROOT, environment

NAMES = ("ingest", "rollups", "reading", "queries", "retention", "captured")


def test_all_of_this_holds_on_postgresql(postgres_url: str, tmp_path: Path) -> None:
    files = [Path(__file__).parent / f"test_{name}.py" for name in NAMES]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", *files],
        cwd=ROOT, env=environment(tmp_path, DATABASE_URL=postgres_url),
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
