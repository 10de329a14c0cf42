"""Two hosts, two job workers, one PostgreSQL, one Valkey: what happens when one of them dies."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.journeys.stage import candidate
from tests.support.background import Background
from tests.support.databases import Postgres, Valkey, postgres_server, valkey_server
from tests.support.gateways import GatewayProcess, environment, manage
from tests.support.job_workers import JobWorker
from tests.support.processes import wait_for
from tests.support.receiver import Receiver, receiving
from tests.support.upstreams import Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# So that a minute of the world is some seconds of the test.
SOONER = """
from controlplane.jobs.models import Job
for name, every_s in {"health": 1, "alerts": 1, "rollup": 2}.items():
    Job.objects.update_or_create(name=name, defaults={"every_s": every_s})
"""


def config(dying: Upstream, receiver: Receiver) -> dict[str, Any]:
    return {
        "providers": {
            "dying": {**dying.provider(), "health": {"interval_s": 1}},
            "spare": {"kind": "simulator"},
        },
        "routing": {
            "model_pools": {
                "steady": {"candidates": [candidate("dying", "m"), candidate("spare", "m")]}
            }
        },
        "alerts": {"webhooks": [{"url": receiver.url, "kind": "signed", "secret": "s3cret"}]},
    }


class Load(Background):
    """One caller at each host, all the time; `failed` is what was not answered with 200."""

    def __init__(self, *hosts: GatewayProcess) -> None:
        super().__init__(*(partial(self._ask, host) for host in hosts), pause_s=0.05)
        self.asked = 0
        self.failed: list[object] = []

    def _ask(self, host: GatewayProcess) -> None:
        try:
            reply = host.chat("steady")
        except OSError as error:
            self.failed.append(error)
            return
        self.asked += 1
        if reply.status != 200:
            self.failed.append((reply.status, reply.body))


class World:
    """The hosts, their servers, whoever looks after them, and whoever is told."""

    def __init__(self, folder: Path, hosts: list[GatewayProcess]) -> None:
        self._folder = folder
        self.hosts = hosts
        self.workers = [self.start_worker(number) for number in range(len(hosts))]
        self.database: Postgres
        self.valkey: Valkey
        self.dying: Upstream
        self.receiver: Receiver

    def start_worker(self, number: int) -> JobWorker:
        return JobWorker(self._folder / f"worker{number}.log", self.hosts[number].env)

    def jobs(self) -> dict[str, Any]:
        return {job["name"]: job for job in self.hosts[0].request("/api/jobs").json()}

    def health(self, host: GatewayProcess) -> str:
        rows = host.request("/api/health").json()
        return next((row["status"] for row in rows if row["provider"] == "dying"), "not known")

    def is_blocked(self, host: GatewayProcess) -> bool:
        (pool,) = host.request("/api/routing/model-pools?canonical_model=steady").json()
        return pool["candidates"][0]["blocked_reason"] == "unhealthy"

    def told(self, kind: str) -> list[dict[str, Any]]:
        found = [json.loads(posted.body) for posted in self.receiver.posted]
        return [message for message in found if message["kind"] == kind]

    def runs_again(self, name: str, what: str) -> None:
        """Wait until the job begins and ends once more."""
        before = self.jobs()[name]["last"]
        seen = before["started_at"] if before else ""

        def look() -> bool:
            last = self.jobs()[name]["last"]
            return bool(last) and last["started_at"] > seen and last["outcome"] == "done"

        wait_for(look, what=what, limit_s=90)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, migrated_data_dir: Path) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("hosts")
    dying = Upstream("dying", "ok")
    with postgres_server() as database, valkey_server() as valkey, receiving() as receiver:
        env = {"DATABASE_URL": database.url, "REDIS_URL": valkey.url}
        hosts: list[GatewayProcess] = []
        for name in ("one", "two"):
            (folder / name).mkdir()
            if not hosts:
                manage("migrate", "--verbosity", "0", env=environment(migrated_data_dir, **env))
                manage("shell", "-c", SOONER, env=environment(migrated_data_dir, **env))
            hosts.append(
                GatewayProcess(
                    folder / name,
                    template=migrated_data_dir,
                    config=config(dying, receiver),
                    arguments=(),
                    env=env,
                )
            )
        for host in hosts:
            host.wait_until_ready()
        made = World(folder, hosts)
        made.database, made.valkey, made.dying, made.receiver = database, valkey, dying, receiver
        yield made
        for worker in made.workers:
            worker.stop()
        for host in hosts:
            host.stop()
        dying.stop()


def test_a_provider_that_dies_is_unhealthy_everywhere_told_once_and_recovers(world: World):
    one, two = world.hosts
    wait_for(lambda: world.health(two) == "healthy", what="the first check", limit_s=60)

    with Load(one, two) as load:
        world.dying.refuse()
        for host in world.hosts:
            wait_for(partial(world.is_blocked, host), what="the host to know", limit_s=60)
        wait_for(lambda: world.told("provider_unhealthy"), what="the alert", limit_s=60)
        world.runs_again("alerts", "alerts to be looked at again")
        world.runs_again("alerts", "and again, by whichever worker")
        assert len(world.told("provider_unhealthy")) == 1

        world.dying.accept()
        for host in world.hosts:
            wait_for(
                lambda host=host: world.health(host) == "healthy" and not world.is_blocked(host),
                what="it to be well by itself",
                limit_s=60,
            )
    assert load.asked > 10
    assert load.failed == []


def test_a_killed_worker_leaves_its_jobs_to_the_other(world: World):
    world.workers[0].kill()
    world.runs_again("health", "the other one to look at health")
    world.runs_again("rollup", "the other one to sum")
    world.workers[0] = world.start_worker(0)


@pytest.mark.parametrize("server", ["valkey", "database"])
def test_a_server_that_is_away_costs_no_request_and_no_record(world: World, server: str):
    def records() -> int:
        sums = (
            "from controlplane.records.models import RequestRecord;"
            "print(RequestRecord.objects.count())"
        )
        return int(manage("shell", "-v", "0", "-c", sums, env=world.hosts[0].env))

    before = records()
    away = getattr(world, server)
    with Load(*world.hosts) as load:
        wait_for(lambda: load.asked > 20, what="some traffic")
        away.stop()
        at = load.asked
        wait_for(lambda: load.asked > at + 40, what="traffic meanwhile", limit_s=60)
        away.start()
        world.runs_again("health", "jobs to go on")
    assert load.failed == []
    wait_for(lambda: records() == before + load.asked, what="every record to be there", limit_s=60)
    world.runs_again("rollup", "sums to go on")
    assert all(worker.process.poll() is None for worker in world.workers)
