"""
Which field of Settings each general value of the configuration file stands for.

One table for the mirror's reader (publishing) and for admin, which shows a value's source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from failover.engine.policy import Backoff, BenchPolicy, FailoverPolicy, RetryFirst
from routing.validation import POOL_SETTINGS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from controlplane.models import Settings

_DEFAULTS: Final = "routing.defaults"
_POLICY: Final = f"{_DEFAULTS}.failover"
_NOT_AS_IT_IS: Final = ("enabled", "backoff", "retry_first")  # of a failover policy
_POLICY_FIELDS: Final = [
    name for name in FailoverPolicy.__struct_fields__ if name not in _NOT_AS_IT_IS
]

SETTING_OF_KEY: Final[Mapping[str, str]] = {
    **{f"{_DEFAULTS}.{key}": field for key, field in POOL_SETTINGS.items()},
    f"{_POLICY}.enabled": "failover_in_pools",
    **{f"{_POLICY}.{name}": name for name in _POLICY_FIELDS},
    **{
        f"{_POLICY}.{part}.{name}": f"{part}_{name}"
        for part, block in (("retry_first", RetryFirst), ("backoff", Backoff))
        for name in block.__struct_fields__
    },
    "failover.enabled": "failover_enabled",
    "failover.disabled_models": "disabled_models",
    "models.configured_provider_models_mode": "inventory_mode",
    **{f"bench.{name}": f"bench_{name}" for name in BenchPolicy.__struct_fields__},
    **{f"alerts.{name}": f"alerts_{name}" for name in ("email", "failover_rate", "quiet_hours")},
}
# Settings that no file has: revisions know them, and texts do not.
ADMIN_ONLY: Final = (
    "keep_records_days", "keep_sums_days", "keep_checks_days", "keep_alerts_days",
    "keep_suggestions_days", "keep_history_days",
)  # fmt: skip
# What must not be longer than what.
SPANS: Final = (
    ("bench.cooldown_s", "bench.max_cooldown_s"),
    (f"{_POLICY}.backoff.base_ms", f"{_POLICY}.backoff.max_ms"),
)
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
    given = {SETTING_OF_KEY[key] for key in values if key in SETTING_OF_KEY}
    return settled(effective, given, [(SETTING_OF_KEY[a], SETTING_OF_KEY[b]) for a, b in SPANS])


def settled(
    values: dict[str, Any], given: Collection[str], spans: Iterable[tuple[str, str]]
) -> dict[str, Any]:
    """
    `values` whose first and longest do not contradict each other, where one source gave only one.

    Each source is refused if it contradicts itself; between two, what is `given` counts.
    """
    for first, longest in spans:
        if first not in values or longest not in values or (first in given) == (longest in given):
            continue
        if values[first] <= values[longest]:
            continue
        loser, winner = (first, longest) if longest in given else (longest, first)
        values = {**values, loser: values[winner]}
    return values


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
