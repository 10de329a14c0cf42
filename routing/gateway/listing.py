"""`/v1/models`: the names that a key may use, in OpenAI's shape or Anthropic's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from routing.gateway.auth import Key
from routing.gateway.table import Pool, Table


def visible_names(table: Table, key: Key) -> list[str]:
    """
    Canonical models and aliases that `key` may use and operators leave a candidate for, sorted.

    Health and benches never hide a name.
    """
    names = [name for name, pool in table.pools.items() if _is_visible(name, pool, key)]
    for name in table.aliases.keys() - table.pools.keys():
        pool = table.pool_of(name)
        if pool is not None and _is_visible(name, pool, key):
            names.append(name)
    return sorted(names)


def _is_visible(name: str, pool: Pool, key: Key) -> bool:
    allowed = key.allows(name, pool.name)
    return any(
        pool.operators_reason(candidate) is None and (allowed or key.allows(candidate.name))
        for candidate in pool.candidates
    )


def model_list(names: list[str], created_at: float, *, anthropic: bool) -> dict[str, Any]:
    data = [model_entry(name, created_at, anthropic=anthropic) for name in names]
    if not anthropic:
        return {"object": "list", "data": data}
    return {
        "data": data,
        "has_more": False,
        "first_id": names[0] if names else None,
        "last_id": names[-1] if names else None,
    }


def model_entry(name: str, created_at: float, *, anthropic: bool) -> dict[str, Any]:
    if not anthropic:
        return {"id": name, "object": "model", "created": int(created_at), "owned_by": "switchyard"}
    created = datetime.fromtimestamp(int(created_at), UTC).isoformat().replace("+00:00", "Z")
    return {"type": "model", "id": name, "display_name": name, "created_at": created}
