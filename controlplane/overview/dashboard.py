"""
What an operator looks at first: traffic, pools, who sits out, what is proposed and what is wrong.

The page is drawn once with everything in it; live.js asks for the part of it that changes again,
and overview.js draws its charts. Whoever may not see a table sees no part of the page about it.
"""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from django.contrib import admin
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from controlplane.advice.models import Suggestion
from controlplane.alerts.models import Alert
from controlplane.decisions.badges import MAY_BE_S_OLD
from controlplane.decisions.local_worker import worker_of
from controlplane.decisions.pools_api import pools_of
from controlplane.decisions.pools_page import WORDS
from controlplane.decisions.standings import STATUSES, standings_of
from controlplane.edits.poke import hub_request
from controlplane.health.models import HealthSnapshot
from controlplane.hosts.fleet import fleet
from controlplane.jobs.standing import is_silent, standings
from controlplane.models import ApiKey, ConfigSource
from controlplane.overview.figures import (
    PERIODS,
    USUAL,
    busiest,
    pools_traffic,
    share,
    traffic,
)
from controlplane.overview.first_steps import first_steps, has_demo
from failover.models import FailoverRule
from routing.gateway.link.channel import Board, BoardTold
from routing.gateway.link.fleet import CURRENT
from routing.models import CanonicalModel, RoutingState

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from controlplane.overview.figures import Period, PoolSums
    from routing.gateway.explain.overview import PoolView

ROWS: Final = 12  # of each list; the rest is a link away
BUSIEST: Final = 300  # pools whose order by traffic is looked up
POOL_COLOURS: Final = {
    "unavailable": "danger",
    "degraded": "warning",
    "disabled": "default",
    "enabled": "success",
}
HEALTH_COLOURS: Final = {"unhealthy": "danger", "degraded": "warning"}


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's DASHBOARD_CALLBACK: what the first page shows."""
    return context | _frame(request) | _part(request)


@require_safe
def overview_part(request: HttpRequest) -> HttpResponse:
    """What changes, for the page's own script."""
    return TemplateResponse(request, "admin/overview_part.html", _part(request))


def _window(request: HttpRequest) -> Period:
    return PERIODS.get(request.GET.get("window", ""), USUAL)


def _frame(request: HttpRequest) -> dict[str, Any]:
    window = _window(request)
    return {
        "windows": PERIODS.values(),
        "part_url": f"{reverse('overview-part')}?{urlencode({'window': window.key})}",
    }


def _part(request: HttpRequest) -> dict[str, Any]:
    window, now = _window(request), timezone.now()
    may = request.user.has_perm
    part: dict[str, Any] = {"window": window, "first_steps": first_steps(request)}
    part["has_demo"] = has_demo(request)
    if may("controlplane.view_requestrecord"):
        part["traffic"] = traffic(window, now)
    if may("routing.view_canonicalmodel"):
        part |= _pools(request, window)
    if may("failover.view_bench"):
        part |= _benches()
    if may("providers.view_provider"):
        sick = HealthSnapshot.objects.filter(status__in=HEALTH_COLOURS)
        part["sick"] = [
            {"row": row, "colour": HEALTH_COLOURS[row.status]}
            for row in sick.order_by("-status", "provider")[:ROWS]
        ]
    if may("controlplane.view_suggestion"):
        proposed = Suggestion.objects.filter(state="open")
        part |= {
            "suggestions": proposed.order_by("-confidence")[:ROWS],
            "suggestions_open": proposed.count(),
        }
    if may("controlplane.view_alert"):
        wrong = Alert.objects.filter(ended_at=None)
        part |= {
            "alerts": wrong.order_by("-is_urgent", "since")[:ROWS],
            "alerts_open": wrong.count(),
        }
    if may("controlplane.view_hostreport"):
        part |= _processes()
    source = ConfigSource.objects.filter(pk=1).first()
    part["config_source"] = source
    part["refused"] = source is not None and source.is_refused
    return part


def _pools(request: HttpRequest, window: Period) -> dict[str, Any]:
    now = timezone.now()
    counts = {
        "pools": CanonicalModel.effective().count(),
        "rules": FailoverRule.effective().count(),
        "keys": ApiKey.effective().count(),
        "switched_off": RoutingState.standing().filter(enabled=False).count(),
    }
    worker = worker_of(request)
    found = None if worker is None else standings_of(worker, may_be_s_old=MAY_BE_S_OLD)
    if worker is None or found is None:
        return {"pool_counts": counts, "pools": None}
    known = found.picture.table.pools
    busy = {name: place for place, name in enumerate(busiest(window, now, BUSIEST))}
    shown = sorted(
        found.not_well,
        key=lambda name: (STATUSES.index(found.status(name)), busy.get(name, BUSIEST), name),
    )[:ROWS]
    views = dict(found.not_well)
    if len(shown) < ROWS:
        others = (name for name in (*busy, *sorted(known)) if name in known and name not in views)
        well = list(islice(dict.fromkeys(others), ROWS - len(shown)))
        views |= {view.canonical_model: view for view in pools_of(worker, well)}
        shown += [name for name in well if name in views]
    sums = pools_traffic(window, now, shown)
    return {
        "pool_counts": counts,
        "pools": [_pool(views[name], sums.get(name)) for name in shown],
        "pool_statuses": [
            {"text": f"{number:,} {WORDS[status][0]}", "colour": POOL_COLOURS[status]}
            for status, number in found.counts.items()
            if number
        ],
    }


def _pool(view: PoolView, sums: PoolSums | None) -> dict[str, Any]:
    return {
        "view": view,
        "status": WORDS[view.status][0],
        "colour": POOL_COLOURS[view.status],
        "sums": sums,
        "failovers": share(sums.total.failover_share) if sums else "",
        "errors": share(sums.total.error_share) if sums else "",
        "url": f"{reverse('explain')}?{urlencode({'model': view.canonical_model})}",
    }


def _benches() -> dict[str, Any]:
    told = hub_request(Board(), BoardTold)
    if told is None:
        return {"benches": None}
    now = time.time()
    rows = [row.entry for row in told.rows if row.entry.until > now]
    rows.sort(key=lambda entry: (-entry.until, entry.subject))
    return {"benches": rows[:ROWS], "benched": len(rows), "now": now}


def _processes() -> dict[str, Any]:
    found = fleet()
    jobs = standings()
    return {
        "fleet": found,
        "fleet_colour": "success"
        if all(host.state == CURRENT and not host.differs for host in found.hosts)
        else "warning",
        "no_job_worker": is_silent(jobs),
    }


pages = [
    path("admin/overview/part/", admin.site.admin_view(overview_part), name="overview-part"),
]
