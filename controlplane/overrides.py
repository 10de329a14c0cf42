"""Which of the settings the configuration may take over, and what holds in the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from controlplane.models import ConfigSource, Settings

_DEFAULTS = "routing.defaults."
_FAILOVER = "routing.defaults.failover."

# The configuration's dotted key of each field of Settings.
KEY_OF_FIELD = {
    "strategy": _DEFAULTS + "strategy",
    "session_affinity": _DEFAULTS + "session_affinity",
    "session_affinity_ttl_s": _DEFAULTS + "session_affinity_ttl",
    "stay_after_failover": _DEFAULTS + "stay_after_failover",
    "native_first": _DEFAULTS + "native_first",
    "params": _DEFAULTS + "params",
    "timeouts": _DEFAULTS + "timeouts",
    "failover_in_pools": _FAILOVER + "enabled",
    "max_attempts": _FAILOVER + "max_attempts",
    "same_candidate_retries": _FAILOVER + "same_candidate_retries",
    "retry_on_statuses": _FAILOVER + "retry_on_statuses",
    "retry_on_model_errors": _FAILOVER + "retry_on_model_errors",
    "retry_on_timeouts": _FAILOVER + "retry_on_timeouts",
    "retry_on_content_filter": _FAILOVER + "retry_on_content_filter",
    "deadline_s": _FAILOVER + "deadline_s",
    "hold_s": _FAILOVER + "hold_s",
    "hedge_after_ms": _FAILOVER + "hedge_after_ms",
    "backoff_base_ms": _FAILOVER + "backoff.base_ms",
    "backoff_factor": _FAILOVER + "backoff.factor",
    "backoff_max_ms": _FAILOVER + "backoff.max_ms",
    "failover_enabled": "failover.enabled",
    "disabled_models": "failover.disabled_models",
    "inventory_mode": "models.configured_provider_models_mode",
    "bench_failures": "bench.failures",
    "bench_failure_ratio": "bench.failure_ratio",
    "bench_window_s": "bench.window_s",
    "bench_cooldown_s": "bench.cooldown_s",
    "bench_max_cooldown_s": "bench.max_cooldown_s",
    "bench_auth_cooldown_s": "bench.auth_cooldown_s",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A value that wins over the one in Settings. `source` is "file" or "environment"."""

    value: Any
    source: str
    key: str


def overrides() -> dict[str, Override]:
    """By field of Settings: what the configuration says instead."""
    row = ConfigSource.objects.filter(pk=1).first()
    given = row.values if row else {}
    return {
        field: Override(value=given[key]["value"], source=given[key]["source"], key=key)
        for field, key in KEY_OF_FIELD.items()
        if key in given
    }


def effective_settings() -> dict[str, Any]:
    """By field of Settings: what holds."""
    row = Settings.load()
    over = overrides()
    return {
        field: over[field].value if field in over else getattr(row, field) for field in KEY_OF_FIELD
    }
