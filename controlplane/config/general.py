"""
Which field of Settings each general value of the configuration file stands for.

One table for the mirror's reader (publishing) and for admin, which shows a value's source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controlplane.models import Settings

_DEFAULTS: Final = "routing.defaults"
_POLICY: Final = f"{_DEFAULTS}.failover"

SETTING_OF_KEY: Final[Mapping[str, str]] = {
    f"{_DEFAULTS}.strategy": "strategy",
    f"{_DEFAULTS}.session_affinity": "session_affinity",
    f"{_DEFAULTS}.session_affinity_ttl": "session_affinity_ttl_s",
    f"{_DEFAULTS}.stay_after_failover": "stay_after_failover",
    f"{_DEFAULTS}.native_first": "native_first",
    f"{_DEFAULTS}.params": "params",
    f"{_POLICY}.enabled": "failover_in_pools",
    f"{_POLICY}.max_attempts": "max_attempts",
    f"{_POLICY}.same_candidate_retries": "same_candidate_retries",
    f"{_POLICY}.retry_on_statuses": "retry_on_statuses",
    f"{_POLICY}.retry_on_model_errors": "retry_on_model_errors",
    f"{_POLICY}.retry_on_timeouts": "retry_on_timeouts",
    f"{_POLICY}.retry_on_content_filter": "retry_on_content_filter",
    f"{_POLICY}.deadline_s": "deadline_s",
    f"{_POLICY}.hold_s": "hold_s",
    f"{_POLICY}.gate": "gate",
    f"{_POLICY}.exhausted_status": "exhausted_status",
    f"{_POLICY}.hedge_after_ms": "hedge_after_ms",
    f"{_POLICY}.retry_first.statuses": "retry_first_statuses",
    f"{_POLICY}.retry_first.times": "retry_first_times",
    f"{_POLICY}.retry_first.max_wait_s": "retry_first_max_wait_s",
    f"{_POLICY}.backoff.base_ms": "backoff_base_ms",
    f"{_POLICY}.backoff.factor": "backoff_factor",
    f"{_POLICY}.backoff.max_ms": "backoff_max_ms",
    "failover.enabled": "failover_enabled",
    "failover.disabled_models": "disabled_models",
    "models.configured_provider_models_mode": "inventory_mode",
    "bench.failures": "bench_failures",
    "bench.failure_ratio": "bench_failure_ratio",
    "bench.window_s": "bench_window_s",
    "bench.cooldown_s": "bench_cooldown_s",
    "bench.max_outage_s": "bench_max_outage_s",
    "bench.max_cooldown_s": "bench_max_cooldown_s",
    "bench.auth_cooldown_s": "bench_auth_cooldown_s",
}
TIMEOUT_KEYS: Final = f"{_DEFAULTS}.timeouts."  # each is one member of Settings.timeouts


def effective_settings(row: Settings, values: Mapping[str, Any]) -> dict[str, Any]:
    """Every field of Settings as it counts: `values` of ConfigSource over the row's own."""
    effective = {field: getattr(row, field) for field in SETTING_OF_KEY.values()}
    effective["timeouts"] = dict(row.timeouts)
    for key, entry in values.items():
        if field := SETTING_OF_KEY.get(key):
            effective[field] = entry["value"]
        elif key.startswith(TIMEOUT_KEYS):
            effective["timeouts"][key.removeprefix(TIMEOUT_KEYS)] = entry["value"]
    return effective


def setting_sources(values: Mapping[str, Any]) -> dict[str, str]:
    """The fields of Settings that `values` override, and by what: "file" or "environment"."""
    sources = {
        field: entry["source"]
        for key, entry in values.items()
        if (field := SETTING_OF_KEY.get(key))
    }
    for key, entry in values.items():
        if key.startswith(TIMEOUT_KEYS):
            sources["timeouts"] = entry["source"]
    return sources
