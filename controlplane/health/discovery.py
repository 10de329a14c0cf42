"""Reads the providers' own lists of models, and tells who is new, gone or renamed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.utils import timezone

from controlplane.edits.noting import note
from controlplane.health.watched import look_at_all, watched
from providers import listed
from providers.catalog_rows import lookup
from providers.saying.counting import counted

if TYPE_CHECKING:
    from datetime import datetime

    from controlplane.health.watched import Watched
    from controlplane.jobs.running import Run
    from providers.catalog.effective import Lookup
    from providers.listed import ListChange
    from providers.looking import Look

SAID: Final = 3  # providers that the run names

logger = logging.getLogger("switchyard.health")


def discover(run: Run) -> str:
    """Read every list once. What a provider does not answer changes nothing."""
    everybody = watched()
    asked = [one for one in everybody if not one.off and not one.is_simulated]
    found = look_at_all(asked)
    listed.forget(run.began_at, {one.name for one in everybody})
    catalogs = lookup(timezone.now())
    changes: list[str] = []
    read = 0
    for number, one in enumerate(asked, 1):
        seen = found[one.name].look
        read += seen.models is not None
        if change := take_list(one, seen, at=run.began_at, catalogs=catalogs):
            changes.append(f"{one.name}: {change.words}")
        run.progress(number, len(asked))
    more = f"; and {len(changes) - SAID} more" if len(changes) > SAID else ""
    news = "; ".join(changes[:SAID]) + more if changes else "nothing new"
    return f"{read} of {counted(len(asked), 'list')} read; {news}"


def take_list(one: Watched, seen: Look, *, at: datetime, catalogs: Lookup) -> ListChange | None:
    """Keep what was listed, if anything was; a list that is another one is published."""
    if seen.models is None:
        return None
    with transaction.atomic():
        change = listed.note_list(
            one.row, seen.models, at=at, is_whole=seen.is_whole, catalogs=catalogs
        )
        if change:
            note(())  # nobody's edit of any object; and yet the snapshot is another one
    if change:
        logger.info("the list of provider %s has changed: %s", one.name, change.words)
    return change
