"""Imported catalogue entries: rows in the database, read as a catalogue and written by imports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec
from django.db import transaction
from django.db.models import Count, Max
from django.utils import timezone

from providers.catalog.effective import Lookup
from providers.catalog.entry import Entry, Source
from providers.catalog.shipped import Catalog, shipped
from providers.models import CatalogEntry

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date, datetime

    from providers.catalog.imports import Read

BATCH: Final = 500
_IDENTITY: Final = ("vendor", "id", "sources")


@dataclass(slots=True)
class Report:
    """What an import did, by the names of the models."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def lookup(now: datetime) -> Lookup:
    """The catalogues as they are now: one query."""
    return Lookup(shipped(), imported(), now=now)


_latest: tuple[object, Catalog] = (None, Catalog((), {}))


def imported() -> Catalog:
    """
    What was imported. A row that this version cannot read counts for nothing.

    Thousands of rows take a tenth of a second to read, so they are read again only when their
    number, or the time of the last change, is another.
    """
    global _latest  # noqa: PLW0603 - one value, replaced whole
    state = CatalogEntry.objects.aggregate(Count("pk"), Max("pk"), Max("updated_at"))
    if _latest[0] != state:
        _latest = (state, _read())
    return _latest[1]


def _read() -> Catalog:
    """All rows. Each file is a source of its own, known by its name and date."""
    entries: list[Entry] = []
    sources: dict[str, Source] = {}
    for vendor, model, facts, source, as_of in CatalogEntry.objects.values_list(
        "vendor", "model_id", "facts", "source", "as_of"
    ):
        key = f"import: {source} {as_of.isoformat()}"
        try:
            entry = msgspec.convert({**facts, "vendor": vendor, "id": model}, Entry)
        except (msgspec.ValidationError, TypeError):
            continue  # written by another version; importing the file again mends it
        sources[key] = Source(cite=f"imported from {source}", as_of=as_of)
        stated = {name: key for name in facts if name != "aliases"}
        entries.append(msgspec.structs.replace(entry, sources=stated))
    return Catalog(entries, sources)


def store(reads: Iterable[Read], *, source: str, as_of: date) -> Report:
    """
    Write what was read, in one transaction. Doing it twice changes nothing the second time.

    A model that was refused or skipped keeps the row that it has.
    """
    report = Report()
    with transaction.atomic():
        rows = {(row.vendor, row.model_id): row for row in CatalogEntry.objects.all()}
        new: dict[tuple[str, str], CatalogEntry] = {}
        changed: list[CatalogEntry] = []
        for read in reads:
            if read.entry is None:
                told = report.refused if read.problems else report.skipped
                told.append(f"{read.name}: {'; '.join(read.problems) or read.skipped}")
                continue
            key = (read.entry.vendor, read.entry.id)
            if key in new:
                report.skipped.append(f"{read.name}: the file lists it twice; the first counts")
                continue
            facts = _as_row(read.entry)
            row = rows.get(key)
            if row is None:
                new[key] = CatalogEntry(
                    vendor=key[0], model_id=key[1], facts=facts, source=source, as_of=as_of
                )
                report.added.append(read.name)
            elif row.facts == facts and row.source == source:
                report.unchanged.append(read.name)
            else:
                row.facts, row.source, row.as_of = facts, source, as_of
                row.updated_at = timezone.now()  # which a bulk write leaves alone
                changed.append(row)
                report.changed.append(read.name)
        made = list(new.values())
        # One is saved by itself: the others send no signal, and so would not be published soon.
        for first in made[:1] or changed[:1]:
            first.save()
        CatalogEntry.objects.bulk_create(made[1:], batch_size=BATCH)
        CatalogEntry.objects.bulk_update(
            changed, ["facts", "source", "as_of", "updated_at"], batch_size=BATCH
        )
    return report


def _as_row(entry: Entry) -> dict[str, Any]:
    facts: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(entry))
    return {name: value for name, value in facts.items() if name not in _IDENTITY}
