"""The planner's words for why somebody is left out, in words for people."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

REASONS: Mapping[str, str] = MappingProxyType(
    {
        "provider_disabled": "the provider is disabled",
        "canonical_model_disabled": "the pool is disabled",
        "candidate_disabled": "the candidate is disabled",
        "benched_manually": "benched by an operator",
        "unhealthy": "health checks cannot reach it",
        "benched": "benched after failures",
        "key_not_allowed": "the key may not use it",
        "context_too_small": "the request is larger than its context window",
        "kept_elsewhere": "it does not keep what the request refers to, or not for this caller",
        "saturated": "it has reached its own limit",
        "no_credential": "the provider has no key, or none that is confirmed for its address",
        "failover_disabled": "failover is off, so only the first is called",
    }
)
UNSUPPORTED: Mapping[str, str] = MappingProxyType(
    {
        "endpoint": "the provider does not speak this endpoint",
        "embeddings": "vectors of another model cannot be compared",
        "streaming": "it cannot stream",
        "tools": "it cannot call tools",
        "parallel_tools": "it cannot call tools in parallel",
        "vision": "it cannot see images",
        "audio": "it cannot take or make audio",
        "files": "it cannot read files",
        "json_schema": "it cannot keep to a JSON schema",
        "reasoning": "it cannot reason",
    }
)


def words_of(reason: str) -> str:
    """`reason` in words; one that is not known stays as it is."""
    what = reason.removeprefix("unsupported:")
    if what != reason:
        return UNSUPPORTED.get(what, f"it does not support {what}")
    return REASONS.get(reason, reason)


def lasting(seconds: float) -> str:
    """A stretch of time in at most two units: 40 s, 58 min 24 s, 3 h 5 min, 2 d 4 h."""
    whole = max(round(seconds), 0)
    for (large, size), (small, part) in _UNITS:
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {large}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s"


_UNITS = (
    (("d", 86400), ("h", 3600)),
    (("h", 3600), ("min", 60)),
    (("min", 60), ("s", 1)),
)
