"""`python -m bench [PART …]`: measure this gateway, print the table, keep the figures."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from bench import profiling, report
from bench.gateways import measures
from bench.gateways.under_test import GatewayUnderTest, Switchyard, running, upstream
from bench.inprocess import apart
from bench.load import driver
from bench.peers import comparison
from bench.processes import BenchmarkFailed, allow_many_files

OVER_SOCKETS = ("plain", "stream", "failover", "latency", "memory")
IN_PROCESS = ("plan", "snapshot", "return", "return-postgres", "codecs")
PARTS = (*OVER_SOCKETS, *IN_PROCESS)
ALONE = ("peers", "profile")
RUNS, SECONDS = 3, 3.0
REQUESTS_PER_S = 100  # of each model, one caller: what a failover run of that length takes


def main(argv: Sequence[str]) -> int:
    asked = _arguments(argv)
    if asked.parts == ["profile"]:
        profiling.run(seconds=asked.seconds)
        return 0
    allow_many_files()
    parts = asked.parts or PARTS
    compared = [part for part in comparison.PARTS if part in parts or parts == ["peers"]]
    values: dict[str, list[float]] = {}
    peers = comparison.Comparison()
    try:
        if parts != ["peers"]:
            values = collect(parts, runs=asked.runs, seconds=asked.seconds)
        if asked.peers or parts == ["peers"]:
            peers = comparison.compare(compared, runs=asked.runs, seconds=asked.seconds)
    except BenchmarkFailed as error:
        print(error, file=sys.stderr)
        return 1
    load = "wrk" if driver.has_wrk() else "bench.load"
    place = report.machine()
    print(
        f"Switchyard {place['commit'] or ''} on {place['cpu']}, {place['cores']} cores, "
        f"Python {place['python']}; plain load by {load}; median of {asked.runs} runs.\n"
    )
    tables = [report.markdown(values)] if values else []
    tables += [comparison.markdown(peers)] if peers.values else []
    print("\n\n".join(tables))
    path = report.write({**values, **comparison.flat(peers)}, driver=load)
    print(f"\nEvery figure of every run: {path}")
    return 0


def collect(
    parts: Collection[str],
    *,
    runs: int,
    seconds: float,
    gateway: Callable[[Path], GatewayUnderTest] = Switchyard,
) -> dict[str, list[float]]:
    """Each figure of `parts`, once per run. Every run has a gateway, and a folder, of its own."""
    values: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="switchyard-bench-") as folder:
        for run in range(runs):
            print(f"run {run + 1} of {runs} …", file=sys.stderr, flush=True)
            place = Path(folder) / str(run)
            place.mkdir()
            for name, value in _run(parts, gateway(place), seconds).items():
                values.setdefault(name, []).append(value)
    return values


def _run(parts: Collection[str], gateway: GatewayUnderTest, seconds: float) -> measures.Figures:
    figures: measures.Figures = {}
    for part in IN_PROCESS:
        if part in parts:
            figures |= apart.measure(part)
    if not set(OVER_SOCKETS) & set(parts):
        return figures
    with upstream() as ports, running(gateway, ports):
        if "memory" in parts:
            figures |= measures.idle_memory(gateway)
        if "plain" in parts:
            figures |= measures.plain(gateway, seconds)
        if "stream" in parts:
            figures |= measures.stream(gateway, seconds)
        if "latency" in parts:
            figures |= measures.latency(gateway, ports, seconds)
        if "failover" in parts:
            figures |= measures.failover(gateway, requests=round(seconds * REQUESTS_PER_S))
        if "memory" in parts:  # last: it may leave providers benched
            figures |= measures.open_streams(gateway)
    return figures


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help=f"of {', '.join(PARTS)}; all if none is named. `peers` alone: only the comparison;"
        " `profile` alone shows the time's way",
    )
    parser.add_argument("--peers", action="store_true", help="install and measure peers, too")
    parser.add_argument("--runs", type=int, default=RUNS, help="a gateway each (default: 3)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each load (default: 3)")
    asked = parser.parse_args(argv)
    unknown = set(asked.parts) - {*PARTS, *ALONE}
    if unknown or (len(asked.parts) > 1 and set(asked.parts) & set(ALONE)):
        parser.error(f"parts are {', '.join(PARTS)}, or one of {', '.join(ALONE)}")
    return asked


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
