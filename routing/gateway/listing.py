"""The names that a key may use: for `/v1/models`, and for who asks for one that is not there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from routing.gateway.deciding.keys import Key
from routing.gateway.deciding.resolution import Resolution, Unknown
from routing.gateway.deciding.resolver import resolve
from routing.gateway.deciding.table import Table
from routing.gateway.errors import unknown_model


def visible_names(table: Table, key: Key) -> list[str]:
    """
    Canonical models and aliases that `key` may use and operators leave a candidate for, sorted.

    Health and benches never hide a name. Goes by the specs: listing compiles no pool.
    """
    names = table.pools.keys() | table.aliases.keys()
    return sorted(name for name in names if _is_visible(table, name, key))


def _is_visible(table: Table, name: str, key: Key) -> bool:
    canonical = table.canonical(name)
    pool, alias = table.pools.get(canonical), table.aliases.get(canonical)
    if pool is not None:
        candidates = pool.candidates if pool.enabled else ()
    else:
        candidates = alias.targets if alias is not None else ()
    is_allowed = key.allows(name, canonical)
    return any(
        candidate.enabled
        and candidate.provider in table.able
        and (is_allowed or key.allows(f"{candidate.provider}/{candidate.model}"))
        for candidate in candidates
    )


def resolve_for(key: Key, table: Table, name: str) -> Resolution | Unknown:
    """What `name` means; close to an unknown one are only names that `key` may use."""
    found = resolve(table, name)
    if isinstance(found, Unknown) and key.pattern is not None:
        return resolve(table, name, frozenset(visible_names(table, key)))
    return found


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


def answer_models(
    name: str, names: list[str], created_at: float, *, anthropic: bool
) -> dict[str, Any]:
    """All of `names`, or the one that `name` says. Raises Refused."""
    if not name:
        return model_list(names, created_at, anthropic=anthropic)
    if name not in names:
        raise unknown_model(Unknown(requested=name))
    return model_entry(name, created_at, anthropic=anthropic)
