"""Every pool as this worker would route now, what is wrong first, with a hand on each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from controlplane.benches.admin import LENGTHS, scope_of
from controlplane.decisions.local_worker import worker_of
from controlplane.decisions.pools_api import pools_of
from controlplane.decisions.standings import STATUSES, standings_of
from controlplane.health.admin import strip_of
from controlplane.health.strips import candidate_strips
from providers.listed import flags
from routing.gateway.deciding.wording import words_of
from routing.gateway.explain.overview import OPERATORS
from routing.models import CanonicalModel
from routing.switches.admin import attach_switches, control_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from django.http import HttpRequest, HttpResponse

    from controlplane.decisions.standings import Standings
    from controlplane.health.strips import StripField
    from failover.engine.bench_entries import BenchEntry
    from routing.gateway.explain.overview import CandidateView, PoolView

VIEW: Final = "routing.view_canonicalmodel"
PAGE: Final = 50
LONGEST_QUERY: Final = 200
# What the statuses are called, and the colour of each: enabled may also be a pool's setting.
WORDS: Final = {
    "unavailable": ("unavailable", "unhealthy"),
    "degraded": ("degraded", "degraded"),
    "disabled": ("disabled", "unknown"),
    "enabled": ("fine", "healthy"),
}
STATES: Final = {
    "healthy": ("healthy", "healthy"),
    "degraded": ("degraded", "degraded"),
    "unhealthy": ("unhealthy", "unhealthy"),
    "unknown": ("can be chosen", "healthy"),
}


@require_safe
def pools_page(request: HttpRequest) -> HttpResponse:
    if not request.user.has_perm(VIEW):
        raise PermissionDenied
    worker = worker_of(request)
    found = None if worker is None else standings_of(worker)
    if worker is None or found is None:
        raise Http404("The gateway of this process has no routing snapshot yet.")
    status = request.GET.get("status", "")
    status = status if status in STATUSES else ""
    text = request.GET.get("q", "").strip()[:LONGEST_QUERY]
    names = _chosen(found, status, text)
    page = Paginator(names, PAGE).get_page(request.GET.get("page"))
    shown = list(page.object_list)
    views = {view.canonical_model: view for view in pools_of(worker, shown)}
    rows = _rows(request, shown)
    lately = Lately.of(views)
    here = request.get_full_path()
    return TemplateResponse(
        request,
        "admin/model_pools.html",
        {
            **admin.site.each_context(request),
            "title": "Pools now",
            "worker": worker,
            "page": page,
            "is_any": bool(found.picture.table.pools),
            "pools": [
                _pool(views[name], rows.get(name), lately) for name in shown if name in views
            ],
            "counts": [_count(word, number, status, text) for word, number in found.counts.items()],
            "all_url": _address(q=text),
            "all": f"{len(found.picture.table.pools):,}",
            "status": status,
            "text": text,
            "found": f"{len(names):,}",
            "query": urlencode({"status": status, "q": text}),
            "here": here,
            "lengths": LENGTHS,
            "board_url": reverse("admin:failover_bench_changelist"),
            "may_bench": request.user.has_perm("failover.add_bench"),
            "may_release": request.user.has_perm("failover.delete_bench"),
        },
    )


def _chosen(found: Standings, status: str, text: str) -> list[str]:
    """The pools of that status that `text` is found in, the worst first."""
    names = list(found.picture.table.pools)
    if status:
        names = [name for name in names if found.status(name) == status]
    if text:
        names = [name for name in names if _has(found, name, text.casefold())]
    return sorted(names, key=lambda name: (STATUSES.index(found.status(name)), name))


def _has(found: Standings, name: str, text: str) -> bool:
    """Whether `text` is a part of the pool's name, of one of its aliases or of a candidate's."""
    spec = found.picture.table.pools[name]
    own = [name, *found.picture.aliases.get(name, ())]
    return any(text in word.casefold() for word in own) or any(
        text in f"{c.provider}/{c.model}".casefold() for c in spec.candidates
    )


def _address(**query: str) -> str:
    return f"?{urlencode({name: value for name, value in query.items() if value})}"


def _count(status: str, number: int, chosen: str, text: str) -> dict[str, Any]:
    words, colour = WORDS[status]
    return {
        "words": f"{number:,} {words}",
        "colour": colour,
        "url": _address(status=status, q=text),
        "is_chosen": status == chosen,
        "is_none": not number,
    }


def _rows(request: HttpRequest, names: list[str]) -> dict[str, CanonicalModel]:
    """The rows of these pools with their candidates, each with its switch; three queries."""
    pools = CanonicalModel.effective().filter(name__in=names).prefetch_related("candidates")
    found = {row.name: row for row in pools}
    candidates = []
    for row in found.values():
        for candidate in row.candidates.all():
            candidate.canonical_model = row
            candidates.append(candidate)
    attach_switches([*found.values(), *candidates], request)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Lately:
    """What is known of candidates beside their standing; strips are of one pool each."""

    flags: Mapping[tuple[str, str], str]
    strips: Mapping[tuple[str, str, str], tuple[StripField, ...]]

    @classmethod
    def of(cls, views: Mapping[str, PoolView]) -> Self:
        shown = {(c.provider_name, c.model) for view in views.values() for c in view.candidates}
        return cls(flags=flags(shown), strips=candidate_strips(list(views), timezone.now()))


def _pool(view: PoolView, row: CanonicalModel | None, lately: Lately) -> dict[str, Any]:
    words, colour = WORDS[view.status]
    switches = {}
    if row is not None:
        switches = {(c.provider_name, c.model): control_of(c) for c in row.candidates.all()}
    return {
        "canonical_model": view.canonical_model,
        "aliases": view.aliases,
        "strategy": view.strategy.replace("_", " "),
        "status": words,
        "status_reason": view.status_reason,
        "colour": colour,
        "is_well": view.status == "enabled",
        "effective": view.effective_candidate,
        "switch": "" if row is None else control_of(row),
        "candidates": list(_candidates(view, switches, lately)),
        "explain_url": f"{reverse('explain')}?{urlencode({'model': view.canonical_model})}",
        "edit_url": ""
        if row is None
        else reverse("admin:routing_canonicalmodel_change", args=[row.pk]),
    }


def _candidates(
    pool: PoolView, switches: Mapping[tuple[str, str], str], lately: Lately
) -> Iterator[dict[str, Any]]:
    for view in pool.candidates:
        pair = (view.provider_name, view.model)
        strip = lately.strips.get((pool.canonical_model, *pair))
        state, colour = state_of(view)
        yield {
            "name": view.name,
            "place": _place(view),
            "state": state,
            "colour": colour,
            "is_effective_candidate": view.is_effective_candidate,
            "is_config_primary": view.is_config_primary,
            "switch": switches.get(pair, ""),
            "flag": lately.flags.get(pair, ""),
            "strip": strip_of(strip) if strip else "",
            "switch_words": view.switch_words,
            "bench": None if view.bench is None else _bench(view.bench),
        }


def state_of(view: CandidateView) -> tuple[str, str]:
    """How a candidate stands in words, and the colour of that."""
    if view.selectable:
        return STATES[view.runtime_status]
    colour = "unknown" if view.blocked_reason in OPERATORS else "unhealthy"
    return words_of(view.blocked_reason or ""), colour


def _place(view: CandidateView) -> str:
    """What orders it beside its place in the list, where that is not the usual."""
    said = [f"priority {view.priority}"] if view.priority != 1 else []
    return ", ".join(said + ([f"weight {view.weight}"] if view.weight != 1 else []))


def _bench(entry: BenchEntry) -> dict[str, Any]:
    said = ", ".join(filter(None, [entry.reason.replace("_", " "), entry.sample_error]))
    until = datetime.fromtimestamp(entry.until, UTC)
    return {
        "subject": entry.subject,
        "credential": entry.credential or "",
        "manual": entry.manual,
        "words": f"{scope_of(entry)} benched until {until:%Y-%m-%d %H:%M:%S} UTC"
        f"{f' by {entry.by}' if entry.by else ''}: {said}",
    }


urlpatterns = [path("admin/pools-now/", admin.site.admin_view(pools_page), name="pools-now")]
