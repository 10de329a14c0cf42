"""
What needs an operator: the state of the world in, the causes of alerts out.

Pure, and level-triggered: it says what is so now, and remembers nothing.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from controlplane.alerts.kinds import KINDS
from providers.errors import Fault
from routing.gateway.deciding.wording import words_of
from routing.gateway.explain.overview import OPERATORS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from failover.engine.bench_entries import BenchEntry
    from routing.gateway.explain.overview import PoolView

FEWEST_REQUESTS: Final = 20  # of a pool in five minutes: less says nothing of a rate
MOST: Final = 50  # alerts of one kind; what is beyond is told as one
THE_OTHERS: Final = "others"
_KIND_OF_FAULT: Final = {
    Fault.AUTH.value: "credential_refused",
    Fault.QUOTA.value: "credential_out_of_quota",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why there is to be an alert of `kind` for `subject`; `text` is the whole message."""

    kind: str
    subject: str
    text: str

    @classmethod
    def of(cls, kind: str, subject: str, why: str = "") -> Cause:
        begun = KINDS[kind].begun.format(subject=subject)
        return cls(kind=kind, subject=subject, text=f"{begun} {why}".strip()[:1000])


@dataclass(frozen=True, slots=True, kw_only=True)
class Sick:
    """A provider that health checks found unhealthy, and why; `page` is what itself says of it."""

    provider: str
    reason: str
    page: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolTraffic:
    """A pool's requests of the last five minutes."""

    pool: str
    requests: int
    failovers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All that alerts depend on. `benches` are those that hold, `dropping` hosts."""

    unhealthy: Sequence[Sick] = ()
    pools: Sequence[PoolView] = ()
    benches: Sequence[BenchEntry] = ()
    traffic: Sequence[PoolTraffic] = ()
    failover_rate: float = 0.2
    suggestions: int = 0
    missed_jobs: Sequence[str] = ()
    is_worker_silent: bool = False
    refused: Sequence[str] = ()
    dropping: Sequence[str] = ()


def causes(world: World) -> list[Cause]:
    """Every alert that there is to be, once each, sorted; of one kind not more than MOST."""
    found = {(cause.kind, cause.subject): cause for cause in _all(world)}
    by_kind: defaultdict[str, list[Cause]] = defaultdict(list)
    for _key, cause in sorted(found.items()):
        by_kind[cause.kind].append(cause)
    return [cause for some in by_kind.values() for cause in _bounded(some)]


def _bounded(some: list[Cause]) -> list[Cause]:
    beyond = some[MOST:]
    if not beyond:
        return some
    names = ", ".join(cause.subject for cause in beyond[:10])
    more = f" and {len(beyond) - 10} more" if len(beyond) > 10 else ""
    return [*some[:MOST], Cause.of(some[0].kind, THE_OTHERS, f"These are {names}{more}.")]


def _all(world: World) -> Iterator[Cause]:
    for sick in world.unhealthy:
        reason = f"{sick.reason.rstrip('.')}." if sick.page else sick.reason
        why = f"{reason} {sick.page}".strip()
        yield Cause.of("provider_unhealthy", sick.provider, why)
    for pool in world.pools:
        yield from _of_pool(pool)
    yield from _of_credentials(world.benches)
    for traffic in world.traffic:
        if (
            traffic.requests >= FEWEST_REQUESTS
            and traffic.failovers > world.failover_rate * traffic.requests
        ):
            share = f"{100 * traffic.failovers / traffic.requests:.0f} %"
            why = (
                f"In the last 5 minutes {traffic.failovers} of {traffic.requests} did ({share});"
                f" told above {100 * world.failover_rate:g} %."
            )
            yield Cause.of("failover_rate", traffic.pool, why)
    if world.suggestions:
        yield Cause.of("suggestion_waiting", "suggestions", f"Open: {world.suggestions}.")
    if world.is_worker_silent:
        why = "No job has begun for a minute: look whether `manage.py worker` runs."
        yield Cause.of("worker_silent", "worker", why)
    else:  # else it is the reason for all of them
        for job in world.missed_jobs:
            yield Cause.of("job_missed", job, "It should have begun twice since it last did.")
    if world.refused:
        more = f" ({len(world.refused)} mistakes)" if len(world.refused) > 1 else ""
        why = f"The one before it still holds. {world.refused[0]}{more}"
        yield Cause.of("configuration_refused", "configuration", why)
    for host in world.dropping:
        yield Cause.of("records_dropped", host, "There was no room in memory or on its disk.")


def _of_pool(pool: PoolView) -> Iterator[Cause]:
    """What operators have switched off themselves is told to nobody."""
    if pool.status == "unavailable":
        yield Cause.of("pool_unavailable", pool.canonical_model, pool.status_reason)
    elif pool.status == "degraded":
        out = [
            f"{c.name} ({words_of(c.blocked_reason or '')})"
            for c in pool.candidates
            if not c.selectable and c.blocked_reason not in OPERATORS
        ]
        weak = [
            f"{c.name} ({c.runtime_status})"
            for c in pool.candidates
            if c.selectable and c.runtime_status in ("degraded", "unhealthy")
        ]
        if out or weak:
            yield Cause.of("pool_degraded", pool.canonical_model, pool.status_reason)


def _of_credentials(benches: Iterable[BenchEntry]) -> Iterator[Cause]:
    for entry in benches:
        kind = _KIND_OF_FAULT.get(entry.reason)
        if kind is None or entry.manual or entry.credential is None:
            continue
        provider = entry.subject.partition("/")[0]
        status = f"status {entry.status}" if entry.status else ""
        said = ": ".join(part for part in (status, entry.sample_error) if part)
        why = f"{provider} answered {said}." if said else ""
        yield Cause.of(kind, f"{entry.credential} of {provider}", why)
