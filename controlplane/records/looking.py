"""To look at what was captured of a request, which nobody does unnoticed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction

from controlplane.edits.models import author_text
from controlplane.edits.noting import author_of
from controlplane.records.models import Captured, CapturedLook

if TYPE_CHECKING:
    from uuid import UUID


def look(record: UUID, request: Any, place: str) -> Captured | None:
    """
    What was captured of the record's request; None if nothing was, or it is not kept any more.

    Who asks is noted before, with the Django `request`: where that fails, nothing is shown.
    """
    with transaction.atomic():
        found = Captured.objects.filter(pk=record).first()
        if found is not None:
            author = author_of(request)
            who = author_text(author.kind, author.name)
            CapturedLook.objects.create(record=record, who=who[:300], place=place)
    return found
