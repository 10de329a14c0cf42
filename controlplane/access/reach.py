"""
How far a key reaches, and whether somebody may make it reach so far.

Nobody makes a key that is stronger than himself: what it gains by an edit has to be among the
rights of who edits it. What it had before it may keep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.utils import timezone

from providers.managed.rights import Reach

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from controlplane.models import ApiKey
    from providers.managed.rights import Rights

ADMIN: Final = "admin"
LIMITS: Final = ("rpm", "tpm", "max_parallel")
NOT_YOURS: Final = "only a superuser, an admin key or the master key may give this"


def reach_of(row: ApiKey) -> Reach:
    return Reach(
        scopes=tuple(row.scopes),
        models=tuple(row.models),
        rpm=row.rpm,
        tpm=row.tpm,
        max_parallel=row.max_parallel,
        expires_at=row.expires_at,
    )


def opens(row: ApiKey, now: datetime | None = None) -> bool:
    """Whether it lets anybody in."""
    is_over = row.expires_at is not None and row.expires_at <= (now or timezone.now())
    return bool(row.enabled) and not is_over


def gain_problems(rights: Rights, before: ApiKey | None, after: ApiKey) -> dict[str, list[str]]:
    """
    What of `after` the holder of `rights` may not give, by field, as sentences.

    `before` is the key as it is stored; None for a new one, or one whose text is another.
    """
    if not opens(after):
        return {}
    own, wanted = rights.reach, reach_of(after)
    had = reach_of(before) if before is not None and opens(before) else None
    found: dict[str, list[str]] = {}
    if ADMIN in wanted.scopes and not rights.is_all:
        if had is None or ADMIN not in had.scopes:
            # A key that was off is on again by another field than its scopes.
            field = _what_opened(before, after) if _has_admin(before) else "scopes"
            found[field] = [f"{_shown(after, field)} is not allowed for an admin key: {NOT_YOURS}"]
        elif _is_later(wanted.expires_at, had.expires_at):
            found["expires_at"] = [f"a later end is not allowed for an admin key: {NOT_YOURS}"]
    is_longer = had is None or ADMIN not in had.scopes or wanted.expires_at != had.expires_at
    if ADMIN in wanted.scopes and is_longer and _is_later(wanted.expires_at, own.expires_at):
        said = f"allowed is until {own.expires_at:%Y-%m-%d %H:%M:%S} UTC, as your own key"
        found["expires_at"] = [said]
    if (had is None or wanted.models != had.models) and not _covers(own.models, wanted.models):
        allowed = ", ".join(own.models)
        found["models"] = [f"more than your own key may use; allowed are {allowed}"]
    for name in LIMITS:
        most, value = getattr(own, name), getattr(wanted, name)
        is_kept = had is not None and getattr(had, name) == value
        if most is not None and not is_kept and (value is None or value > most):
            given = "no limit" if value is None else value
            found[name] = [f"{given} is more than your own key has; allowed is at most {most}"]
    return found


def _has_admin(row: ApiKey | None) -> bool:
    return row is not None and ADMIN in row.scopes


def _what_opened(before: ApiKey | None, after: ApiKey) -> str:
    return "enabled" if before is not None and after.enabled != before.enabled else "expires_at"


def _shown(row: ApiKey, field: str) -> str:
    return ADMIN if field == "scopes" else str(getattr(row, field))


def _is_later(end: Any, than: Any) -> bool:
    """Whether `end` is after `than`, where None is never."""
    if than is None:
        return False
    return end is None or end > than


def _covers(own: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether each name or pattern of `wanted` stands for no more than one of `own`."""
    if not own:
        return True
    return bool(wanted) and all(any(_fits(mine, name) for mine in own) for name in wanted)


def _fits(pattern: str, name: str) -> bool:
    """Whether all that `name` stands for, `pattern` does: only a * takes a *."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == name
    if not name.startswith(first) or not name.endswith(rest[-1]):
        return False
    at, end = len(first), len(name) - len(rest[-1])
    for piece in rest[:-1]:
        found = name.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return at <= end
