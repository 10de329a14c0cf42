"""
The state of the world as the database has it, for controlplane.alerts.conditions.

Pools are judged by the planner itself, over the newest published snapshot, the benches that hosts
share and the health checks. What only a worker knows is left out: its load, sessions and rotations,
and failures that have not come to a bench.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Final

import msgspec
from django.apps import apps
from django.db.models import Max, Sum

from controlplane.alerts.conditions import PoolTraffic, Sick, World
from controlplane.config.general import effective_settings
from controlplane.health import status_pages
from controlplane.health.models import HealthSnapshot, HealthStatus
from controlplane.hosts.fleet import fleet
from controlplane.jobs.lease import WATCHER, is_worker_silent, missed
from controlplane.models import ConfigSource, PublishedSnapshot, Settings
from controlplane.publishing.snapshots import NotKept, snapshot_of
from controlplane.records.models import RequestMinute
from failover.engine.bench_entries import BenchEntry
from failover.engine.benches import Benches
from failover.models import Bench
from providers.models import Provider
from routing.gateway.deciding.snapshot import finish
from routing.gateway.deciding.state import LiveState
from routing.gateway.deciding.table import compile_table
from routing.gateway.explain.picture import PoolsPicture

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from routing.gateway.deciding.table import Table
    from routing.gateway.explain.overview import PoolView

TRAFFIC_S: Final = 300
DROPPED_S: Final = 300
CHECK_EVERY_S: Final = 60  # the usual health.interval_s
STALE_AFTER: Final = 3  # intervals

_decoder = msgspec.json.Decoder(BenchEntry)


def _state(benches: Sequence[BenchEntry], unhealthy: Iterable[str], now: float) -> LiveState:
    live = LiveState(benches=Benches(rng=Random(0), wall=time.time))
    live.benches.merge(benches, now)
    live.mark_unhealthy(unhealthy)
    return live


class Pictures:
    """Keeps the newest one: a snapshot of ten thousand pools takes a second to look at."""

    def __init__(self) -> None:
        self._kept: PoolsPicture | None = None

    def newest(self) -> PoolsPicture | None:
        """None if nothing is published, or it cannot be read here."""
        newest = PublishedSnapshot.objects.aggregate(newest=Max("generation"))["newest"]
        if newest is None:
            return None
        if self._kept is None or self._kept.table.generation != newest:
            try:
                snapshot = snapshot_of(newest)
            except NotKept:
                return None
            # That there is a secret is enough: nobody is called.
            table = compile_table(snapshot, decrypt=lambda _token: "not asked for", environ={})
            self._kept = PoolsPicture(table)
        return self._kept


PICTURES: Final = Pictures()


def settings_now() -> dict[str, object]:
    """The settings as they count."""
    row = Settings.objects.filter(pk=1).first() or Settings()
    values = ConfigSource.objects.filter(pk=1).values_list("values", flat=True).first() or {}
    return effective_settings(row, values)


def look(now: datetime, pictures: Pictures = PICTURES) -> World:
    """The world as it is."""
    benches = _benches(now)
    picture = pictures.newest()
    sick = [] if picture is None else _unhealthy(picture.table, now)
    names = [one.provider for one in sick]
    rate = settings_now()["alerts_failover_rate"]
    return World(
        unhealthy=sick,
        pools=[] if picture is None else _troubled(picture, benches, names),
        benches=benches,
        traffic=_traffic(now),
        failover_rate=float(str(rate)),
        suggestions=_suggestions(now),
        missed_jobs=sorted(job.name for job in missed(2) if job.name != WATCHER),
        is_worker_silent=is_worker_silent(),
        refused=_refused(),
        dropping=_dropping(now),
    )


def _troubled(
    picture: PoolsPicture, benches: Sequence[BenchEntry], unhealthy: Iterable[str]
) -> list[PoolView]:
    """Every pool that is not well by no operator's word, by name."""
    now = time.monotonic()
    views = finish(picture.looking(_state(benches, unhealthy, now), now))
    return [view for view in views.values() if view.status in ("degraded", "unavailable")]


def _suggestions(now: datetime) -> int:
    """Of the room beside this one only its rows are asked."""
    rows = apps.get_model("controlplane.Suggestion")._default_manager  # noqa: SLF001 - Django documents it
    return rows.filter(state="open", expires_at__gt=now).count()


def _unhealthy(table: Table, now: datetime) -> list[Sick]:
    """Providers in use; what was not looked at for three intervals says nothing."""
    rows = HealthSnapshot.objects.filter(status=HealthStatus.UNHEALTHY, registered=True)
    intervals = _intervals()
    return [
        Sick(
            provider=row.provider,
            reason=row.reason or row.last_error,
            page=status_pages.words_of(row),
        )
        for row in rows
        if row.provider in table.able
        and row.checked_at is not None
        and now - row.checked_at
        <= timedelta(seconds=STALE_AFTER * intervals.get(row.provider, CHECK_EVERY_S))
    ]


def _intervals() -> dict[str, float]:
    rows = Provider.effective().values_list("name", "health")
    return {name: health.get("interval_s", CHECK_EVERY_S) for name, health in rows}


def _benches(now: datetime) -> list[BenchEntry]:
    """Those that hold. What a newer release has written is passed over."""
    found = []
    # An entry holds for an hour beyond its end, until somebody tries.
    for raw in Bench.objects.filter(until__gt=now - timedelta(hours=1)).values_list(
        "entry", flat=True
    ):
        try:
            entry = _decoder.decode(raw)
        except msgspec.DecodeError:
            continue
        if entry.holds(now.timestamp()):
            found.append(entry)
    return found


def _traffic(now: datetime) -> list[PoolTraffic]:
    rows = (
        RequestMinute.objects.filter(minute__gt=now - timedelta(seconds=TRAFFIC_S))
        .exclude(pool="")
        .values("pool")
        .annotate(asked=Sum("requests"), moved=Sum("failovers"))
        .order_by("pool")
    )
    return [
        PoolTraffic(pool=row["pool"], requests=row["asked"], failovers=row["moved"]) for row in rows
    ]


def _refused() -> list[str]:
    """The mistakes of the last edit of the file, if none has been taken over since."""
    source = ConfigSource.objects.filter(pk=1).first()
    if source is None or not source.is_refused:
        return []
    return list(map(str, source.refused_errors)) or ["The page says why."]


def _dropping(now: datetime) -> list[str]:
    return [
        host.host
        for host in fleet().hosts
        if host.dropped_at is not None
        and now - datetime.fromtimestamp(host.dropped_at, UTC) < timedelta(seconds=DROPPED_S)
    ]
