"""Numbers in the menu: what needs somebody, and only where there is something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from controlplane.decisions.local_worker import worker_of
from controlplane.decisions.standings import standings_of
from controlplane.models import ConfigSource

if TYPE_CHECKING:
    from django.http import HttpRequest

    from controlplane.decisions.standings import Standings

MAY_BE_S_OLD: Final = 5.0


def unavailable_pools(request: HttpRequest) -> str:
    found = _standings(request, "routing.view_canonicalmodel")
    return _told(found.counts["unavailable"], "unavailable") if found else ""


def benches(request: HttpRequest) -> str:
    found = _standings(request, "failover.view_bench")
    return _told(found.benched, "benched") if found else ""


def refused_file(request: HttpRequest) -> str:
    if not request.user.has_perm("controlplane.view_configsource"):
        return ""
    source = ConfigSource.objects.filter(pk=1).first()
    return "refused" if source is not None and source.is_refused else ""


def _standings(request: HttpRequest, permission: str) -> Standings | None:
    worker = worker_of(request)
    if worker is None or not request.user.has_perm(permission):
        return None
    return standings_of(worker, may_be_s_old=MAY_BE_S_OLD)


def _told(number: int, word: str) -> str:
    return f"{number:,} {word}" if number else ""
