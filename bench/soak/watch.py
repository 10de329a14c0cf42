"""What the gateway's processes hold, over time, and whether it grows."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.processes import PROC, tree

MIB: Final = 1 << 20
MEASURES: Final = ("rss_mib", "fds", "sockets", "threads")
# Allowed between the medians of the second and the last sixth: a share of the former, and so much.
BOUNDS: Final[Mapping[str, tuple[float, float]]] = {
    "rss_mib": (0.05, 8),
    "fds": (0, 10),
    "sockets": (0, 10),
    "threads": (0, 2),
}

Sample = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    process: str
    measure: str
    early: float
    late: float

    @property
    def is_too_much(self) -> bool:
        share, absolute = BOUNDS[self.measure]
        return self.late > self.early * (1 + share) + absolute


def sample(root: int) -> Sample:
    """What each process of the tree holds now, by its role and pid."""
    found: Sample = {}
    for process in tree(root):
        try:
            links = _links(process.pid)
            status = (PROC / str(process.pid) / "status").read_text()
            role = _role(process.pid)
        except OSError:
            continue  # it ended while we looked
        threads = next(line for line in status.splitlines() if line.startswith("Threads:"))
        found[f"{role} {process.pid}"] = {
            "rss_mib": process.rss_bytes / MIB,
            "fds": len(links),
            "sockets": sum(link.startswith("socket:") for link in links),
            "threads": int(threads.split()[1]),
        }
    return found


def _links(pid: int) -> list[str]:
    found = []
    for entry in (PROC / str(pid) / "fd").iterdir():
        try:
            found.append(str(entry.readlink()))
        except OSError:
            continue  # closed while we looked
    return found


def _role(pid: int) -> str:
    words = (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    for word, role in (("routing.gateway.worker", "worker"), ("control", "control")):
        if word in words:
            return role
    return "parent" if "serve" in words else "other"


def growth(samples: Sequence[Sample]) -> list[Growth]:
    """Second sixth against last sixth, for every process that lived through both."""
    sixth = len(samples) // 6
    if not sixth:
        return []
    early, late = samples[sixth : 2 * sixth], samples[-sixth:]
    everywhere = set(early[0]).intersection(*early, *late)
    return [
        Growth(
            process=name,
            measure=measure,
            early=statistics.median(found[name][measure] for found in early),
            late=statistics.median(found[name][measure] for found in late),
        )
        for name in sorted(everywhere)
        for measure in MEASURES
    ]


def came_and_went(samples: Sequence[Sample]) -> set[str]:
    """Processes that were not there all the time. Nobody should have died."""
    if not samples:
        return set()
    first = set(samples[0])
    return first.union(*samples) - first.intersection(*samples)
