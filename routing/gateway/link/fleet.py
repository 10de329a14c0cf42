"""
Every process of every host, as they told of themselves, and what is amiss between them.

Hosts tell by the database (controlplane.control.reporting); workers have it from their control
child, for /readyz.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from routing.gateway.link.children import ChildSeen, errors_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SILENT_AFTER_S: Final = 10.0

CURRENT, BEHIND, TROUBLED, SILENT = "current", "behind", "troubled", "silent"


class WorkerSeen(Struct, frozen=True, kw_only=True):
    """
    A worker process. `generation` is what it serves, `error` why it refused a newer one.

    It is `behind` by so many generations, since `lag_s` seconds.
    """

    worker: str
    pid: int
    plane: str
    version: str = ""
    generation: int | None = None
    error: str | None = None
    behind: int = 0
    lag_s: float = 0.0


class HostSeen(Struct, frozen=True, kw_only=True):
    """
    A host: its control child and its workers. Times are Unix time in seconds.

    `config_checksum` is of its configuration file, `keys_fingerprint` of its encryption keys'
    ids. `refused` are the mistakes of the last edit of its file, `error` is what keeps it from
    publishing. `children` is what its parent process says of all its processes, `child_errors` of
    those that end again and again. `dropped_at` is when records were last found to have been
    dropped. `state` is one of this module's; `differs` names what is not as its peers have it.
    """

    id: str
    host: str
    data_dir: str
    pid: int
    version: str = ""
    generation: int | None = None
    config_file: str = ""
    config_checksum: str = ""
    keys_fingerprint: str = ""
    refused: tuple[str, ...] = ()
    refused_at: float | None = None
    error: str = ""
    dropped_at: float | None = None
    expected_workers: int = 0
    workers: tuple[WorkerSeen, ...] = ()
    children: tuple[ChildSeen, ...] = ()
    child_errors: tuple[str, ...] = ()
    state: str = CURRENT
    silent_s: float = 0.0
    differs: tuple[str, ...] = ()


class Fleet(Struct, frozen=True, kw_only=True):
    """All hosts, sorted. `serving` counts workers, as in "3 of 3 on 412"."""

    generation: int | None = None
    serving: str = ""
    hosts: tuple[HostSeen, ...] = ()


COMPARED: Final[Mapping[str, str]] = {
    "config_checksum": "configuration file",
    "keys_fingerprint": "encryption keys",
    "version": "version",
}


def judge(hosts: Iterable[HostSeen], published: Sequence[tuple[int, float]], now: float) -> Fleet:
    """
    The fleet of `hosts`, of which only what they told and `silent_s` counts.

    `published` are the newest generations with the time of their making, newest first; `now` is
    Unix time by the same clock.
    """
    told = sorted(hosts, key=lambda host: (host.host, host.data_dir, host.id))
    talking = [host for host in told if host.silent_s < SILENT_AFTER_S]
    newest = published[0][0] if published else None
    odd = {field: _odd(talking, field) for field in COMPARED}
    judged = tuple(_judged(host, published, now, odd) for host in told)
    serving = sum(
        worker.generation == newest
        for host in judged
        if host.state != SILENT
        for worker in host.workers
    )
    expected = sum(max(host.expected_workers, len(host.workers)) for host in judged)
    where = "no generation" if newest is None else str(newest)
    return Fleet(generation=newest, serving=f"{serving} of {expected} on {where}", hosts=judged)


def _odd(hosts: Sequence[HostSeen], field: str) -> frozenset[str]:
    """The values of `field` that are not the most common one; all of them if none is."""
    counts = Counter(str(getattr(host, field)) for host in hosts).most_common()
    if len(counts) < 2:
        return frozenset()
    is_tied = counts[0][1] == counts[1][1]
    return frozenset(value for value, _count in counts[0 if is_tied else 1 :])


def _judged(
    host: HostSeen,
    published: Sequence[tuple[int, float]],
    now: float,
    odd: Mapping[str, frozenset[str]],
) -> HostSeen:
    workers = tuple(_with_lag(worker, published, now) for worker in host.workers)
    differs = tuple(
        words for field, words in COMPARED.items() if getattr(host, field) in odd[field]
    )
    child_errors = tuple(errors_of(host.children, now))
    if host.silent_s >= SILENT_AFTER_S:
        state, differs = SILENT, ()
    elif host.error or host.refused or child_errors or any(worker.error for worker in workers):
        state = TROUBLED
    elif len(workers) < host.expected_workers or any(worker.behind for worker in workers):
        state = BEHIND
    else:
        state = CURRENT
    return msgspec.structs.replace(
        host, workers=workers, child_errors=child_errors, state=state, differs=differs
    )


def _with_lag(worker: WorkerSeen, published: Sequence[tuple[int, float]], now: float) -> WorkerSeen:
    missing = [at for generation, at in published if generation > (worker.generation or 0)]
    lag_s = round(max(0.0, now - missing[-1]), 1) if missing else 0.0
    return msgspec.structs.replace(worker, behind=len(missing), lag_s=lag_s)
