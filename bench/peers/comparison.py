"""This gateway and its peers in turn on one upstream, so that noise falls on all alike."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.gateways import measures
from bench.gateways.measures import Figures
from bench.gateways.under_test import GatewayUnderTest, Switchyard, running, upstream
from bench.peers.listed import PEERS
from bench.peers.packages import CannotInstall, Peer
from bench.processes import BenchmarkFailed

OURS = "Switchyard"
PARTS = ("plain", "stream", "failover")
# Figure, head of its column, digits.
COLUMNS = (
    ("plain_cpu_us", "plain chat, CPU µs", 0),
    ("stream_cpu_us", "60-chunk stream, CPU µs", 0),
    ("paced_cpu_us", "60 chunks 5 ms apart, CPU µs", 0),
    ("failover_added_ms", "503 at the first candidate, added ms", 2),
    ("plain_rate", "plain chats, 1/s", 0),
)
RATIOS = ("plain_cpu_us", "stream_cpu_us", "paced_cpu_us")
ERRORS = ("plain_errors", "stream_errors", "paced_errors", "failover_errors")


@dataclass(slots=True, kw_only=True)
class Comparison:
    """
    Figures of every run by gateway; `missing`: why a peer, or a part of it, is not among them.

    `ratios` are ours over a peer's of the same run, ours being the mean of before and after it.
    """

    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    ratios: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def compare(
    parts: Collection[str], *, runs: int, seconds: float, peers: Sequence[Peer] = PEERS
) -> Comparison:
    """Measure `parts` of each in turn: ours, a peer, ours, the next peer, ours, `runs` times."""
    found = Comparison()
    for peer in peers:
        print(f"installing {peer.name} …", file=sys.stderr, flush=True)
        try:
            peer.install()
        except CannotInstall as error:
            found.missing[peer.name] = f"cannot be installed: {error}"
    with tempfile.TemporaryDirectory(prefix="switchyard-bench-") as folder:
        folders = _folders(Path(folder))
        for run in range(runs):
            print(f"comparison, run {run + 1} of {runs} …", file=sys.stderr, flush=True)
            with upstream() as ports:
                _run(found, parts, ports, seconds, _of_run(run, peers, found), folders)
    return found


def _of_run(run: int, peers: Sequence[Peer], found: Comparison) -> list[Peer]:
    return [p for p in peers if p.name not in found.missing and not (p.is_slow and run)]


def _folders(home: Path) -> Iterator[Path]:
    number = 0
    while True:
        number += 1
        place = home / str(number)
        place.mkdir()
        yield place


def _run(
    found: Comparison,
    parts: Collection[str],
    ports: Sequence[int],
    seconds: float,
    peers: Sequence[Peer],
    folders: Iterator[Path],
) -> None:
    def ours() -> Figures:
        figures = figures_of(Switchyard(next(folders)), parts, ports, seconds)
        _note(found.values, OURS, figures)
        return figures

    before = ours()
    for peer in peers:
        gateway = peer.gateway(peer.package, next(folders))
        asked, refused = asked_of(peer, parts)
        try:
            theirs = figures_of(
                gateway, asked, ports, seconds, failovers=peer.failovers, refused=refused
            )
        except BenchmarkFailed as error:
            print(error, file=sys.stderr)
            found.missing[peer.name] = str(error).splitlines()[0]
            continue
        found.missing |= {f"{peer.name}, {part}": text for part, text in refused.items()}
        _note(found.values, peer.name, theirs)
        after = ours()
        _note(found.ratios, peer.name, ratios(before, theirs, after))
        before = after


def asked_of(peer: Peer, parts: Collection[str]) -> tuple[list[str], dict[str, str]]:
    """Which of `parts` it is measured in, and why not in the others."""
    refused = {part: why for part, why in peer.cannot.items() if part in parts}
    return [part for part in parts if part not in refused], refused


def figures_of(
    gateway: GatewayUnderTest,
    parts: Collection[str],
    ports: Sequence[int],
    seconds: float,
    *,
    failovers: int = 300,
    refused: dict[str, str] | None = None,
) -> Figures:
    """
    Start it, measure it, end it.

    With `refused`, a part that it cannot do is noted there, and why, instead of raised.
    """
    loads: dict[str, Callable[[], Figures]] = {
        "plain": lambda: measures.plain(gateway, seconds),
        "stream": lambda: measures.stream(gateway, seconds),
        "failover": lambda: measures.failover(gateway, requests=failovers),
    }
    figures: Figures = {}
    with running(gateway, ports):
        for part, load in loads.items():
            if part not in parts:
                continue
            try:
                figures |= load()
            except BenchmarkFailed as error:
                if refused is None:
                    raise
                refused[part] = str(error)
    return figures


def ratios(before: Figures, theirs: Figures, after: Figures) -> Figures:
    """Our CPU time over theirs."""
    return {
        name: (before[name] + after[name]) / 2 / theirs[name] for name in RATIOS if name in theirs
    }


def _note(into: dict[str, dict[str, list[float]]], name: str, figures: Figures) -> None:
    for figure, value in figures.items():
        into.setdefault(name, {}).setdefault(figure, []).append(value)


def markdown(found: Comparison) -> str:
    """Medians and ranges, one gateway a line; then our CPU time over each peer's."""
    heads = [head for _, head, _ in COLUMNS]
    lines = [
        f"| | {' | '.join(heads)} | failed |",
        f"|---|{'---:|' * (len(heads) + 1)}",
    ]
    for name, values in found.values.items():
        cells = [_cell(values.get(figure), digits) for figure, _, digits in COLUMNS]
        errors = sum(sum(values.get(figure, ())) for figure in ERRORS)
        title = f"**{name}**" if name == OURS else name
        lines.append(f"| {title} | {' | '.join(cells)} | {errors:,.0f} |")
    for name, values in found.ratios.items():
        cells = [_cell(values.get(figure), 2) for figure, _, _ in COLUMNS]
        lines.append(f"| {OURS} ÷ {name} | {' | '.join(cells)} | |")
    lines += [""] if found.missing else []
    lines += [f"- {name}: {why}" for name, why in found.missing.items()]
    return "\n".join(lines)


def _cell(runs: Sequence[float] | None, digits: int) -> str:
    if not runs:
        return ""
    median, low, high = (
        f"{v:,.{digits}f}" for v in (statistics.median(runs), min(runs), max(runs))
    )
    return median if len(runs) == 1 else f"{median} ({low} … {high})"


def flat(found: Comparison) -> Mapping[str, Sequence[float]]:
    """All of it by one name each, for the file of results."""
    named = {f"{name}: {k}": v for name, values in found.values.items() for k, v in values.items()}
    over = {f"ours / {name}: {k}": v for name, r in found.ratios.items() for k, v in r.items()}
    return {**named, **over}
