"""What is measured of one running gateway. Each function returns figures by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench import scene
from bench.gateways.under_test import GatewayUnderTest
from bench.load import driver
from bench.load.callers import LoadResult
from bench.processes import BenchmarkFailed, Process, cpu_s, tree, wait_until_quiet

WARM_UP_S = 1.0
PER_SECOND = 300.0
OPEN_STREAMS = 1000
MIB = 1 << 20

Figures = dict[str, float]
Load = Callable[..., LoadResult]


def plain(gateway: GatewayUnderTest, seconds: float) -> Figures:
    return _cpu_of(gateway, driver.plain, "plain", seconds)


def stream(gateway: GatewayUnderTest, seconds: float) -> Figures:
    return {
        **_cpu_of(gateway, driver.streams, "stream", seconds),
        **_cpu_of(gateway, driver.paced_streams, "paced", seconds),
    }


def _cpu_of(gateway: GatewayUnderTest, load: Load, name: str, seconds: float) -> Figures:
    """CPU time of the gateway's whole process tree over whole answers, until it is quiet again."""
    load(gateway.url, gateway.headers, seconds=WARM_UP_S)
    _rest(gateway)
    before, before_worker = cpu_s(gateway.root_pid), _worker(gateway).cpu_s
    result = load(gateway.url, gateway.headers, seconds=seconds)
    _rest(gateway)
    used = cpu_s(gateway.root_pid) - before
    used_by_worker = _worker(gateway).cpu_s - before_worker
    _check(result, f"{gateway.name}, {name}")
    return {
        f"{name}_cpu_us": used / result.requests * 1e6,
        f"{name}_worker_us": used_by_worker / result.requests * 1e6,
        f"{name}_rate": result.rate,
        f"{name}_p50_ms": result.p50_ms,
        f"{name}_p99_ms": result.p99_ms,
        f"{name}_errors": result.errors,
    }


def _rest(gateway: GatewayUnderTest) -> None:
    gateway.settle()
    wait_until_quiet(gateway.root_pid)


def latency(gateway: GatewayUnderTest, ports: Sequence[int], seconds: float) -> Figures:
    """What the gateway adds at a fixed rate to asking the upstream directly."""
    upstream = f"http://127.0.0.1:{ports[0]}{scene.PATH}"
    both = driver.at_rate(
        gateway.url, gateway.headers, beside=upstream, per_second=PER_SECOND, seconds=seconds
    )
    through, direct = both.first, both.second
    _check(through, f"{gateway.name}, latency")
    return {
        "latency_p50_added_ms": through.p50_ms - direct.p50_ms,
        "latency_p99_added_ms": through.p99_ms - direct.p99_ms,
        "latency_errors": through.errors,
    }


def failover(gateway: GatewayUnderTest, requests: int) -> Figures:
    """What a 503 at the first candidate adds to a whole answer."""
    result = driver.pair(gateway.url, gateway.headers, gateway.failing_headers, requests=requests)
    _check(result.second, f"{gateway.name}, failover")
    return {
        "failover_added_ms": result.second.p50_ms - result.first.p50_ms,
        "failover_errors": result.first.errors + result.second.errors,
    }


def idle_memory(gateway: GatewayUnderTest) -> Figures:
    """Of a worker that has served nobody yet."""
    wait_until_quiet(gateway.root_pid)
    return {"idle_mb": _worker_mb(gateway)}


def open_streams(gateway: GatewayUnderTest, streams: int = OPEN_STREAMS) -> Figures:
    """How many streams stay open on one worker, over several providers and at a single one."""
    figures: Figures = {}
    with driver.held(gateway.url, gateway.headers, model=scene.SPREAD, streams=streams) as result:
        figures["open_streams"] = result.held
        figures["open_streams_mb"] = _worker_mb(gateway)
    wait_until_quiet(gateway.root_pid)
    with driver.held(gateway.url, gateway.headers, model=scene.HELD, streams=streams) as result:
        figures["open_streams_one_provider"] = result.held
    return figures


def _worker_mb(gateway: GatewayUnderTest) -> float:
    return _worker(gateway).rss_bytes / MIB


def _worker(gateway: GatewayUnderTest) -> Process:
    return next(p for p in tree(gateway.root_pid) if p.pid == gateway.worker_pid)


def _check(result: LoadResult, what: str) -> None:
    if not result.requests:
        raise BenchmarkFailed(f"{what}: no request was answered ({result.errors} errors)")
