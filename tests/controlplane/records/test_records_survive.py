"""
Records through outages, with real processes: each request leaves one, and no request fails.

OUTAGE_S=60 takes PostgreSQL away for a whole minute; `-s` shows what that cost the callers.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import sqlite3
import statistics
import subprocess
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from routing.gateway.records.spool import SPOOL_DIR, spool_files
from tests.support.background import Background
from tests.support.databases import postgres_server
from tests.support.gateways import GatewayProcess, environment, manage
from tests.support.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    StartGateway = Callable[..., GatewayProcess]

OUTAGE_S = float(os.environ.get("OUTAGE_S", "5"))
DEMO = {
    "providers": {"lab": {"kind": "simulator"}},
    "routing": {"model_pools": {"demo": {"candidates": [{"provider": "lab", "model": "m"}]}}},
}


class Load(Background):
    """
    Two callers that ask one thing after the other, each request with an id of its own.

    `took`: when each began, and its seconds.
    """

    def __init__(self, gateway: GatewayProcess) -> None:
        super().__init__(*(partial(self._ask, n, itertools.count(1)) for n in range(2)))
        self._gateway = gateway
        self.answered: list[str] = []
        self.failed: list[str] = []
        self.took: list[tuple[float, float]] = []

    def _ask(self, caller: int, numbers: Iterator[int]) -> None:
        request_id = f"caller-{caller}-{next(numbers)}"
        body = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}]}
        began = time.monotonic()
        reply = self._gateway.request(
            "/v1/chat/completions", body, headers={"x-request-id": request_id}
        )
        self.took.append((began, time.monotonic() - began))
        (self.answered if reply.status == 200 else self.failed).append(request_id)

    def wait_for_more(self, count: int = 100) -> None:
        goal = len(self.answered) + count
        wait_for(lambda: len(self.answered) >= goal or self.failed, what=f"{count} more answers")

    def between(self, since: float, until: float) -> list[float]:
        """Seconds that the requests of that time took, sorted."""
        return sorted(seconds for began, seconds in self.took if since <= began < until)


def kept(gateway: GatewayProcess) -> list[str]:
    """The request ids of all records, by way of the API's pages."""
    found: list[str] = []
    path = "/api/requests?limit=500"
    while path:
        page: dict[str, Any] = gateway.request(path).json()
        found += [row["request_id"] for row in page["results"]]
        path = (page["next"] or "").removeprefix(gateway.url)
    return found


def wait_until_ingested(gateway: GatewayProcess, load: Load) -> None:
    """Until every request of `load` has been recorded or dropped, and no record waits."""

    def look() -> bool:
        records = gateway.ready()["records"]
        dealt_with = records["recorded"] + records["dropped"] == len(load.answered)
        return dealt_with and not list(spools(gateway))

    wait_for(look, what="every record to be in the database", limit_s=40)


def spools(gateway: GatewayProcess) -> Iterator[Path]:
    return spool_files(gateway.data_dir / SPOOL_DIR)


def test_postgresql_may_go_and_come_back_and_every_record_is_there_once(
    gateway_process: StartGateway, tmp_path: Path
) -> None:
    with postgres_server() as database:
        env = {"DATABASE_URL": database.url}
        manage("migrate", "--verbosity", "0", env=environment(tmp_path / "data", **env))
        gateway = gateway_process(DEMO, env=env)
        with Load(gateway) as load:
            load.wait_for_more(300)
            stopped_at = time.monotonic()
            database.stop()
            load.wait_for_more(300)
            wait_for(lambda: len(list(spools(gateway))) >= 2, what="records to wait")
            time.sleep(max(0.0, stopped_at + OUTAGE_S - time.monotonic()))
            started_at = time.monotonic()
            database.start()
            load.wait_for_more()
        wait_until_ingested(gateway, load)
        before, during = load.between(0, stopped_at), load.between(stopped_at, started_at)
        print(f"\nPostgreSQL was away for {started_at - stopped_at:.1f} s")
        for name, seconds in (("before", before), ("during", during)):
            at = {q: seconds[min(int(len(seconds) * q / 100), len(seconds) - 1)] for q in (50, 99)}
            slowest = f"slowest {seconds[-1] * 1e3:.1f} ms"
            print(f"{name}: {len(seconds)} requests, p50 {at[50] * 1e3:.1f} ms, "
                  f"p99 {at[99] * 1e3:.1f} ms, {slowest}")  # fmt: skip

        assert load.failed == []
        assert sorted(kept(gateway)) == sorted(load.answered)
        assert gateway.ready()["records"]["dropped"] == 0
        assert "request records wait in" in gateway.logs()
        # Nobody waits for the database; what else the machine does may double a request's time.
        assert statistics.median(during) < 2 * statistics.median(before) + 0.005
        gateway.stop()


def test_a_control_child_that_is_killed_neither_loses_nor_repeats_a_record(
    gateway_process: StartGateway,
) -> None:
    gateway = gateway_process(DEMO)
    with Load(gateway) as load:
        for _ in range(4):
            load.wait_for_more(60)
            control = gateway.control()
            if control is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(control, signal.SIGKILL)
    wait_until_ingested(gateway, load)

    assert load.failed == []
    assert sorted(kept(gateway)) == sorted(load.answered)


def test_a_worker_that_ends_leaves_every_record(gateway_process: StartGateway) -> None:
    gateway = gateway_process(DEMO, "--workers", "2")
    wait_for(
        lambda: [w["generation"] for w in gateway.hub(op="status")["workers"]] == [1, 1],
        what="both workers to be ready",
    )
    with Load(gateway) as load:
        load.wait_for_more()
    gateway.stop()
    gateway.start()
    gateway.wait_until_ready()
    wait_for(lambda: not list(spools(gateway)), what="the spool to be empty")

    assert load.failed == []
    assert sorted(kept(gateway)) == sorted(load.answered)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 128 KiB, where one may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k,mode=700", "tmpfs", str(folder)],
        capture_output=True, check=False,
    )  # fmt: skip
    if mounted.returncode != 0:
        pytest.skip("a file system can be mounted by root only")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_the_spool(gateway: GatewayProcess) -> Load:
    """Ask until records are dropped; another writer keeps the database to itself meanwhile."""
    with contextlib.closing(sqlite3.connect(gateway.data_dir / "switchyard.sqlite3")) as database:
        database.execute("BEGIN IMMEDIATE")
        with Load(gateway) as load:
            wait_for(
                lambda: gateway.ready()["records"]["dropped"] or load.failed,
                what="records to be dropped",
            )
            load.wait_for_more()
    return load


def test_on_a_full_disk_requests_go_on_and_drops_are_counted(
    gateway_process: StartGateway, tiny_disk: Path
) -> None:
    gateway = gateway_process(DEMO)
    (gateway.data_dir / SPOOL_DIR).symlink_to(tiny_disk)
    load = fill_the_spool(gateway)
    records = gateway.ready()["records"]
    wait_until_ingested(gateway, load)

    assert load.failed == []
    assert len(kept(gateway)) == gateway.ready()["records"]["recorded"]
    assert records["recorded"] > 0
    assert re.search("request records dropped.*No space left on device", gateway.logs())


def test_beyond_the_budget_requests_go_on_and_drops_are_counted(
    gateway_process: StartGateway,
) -> None:
    gateway = gateway_process(DEMO, env={"SPOOL_MAX_BYTES": "100000"})
    load = fill_the_spool(gateway)
    records = gateway.ready()["records"]

    assert load.failed == []
    assert re.search("dropped.*the spool has reached its 100000 bytes", gateway.logs())
    assert records["recorded"] > 0
    assert sum(path.stat().st_size for path in spools(gateway)) <= 100_000


def test_a_spool_that_cannot_be_written_fails_no_request(gateway_process: StartGateway) -> None:
    gateway = gateway_process(DEMO)
    (gateway.data_dir / SPOOL_DIR).write_text("in the way")
    load = fill_the_spool(gateway)

    assert load.failed == []
    assert gateway.ready()["records"]["recorded"] == 0
