"""What the admin's first page shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.urls import reverse

from controlplane.models import ApiKey, ConfigSource, PublishedSnapshot
from failover.models import FailoverRule
from providers.models import Provider
from routing.models import CanonicalModel, RoutingState, SwitchKind

if TYPE_CHECKING:
    from django.http import HttpRequest


def dashboard(_request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's DASHBOARD_CALLBACK: add the cards to the page's context."""
    snapshot = PublishedSnapshot.objects.first()
    switched_off = RoutingState.standing().filter(enabled=False)
    source = ConfigSource.objects.filter(pk=1).first()
    context["cards"] = [
        _card(
            "Providers",
            Provider,
            "admin:providers_provider_changelist",
            off=switched_off.filter(kind=SwitchKind.PROVIDER).values("provider_name"),
        ),
        _card(
            "Model pools",
            CanonicalModel,
            "admin:routing_canonicalmodel_changelist",
            off=switched_off.filter(kind=SwitchKind.CANONICAL_MODEL).values("canonical_model"),
        ),
        _card("Failover rules", FailoverRule, "admin:failover_failoverrule_changelist"),
        _card("API keys", ApiKey, "admin:controlplane_apikey_changelist"),
    ]
    context["snapshot"] = snapshot
    context["config_source"] = source
    # A refusal counts until a later edit has been applied.
    context["refused"] = bool(
        source
        and source.refused_at
        and (source.applied_at is None or source.refused_at > source.applied_at)
    )
    return context


def _card(title: str, model: Any, url: str, off: Any = ()) -> dict[str, Any]:
    """`off` are the names that operators' switches take out."""
    rows = model.effective()
    total = rows.count()
    disabled = total - rows.filter(enabled=True).exclude(**{f"{model.identity}__in": off}).count()
    note = f"{disabled} disabled" if disabled else "all enabled" if total else "none yet"
    return {"title": title, "number": total, "note": note, "url": reverse(url)}
