"""What the lists of pools and candidates say of this moment: a green switch is not health."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin
from django.utils.html import format_html
from unfold.decorators import display

from controlplane.config.general import effective_settings
from controlplane.decisions.local_worker import worker_of
from controlplane.decisions.pools_api import pools_of
from controlplane.decisions.pools_page import WORDS, state_of
from controlplane.decisions.standings import standings_of
from controlplane.health.admin import CheckedCandidateAdmin, CheckedPoolAdmin
from controlplane.models import ConfigSource, Settings
from failover.cautions import WEIGHTLESS
from routing.gateway.deciding.strategies import STRATEGIES, in_list_order
from routing.models import Candidate, CanonicalModel
from routing.switches.admin import SCRIPT

if TYPE_CHECKING:
    from django.db.models import Field
    from django.http import HttpRequest

    from controlplane.decisions.standings import Standings
    from routing.gateway.explain.overview import CandidateView

STYLE: Final = "switchyard/health.css"
VIEWS: Final = "admin/pool_views.html"
NOT_KNOWN: Final = "not known"  # an edit of this moment, or a process without a gateway

admin.site.unregister(CanonicalModel)
admin.site.unregister(Candidate)


def _word(words: str, colour: str, note: str = "") -> str:
    return format_html(
        '<span class="health-word health-{}">{}</span>{}',
        colour,
        words,
        format_html('<span class="health-note">{}</span>', note) if note else "",
    )


@admin.register(CanonicalModel)
class StandingPoolAdmin(CheckedPoolAdmin):
    list_display = ["name", "now", "pool", "how", "switch", "source"]
    list_before_template = VIEWS

    class Media:
        js = [SCRIPT, "switchyard/candidates.js"]
        css = {"all": [STYLE]}

    def formfield_for_dbfield(
        self, db_field: Field[Any, Any], request: HttpRequest, **options: Any
    ) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **options)
        if db_field.name == "strategy":
            field.widget.attrs["data-uses"] = json.dumps(_uses())
        return field

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changes = super().get_changelist_instance(request)
        worker = worker_of(request)
        found = None if worker is None else standings_of(worker)
        for row in changes.result_list:
            row.standing = _standing(row, found)
        return changes

    @display(description="now")
    def now(self, row: Any) -> str:
        return str(row.standing)


def _uses() -> dict[str, list[str]]:
    """
    Which of a candidate's numbers each strategy goes by, for the form's script.

    A list that is followed from first to last is ordered by dragging alone.
    """
    found = {
        name: [
            *(["priority"] if strategy.order is not in_list_order else []),
            *(["weight"] if name not in WEIGHTLESS else []),
        ]
        for name, strategy in STRATEGIES.items()
    }
    row = Settings.objects.filter(pk=1).first() or Settings()
    source = ConfigSource.objects.filter(pk=1).first()
    usual = effective_settings(row, source.values if source else {})["strategy"]
    return {**found, "": found[str(usual)]}


def _standing(row: Any, found: Standings | None) -> str:
    if found is None or row.is_shadowed or row.name not in found.picture.table.pools:
        return _word(NOT_KNOWN, "unknown")
    view = found.not_well.get(row.name)
    words, colour = WORDS[found.status(row.name)]
    return _word(words, colour, "" if view is None else view.status_reason)


@admin.register(Candidate)
class StandingCandidateAdmin(CheckedCandidateAdmin):
    list_display = [
        "provider_model",
        "canonical_model",
        "now",
        "priority",
        "weight",
        "flag",
        "switch",
        "hours",
    ]
    list_before_template = VIEWS

    class Media:
        js = [SCRIPT]
        css = {"all": [STYLE]}

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changes = super().get_changelist_instance(request)
        worker = worker_of(request)
        names = sorted({row.canonical_model.name for row in changes.result_list})
        found = {
            (view.canonical_model, candidate.provider_name, candidate.model): candidate
            for view in ([] if worker is None else pools_of(worker, names))
            for candidate in view.candidates
        }
        for row in changes.result_list:
            row.standing = _state(
                found.get((row.canonical_model.name, row.provider_name, row.model))
            )
        return changes

    @display(description="now")
    def now(self, row: Any) -> str:
        return str(row.standing)


def _state(view: CandidateView | None) -> str:
    if view is None:
        return _word(NOT_KNOWN, "unknown")
    note = "chosen now" if view.is_effective_candidate else ""
    return _word(*state_of(view), note)
