"""
The configuration of file and environment as rows: `managed_source="config"` rows become it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from controlplane.config.rows.objects import refuse_shared_keys
from controlplane.config.rows.part import Fields, Part, differing, write_objects
from controlplane.config.yaml import ConfigErrors, Mistake
from controlplane.edits.noting import as_author, unnoticed
from controlplane.models import ConfigSource
from providers.managed.models import ManagedSource
from routing.models import Alias, CanonicalModel
from routing.validation import alias_cycle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controlplane.config.document import Document


def mirror(document: Document) -> bool:
    """
    Make the configuration's rows equal to `document`; whether anything had to be written.

    All or nothing, in one transaction. Raises ConfigErrors if the document contradicts what
    admin holds; then nothing was written.
    """
    by = ("file", document.filename) if document.filename else ("environment", "")
    with as_author(*by), transaction.atomic():
        # The row is also the lock: two hosts that share a database mirror one after the other.
        source = ConfigSource.locked()
        part = Part(document=document, source=ManagedSource.CONFIG)
        refuse_shared_keys(part)
        if part.mistakes:
            raise ConfigErrors(part.mistakes)
        with unnoticed():  # the row of ConfigSource is saved with whatever else is
            moved = write_objects(part)
            if moved:
                _refuse_cycles(document)
        return _note_applied(source, document, moved=moved)


def refuse(filename: str, errors: Sequence[str]) -> None:
    """Note that the configuration was refused, and why. Nothing else changes."""
    by = ("file", filename) if filename else ("environment", "")
    with as_author(*by), transaction.atomic():
        source = ConfigSource.locked()
        if source.refused_errors == list(errors) and source.refused_at:
            return
        source.refused_at = timezone.now()
        source.refused_errors = list(errors)
        source.path = source.path or filename[:1000]
        source.save()


def _note_applied(source: ConfigSource, document: Document, *, moved: bool) -> bool:
    says: Fields = {
        "path": document.filename[:1000],
        "checksum": document.checksum,
        "values": document.values,
        "warnings": list(document.warnings),
        "refused_at": None,
        "refused_errors": [],
    }
    if not moved and source.applied_at and not differing(source, says):
        return False
    for field, value in says.items():
        setattr(source, field, value)
    source.applied_at = timezone.now()
    source.save()
    return True


def _refuse_cycles(document: Document) -> None:
    """Aliases of the file and of admin must not lead round in a circle together."""
    pools = set(CanonicalModel.objects.values_list("name", flat=True))
    target_of = {alias.name: alias.target for alias in Alias.effective() if alias.name not in pools}
    mistakes: dict[frozenset[str], Mistake] = {}
    for name in sorted(target_of):
        if way := alias_cycle(name, target_of):
            # Told once, by a name that the file has, if it has one.
            own = next((n for n in way if n in document.blocks.aliases), name)
            mistakes.setdefault(
                frozenset(way),
                Mistake(
                    file=document.filename,
                    line=0,
                    path=f"aliases.{own}",
                    text=f"a cycle of aliases with admin's ({' -> '.join(way)}), allowed: an end",
                ),
            )
    if mistakes:
        raise ConfigErrors(list(mistakes.values()))
