"""What a snapshot of 10,000 pools costs: as bytes, as a table, and while a worker takes it in."""

from __future__ import annotations

import asyncio
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import uvloop

from bench.inprocess.pools import MANY, content, snapshot
from bench.processes import BenchmarkFailed
from routing.gateway.app import Gateway
from routing.gateway.deciding.snapshot import decode, encode
from routing.gateway.deciding.table import compile_table
from routing.gateway.link import channel
from routing.gateway.link.live import LiveFeed

BREADTH = 4
TICK_S = 0.001

Figures = dict[str, float]


def measure() -> Figures:
    """Seconds for 10,000 pools of 4: to encode, to decode and check, to compile, to swap in."""
    built = content(MANY, BREADTH)
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
