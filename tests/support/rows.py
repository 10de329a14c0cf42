"""Small builders of configuration rows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from controlplane.advice.models import Suggestion
from controlplane.models import ApiKey
from failover.models import FailoverRule
from providers.models import Credential, Provider
from routing.models import Alias, Candidate, CanonicalModel


def provider(name: str = "lab", *, secret: str = "", **fields: Any) -> Provider:
    row = Provider(name=name, **{"kind": "openai", **fields})
    row.full_clean()
    row.save()
    if secret:
        Credential.objects.create(provider=row, label="main", secret=secret)
    return row


def pool(name: str = "small", *targets: str, **fields: Any) -> CanonicalModel:
    row = CanonicalModel.objects.create(name=name, **fields)
    for position, target in enumerate(targets):
        provider_name, model = target.split("/", 1)
        Candidate.objects.create(
            canonical_model=row, provider_name=provider_name, model=model, position=position
        )
    return row


def alias(name: str, target: str, **fields: Any) -> Alias:
    return Alias.objects.create(name=name, target=target, **fields)


def rule(primary: str, *fallbacks: str, **fields: Any) -> FailoverRule:
    return FailoverRule.objects.create(
        primary_model=primary, fallback_models=list(fallbacks), **fields
    )


def api_key(name: str, key: str, **fields: Any) -> ApiKey:
    row = ApiKey(name=name, **fields)
    row.set_key(key)
    row.save()
    return row


def edit(
    kind: str, name: str, field: str, old: Any, new: Any, candidate: str = ""
) -> dict[str, Any]:
    """One step of a suggestion's change."""
    return {
        "object": kind, "name": name, "candidate": candidate, "field": field, "from": old,
        "to": new,
    }  # fmt: skip


def suggestion(target: str, *edits: dict[str, Any], **fields: Any) -> Suggestion:
    now = timezone.now()
    usual = {
        "kind": "pool_candidate",
        "fingerprint": f"{target} {edits}"[:64],
        "change": {"text": f"Change {target}.", "edits": list(edits)},
        "created_at": now,
        "expires_at": now + timedelta(hours=1),
    }
    return Suggestion.objects.create(target=target, **{**usual, **fields})
