# ruff: noqa: PLC0415 - models can be imported once Django is set up
"""
Runs every job of the schedule again and again, until it is killed.

With --once it runs each once; with --seed it only makes what the jobs have to do.
"""

from __future__ import annotations

import os
import random
import sys
import time

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "controlplane.settings"
OLD, NEW = 1500, 3000


def seed() -> None:
    """The demo, and records of the last hours and of long ago."""
    from controlplane.first_run import prepare
    from controlplane.records.ingest import store
    from routing.gateway.records.record import row_of
    from tests.support.builders import attempt_record, request_record

    prepare()
    now, dice = time.time(), random.Random(7)
    rows = []
    for number in range(OLD + NEW):
        age_s = dice.uniform(40, 60) * 86_400 if number < OLD else dice.uniform(300, 3 * 3600)
        record = request_record(
            id=f"{int((now - age_s) * 1000):012x}{number:020x}",
            canonical_model=f"pool-{number % 7}",
            key=f"key-{number % 3}",
            failover=number % 5 == 0,
            duration_ms=dice.uniform(20, 900),
            attempts=(attempt_record(), attempt_record(fault="status", status=503)),
            needs=("tools",) if number % 4 else (),
        )
        rows.append(row_of(record))
    store(rows)


def run_all(*, is_once: bool) -> None:
    from controlplane.jobs.lease import want
    from controlplane.jobs.models import Job
    from controlplane.jobs.running import run_job
    from controlplane.jobs.schedule import SCHEDULE

    while True:
        # Whoever was killed has the lease for some time yet; here nobody waits for that.
        Job.objects.update(holder="", held_until=None)
        for name in SCHEDULE:
            want(name)
            print(name, flush=True)
            run = run_job(name)
            assert run is not None, name
            assert run.outcome == "done", (name, run.error)
        if is_once:
            return


if __name__ == "__main__":
    django.setup()
    if "--seed" in sys.argv:
        seed()
    else:
        run_all(is_once="--once" in sys.argv)
