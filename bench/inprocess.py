"""
What needs no socket: `python -m bench.inprocess plan|snapshot|codecs` prints its figures as JSON.

A process of its own, so that neither measures on the other's heap.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
import timeit
from itertools import pairwise
from pathlib import Path
from random import Random

import msgspec
import uvloop

from bench import codecs
from bench.processes import ROOT, BenchmarkFailed
from bench.publishing import measure_publishing
from failover.engine.benches import BenchEntry, Benches
from providers.adapters.spec import CredentialSpec, ProviderSpec
from routing.gateway.app import Gateway
from routing.gateway.deciding.features import Features
from routing.gateway.deciding.keys import MASTER, Key
from routing.gateway.deciding.planner import plan
from routing.gateway.deciding.resolver import resolve
from routing.gateway.deciding.snapshot import (
    CandidateSpec,
    Content,
    KeySpec,
    PoolSpec,
    Snapshot,
    checksum,
    decode,
    encode,
)
from routing.gateway.deciding.state import LiveState
from routing.gateway.deciding.table import Table, compile_table
from routing.gateway.link import channel
from routing.gateway.link.live import LiveFeed

PROVIDERS = 20
CALLS, REPEATS = 5_000, 5
FEW, MANY = 10, 10_000
BREADTH, SNAPSHOT_BREADTH = 8, 4
TICK_S = 0.001
SESSION = 0x0123456789ABCDEF
LIMITED = Key.compile(KeySpec(name="limited", digest=b"", models=("pool-*", "other-*")))

Figures = dict[str, float]


def content(pools: int, breadth: int, strategy: str | None = None) -> Content:
    """`pools` pools of `breadth` candidates, each at another provider."""
    names = [f"provider-{number:02}" for number in range(PROVIDERS)]
    return Content(
        providers=tuple(
            ProviderSpec(
                name=name,
                kind="openai_compatible",
                base_url="http://127.0.0.1:9/v1",
                credentials=(CredentialSpec(label="main", secret=f"key-of-{name}"),),
            )
            for name in names
        ),
        pools=tuple(
            PoolSpec(
                name=f"pool-{number:05}",
                strategy=strategy,
                candidates=tuple(
                    CandidateSpec(
                        provider=names[(number + place) % PROVIDERS],
                        model=f"model-{number:05}-{place}",
                        priority=1 + place // 4,
                        weight=1 + place % 3,
                    )
                    for place in range(breadth)
                ),
            )
            for number in range(pools)
        ),
    )


def snapshot(of: Content, generation: int = 1) -> Snapshot:
    return Snapshot(
        generation=generation, created_at=time.time(), checksum=checksum(of), content=of
    )


def table(of: Content) -> Table:
    return compile_table(snapshot(of), decrypt=lambda token: token, environ={})


def measure_plan() -> Figures:
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


def measure_snapshot() -> Figures:
    """Seconds for 10,000 pools of 4: to encode, to decode and check, to compile, to swap in."""
    built = content(MANY, SNAPSHOT_BREADTH)
    times = [time.perf_counter()]
    raw = encode(snapshot(built))
    times.append(time.perf_counter())
    decoded = decode(raw)
    times.append(time.perf_counter())
    compile_table(decoded, decrypt=lambda token: token, environ={})
    times.append(time.perf_counter())
    encode_s, decode_s, compile_s = (b - a for a, b in pairwise(times))
    return {
        "snapshot_encode_s": encode_s,
        "snapshot_decode_s": decode_s,
        "snapshot_compile_s": compile_s,
        "snapshot_s": encode_s + decode_s + compile_s,
        "snapshot_mb": len(raw) / (1 << 20),
        "snapshot_hold_ms": uvloop.run(_hold_ms(raw)),
    }


async def _hold_ms(raw: bytes) -> float:
    """How long the event loop of a worker stands still while it takes that snapshot from disk."""
    clock = asyncio.get_running_loop().time
    gateway = Gateway(decrypt=lambda token: token, environ={}, clock=clock)
    with tempfile.TemporaryDirectory() as folder:
        watcher = LiveFeed(gateway, Path(folder))
        watcher.start()
        (Path(folder) / channel.SNAPSHOT_FILE).write_bytes(raw)
        longest, last = 0.0, time.perf_counter()
        deadline = last + 60
        while gateway.table is None and last < deadline:
            await asyncio.sleep(TICK_S)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now
        await watcher.aclose()
    await gateway.shutdown()
    if gateway.table is None:
        raise BenchmarkFailed("the worker did not load the snapshot")
    return longest * 1000


def measure(part: str) -> Figures:
    """The figures of `part`, from a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.inprocess", part],
        cwd=ROOT,
        capture_output=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise BenchmarkFailed(f"{part} failed:\n{done.stderr.decode(errors='replace')[-2000:]}")
    return msgspec.json.decode(done.stdout, type=Figures)


if __name__ == "__main__":
    match sys.argv[1]:
        case "plan":
            figures = measure_plan()
        case "codecs":
            figures = codecs.measure()
        case _:
            figures = measure_snapshot() | measure_publishing()
    print(msgspec.json.encode(figures).decode())
