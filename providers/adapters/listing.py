"""
A provider's list of models, whoever writes it, as ids and where it goes on.

OpenAI and most others: `data`, in one piece; some leave out what is around it. Anthropic: `data`,
`has_more` and `last_id`, asked on by after_id. Google: `models` with names below models/, asked on
by `nextPageToken`. Their API pages, read 2026-11-27.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import msgspec
from msgspec import Struct

LONGEST: Final = 200  # characters of an id


class Page(Struct, frozen=True, kw_only=True):
    """`ids` are those that can be named in a request; `entries` counts whatever is listed."""

    ids: tuple[str, ...]
    entries: int
    next_query: str = ""


def page_of(body: bytes) -> Page | None:
    """What `body` lists; None if it is no list."""
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    entries = value.get("data", value.get("models")) if isinstance(value, dict) else value
    if not isinstance(entries, list):
        return None
    ids = dict.fromkeys(id_ for entry in entries if (id_ := _id_of(entry)))
    next_query = _next_query(value) if isinstance(value, dict) else ""
    return Page(ids=tuple(ids), entries=len(entries), next_query=next_query)


def _id_of(entry: Any) -> str:
    """The id as requests spell it; "" if nobody could ask for it."""
    if isinstance(entry, dict):
        name = entry.get("name")
        found = entry.get("id") or (name.removeprefix("models/") if isinstance(name, str) else "")
    else:
        found = entry
    if not isinstance(found, str) or not 0 < len(found) <= LONGEST:
        return ""
    is_odd = "," in found or not found.isprintable() or any(c.isspace() for c in found)
    return "" if is_odd else found


def _next_query(value: dict[str, Any]) -> str:
    token, last = value.get("nextPageToken"), value.get("last_id")
    if isinstance(token, str) and token:
        return f"pageToken={quote(token, safe='')}"
    if value.get("has_more") is True and isinstance(last, str) and last:
        return f"after_id={quote(last, safe='')}"
    return ""


def further(path: str, query: str) -> str:
    """The path of the page that `query` asks for, of a list at `path`."""
    return f"{path}{'&' if '?' in path else '?'}{query}"
