"""
Whole lists of the API, of plain values: a row takes a fraction of the time that a model's takes.

For rows whose answer has nothing but what is stored. A serializer reads the same names of both.
"""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import QuerySet


def values_of(rows: QuerySet[Any], parts: Iterable[str]) -> list[Any]:
    """`rows`, made by `ManagedModel.with_shadowed`, each with the lists that `parts` names."""
    found = [
        SimpleNamespace(**values, is_shadowed=bool(values["shadowed"]))
        for values in rows.prefetch_related(None).values()
    ]
    for part in parts:
        relation: Any = rows.model._meta.get_field(part)  # noqa: SLF001 - Django documents it
        of: defaultdict[Any, list[Any]] = defaultdict(list)
        kept = relation.related_model._default_manager  # noqa: SLF001 - as above
        for values in kept.filter(**{f"{relation.field.name}__in": rows.values("pk")}).values():
            of[values[relation.field.attname]].append(SimpleNamespace(**values))
        for row in found:
            setattr(row, part, of[row.id])
    return found


def parts_of(row: Any, part: str) -> Iterable[Any]:
    """One of the lists of a row, whether it is of values or a model's."""
    parts: Any = getattr(row, part)
    return parts if isinstance(parts, list) else parts.all()
