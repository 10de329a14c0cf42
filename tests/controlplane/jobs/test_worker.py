"""`manage.py worker`: a real Celery worker on the embedded broker and on Valkey."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.gateways import ROOT, environment
from tests.support.processes import children_of, is_alive, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class JobWorker:
    """`manage.py worker` on `folder`, and what its database says."""

    def __init__(self, folder: Path, **env: str) -> None:
        self.folder = folder
        self.log = folder.parent / "worker.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "worker"],
                cwd=ROOT,
                env=environment(folder, **env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def rows(self, query: str) -> list[tuple]:
        with sqlite3.connect(self.folder / "switchyard.sqlite3", timeout=20) as database:
            return database.execute(query).fetchall()

    def wait_until_run(self, *, after: int = 0) -> int:
        """Wait for a run of health that ended, newer than `after`; its number."""

        def look() -> int | None:
            found = self.rows(
                "select max(id) from controlplane_jobrun"
                f" where job_id = 'health' and outcome = 'done' and id > {after}"
            )
            assert self.process.poll() is None, self.log.read_text()
            return found[0][0]

        return wait_for(look, what="a run of health", limit_s=40)


@pytest.fixture
def job_worker(tmp_path: Path, migrated_data_dir: Path) -> Iterator[Callable[..., JobWorker]]:
    folder = tmp_path / "data"
    shutil.copytree(migrated_data_dir, folder)
    started: list[JobWorker] = []

    def start(**env: str) -> JobWorker:
        started.append(JobWorker(folder, **env))
        return started[-1]

    yield start
    for worker in started:
        worker.process.kill()
        worker.process.wait()


@pytest.mark.parametrize("broker", ["folder", "valkey"])
def test_jobs_are_run_and_a_killed_worker_leaves_nobody_behind(job_worker, broker, request):
    env = {"REDIS_URL": request.getfixturevalue("valkey_url")} if broker == "valkey" else {}
    worker = job_worker(**env)
    first = worker.wait_until_run()
    children = children_of(worker.process.pid)
    assert children
    worker.process.kill()
    worker.process.wait()
    wait_for(lambda: not any(map(is_alive, children)), what="the children to go")

    again = job_worker(**env)
    again.wait_until_run(after=first)
    again.process.send_signal(signal.SIGTERM)
    assert again.process.wait(10) == 0
    assert "Traceback" not in again.log.read_text()
    names = {name for (name,) in again.rows("select name from controlplane_job")}
    assert names == {"health", "discovery", "rollup", "alerts", "suggestions", "retention"}
