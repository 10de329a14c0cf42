"""A kind of configuration object that nobody has, as a package of its own would bring it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controlplane.edits.kinds import Kind, ObjectKey
from controlplane.models import Team

if TYPE_CHECKING:
    from collections.abc import Collection


def read(names: Collection[str] | None) -> dict[ObjectKey, dict[str, Any]]:
    rows = Team.objects.all() if names is None else Team.objects.filter(name__in=names)
    return {ObjectKey("badge", row.name, "dashboard"): {"shape": "round"} for row in rows}


def names(document: Any) -> set[str]:
    del document
    return set()


def write(part: Any) -> bool:
    """Makes nothing: a file's badges are all there already."""
    del part
    return False


BADGE = Kind(
    name="badge",
    model="controlplane.Team",
    section=("badges",),
    read="tests.support.badges.read",
    write="tests.support.badges.write",
    names="tests.support.badges.names",
)
