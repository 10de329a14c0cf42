"""
Checks whether providers can be reached, those whose time has come, and says how each one is.

Every run judges every provider by what is known, so that traffic's word counts between checks; a
check only adds to that. Each provider is written by itself, and whole.
"""

from __future__ import annotations

import logging
import random
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec
from django.db import transaction
from django.utils import timezone

from controlplane.health import rules, status_pages, traffic
from controlplane.health.discovery import take_list
from controlplane.health.models import HealthCheck, HealthSnapshot, HealthStatus, HealthVersion
from controlplane.health.watched import look_at_all, watched
from controlplane.jobs.lease import want
from failover.engine.bench_entries import BenchEntry
from failover.models import Bench
from providers import listed
from providers.catalog_rows import lookup
from providers.looking import Finding
from providers.models import ProviderModel
from routing.models import Candidate

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from datetime import datetime

    from controlplane.health.traffic import ProviderTraffic
    from controlplane.health.watched import Looked, Watched
    from controlplane.jobs.running import Run

MOST: Final = 64  # checks in one run: the others follow in the next, seconds later
JOB: Final = "health"
# What is no news when it is all that has changed.
_NEWS: Final = (
    "status",
    "reason",
    "registered",
    "discovered_models",
    "using_cached_list",
    "availability_error",
    "last_error",
)
_FIELDS: Final = HealthSnapshot._meta.concrete_fields  # noqa: SLF001 - Django's own API
_NOT_DUE: Final = [f.name for f in _FIELDS if not f.primary_key and f.name != "due_at"]

logger = logging.getLogger("switchyard.health")
_entry = msgspec.json.Decoder(BenchEntry)


def check(run: Run) -> str:
    """Check who is due, and judge everybody."""
    return Checking(run.began_at).run(progress=run.progress)


def check_now(names: Collection[str]) -> None:
    """Have these providers checked within seconds."""
    HealthSnapshot.objects.filter(provider__in=names).update(due_at=None)
    want(JOB)


@dataclass(frozen=True, slots=True, kw_only=True)
class _World:
    """What all of them are judged by."""

    traffic: Mapping[str, ProviderTraffic]
    listed: Mapping[str, int]
    with_models: Collection[str]


class Checking:
    """One run, which began at `now`; its clock goes on from there."""

    def __init__(self, now: datetime, *, dice: Callable[[], float] = random.random) -> None:
        self._began = now
        self._started = time.monotonic()
        self._dice = dice

    def _now(self) -> datetime:
        return self._began + timedelta(seconds=time.monotonic() - self._started)

    def run(self, *, progress: Callable[[int, int], None] = lambda _done, _all: None) -> str:
        everybody = watched()
        rows = self._rows(everybody)
        due = self._due(everybody, rows)
        found = look_at_all(due, may_probe=lambda one: self._may_probe(one, rows[one.name]))
        before = {name: row.status for name, row in rows.items()}
        catalogs = lookup(timezone.now()) if found else None
        for one in due:
            if catalogs is not None:
                take_list(one, found[one.name].look, at=self._now(), catalogs=catalogs)
        world = self._world(everybody)
        for number, one in enumerate(everybody, 1):
            self._settle(one, rows[one.name], found.get(one.name), world)
            progress(number, len(everybody))
        status_pages.read_due(everybody, self._began)
        return _told(found, before, rows)

    def _rows(self, everybody: list[Watched]) -> dict[str, HealthSnapshot]:
        """Each provider's row; those of providers that are gone are deleted."""
        names = {one.name for one in everybody}
        rows = {row.provider: row for row in HealthSnapshot.objects.all()}
        if gone := rows.keys() - names:
            with transaction.atomic():
                HealthSnapshot.objects.filter(provider__in=gone).delete()
                HealthCheck.objects.filter(provider__in=gone).delete()
                HealthVersion.move()
        return {name: rows.get(name) or HealthSnapshot(provider=name) for name in sorted(names)}

    def _due(
        self, everybody: Iterable[Watched], rows: Mapping[str, HealthSnapshot]
    ) -> list[Watched]:
        """Who has waited longest comes first."""
        benched = benched_providers(self._began)
        found = []
        for one in everybody:
            if one.off:
                continue
            row = rows[one.name]
            at = row.due_at
            if at is not None and row.checked_at is not None and one.name in benched:
                at = min(at, row.checked_at + timedelta(seconds=rules.soon_s(one.interval_s)))
            if at is None or at <= self._began:
                found.append((at or self._began - timedelta(days=1), one.name, one))
        return [one for _at, _name, one in sorted(found, key=lambda entry: entry[:2])[:MOST]]

    def _may_probe(self, one: Watched, row: HealthSnapshot) -> bool:
        return rules.may_probe(row.probed_at, one.interval_s, self._began)

    def _world(self, everybody: Iterable[Watched]) -> _World:
        lists = listed.counts()
        names = {one.name: one.row.pk for one in everybody}
        configured = set(ProviderModel.objects.values_list("provider_id", flat=True).distinct())
        with_models = {name for name, pk in names.items() if name in lists or pk in configured}
        with_models.update(Candidate.objects.values_list("provider_name", flat=True).distinct())
        return _World(
            traffic=traffic.traffic_of_all(self._began), listed=lists, with_models=with_models
        )

    def _settle(
        self, one: Watched, row: HealthSnapshot, found: Looked | None, world: _World
    ) -> None:
        """Bring the row up to date; it is written if anything has changed."""
        before = {name: getattr(row, name) for name in _NEWS}
        is_new = row.updated_at is None
        is_other = found is not None or is_new
        count = world.listed.get(one.name)
        if one.off:
            is_other = is_other or row.due_at is not None
            row.failures, row.availability_error = 0, ""
            row.checked_at = row.due_at = row.stale_at = None
        elif found is not None:
            _note(row, found, at=self._now())
            row.using_cached_list = found.look.models is None and bool(count)
        if found is not None and found.look.models is not None:
            row.discovered_models = len(found.look.models)
        elif count is not None:
            row.discovered_models = count
        row.registered = not one.off
        row.status, row.reason = _judged(one, row, world)
        row.reason = row.reason[:500]
        if found is not None:
            self._plan_next(one, row)
        news = [name for name in _NEWS if getattr(row, name) != before[name]]
        if not (is_other or news):
            return
        if news or is_new:
            row.updated_at = self._now()
        self._write(one, row, found, has_turned=is_new or "status" in news)

    def _plan_next(self, one: Watched, row: HealthSnapshot) -> None:
        at = row.checked_at
        assert at is not None  # noqa: S101 - it has just been checked
        is_hurried = bool(row.failures) or row.status == HealthStatus.UNHEALTHY
        row.due_at = rules.due_after(at, one.interval_s, is_hurried=is_hurried, dice=self._dice)
        row.stale_at = rules.stale_after(at, one.interval_s)

    def _write(
        self, one: Watched, row: HealthSnapshot, found: Looked | None, *, has_turned: bool
    ) -> None:
        with transaction.atomic():
            if row._state.adding or found is not None or one.off:  # noqa: SLF001 - Django documents it
                row.save()
            else:  # whoever wants it checked now is not overruled
                row.save(update_fields=_NOT_DUE)
            if found is not None and row.checked_at is not None:
                last = found.probed or found.look
                is_well = last.finding is Finding.ANSWERS
                HealthCheck.objects.create(
                    provider=row.provider,
                    at=row.checked_at,
                    status=row.status,
                    latency_ms=row.latency_ms,
                    error="" if is_well else last.message[:500],
                )
            if has_turned:
                HealthVersion.move()
        if has_turned:
            level = logging.WARNING if row.status == HealthStatus.UNHEALTHY else logging.INFO
            logger.log(level, "provider %s is %s: %s", row.provider, row.status, row.reason)


def benched_providers(now: datetime) -> set[str]:
    """Of whom something is benched by traffic."""
    names = set()
    for raw in Bench.objects.filter(until__gt=now).values_list("entry", flat=True):
        try:
            entry = _entry.decode(raw)
        except msgspec.DecodeError:  # written by a release that is newer than this one
            continue
        if not (entry.released or entry.manual):
            names.add(entry.subject.partition("/")[0])
    return names


def _note(row: HealthSnapshot, found: Looked, *, at: datetime) -> None:
    """What a check that ended at `at` showed."""
    row.checked_at = at
    seen = found.probed or found.look
    if found.probed is not None:
        row.probed_at = at
        row.probe_error = "" if seen.finding is Finding.ANSWERS else seen.message[:500]
    elif seen.finding.refuses_to_list and row.probed_at is not None:
        if row.probe_error:
            return  # the last call's word holds until the next one
        row.failures, row.availability_error = 0, ""
        return
    elif not seen.finding.refuses_to_list:
        row.probe_error = ""
    row.latency_ms = seen.latency_ms if seen.status is not None else None
    if seen.finding is Finding.ANSWERS:
        row.failures, row.availability_error, row.last_success_at = 0, "", at
        return
    row.last_error_at, row.last_error = at, seen.message[:500]
    row.failures = row.failures + 1 if seen.finding.is_down else 0
    row.availability_error = "" if seen.finding.refuses_to_list else row.last_error


def _judged(one: Watched, row: HealthSnapshot, world: _World) -> tuple[HealthStatus, str]:
    seen = world.traffic.get(one.name, traffic.NOTHING)
    has_answered = row.last_success_at is not None and (
        row.last_error_at is None or row.last_success_at >= row.last_error_at
    )
    return rules.status_of(
        rules.Signs(
            off=one.off,
            is_checked=row.checked_at is not None,
            failures=row.failures,
            has_served=row.failures >= rules.DOWN_AFTER and _has_served(row),
            error=row.availability_error,
            refuses=not (has_answered or row.availability_error),
            has_models=one.name in world.with_models,
            is_cached=row.using_cached_list,
            calls=seen.calls,
            faults=seen.faults,
        )
    )


def _has_served(row: HealthSnapshot) -> bool:
    """Whether traffic has succeeded since the earlier of the last two checks."""
    assert row.checked_at is not None  # noqa: S101 - it has failed twice
    earlier = HealthCheck.objects.filter(provider=row.provider, at__lt=row.checked_at)
    since = earlier.order_by("-at").values_list("at", flat=True).first()
    return traffic.has_served(row.provider, since or row.checked_at)


def _told(
    found: Mapping[str, Looked], before: Mapping[str, str], rows: Mapping[str, HealthSnapshot]
) -> str:
    """What the run did, in a few words; "" for nothing."""
    turned = [f"{name} is {row.status}" for name, row in rows.items() if row.status != before[name]]
    parts = [f"{len(found)} checked" if found else "", *turned]
    return "; ".join(filter(None, parts))
