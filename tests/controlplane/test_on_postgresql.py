"""What holds of rows and sums on SQLite holds on PostgreSQL; there, also what happens at once."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.gateways import ROOT, environment

if TYPE_CHECKING:
    from pathlib import Path

# One run for all: a database is made but once.
FILES = (
    "advice/test_week.py",
    "alerts/test_merging.py",
    "benches/test_remembered.py",
    "config/test_apply.py",
    "config/test_mirror.py",
    "jobs/test_running.py",
    "records/test_captured.py",
    "records/test_ingest.py",
    "records/test_queries.py",
    "records/test_reading.py",
    "records/test_retention.py",
    "records/test_rollups.py",
    "revisions/test_history.py",
)


def test_all_of_this_holds_on_postgresql(postgres_url: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:randomly",
            *(f"tests/controlplane/{name}" for name in FILES),
        ],
        cwd=ROOT, env=environment(tmp_path, DATABASE_URL=postgres_url),
        capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
