"""`manage.py worker`: a real Celery worker on the embedded broker."""

from __future__ import annotations

import shutil
import sqlite3
from typing import TYPE_CHECKING

from tests.support.gateways import environment
from tests.support.job_workers import JobWorker
from tests.support.processes import wait_for

if TYPE_CHECKING:
    from pathlib import Path

JOBS = {"health", "discovery", "rollup", "alerts", "suggestions", "retention"}


def test_jobs_are_run_and_a_killed_worker_leaves_nobody_behind(
    tmp_path: Path, migrated_data_dir: Path
):
    folder = tmp_path / "data"
    shutil.copytree(migrated_data_dir, folder)

    def look(query: str) -> list[tuple]:
        with sqlite3.connect(folder / "switchyard.sqlite3", timeout=20) as database:
            return database.execute(query).fetchall()

    def done(after: int = 0) -> set[str]:
        assert worker.process.poll() is None, worker.logs()
        runs = f"select job_id from controlplane_jobrun where outcome = 'done' and id > {after}"
        return {name for (name,) in look(runs)}

    worker = JobWorker(tmp_path / "worker.log", environment(folder))
    wait_for(lambda: done() >= JOBS, what="every job to have been done", limit_s=60)
    worker.kill()

    ((last,),) = look("select max(id) from controlplane_jobrun")
    worker = JobWorker(tmp_path / "worker.log", environment(folder))
    wait_for(lambda: "health" in done(last), what="health to be looked at again", limit_s=60)
    assert worker.stop() == 0
    assert "Traceback" not in worker.logs()
    assert not look("select * from controlplane_jobrun where outcome = 'failed'")
