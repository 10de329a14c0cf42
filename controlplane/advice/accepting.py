"""An operator's word on a suggestion: accepted, it is an ordinary edit; dismissed, it is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from controlplane.advice.models import Suggestion, SuggestionState
from controlplane.edits.kinds import KINDS
from controlplane.edits.noting import LONGEST, as_author, current_author
from failover.models import FailoverRule
from providers.managed.models import IS_CONFIG, ManagedModel
from routing.models import Candidate, CanonicalModel

if TYPE_CHECKING:
    from datetime import datetime

Edit = dict[str, Any]  # one of `change["edits"]`: controlplane.advice.finding.values.Step
Allowed = Callable[[str], bool]


class DoesNotFit(Exception):
    """The suggestion is no longer open, or what it would change is not as it was."""


class IsConfigured(Exception):
    """What it would change comes from the configuration; the text says what to write there."""


class NotAllowed(Exception):
    """Whoever accepts may not edit what would be edited."""


def seen_as(row: Suggestion) -> str:
    """A short word for what a suggestion would change: who accepts it has seen just that."""
    said = json.dumps(row.change, sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def accept(pk: int, allowed: Allowed, *, seen: str | None = None) -> tuple[Suggestion, list[Any]]:
    """
    Make the edit that a suggestion proposes, in the name of whoever asks: all of it, or nothing.

    Returns the suggestion and the edited objects. `allowed` answers for a permission's name;
    `seen` is what seen_as() said when the suggestion was shown. Raises Suggestion.DoesNotExist,
    DoesNotFit, IsConfigured, NotAllowed.
    """
    now = timezone.now()
    with transaction.atomic():
        row = _open(pk, now)
        if seen is not None and seen != seen_as(row):
            raise DoesNotFit("The proposal has changed since the page was loaded; look again.")
        edits: list[Edit] = row.change["edits"]
        author = current_author()
        reason = author.reason or f"suggestion {row.pk}: {row.change['text']}"
        with as_author(author.kind, author.name, reason[:LONGEST]):
            by_object = groupby(edits, key=lambda edit: (edit["object"], edit["name"]))
            edited = [
                _apply(kind, name, list(group), allowed, f"suggestion {row.pk}")
                for (kind, name), group in by_object
            ]
        _decide(row, SuggestionState.ACCEPTED, author.reason, now)
    return row, edited


def dismiss(pk: int, reason: str, *, seen: str | None = None) -> Suggestion:
    """Remember that nobody wants it, and why. Raises Suggestion.DoesNotExist, DoesNotFit."""
    now = timezone.now()
    with transaction.atomic():
        row = _open(pk, now)
        if seen is not None and seen != seen_as(row):
            raise DoesNotFit("The proposal has changed since the page was loaded; look again.")
        _decide(row, SuggestionState.DISMISSED, reason, now)
    return row


def _open(pk: int, now: datetime) -> Suggestion:
    row = Suggestion.objects.select_for_update().get(pk=pk)
    if row.state != SuggestionState.OPEN:
        by = f" by {row.decided_by}" if row.decided_by else ""
        raise DoesNotFit(f"It is no longer open: {row.state}{by}.")
    if row.expires_at <= now:
        raise DoesNotFit("It has expired: nobody has looked since whether it still holds.")
    return row


def _decide(row: Suggestion, state: SuggestionState, reason: str, now: datetime) -> None:
    author = current_author()
    row.state, row.reason, row.decided_at = state, reason[:500], now
    name = author.name if author.kind == "user" else f"{author.kind} {author.name}".strip()
    row.decided_by = name[:200]
    row.save(update_fields=["state", "reason", "decided_at", "decided_by"])


def place_of(edit: Edit) -> str:
    """Where the file says it."""
    section = ".".join((*KINDS[edit["object"]].section, edit["name"]))
    return f"{section}, candidate {edit['candidate']}" if edit["candidate"] else section


def in_file(edits: Iterable[Edit]) -> str:
    """What to change in the configuration file, as sentences."""
    return " ".join(
        f"In {place_of(edit)}: {edit['field']} from {shown(edit['from'])} to {shown(edit['to'])}."
        for edit in edits
    )


def shown(value: Any) -> str:
    """A value of a change, in words."""
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "nobody"
    if isinstance(value, dict):
        return ", ".join(f"{key} {each}" for key, each in value.items()) or "nothing"
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def permissions_for(edits: Iterable[Edit]) -> Iterator[str]:
    """What somebody needs to be allowed to make these edits."""
    for edit in edits:
        verb = "add" if edit["object"] == "rule" and edit["from"] is None else "change"
        meta = KINDS[edit["object"]].rows._meta  # noqa: SLF001 - Django's own API
        yield f"{meta.app_label}.{verb}_{meta.model_name}"


def _apply(kind: str, name: str, edits: list[Edit], allowed: Allowed, why: str) -> ManagedModel:
    if not all(allowed(permission) for permission in permissions_for(edits)):
        raise NotAllowed(f"This needs the permission to edit {kind} {name}.")
    row = KINDS[kind].rows.named(name)
    if row is not None and row.is_managed_by_config:
        raise IsConfigured(f"{IS_CONFIG} {in_file(edits)}")
    try:
        with transaction.atomic():
            return _APPLIERS[kind](row, name, edits, why)
    except ValidationError as error:
        said = " ".join(error.messages)
        raise DoesNotFit(f"{kind} {name} cannot be changed so any more: {said}") from error


def _rule(row: Any, name: str, edits: list[Edit], why: str) -> ManagedModel:
    (edit,) = edits
    if row is None:
        _expect(edit, None)
        row = FailoverRule(primary_model=name)
    else:
        row = _locked(row)
        _expect(edit, row.fallback_models)
    row.fallback_models = edit["to"]
    _save(row, why)
    return row  # type: ignore[no-any-return]


def _provider(row: Any, name: str, edits: list[Edit], why: str) -> ManagedModel:
    row = _found("provider", name, row)
    for edit in edits:
        _expect(edit, getattr(row, edit["field"]))
        setattr(row, edit["field"], edit["to"])
    _save(row, why)
    return row  # type: ignore[no-any-return]


def _pool(row: Any, name: str, edits: list[Edit], why: str) -> ManagedModel:
    pool: CanonicalModel = _found("pool", name, row)
    candidates = {str(candidate): candidate for candidate in pool.candidates.all()}
    for edit in edits:
        if edit["field"] == "order":
            _reorder(candidates, edit, why)
        elif edit["field"] == "candidate":
            _expect(edit, str(candidates[edit["candidate"]]) if _has(candidates, edit) else None)
            provider, _, model = edit["candidate"].partition("/")
            last = max((c.position for c in candidates.values()), default=-1)
            _save(
                Candidate(
                    canonical_model=pool, provider_name=provider, model=model, position=last + 1,
                    **edit["to"],
                ),
                why,
            )  # fmt: skip
        else:
            if not _has(candidates, edit):
                raise DoesNotFit(f"{edit['candidate']} is no longer in pool {name}.")
            candidate = candidates[edit["candidate"]]
            _expect(edit, getattr(candidate, edit["field"]))
            setattr(candidate, edit["field"], edit["to"])
            _save(candidate, why)
    pool.save()  # its time of change is the candidates', too
    return CanonicalModel.objects.prefetch_related("candidates").get(pk=pool.pk)


def _has(candidates: dict[str, Candidate], edit: Edit) -> bool:
    return edit["candidate"] in candidates


def _reorder(candidates: dict[str, Candidate], edit: Edit, why: str) -> None:
    ordered = sorted(candidates.values(), key=lambda c: (c.priority, c.position, c.pk))
    _expect(edit, [str(candidate) for candidate in ordered])
    for position, name in enumerate(edit["to"]):
        if candidates[name].position != position:
            candidates[name].position = position
            _save(candidates[name], why)


def _found(kind: str, name: str, row: Any) -> Any:
    if row is None:
        raise DoesNotFit(f"There is no {kind} {name} any more.")
    return _locked(row)


def _locked(row: Any) -> Any:
    """The row as it is now that nobody else writes it."""
    return type(row).objects.select_for_update().get(pk=row.pk)


def _expect(edit: Edit, value: Any) -> None:
    if value != edit["from"]:
        raise DoesNotFit(
            f"{edit['field']} of {edit['candidate'] or edit['name']} is {shown(value)} now, and"
            f" was {shown(edit['from'])} when this was proposed. Nothing was changed."
        )


def _save(row: Any, why: str) -> None:
    row.full_clean()
    row._change_reason = why  # noqa: SLF001 - simple_history's
    row.save()


_APPLIERS: Final[dict[str, Callable[[Any, str, list[Edit], str], ManagedModel]]] = {
    "pool": _pool,
    "provider": _provider,
    "rule": _rule,
}
