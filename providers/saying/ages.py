"""
How admin says a time: as ISO 8601 has it, and beside it how long ago that was.

`controlplane/static/switchyard/ages.js` has ages go on while a page stays open. A library of
templates too: `{{ row.at|aged }}`, `{{ row.at|aged:"UTC" }}` in a sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from django.template import Library
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import display

register: Final = Library()
UNITS: Final = ((172_800, 86_400, "d"), (3600, 3600, "h"), (60, 60, "min"), (0, 1, "s"))


def age(at: datetime, now: datetime) -> str:
    """Seconds, minutes, hours (up to two days) or days: whole ones "ago", the nearest "in"."""
    seconds = int((now - at).total_seconds())
    most, is_ahead = abs(seconds), seconds < 0
    unit, word = next((unit, word) for least, unit, word in UNITS if most >= least)
    return f"in {(most + unit // 2) // unit} {word}" if is_ahead else f"{most // unit} {word} ago"


@register.filter
def aged(at: datetime | None, zone: str = "") -> str:
    """The time with its age: below it, as in a table, or with a zone behind it. Empty for none."""
    if at is None:
        return ""
    at = at.astimezone(UTC)
    moment, said = at.isoformat(timespec="seconds"), f"{at:%Y-%m-%d %H:%M:%S}"
    shown = (
        '<time class="whitespace-nowrap" datetime="{0}">{1} {2}</time>,'
        ' <span class="whitespace-nowrap" data-age="{0}">{3}</span>'
        if zone
        else '<span class="aged inline-block whitespace-nowrap"><time datetime="{0}">{1}</time>'
        '<span class="block text-subtle" data-age="{0}">{3}</span></span>'
    )
    return format_html(shown, moment, said, zone, age(at, timezone.now()))


def aged_column(field: str, words: str, *, is_sorted: bool = True) -> Callable[[Any], str]:
    """A column of a list, or a line of a page, for a field that is a time."""

    def shown(row: Any) -> str:
        return aged(getattr(row, field)) or "-"

    shown.__name__ = field
    column: Callable[[Any], str] = display(
        description=words, ordering=field if is_sorted else None
    )(shown)
    return column
