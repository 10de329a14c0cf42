"""Admin's forms as a browser sends them."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from controlplane.models import Settings
from providers.managed.block_field import flat


def address(model: str, page: str, *arguments: object) -> str:
    return reverse(f"admin:{model}_{page}", args=arguments)


def typed(name: str, block: dict[str, Any]) -> dict[str, object]:
    """A block as the inputs of its members."""
    return {
        f"{name}_{key}": ", ".join(map(str, value)) if isinstance(value, list) else value
        for key, value in flat(block).items()
        if value is not None
    }


def inline(prefix: str, *forms: dict[str, object], stored: int = 0) -> dict[str, object]:
    """The fields of an inline formset; the first `stored` forms carry their row's id."""
    fields: dict[str, object] = {
        f"{prefix}-TOTAL_FORMS": len(forms),
        f"{prefix}-INITIAL_FORMS": stored,
    }
    for place, form in enumerate(forms):
        fields |= {f"{prefix}-{place}-{name}": value for name, value in form.items()}
    return fields


def provider_form(**fields: object) -> dict[str, object]:
    return {
        "name": "lab",
        "kind": "openai",
        "enabled": "on",
        "trust_env_proxy": "on",
        **dict.fromkeys(["headers", "failure_domain"], "{}"),
        **inline("credentials"),
        **inline("models"),
        **fields,
    }


def pool_form(*candidates: dict[str, object], **fields: object) -> dict[str, object]:
    return {
        "name": "small",
        "enabled": "on",
        "session_affinity": "unknown",
        "stay_after_failover": "unknown",
        "native_first": "unknown",
        **inline("candidates", *candidates),
        **fields,
    }


def candidate(provider_name: str, model: str, position: int) -> dict[str, object]:
    return {
        "provider_name": provider_name,
        "model": model,
        "priority": 1,
        "weight": 1,
        "enabled": "on",
        "position": position,
    }


def settings_form(**fields: object) -> dict[str, object]:
    row = Settings.load()
    values = {
        field.name: getattr(row, field.name)
        for field in Settings._meta.fields
        if field.name not in {"id", "updated_at", "timeouts"}
        and getattr(row, field.name) is not None
    }
    values |= {
        **typed("timeouts", row.timeouts),
        "disabled_models": "",
        "retry_on_statuses": ", ".join(map(str, row.retry_on_statuses)),
        "retry_first_statuses": ", ".join(map(str, row.retry_first_statuses)),
    }
    return {name: value for name, value in values.items() if value is not False} | fields
