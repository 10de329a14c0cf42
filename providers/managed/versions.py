"""
The version of a configuration object: what tells two editors of it apart.

It is made of everything that is stored of the row and its parts except times, so saving without
a change keeps it, and changing a secret does not.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.db.models import Model

_TIMES: Final = frozenset({"created_at", "updated_at"})


def version_of(row: Model, parts: Sequence[str] = ()) -> str:
    """
    The version of what is stored of `row` now, with the rows of its related managers `parts`.

    It asks the database, unless the parts were prefetched.
    """
    said = [_values(row)]
    for part in parts:
        said += [[part]] + [_values(member) for member in getattr(row, part).all()]
    return sha256(json.dumps(said).encode()).hexdigest()[:16]


def _values(row: Model) -> list[Any]:
    return list(_stored(row))


def _stored(row: Model) -> Iterator[str]:
    for field in row._meta.concrete_fields:  # noqa: SLF001 - Django's own API
        if field.name not in _TIMES and not field.primary_key:
            value = field.value_to_string(row)
            yield f"{field.name}={_canonical(field.value_from_object(row), value)}"


def _canonical(value: Any, text: Any) -> str:
    # PostgreSQL and SQLite give the members of a JSON object back in different orders.
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else str(text)
