"""
What somebody may do: the one place that says whose word counts for what.

A key with the admin scope and the master key may do everything that the API can, and superusers
everything. Staff may do what their permissions say, and hand on no more than they have.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import PermissionDenied

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """
    How far a key reaches where it is let in. None is no limit; no models are all of them.

    `expires_at` is a time; None never.
    """

    scopes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    rpm: int | None = None
    tpm: int | None = None
    max_parallel: int | None = None
    expires_at: Any = None


NO_LIMITS: Final = Reach()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """`permissions` count unless `is_all`; `reach` is that of the key that asks."""

    is_all: bool = False
    permissions: frozenset[str] = field(default_factory=frozenset)
    reach: Reach = NO_LIMITS

    def lacking(self, permissions: Iterable[str]) -> list[str]:
        """Those of `permissions` that are not theirs, each once."""
        if self.is_all:
            return []
        return sorted({name for name in permissions if name not in self.permissions})

    def may(self, *permissions: str) -> bool:
        return not self.lacking(permissions)

    def require(self, permissions: Iterable[str], what: str = "This") -> None:
        """Raises PermissionDenied that names what is lacking."""
        if lacking := self.lacking(permissions):
            word = "permission" if len(lacking) == 1 else "permissions"
            raise PermissionDenied(f"{what} needs the {word} {', '.join(lacking)}.")


EVERYTHING: Final = Rights(is_all=True)


def rights_of(request: Any) -> Rights:
    """Those of who sent a request, of admin or of the API."""
    holder = getattr(request, "auth", None)
    if holder is not None:
        return Rights(is_all=holder.is_admin, reach=holder.reach)
    user = request.user
    if not user.is_active:
        return Rights()
    if user.is_superuser:
        return EVERYTHING
    return Rights(permissions=frozenset(user.get_all_permissions()))
