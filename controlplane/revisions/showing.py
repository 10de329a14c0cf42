"""Changes as admin's pages show them: totals, what goes in red, links to objects that are there."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from django.urls import reverse
from django.utils.html import format_html, format_html_join

from controlplane.edits.kinds import KINDS, SETTINGS, ObjectKey

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from controlplane.config.changes import Change, LeftOut

SHOWN: Final = 500  # changes and edits on a page; the API has all of them
RED: Final = "text-red-700 dark:text-red-400"
LINK: Final = "text-primary-600 dark:text-primary-500"


def totals(changes: Iterable[Change]) -> str:
    """How many objects are added, changed and removed, in words."""
    counts = Counter(change.action for change in changes)
    found = [f"{counts[name]} {name}" for name in ("added", "changed", "removed") if counts[name]]
    return ", ".join(found)


def shown_changes(changes: Collection[Change]) -> Any:
    """Each object with its fields, old → new; removals come first, and in red."""
    found = sorted(changes, key=lambda change: change.action != "removed")
    shown = format_html_join(
        "",
        '<div class="mb-3"><strong class="{}">{}</strong>{}</div>',
        (
            (
                RED if change.action == "removed" else "text-important",
                str(change),
                format_html_join(
                    "",
                    '<div class="{}">{}</div>',
                    ((RED if field.is_gone else "", field) for field in change.fields),
                ),
            )
            for change in found[:SHOWN]
        ),
    )
    more = f"and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return format_html("{}{}", shown, more) if found else "nothing that can be taken back"


def shown_left_out(left: Iterable[LeftOut]) -> list[Any]:
    """What is left out, each with the page of its object."""
    return [
        format_html(
            "{}: {}",
            _linked(entry.key, " ".join((str(entry.key), *entry.fields))),
            "; ".join(entry.reasons),
        )
        for entry in left
    ]


def _linked(key: ObjectKey, words: str) -> Any:
    page = page_of(key)
    return format_html('<a class="{}" href="{}">{}</a>', LINK, page, words) if page else words


def page_of(key: ObjectKey) -> str:
    """Where an object is edited; "" if it is not there."""
    if key.kind == SETTINGS:
        return reverse("admin:controlplane_settings_changelist")
    if key.kind not in KINDS:
        return ""
    model = KINDS[key.kind].rows
    row = model.rows().filter(**{model.identity: key.name}, managed_source=key.source).first()
    if row is None:
        return ""
    meta = model._meta  # noqa: SLF001 - Django's own API
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
