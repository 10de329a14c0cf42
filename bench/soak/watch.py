"""What the gateway's processes hold, over time, and whether it grows."""

from __future__ import annotations

import re
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.processes import PROC, tree

MIB: Final = 1 << 20
MEASURES: Final = ("rss_mib", "fds", "sockets", "threads", "tasks")
# Allowed between the early and the late median: a share of the former, and so much.
BOUNDS: Final[Mapping[str, tuple[float, float]]] = {
    "rss_mib": (0.05, 8),
    "fds": (0, 10),
    "sockets": (0, 10),
    "threads": (0, 2),
    "tasks": (0, 20),
}
# A life of fewer samples says nothing of growth.
SHORTEST_LIFE: Final = 6
_TASKS: Final = re.compile(r'^switchyard_tasks\{.*\bpid="(\d+)"\} (\d+)', re.MULTILINE)

# By role and pid, as "worker 1 (4711)".
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


def sample(root: int, metrics: str = "") -> Sample:
    """What each process of the tree holds now; `metrics` is what /metrics said of the workers."""
    found: Sample = {}
    tasks = {int(pid): int(count) for pid, count in _TASKS.findall(metrics)}
    for process in tree(root):
        try:
            links = _links(process.pid)
            status = (PROC / str(process.pid) / "status").read_text()
            role = _role(process.pid)
        except OSError:
            continue  # it ended while we looked
        if not role or (role == "parent" and process.pid != root):
            continue  # it has just ended, or is about to become another program
        told = dict(line.split(":", 1) for line in status.splitlines())
        held = found[f"{role} ({process.pid})"] = {
            "rss_mib": process.rss_bytes / MIB,
            "fds": len(links),
            "sockets": sum(link.startswith("socket:") for link in links),
            "threads": int(told["Threads"]),
            # The most it ever held; a process that is ending has no such line any more.
            "peak_mib": int(told.get("VmHWM", "0 kB").split()[0]) / 1024,
        }
        if process.pid in tasks:
            held["tasks"] = tasks[process.pid]
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
    if words == [""]:
        return ""
    if "routing.gateway.serving.worker" in words:
        return f"worker {words[words.index('--worker') + 1]}"
    if "control" in words:
        return "control"
    return "parent" if "serve" in words else "other"


def slot_of(process: str) -> str:
    return process.rpartition(" (")[0]


def pid_of(process: str) -> int:
    return int(process.rpartition("(")[2].rstrip(")"))


def growth(samples: Sequence[Sample]) -> list[Growth]:
    """Second sixth against last sixth, for every process that lived through both."""
    sixth = len(samples) // 6
    if not sixth:
        return []
    early, late = samples[sixth : 2 * sixth], samples[-sixth:]
    everywhere = set(early[0]).intersection(*early, *late)
    return _grown({name: (name, name) for name in sorted(everywhere)}, early, late)


def growth_of_lives(samples: Sequence[Sample]) -> list[Growth]:
    """
    The first life of each worker's slot against its last, each at the same age.

    A worker that is killed again and again is never old enough to be judged by itself, but the
    next must not begin with more, nor grow faster, than the one before.
    """
    lives: dict[str, dict[str, list[Sample]]] = {}
    for each in samples:
        for name in each:
            if name.startswith("worker "):
                lives.setdefault(slot_of(name), {}).setdefault(name, []).append(each)
    found = []
    for slot, by_name in sorted(lives.items()):
        long = [(name, life) for name, life in by_name.items() if len(life) >= SHORTEST_LIFE]
        if len(long) < 2:
            continue
        (first, early), (last, late) = long[0], long[-1]
        age = min(len(early), len(late))
        names = {f"{slot}, lives 1 and {len(by_name)}": (first, last)}
        found += _grown(names, early[age // 2 : age], late[age // 2 : age])
    return found


def _grown(
    names: Mapping[str, tuple[str, str]], early: Sequence[Sample], late: Sequence[Sample]
) -> list[Growth]:
    """By measure, for names with their processes in `early` and in `late`."""
    found = []
    for name, (before, after) in names.items():
        for measure in MEASURES:
            held = [each[before][measure] for each in early if measure in each[before]]
            holds = [each[after][measure] for each in late if measure in each[after]]
            if held and holds:
                found.append(
                    Growth(
                        process=name,
                        measure=measure,
                        early=statistics.median(held),
                        late=statistics.median(holds),
                    )
                )
    return found


def without_tasks(samples: Sequence[Sample]) -> set[str]:
    """Workers of which /metrics never told; so young ones as missed it are left out."""
    seen: dict[str, int] = {}
    told = set()
    for each in samples:
        for name, held in each.items():
            if name.startswith("worker "):
                seen[name] = seen.get(name, 0) + 1
                if "tasks" in held:
                    told.add(name)
    return {name for name, times in seen.items() if times >= SHORTEST_LIFE} - told


def came_and_went(samples: Sequence[Sample], expected: Collection[int] = ()) -> set[str]:
    """Processes that were not there all the time, but for the pids that were `expected` to go."""
    if not samples:
        return set()
    first = set(samples[0])
    changed = first.union(*samples) - first.intersection(*samples)
    return {name for name in changed if pid_of(name) not in expected}


def workers_of(names: Iterable[str]) -> list[str]:
    """The workers among `names`, by number."""
    found = [name for name in names if name.startswith("worker ")]
    return sorted(found, key=lambda name: int(slot_of(name).split()[1]))
