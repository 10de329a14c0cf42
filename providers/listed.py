"""
Providers' own lists of models: what came, what went, and whom a candidate names in vain.

A list is kept by the provider's name. Who has vanished from it is remembered for three months, so
that candidates can be told since when.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db import transaction

from providers.catalog.shipped import undated
from providers.catalog.vendors import vendor_of
from providers.models import ListedModel
from providers.saying.counting import counted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from providers.catalog.effective import Lookup
    from providers.models import Provider

SEEN_EVERY: Final = timedelta(minutes=10)
REMEMBERED: Final = timedelta(days=90)
BATCH: Final = 500
NAMED: Final = 3
RECENT: Final = timedelta(days=7)
LINES: Final = 10

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListChange:
    """What is other than before. `renamed` are (before, now), who are in the other two as well."""

    new: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()
    renamed: tuple[Pair, ...] = ()
    is_first: bool = False

    def __bool__(self) -> bool:
        return bool(self.new or self.vanished)

    @property
    def words(self) -> str:
        """In a few words."""
        if self.is_first:
            return f"{counted(len(self.new), 'model')}, listed for the first time"
        before, now = ({pair[side] for pair in self.renamed} for side in (0, 1))
        parts = [
            _some("new", [name for name in self.new if name not in now]),
            _some("gone", [name for name in self.vanished if name not in before]),
            _some("renamed", [f"{old} → {new}" for old, new in self.renamed]),
        ]
        return "; ".join(filter(None, parts))


def _some(word: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{word}: {', '.join(names[:NAMED])}{more}"


def note_list(
    provider: Provider, models: Iterable[str], *, at: datetime, is_whole: bool, catalogs: Lookup
) -> ListChange:
    """
    Keep what `provider` lists at the moment `at`.

    Of a list that was not read to its end nobody is missing. Doing it twice changes nothing.
    """
    listed = set(models)
    vendor = vendor_of(provider.kind, provider.base_url)
    with transaction.atomic():
        rows = {row.model_id: row for row in ListedModel.objects.filter(provider=provider.name)}
        there = {name for name, row in rows.items() if row.vanished_at is None}
        new, gone = sorted(listed - there), sorted(there - listed) if is_whole else []
        ListedModel.objects.bulk_create(
            [
                ListedModel(
                    provider=provider.name,
                    model_id=name,
                    first_seen_at=at,
                    last_seen_at=at,
                    catalog_match=_match(vendor, name, catalogs),
                )
                for name in new
                if name not in rows
            ],
            batch_size=BATCH,
            ignore_conflicts=True,
        )
        _update([name for name in new if name in rows], provider, vanished_at=None, last_seen_at=at)
        _update(gone, provider, vanished_at=at)
        old = [name for name in listed & there if rows[name].last_seen_at <= at - SEEN_EVERY]
        _update(old, provider, last_seen_at=at)
    return ListChange(
        new=tuple(new),
        vanished=tuple(gone),
        renamed=_renamed(
            {name: rows[name].catalog_match for name in gone},
            {name: _match(vendor, name, catalogs) for name in new},
        ),
        is_first=not rows,
    )


def _update(names: list[str], provider: Provider, **values: object) -> None:
    for first in range(0, len(names), BATCH):
        ListedModel.objects.filter(
            provider=provider.name, model_id__in=names[first : first + BATCH]
        ).update(**values)


def _match(vendor: str, name: str, catalogs: Lookup) -> str:
    entries = catalogs.entries(vendor, name)
    return entries[0].name[:200] if entries else ""


def _renamed(gone: Mapping[str, str], new: Mapping[str, str]) -> tuple[Pair, ...]:
    """
    Who of `gone` is one of `new`: the same but for a date, or the same in the catalogue.

    Both are ids with what the catalogue calls them. Of several nobody knows which one it is.
    """
    by_key: defaultdict[str, list[str]] = defaultdict(list)
    for name, match in new.items():
        by_key[_stem(name, match)].append(name)
    found = ((name, by_key.get(_stem(name, match), [])) for name, match in gone.items())
    return tuple((name, names[0]) for name, names in found if len(names) == 1)


def _stem(name: str, match: str) -> str:
    return match or undated(name.lower()) or name.lower()


def recent(provider: str, now: datetime) -> list[str]:
    """What came and went lately, newest first, as lines."""
    rows = ListedModel.objects.filter(provider=provider)
    first = rows.order_by("first_seen_at").values_list("first_seen_at", flat=True).first()
    since = now - RECENT
    came: defaultdict[datetime, dict[str, str]] = defaultdict(dict)
    went: defaultdict[datetime, dict[str, str]] = defaultdict(dict)
    for name, match, at in rows.filter(first_seen_at__gt=max(since, first or since)).values_list(
        "model_id", "catalog_match", "first_seen_at"
    ):
        came[at][name] = match
    for name, match, gone_at in rows.filter(vanished_at__gt=since).values_list(
        "model_id", "catalog_match", "vanished_at"
    ):
        if gone_at is not None:
            went[gone_at][name] = match
    lines = []
    for at in sorted({*came, *went}, reverse=True)[:LINES]:
        new, gone = came.get(at, {}), went.get(at, {})
        change = ListChange(
            new=tuple(sorted(new)), vanished=tuple(sorted(gone)), renamed=_renamed(gone, new)
        )
        lines.append(f"{at:%Y-%m-%d %H:%M} UTC: {change.words}")
    return lines


def counts() -> dict[str, int]:
    """How many models each provider lists; those that list none, or never have, are not in."""
    found: defaultdict[str, int] = defaultdict(int)
    for provider in ListedModel.objects.filter(vanished_at=None).values_list("provider", flat=True):
        found[provider] += 1
    return found


def forget(before: datetime, known: Collection[str]) -> None:
    """Delete what vanished before that moment, and the lists of providers that are gone."""
    ListedModel.objects.filter(vanished_at__lt=before - REMEMBERED).delete()
    ListedModel.objects.exclude(provider__in=known).delete()


def flags(pairs: Collection[Pair]) -> Mapping[Pair, str]:
    """
    What is odd about each of these (provider, model), as far as the providers' own lists say.

    A provider without a list of its own says nothing.
    """
    if not pairs:
        return {}
    names = {provider for provider, _model in pairs}
    lists: defaultdict[str, dict[str, datetime | None]] = defaultdict(dict)
    for provider, model, vanished_at in ListedModel.objects.filter(
        provider__in=names, model_id__in={model for _provider, model in pairs}
    ).values_list("provider", "model_id", "vanished_at"):
        lists[provider][model] = vanished_at
    listing = set(
        ListedModel.objects.filter(provider__in=names, vanished_at=None)
        .values_list("provider", flat=True)
        .distinct()
    )
    found = {}
    for provider, model in pairs:
        if provider not in listing:
            continue
        if model not in lists[provider]:
            found[provider, model] = "not in the provider's list"
        elif (since := lists[provider][model]) is not None:
            found[provider, model] = f"not in the provider's list since {since:%Y-%m-%d %H:%M} UTC"
    return found
