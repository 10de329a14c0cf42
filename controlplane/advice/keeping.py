"""Proposals become suggestions: new ones open, those found again are renewed, the others expire."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction

from controlplane.advice.models import Suggestion, SuggestionState

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from controlplane.advice.finding.values import Proposal

MOST_OPEN: Final = 200
GOOD_FOR: Final = timedelta(hours=24)  # of a suggestion that nobody looks for any more
DISMISSED_FOR: Final = timedelta(days=30)
# What was accepted shows in the traffic only when the window has moved past it.
ACCEPTED_FOR: Final = timedelta(hours=24)
KEPT_FOR: Final = timedelta(days=365)


@dataclass(slots=True)
class Changes:
    """How many suggestions became what."""

    opened: int = 0
    renewed: int = 0
    expired: int = 0
    left_out: int = 0

    def __str__(self) -> str:
        words = [f"{self.opened} new", f"{self.renewed} renewed", f"{self.expired} expired"]
        if self.left_out:
            words.append(f"{self.left_out} left out: at most {MOST_OPEN} are open")
        return ", ".join(words)


def fingerprint_of(proposal: Proposal) -> str:
    return hashlib.sha256(f"{proposal.kind}\n{proposal.about}".encode()).hexdigest()[:40]


def keep(proposals: Iterable[Proposal], now: datetime) -> Changes:
    """
    Merge what was found into the rows, all of it or nothing.

    What was dismissed is not proposed again for DISMISSED_FOR, what was accepted not for
    ACCEPTED_FOR; an older accepted one stays as it is, and a row of its own opens beside it.
    """
    found: dict[str, Proposal] = {}
    for proposal in proposals:
        found.setdefault(fingerprint_of(proposal), proposal)
    kept = Changes()
    with transaction.atomic():
        rows = {row.fingerprint: row for row in Suggestion.objects.select_for_update()}
        wanted = {
            name: proposal
            for name, proposal in found.items()
            if name not in rows or not _is_decided(rows[name], now)
        }
        best = sorted(wanted, key=lambda name: (-wanted[name].confidence, name))
        kept.left_out = max(0, len(best) - MOST_OPEN)
        for name in best[:MOST_OPEN]:
            _put(name, wanted[name], rows, now, kept)
        standing = set(best[:MOST_OPEN])
        over = [
            row.pk
            for name, row in rows.items()
            if row.state == SuggestionState.OPEN and name not in standing
        ]
        kept.expired = Suggestion.objects.filter(pk__in=over).update(state=SuggestionState.EXPIRED)
        forgotten = Suggestion.objects.exclude(state=SuggestionState.OPEN)
        forgotten.filter(expires_at__lt=now - KEPT_FOR).delete()
    return kept


def _is_decided(row: Suggestion, now: datetime) -> bool:
    """Whether somebody's word on it still holds."""
    lasting = {
        SuggestionState.DISMISSED.value: DISMISSED_FOR,
        SuggestionState.ACCEPTED.value: ACCEPTED_FOR,
    }.get(row.state)
    return lasting is not None and row.decided_at is not None and now - row.decided_at < lasting


def _put(
    name: str, proposal: Proposal, rows: dict[str, Suggestion], now: datetime, kept: Changes
) -> None:
    row = rows.get(name)
    if row is not None and row.state == SuggestionState.ACCEPTED:
        Suggestion.objects.filter(pk=row.pk).update(fingerprint=f"{name}-{row.pk}")
        row = None
    values: dict[str, Any] = {
        "kind": proposal.kind,
        "target": proposal.target[:300],
        "change": proposal.change(),
        "evidence": [ground.as_json() for ground in proposal.grounds],
        "confidence": proposal.confidence,
        "price_change": proposal.price_change,
        "expires_at": now + GOOD_FOR,
    }
    if row is None or row.state != SuggestionState.OPEN:
        kept.opened += 1
        values |= {
            "state": SuggestionState.OPEN, "created_at": now, "reason": "", "decided_by": "",
            "decided_at": None, "outcome": None,
        }  # fmt: skip
    else:
        kept.renewed += 1
    if row is None:
        Suggestion.objects.create(fingerprint=name, **values)
    else:
        Suggestion.objects.filter(pk=row.pk).update(**values)
