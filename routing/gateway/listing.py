"""The names that a key may use: for `/v1/models`, and for who asks for one that is not there."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl

from routing.gateway.deciding.keys import Key
from routing.gateway.deciding.resolution import Resolution, Unknown
from routing.gateway.deciding.resolver import resolve
from routing.gateway.deciding.table import Table
from routing.gateway.errors import Refused, bad_request, unknown_model
from routing.gateway.families import ANTHROPIC, GEMINI, OPENAI, Family

PAGE_MAX: Final = 1000
_NUMBER: Final = re.compile(r"[0-9]{1,9}")


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


def hold_alternatives(key: Key, resolution: Resolution, named: Iterable[tuple[str, str]]) -> None:
    """
    Hold the models that a request has its provider fall back to against what `key` may use.

    Raises Refused for one that it may not: those would be answered with as any other.
    """
    providers = {c.provider for group in resolution.groups for c in group.pool.candidates}
    for member, model in named:
        if key.allows(model) or all(key.allows(f"{name}/{model}") for name in providers):
            continue
        raise Refused(
            403,
            f"This key may not use the model {model[:100]!r} that '{member}' names.",
            type="permission_error",
            code="key_not_allowed",
            param=member,
        )


def answer_models(
    name: str, names: list[str], created_at: float, family: Family, query: bytes = b""
) -> dict[str, Any]:
    """
    All of `names` (sorted), or the one that `name` says, in the shape of `family`.

    Raises Refused for a name that is not there, or a page that cannot be.
    """
    entry = partial(_ENTRIES[family.name], created_at)
    if name:
        name = name.removeprefix("models/") if family is GEMINI else name
        if name not in names:
            raise unknown_model(Unknown(requested=name))
        return entry(name)
    asked = dict(parse_qsl(query.decode("latin-1")))
    if family is ANTHROPIC:
        return _anthropics(names, entry, asked)
    if family is GEMINI:
        return _geminis(names, entry, asked)
    return {"object": "list", "data": [entry(name) for name in names]}


def _openais_entry(created_at: float, name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": int(created_at), "owned_by": "switchyard"}


def _anthropics_entry(created_at: float, name: str) -> dict[str, Any]:
    created = datetime.fromtimestamp(int(created_at), UTC).isoformat().replace("+00:00", "Z")
    return {"type": "model", "id": name, "display_name": name, "created_at": created}


def _geminis_entry(created_at: float, name: str) -> dict[str, Any]:
    del created_at
    return {
        "name": f"models/{name}",
        "displayName": name,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    }


_ENTRIES: Final[Mapping[str, Callable[[float, str], dict[str, Any]]]] = {
    OPENAI.name: _openais_entry,
    ANTHROPIC.name: _anthropics_entry,
    GEMINI.name: _geminis_entry,
}
Entry = Callable[[str], dict[str, Any]]


def _anthropics(names: list[str], entry: Entry, asked: Mapping[str, str]) -> dict[str, Any]:
    """A page after `after_id` or before `before_id`; such a name need not be there any more."""
    limit = _size(asked, "limit")
    start, end = 0, len(names)
    if "after_id" in asked:
        start = bisect_right(names, asked["after_id"])
    if "before_id" in asked:
        end = max(bisect_left(names, asked["before_id"]), start)
    if "before_id" in asked and "after_id" not in asked:
        page = names[max(end - limit, 0) : end]
    else:
        page = names[start:end][:limit]
    return {
        "data": [entry(name) for name in page],
        "has_more": len(page) < end - start,
        "first_id": page[0] if page else None,
        "last_id": page[-1] if page else None,
    }


def _geminis(names: list[str], entry: Entry, asked: Mapping[str, str]) -> dict[str, Any]:
    """A page after `pageToken`, which is the last name of the page before."""
    size = _size(asked, "pageSize")
    rest = names[bisect_right(names, asked.get("pageToken", "")) :]
    page: dict[str, Any] = {"models": [entry(name) for name in rest[:size]]}
    if len(rest) > size:
        page["nextPageToken"] = rest[size - 1]
    return page


def _size(asked: Mapping[str, str], member: str) -> int:
    """
    How many names a page may have. Raises Refused.

    All there are up to PAGE_MAX, if nobody says: vendors' own 20 and 50 would hide names from
    whoever looks once.
    """
    given = asked.get(member, "")
    if not given:
        return PAGE_MAX
    if not _NUMBER.fullmatch(given) or not 1 <= int(given) <= PAGE_MAX:
        raise bad_request(
            f"{member} is {given[:40]!r}; allowed are whole numbers from 1 to {PAGE_MAX}", member
        )
    return int(given)
