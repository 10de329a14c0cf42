"""A worker that is killed in the middle of whatever job leaves nothing half-done."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.controlplane.jobs.killing import NEW
from tests.support.gateways import ROOT, environment

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = [sys.executable, "-m", "tests.controlplane.jobs.killing"]
KILLS = 3
# What must be the same as if nobody had been killed: a table, and what is looked at of it.
COMPARED = {
    "controlplane_requestrecord": "id",
    "controlplane_dirtyminute": "*",
    "controlplane_requestminute": "minute, pool, key, requests, failed, failovers, duration_1",
    "controlplane_callminute": "minute, pool, provider, model, calls, served, failed",
    "controlplane_faultminute": "minute, pool, provider, model, fault, status, calls",
    "controlplane_needminute": "minute, pool, need, requests",
    "controlplane_healthsnapshot": "provider",  # how it is, the number of checks decides
    "providers_listedmodel": "provider, model_id",
    "controlplane_suggestion": "kind, target, state",
}


def run(folder: Path, what: str) -> None:
    done = subprocess.run(
        [*SCRIPT, what], cwd=ROOT, env=environment(folder),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def folders(tmp_path: Path, migrated_data_dir: Path) -> tuple[Path, Path]:
    """Two data folders with the same records, a third of them older than they are kept."""
    calm, shaken = tmp_path / "calm", tmp_path / "shaken"
    shutil.copytree(migrated_data_dir, calm)
    run(calm, "--seed")
    shutil.copytree(calm, shaken)
    return calm, shaken


def contents(folder: Path) -> dict[str, list[tuple]]:
    with sqlite3.connect(folder / "switchyard.sqlite3") as database:
        return {
            table: sorted(database.execute(f"select {what} from {table}"), key=repr)
            for table, what in COMPARED.items()
        }


def test_the_next_run_finds_the_same_as_if_nobody_had_been_killed(folders):
    calm, shaken = folders
    run(calm, "--once")
    dice = random.Random(3)
    for _kill in range(KILLS):
        process = subprocess.Popen(
            SCRIPT, cwd=ROOT, env=environment(shaken), stdout=subprocess.PIPE, text=True
        )
        process.stdout.readline()  # it has begun
        time.sleep(dice.uniform(0.0, 0.6))
        process.kill()
        process.communicate()
    run(shaken, "--once")

    found = contents(shaken)
    assert found == contents(calm)
    assert found["controlplane_requestminute"]
    assert found["controlplane_dirtyminute"] == []
    assert len(found["controlplane_requestrecord"]) == NEW
