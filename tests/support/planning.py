"""A small world to plan in: a table, a clock that is told, benches, and the live state."""

from __future__ import annotations

from random import Random
from typing import Any

from failover.engine.benches import Benches
from failover.engine.benches import Key as BenchKey
from failover.engine.plan import Nobody, Plan
from failover.engine.rendezvous import hash_of
from failover.engine.verdicts import VERDICTS
from providers.errors import Fault
from routing.gateway.deciding.features import Features
from routing.gateway.deciding.keys import Key
from routing.gateway.deciding.planner import plan
from routing.gateway.deciding.resolution import Unknown
from routing.gateway.deciding.resolver import resolve
from routing.gateway.deciding.snapshot import CandidateSpec, KeySpec, PoolSpec
from routing.gateway.deciding.state import LiveState
from routing.gateway.errors import nobody_may, unknown_model
from tests.support.builders import FakeClock, bench_entry, benches, failure, pool, table


def key(*models: str) -> Key:
    return Key.compile(KeySpec(name="k", digest=b"", models=models))


class World:
    def __init__(self, *pools: PoolSpec, **content: Any) -> None:
        self.table = table(*pools, **content)
        self.clock = FakeClock()
        self.benches: Benches = benches(self.clock)
        self.live = LiveState(benches=self.benches)

    def plan(
        self,
        name: str = "m",
        *,
        protocol: str = "openai_chat",
        models: tuple[str, ...] = (),
        rng: Any = None,
        session: str | None = None,
        fitting: Any = None,
        **wishes: Any,
    ) -> Plan:
        """The plan; raises what the caller would be told without one."""
        resolution = resolve(self.table, name)
        if isinstance(resolution, Unknown):
            raise unknown_model(resolution)
        made = plan(
            self.table,
            resolution,
            Features(
                protocol=protocol,
                key=key(*models),
                session=None if session is None else hash_of(session),
                **wishes,
            ),
            self.live,
            self.clock.now,
            rng or Random(1),
            fitting,
        )
        if isinstance(made, Nobody):
            raise nobody_may(made)
        return made

    def names(self, name: str = "m", **wishes: Any) -> list[str]:
        return [c.name for c in self.plan(name, **wishes).steps]

    def reasons(self, name: str = "m", **wishes: Any) -> dict[str, str]:
        return {r.candidate.name: r.reason for r in self.plan(name, **wishes).rejected}

    def serve(self, name: str = "m", by: str | None = None, **wishes: Any) -> str:
        """Plan, and have the first (or `by`) serve as the gateway does. Who served."""
        made = self.plan(name, **wishes)
        if made.commit is not None:
            made.commit()
        server = next(c for c in made.steps if by in (None, c.name))
        self.live.served(made, server, self.clock.now)
        return server.name

    def bench(self, subject: str, seconds: float = 60, **changes: Any) -> None:
        self.benches.merge(
            [bench_entry(subject, until=self.clock.wall() + seconds, **changes)], self.clock.now
        )

    def release(self, subject: str) -> None:
        assert self.benches.release((subject, None), self.clock.now)

    def fail(self, fault: Fault, key: BenchKey, **evidence: Any) -> None:
        policy = self.table.pool("m")
        assert policy is not None
        self.benches.failed(
            VERDICTS[fault].bench,
            key,
            failure(fault, **evidence),
            policy.candidates[0].bench_policy,
            now=self.clock.now,
            began=self.clock.now,
            request_id="",
        )


def weighted(*weights: int, strategy: str = "weighted_round_robin", **changes: Any) -> World:
    """A world with a pool "m" of a/x, b/x … with these weights."""
    specs = [
        CandidateSpec(provider=name, model="x", weight=weight)
        for name, weight in zip("abcdefgh", weights, strict=False)
    ]
    return World(pool("m", *specs, strategy=strategy, **changes))


def firsts(world: World, count: int, **wishes: Any) -> list[str]:
    """Who serves `count` requests, one after the other."""
    return [world.serve(**wishes) for _ in range(count)]
