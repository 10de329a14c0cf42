"""What plan() costs: in a table of ten pools and of ten thousand, by strategy, key and bench."""

from __future__ import annotations

import time
import timeit
from random import Random

from bench.inprocess.pools import FEW, MANY, content, table
from failover.engine.benches import BenchEntry, Benches
from routing.gateway.deciding.features import Features
from routing.gateway.deciding.keys import MASTER, Key
from routing.gateway.deciding.planner import plan
from routing.gateway.deciding.resolver import resolve
from routing.gateway.deciding.snapshot import KeySpec
from routing.gateway.deciding.state import LiveState
from routing.gateway.deciding.table import Table

CALLS, REPEATS = 5_000, 5
BREADTH = 8
SESSION = 0x0123456789ABCDEF
LIMITED = Key.compile(KeySpec(name="limited", digest=b"", models=("pool-*", "other-*")))

Figures = dict[str, float]


def measure() -> Figures:
    """Microseconds of plan() for a pool of 8 in two tiers."""
    few, many = table(content(FEW, BREADTH)), table(content(MANY, BREADTH))
    weighted = table(content(FEW, BREADTH, "weighted_round_robin"))
    many_weighted = table(content(MANY, BREADTH, "weighted_round_robin"))
    drawn = table(content(FEW, BREADTH, "weighted_random"))
    quick = table(content(FEW, BREADTH, "lowest_latency"))
    return {
        "plan_us": plan_us(few, FEW),
        "plan_of_many_us": plan_us(many, MANY),
        "plan_limited_us": plan_us(few, FEW, key=LIMITED),
        "plan_weighted_us": plan_us(weighted, FEW),
        "plan_weighted_of_many_us": plan_us(many_weighted, MANY),
        "plan_benched_us": plan_us(few, FEW, benched=1),
        "plan_weighted_benched_us": plan_us(weighted, FEW, benched=1),
        "plan_session_us": plan_us(weighted, FEW, session=SESSION),
        "plan_session_benched_us": plan_us(weighted, FEW, session=SESSION, benched=1),
        "plan_random_us": plan_us(drawn, FEW),
        "plan_latency_us": plan_us(quick, FEW, is_measured=True),
    }


def plan_us(
    table: Table,
    pools: int,
    *,
    key: Key = MASTER,
    session: int | None = None,
    benched: int = 0,
    is_measured: bool = False,
    calls: int = CALLS,
) -> float:
    """
    Microseconds of one plan() in turn over `pools` pools, `benched` of each sitting out.

    `is_measured`: of each candidate a time to the first token is known.
    """
    now = time.monotonic()
    wall = time.time()
    live = LiveState(benches=Benches(rng=Random(1), wall=time.time))
    resolutions = [resolve(table, f"pool-{number:05}") for number in range(pools)]
    for resolution in resolutions:
        for candidate in resolution.groups[0].pool.candidates[:benched]:
            entry = BenchEntry(
                subject=candidate.name,
                credential=None,
                since=wall,
                until=wall + 600,
                reason="status",
            )
            live.benches.merge([entry], now)
        for candidate in resolution.groups[0].pool.candidates if is_measured else ():
            lease = live.loads.begin(candidate, 0, now)
            lease.answered(0.5, now)
            lease.end()
    features = Features(protocol="openai_chat", key=key, session=session)
    rng = Random(1)
    turn = 0

    def one() -> None:
        nonlocal turn
        turn = (turn + 1) % pools
        plan(table, resolutions[turn], features, live, now, rng)

    best = min(timeit.repeat(one, timer=time.process_time, number=calls, repeat=REPEATS))
    return best / calls * 1e6
