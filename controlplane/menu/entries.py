"""
The menu, and the lists that stand side by side under one of its entries.

Unfold looks at every link many times for a page, and makes a class for every question whether an
entry may be seen: here the links are worked out once, and who may not open a page gets no entry.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from django.urls import reverse

from controlplane.menu.rights import may_open

if TYPE_CHECKING:
    from django.http import HttpRequest

SUB: Final = "subdirectory_arrow_right"  # of what stands above it


def _link(title: str, icon: str, name: str, badge: str = "") -> dict[str, Any]:
    """An entry of the menu; `badge` is one of controlplane.decisions.badges."""
    link = {"title": title, "icon": icon, "name": name}
    return link | ({"badge": f"controlplane.decisions.badges.{badge}"} if badge else {})


MENU: Final[list[dict[str, Any]]] = [
    {
        "items": [
            _link("Overview", "dashboard", "admin:index"),
            _link("Requests", "receipt_long", "admin:controlplane_requestrecord_changelist"),
            _link("Captured", "article", "admin:controlplane_captured_changelist"),
            _link(
                "Looks at captured",
                "visibility",
                "admin:controlplane_capturedlook_changelist",
            ),
            _link("Alerts", "notifications", "admin:controlplane_alert_changelist"),
        ],
    },
    {
        "title": "Routing",
        "items": [
            _link("Model pools", "hub", "admin:routing_canonicalmodel_changelist"),
            _link("Pools now", SUB, "pools-now", "unavailable_pools"),
            _link("Candidates", SUB, "admin:routing_candidate_changelist"),
            _link("Aliases", "label", "admin:routing_alias_changelist"),
            _link("Failover rules", "alt_route", "admin:failover_failoverrule_changelist"),
            _link("Switches", "power_settings_new", "admin:routing_routingstate_changelist"),
            _link(
                "Bench board",
                "event_seat",
                "admin:failover_bench_changelist",
                "benches",
            ),
            _link("Suggestions", "lightbulb", "admin:controlplane_suggestion_changelist"),
            _link("Explain", "psychology_alt", "explain"),
            _link("Try it", "send", "try-it"),
            _link("Settings", "tune", "admin:controlplane_settings_changelist"),
        ],
    },
    {
        "title": "Providers",
        "items": [
            _link("Providers", "cloud", "admin:providers_provider_changelist"),
            _link("Health", "ecg_heart", "admin:controlplane_healthsnapshot_changelist"),
            _link("Model facts", "fact_check", "admin:providers_providermodel_changelist"),
        ],
    },
    {
        "title": "Access",
        "items": [
            _link("API keys", "key", "admin:controlplane_apikey_changelist"),
            _link("Teams", "groups", "admin:controlplane_team_changelist"),
            _link("Users", "person", "admin:auth_user_changelist"),
            _link("Groups", "shield_person", "admin:auth_group_changelist"),
        ],
    },
    {
        "title": "System",
        "items": [
            _link("Processes", "lan", "processes"),
            _link("Jobs", "schedule", "jobs"),
            _link("Alert addresses", "forward_to_inbox", "alert-addresses"),
            _link("Configuration", "code", "configuration", "refused_file"),
            _link("Revisions", "undo", "admin:controlplane_revision_changelist"),
            _link("Documentation", "menu_book", "docs"),
            _link("API documentation", "api", "api-docs"),
        ],
    },
]
# Each by its title and its model; the menu has the first.
VIEWS: Final = (
    (
        ("Switches", "routing.routingstate"),
        ("History", "routing.historicalroutingstate"),
    ),
    (
        ("Model facts", "providers.providermodel"),
        ("Imported facts", "providers.catalogentry"),
    ),
    (
        ("Revisions", "controlplane.revision"),
        ("Published snapshots", "controlplane.publishedsnapshot"),
    ),
)


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """For Unfold: what who asks may open."""
    return [
        {**group, "items": [item for item in group["items"] if may_open(request, item["name"])]}
        for group in _navigation()
    ]


def tabs(_request: HttpRequest) -> list[dict[str, Any]]:
    """For Unfold."""
    return _tabs()


@cache
def _navigation() -> list[dict[str, Any]]:
    return [
        {**group, "items": [{**item, "link": reverse(item["name"])} for item in group["items"]]}
        for group in MENU
    ]


@cache
def _tabs() -> list[dict[str, Any]]:
    return [
        {
            "models": [model for _, model in views],
            "items": [
                {"title": title, "link": reverse(f"admin:{model.replace('.', '_')}_changelist")}
                for title, model in views
            ],
        }
        for views in VIEWS
    ]
