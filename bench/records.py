"""
What records cost behind the workers: taken in, summed, listed in admin, and deleted.

`python -m bench.records [COUNT]` measures COUNT records (default: a million) of a day on SQLite and
on PostgreSQL as the tests start it. Each database has a process of its own, because Django
takes its settings only once.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from random import Random

from bench.processes import ROOT
from tests.support.databases import postgres

COUNT, BATCH, DAY_MS = 1_000_000, 1000, 86_400_000
POOLS, KEYS, TEAMS, PROVIDERS = 20, 50, 20, 6
LIMIT_S = 3600
LISTS = (
    "",
    "?outcome=failed",
    "?failover=True",
    "?provider=provider-1",
    "?canonical_model=pool-3",
    "?last=60",
    "?q=key-7",
    "?p=3",
)
Figures = dict[str, float]


class Run:
    """What a job is given."""

    def __init__(self, began_at: datetime) -> None:
        self.began_at = began_at

    def progress(self, done: int, total: int) -> None:
        """Nobody looks."""


def measure(count: int) -> Figures:
    """In the database of DATABASE_URL, which is empty."""
    set_up()
    end = datetime.now(UTC)
    return {
        **_ingested(count, end),
        **_summed(count, end),
        **_listed(),
        **_deleted(count, end + timedelta(days=31)),
    }


def _ingested(count: int, end: datetime) -> Figures:
    from controlplane.records.ingest import store  # noqa: PLC0415 - Django has to be set up

    wall_s = cpu_s = 0.0
    slowest_s = 0.0
    for batch in batches(count, end):
        began, cpu = time.perf_counter(), time.process_time()
        store(batch)
        took_s = time.perf_counter() - began
        wall_s += took_s
        cpu_s += time.process_time() - cpu
        slowest_s = max(slowest_s, took_s)
    return {
        "ingest_us": wall_s / count * 1e6,
        "ingest_cpu_us": cpu_s / count * 1e6,
        "ingest_slowest_batch_ms": slowest_s * 1000,
    }


def batches(
    count: int, end: datetime, *, pools: int = POOLS, keys: int = KEYS
) -> Iterator[list[tuple[object, ...]]]:
    """Rows as spools hold them, in the order of time: made before they are measured."""
    from routing.gateway.records.record import row_of  # noqa: PLC0415 - it is quick to import late
    from tests.support.builders import attempt_record, request_record  # noqa: PLC0415 - as above

    dice = Random(1)
    start_ms = int(end.timestamp() * 1000) - DAY_MS
    batch: list[tuple[object, ...]] = []
    for number in range(count):
        moved, key = dice.random() < 0.05, dice.randrange(keys)
        provider, other = dice.sample(range(PROVIDERS), 2)
        served = attempt_record(provider=f"provider-{provider}", model="m")
        failed = attempt_record(
            provider=f"provider-{other}", model="m", content_ms=None, status=503, fault="status",
            message="the provider is overloaded, try again later",
        )  # fmt: skip
        at_ms = start_ms + number * DAY_MS // count
        identifier = f"{at_ms:012x}7{number & 0xFFF:03x}a{number:015x}"
        has_failed = dice.random() < 0.01
        record = request_record(
            id=identifier,
            request_id=f"req_{identifier}",
            canonical_model=f"pool-{(key + dice.randrange(2)) % pools}",  # a key asks for two
            key=f"key-{key}",
            team=f"team-{key % TEAMS}",
            outcome="failed" if has_failed else "answered",
            status=502 if has_failed else 200,
            provider="" if has_failed else f"provider-{provider}",
            model="" if has_failed else "m",
            attempts=(failed,) if has_failed else (failed, served) if moved else (served,),
            failover=moved and not has_failed,
            duration_ms=dice.lognormvariate(6, 1),
            first_content_ms=dice.lognormvariate(5, 1),
            input_tokens=dice.randrange(5000),
            output_tokens=dice.randrange(500),
            cost_usd=dice.random() / 100,
            stream=dice.random() < 0.7,
            needs=("streaming", "tools") if dice.random() < 0.3 else ("streaming",),
            planned=(f"provider-{provider}/m", f"provider-{other}/m"),
            estimated_input_tokens=1000,
            generation=1,
        )
        batch.append(row_of(record))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _summed(count: int, now: datetime) -> Figures:
    from controlplane.records.models import DirtyMinute  # noqa: PLC0415 - Django has to be set up
    from controlplane.records.rollups import roll_up  # noqa: PLC0415 - as above

    began, cpu = time.perf_counter(), time.process_time()
    while DirtyMinute.objects.exists():
        roll_up(Run(now))  # type: ignore[arg-type] # as much of one as is asked for
    return {
        "rollup_us": (time.perf_counter() - began) / count * 1e6,
        "rollup_cpu_us": (time.process_time() - cpu) / count * 1e6,
    }


def _listed() -> Figures:
    """The slowest of the lists, each the median of five; the first answer warms up."""
    from django.contrib.auth.models import User  # noqa: PLC0415 - Django has to be set up
    from django.test import Client  # noqa: PLC0415 - as above

    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.create_superuser("bench"))

    def show(query: str) -> float:
        began = time.perf_counter()
        answer = client.get(f"/admin/controlplane/requestrecord/{query}")
        assert answer.status_code == 200, (query, answer.status_code)
        return (time.perf_counter() - began) * 1000

    show("")
    times = {query: statistics.median(show(query) for _ in range(5)) for query in LISTS}
    return {"list_ms": times[""], "list_slowest_ms": max(times.values())}


def _deleted(count: int, now: datetime) -> Figures:
    from controlplane.models import RequestRecord  # noqa: PLC0415 - Django has to be set up
    from controlplane.records.retention import prune  # noqa: PLC0415 - as above

    began, cpu = time.perf_counter(), time.process_time()
    prune(Run(now))  # type: ignore[arg-type] # as much of one as is asked for
    took_s = time.perf_counter() - began
    assert not RequestRecord.objects.exists()
    return {
        "expiry_rows_per_s": count / took_s,
        "expiry_cpu_us": (time.process_time() - cpu) / count * 1e6,
    }


def _in_a_process(module: str, count: int, url: Callable[[str], str]) -> Figures:
    with tempfile.TemporaryDirectory(prefix="switchyard-bench-") as folder:
        done = subprocess.run(
            [sys.executable, "-m", module, str(count)],
            cwd=ROOT,
            env={**os.environ, "DATA_DIR": folder, "DATABASE_URL": url(folder), "MEASURED": "1"},
            stdout=subprocess.PIPE,
            timeout=LIMIT_S,
            check=True,
        )
    figures: Figures = json.loads(done.stdout)
    return figures


def on_both(module: str, count: int, width: int = 30) -> None:
    """The figures that `module` prints in a process of its own, on each database."""
    print(f"{count:,} records")
    on_sqlite = _in_a_process(module, count, lambda folder: f"sqlite:///{folder}/bench.sqlite3")
    with postgres() as url:
        on_postgres = _in_a_process(module, count, lambda _folder: url)
    print(f"{'':{width}}{'SQLite':>12}{'PostgreSQL':>12}")
    for name, value in on_sqlite.items():
        print(f"{name:{width}}{value:>12,.1f}{on_postgres[name]:>12,.1f}")


def set_up() -> None:
    """Django in the database of DATABASE_URL, which is empty."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "controlplane.settings"
    import django  # noqa: PLC0415 - it needs the environment

    django.setup()
    from django.core.management import call_command  # noqa: PLC0415 - as above

    call_command("migrate", verbosity=0)


if __name__ == "__main__":
    asked = int(sys.argv[1]) if len(sys.argv) > 1 else COUNT
    if os.environ.get("MEASURED"):
        print(json.dumps(measure(asked)))
    else:
        on_both("bench.records", asked)
