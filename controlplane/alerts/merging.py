"""
Causes and open alerts put together: which begin, which end, which only have other words.

There is one open alert of a kind for a subject. One whose cause is away ends only when it has been
away for AWAY_S, so that what comes and goes is one alert and not many.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db import transaction

from controlplane.alerts.kinds import IMPLIED, KINDS
from controlplane.alerts.models import Alert

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from controlplane.alerts.conditions import Cause

AWAY_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAlert:
    """An open alert, as far as merging looks at it."""

    kind: str
    subject: str
    text: str
    gone_at: datetime | None

    @property
    def key(self) -> tuple[str, str]:
        return (self.kind, self.subject)


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """
    What differs. `ended` and `gone` are keys; `gone` has begun to be away, `there` has new words or
    is back.
    """

    begun: tuple[Cause, ...]
    there: tuple[Cause, ...]
    gone: tuple[tuple[str, str], ...]
    ended: tuple[tuple[str, str], ...]


def merged(causes: Iterable[Cause], standing: Iterable[OpenAlert], now: datetime) -> Merged:
    """What has to be written so that the open alerts are those of `causes`."""
    wanted = {(cause.kind, cause.subject): cause for cause in causes}
    implied = {(IMPLIED[kind], subject) for kind, subject in wanted if kind in IMPLIED}
    begun, there, gone, ended = [], [], [], []
    known = set()
    for alert in standing:
        known.add(alert.key)
        cause = wanted.get(alert.key)
        if cause is not None:
            if alert.gone_at is not None or alert.text != cause.text:
                there.append(cause)
        elif alert.key in implied:
            continue
        elif alert.gone_at is None:
            gone.append(alert.key)
        elif now - alert.gone_at >= timedelta(seconds=AWAY_S):
            ended.append(alert.key)
    begun = [cause for key, cause in wanted.items() if key not in known]
    return Merged(begun=tuple(begun), there=tuple(there), gone=tuple(gone), ended=tuple(ended))


@transaction.atomic
def write(causes: Iterable[Cause], now: datetime) -> tuple[int, int]:
    """Make the open alerts those of `causes`: how many have begun, and how many have ended."""
    rows = {
        (row.kind, row.subject): row
        for row in Alert.objects.select_for_update().filter(ended_at=None)
    }
    standing = [
        OpenAlert(kind=row.kind, subject=row.subject, text=row.text, gone_at=row.gone_at)
        for row in rows.values()
    ]
    news = merged(causes, standing, now)
    Alert.objects.bulk_create(
        [
            Alert(
                kind=cause.kind,
                subject=cause.subject,
                text=cause.text,
                path=KINDS[cause.kind].path(cause.subject)[:500],
                is_urgent=KINDS[cause.kind].is_urgent,
                since=now,
            )
            for cause in news.begun
        ],
        ignore_conflicts=True,  # somebody else was quicker: it is theirs
    )
    for cause in news.there:
        row = rows[cause.kind, cause.subject]
        row.text, row.gone_at = cause.text, None
        row.save(update_fields=["text", "gone_at"])
    for key in news.gone:
        rows[key].gone_at = now
        rows[key].save(update_fields=["gone_at"])
    for key in news.ended:
        rows[key].ended_at = rows[key].gone_at
        rows[key].save(update_fields=["ended_at"])
    return len(news.begun), len(news.ended)
