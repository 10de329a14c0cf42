"""
Revisions: what each published configuration changed, by whom and why, and the way back.

A revision holds the changed objects before and after; the newest state stands in RecordedObject.
So recording one costs what was edited, and any kept state is the newest with later changes undone.
Secrets are not kept: going back keeps those that are stored now.
"""

from __future__ import annotations

import logging
import zlib
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from controlplane.config.changes import Change, Changeset, changes_between, dump, load
from controlplane.config.objects import (
    CONFIG,
    DASHBOARD,
    MANAGED,
    Block,
    Secret,
    State,
    collect,
)
from controlplane.config.text import text_of
from controlplane.edits.kinds import ANY, OTHER, SETTINGS, ObjectKey
from controlplane.edits.models import Edit, EditCounter, RecordedObject, Revision
from controlplane.edits.noting import as_author, current_author
from controlplane.models import PublishedSnapshot
from providers.managed.rights import EVERYTHING, Rights

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

NEWEST: Final = 2_000  # always kept
MOST: Final = 20_000  # never more
AGE: Final = timedelta(days=90)  # in between, those that are younger, or that records refer to
SHOWN: Final = 20  # objects that a list names

logger = logging.getLogger("switchyard.revisions")

# A generation that was looked at and differs in no object, beside the revision before it: a
# provider's own list makes one. Only so that not every round looks again.
_same: tuple[object, ...] = ()


class NoSuchRevision(Exception):
    """There is none of that number, or it is not kept any more."""


def record_published(generation: int) -> None:
    """Record, but let nothing that goes wrong with it keep a configuration from going live."""
    try:
        record(generation)
    except Exception:
        # The next publishing tries again, and takes what this one should have.
        logger.exception("no revision could be recorded of generation %d", generation)


def record(generation: int) -> Revision | None:
    """
    Note what changed with `generation`, or since; None if there is nothing to note.

    Nobody's edit that changed no object is nothing to note.

    Level-triggered: call it whenever something was published. It takes what is committed.
    """
    global _same  # noqa: PLW0603 - one value, replaced whole
    if not _is_due(Revision.objects.defer("packed").first(), generation):
        return None
    with transaction.atomic():
        EditCounter.locked()  # nobody else commits an edit, or records, until this is done
        latest = Revision.objects.defer("packed").first()
        if not _is_due(latest, generation):
            return None
        edits = list(Edit.objects.filter(pk__gt=latest.last_edit if latest else 0))
        wanted = None if latest is None else _wanted(edits)
        changes = changes_between(_recorded(wanted), collect(wanted))
        is_known = Revision.objects.filter(generation=generation).exists()
        if not changes and is_known and all(edit.kind == ANY for edit in edits):
            # Such as a refused file: noted, and nothing else.
            Edit.objects.filter(pk__in=[edit.pk for edit in edits]).delete()
            return None
        if latest is not None and not changes and not edits:
            _same = _told_apart(latest, generation)
            return None
        revision = Revision.objects.create(
            generation=generation,
            last_edit=edits[-1].pk if edits else latest.last_edit if latest else 0,
            authors=_authors(edits),
            reason="; ".join(dict.fromkeys(edit.reason for edit in edits if edit.reason))[:1000],
            summary=_summary(changes),
            packed=_pack(changes),
        )
        _store(changes)
        _prune()
    return revision


def _is_due(latest: Revision | None, generation: int) -> bool:
    if latest is None:
        return True
    newest = Edit.objects.aggregate(newest=Max("pk"))["newest"] or 0
    if newest > latest.last_edit:
        return True
    return generation > latest.generation and _same != _told_apart(latest, generation)


def _told_apart(latest: Revision, generation: int) -> tuple[object, ...]:
    return (latest.pk, latest.created_at, generation)


def _wanted(edits: Collection[Edit]) -> dict[str, set[str]] | None:
    """The objects to compare, by kind; None for all of them."""
    if not edits or any(edit.kind == ANY for edit in edits):
        return None  # a file, or an edit that told nobody
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    for edit in edits:
        if edit.kind != OTHER:
            wanted[edit.kind].add(edit.name)
    return dict(wanted)


def _recorded(wanted: Mapping[str, Collection[str]] | None) -> State:
    if wanted is None:
        return {_key(row): _block(row) for row in RecordedObject.objects.all()}
    return {
        _key(row): _block(row)
        for kind, names in wanted.items()
        for row in RecordedObject.objects.filter(kind=kind, name__in=list(names))
    }


def _key(row: RecordedObject) -> ObjectKey:
    return ObjectKey(row.kind, row.name, row.source)


def _block(row: RecordedObject) -> Block:
    block: Block = load(msgspec.json.decode(row.block))
    return block


def _store(changes: Iterable[Change]) -> None:
    new = []
    for change in changes:
        kind, name, source = change.key
        rows = RecordedObject.objects.filter(kind=kind, name=name, source=source)
        text = msgspec.json.encode(dump(change.after)).decode()
        if change.after is None:
            rows.delete()
        elif change.before is None or not rows.update(block=text):
            new.append(RecordedObject(kind=kind, name=name, source=source, block=text))
    RecordedObject.objects.bulk_create(new, batch_size=500)


def _authors(edits: Iterable[Edit]) -> list[dict[str, str]]:
    found = dict.fromkeys((edit.author_kind, edit.author) for edit in edits)
    return [{"kind": kind, "name": name} for kind, name in found]


def _summary(changes: Collection[Change]) -> dict[str, Any]:
    counts: dict[str, Any] = dict.fromkeys(("added", "changed", "removed"), 0)
    for change in changes:
        counts[change.action] += 1
    return {**counts, "objects": [str(change) for change in list(changes)[:SHOWN]]}


def _pack(changes: Iterable[Change]) -> bytes:
    plain = [[*change.key, dump(change.before), dump(change.after)] for change in changes]
    return zlib.compress(msgspec.json.encode(plain), 1)


def changes_of(revision: Revision) -> list[Change]:
    """What it changed."""
    return [
        Change(key=ObjectKey(kind, name, source), before=load(before), after=load(after))
        for kind, name, source, before, after in msgspec.json.decode(
            zlib.decompress(revision.packed)
        )
    ]


def edits_of(revision: Revision) -> list[Edit]:
    """Who did what between the revision before and this one, in order."""
    before = Revision.objects.filter(pk__lt=revision.pk).first()
    edits = Edit.objects.filter(pk__lte=revision.last_edit)
    return list(edits.filter(pk__gt=before.last_edit) if before else edits)


def revision_of(number: int) -> Revision:
    """Raises NoSuchRevision."""
    found = Revision.objects.filter(pk=number).first()
    if found is None:
        raise NoSuchRevision(f"There is no revision {number}, or it is not kept any more.")
    return found


def state_at(number: int) -> State:
    """Every object as it was then. Raises NoSuchRevision."""
    revision_of(number)
    state = _recorded(None)
    for revision in Revision.objects.filter(pk__gt=number).order_by("-pk").iterator(50):
        for change in changes_of(revision):
            if change.before is None:
                state.pop(change.key, None)
            else:
                state[change.key] = change.before
    return state


def roll_back(
    number: int, *, reason: str = "", is_preview: bool = False, rights: Rights = EVERYTHING
) -> Changeset:
    """
    Make admin's objects what they were at a revision; or find out what that would change.

    What the configuration manages is left, and so are secrets: the notes name what differs.
    Raises NoSuchRevision, ConfigErrors if that state cannot be had any more, and PermissionDenied
    if the holder of `rights` may not make what it would change.
    """
    # What reads a configuration takes 0.14 s to import, which every worker's start would pay.
    from controlplane.config.apply import apply_text  # noqa: PLC0415

    with transaction.atomic():
        then, now = state_at(number), collect()
        wanted, notes = _reachable(then, now)
        author = current_author()
        said = ": ".join(part for part in (f"roll back to revision {number}", reason) if part)
        with as_author(author.kind, author.name, said):
            outcome = apply_text(
                text_of(wanted),
                filename=f"revision {number}",
                environ={},
                is_preview=is_preview,
                rights=rights,
            )
            notes += outcome.concerns
    return Changeset(changes=outcome.changes, notes=notes)


def _reachable(then: State, now: State) -> tuple[State, list[str]]:
    """What of admin's objects `then` can be had again, and what not, in words."""
    notes = [
        f"{key} is {MANAGED}: it stays as it is"
        for key in sorted({*then, *now})
        if key.source == CONFIG and then.get(key) != now.get(key) and key.kind != SETTINGS
    ]
    managed = {(key.kind, key.name) for key in now if key.source == CONFIG}
    values = now.get(ObjectKey(SETTINGS, "", CONFIG), {})
    wanted: State = {}
    for key, block in sorted(then.items(), key=lambda item: item[0]):
        if key.source != DASHBOARD:
            continue
        if key.kind == SETTINGS:
            wanted[key] = {name: value for name, value in block.items() if name not in values}
            notes += [f"{name} is {MANAGED}: it stays as it is" for name in block if name in values]
        elif (key.kind, key.name) not in managed:
            found = _with_stored_secrets(key, block, now.get(key, {}), notes)
            if found is not None:
                wanted[key] = found
    return wanted, notes


def _with_stored_secrets(key: ObjectKey, then: Block, now: Block, notes: list[str]) -> Block | None:
    """`then` without the secrets that are gone; None if it is nothing without."""
    gone = "was deleted and cannot come back, because secrets are not kept: make it anew"
    newer = "has another secret than then; it is kept"
    if key.kind == "key":
        if "key" not in now:
            notes.append(f"{key} {gone}")
            return None
        notes += [f"{key} {newer}"] if now["key"] != then["key"] else []
        return then
    if key.kind == "webhook":
        if "url" not in now:
            notes.append(f"{key} {gone}")
            return None
        changed = [name for name in ("url", "secret") if then.get(name) != now.get(name)]
        notes += [f"{key}: its {name} is another than then; it is kept" for name in changed]
        return {name: value for name, value in then.items() if name != "secret" or name in now}
    if key.kind != "provider":
        return then
    stored = {entry["label"]: entry["key"] for entry in now.get("api_keys", ())}
    kept = []
    for entry in then.get("api_keys", ()):
        if entry["label"] not in stored:
            notes.append(f"{key}: its key {entry['label']} {gone}")
            continue
        kept.append(entry)
        if stored[entry["label"]] != entry["key"]:
            notes.append(f"{key}: its key {entry['label']} {newer}")
    found = {**then, "api_keys": kept}
    if isinstance(then.get("proxy"), Secret) and not isinstance(now.get("proxy"), Secret):
        notes.append(f"{key}: its proxy {gone}")
        del found["proxy"]
    headers = dict(then.get("headers", {}))
    for name, value in then.get("headers", {}).items():
        if isinstance(value, Secret) and name not in now.get("headers", {}):
            notes.append(f"{key}: its header {name} {gone}")
            del headers[name]
        elif isinstance(value, Secret) and now["headers"][name] != value:
            notes.append(f"{key}: its header {name} {newer}")
    return found | {"headers": headers}


def _prune() -> None:
    """Delete the oldest revisions, and the edits of theirs."""
    oldest = list(Revision.objects.values_list("pk", flat=True)[NEWEST - 1 : NEWEST])
    if not oldest:
        return
    rows = Revision.objects.filter(pk__lt=oldest[0])
    old = rows.filter(created_at__lt=timezone.now() - AGE)
    # Records keep the snapshots that they refer to, and those their revisions.
    referred = PublishedSnapshot.objects.order_by("generation").first()
    if referred is not None:
        old = old.filter(generation__lt=referred.generation)
    limit = list(Revision.objects.values_list("pk", flat=True)[MOST : MOST + 1])
    last = max([*limit, old.aggregate(last=Max("pk"))["last"] or 0])
    gone = Revision.objects.filter(pk__lte=last)
    if (newest := gone.first()) is not None:
        Edit.objects.filter(pk__lte=newest.last_edit).delete()
        gone.delete()
