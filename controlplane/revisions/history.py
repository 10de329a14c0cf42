"""
Revisions: what each published configuration changed, by whom and why.

A revision holds the changed objects before and after; the newest state stands in RecordedObject.
So recording one costs what was edited, and what was before a revision is told by those after it.
"""

from __future__ import annotations

import logging
import zlib
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec
from django.apps import apps
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from controlplane.config.changes import Change, changes_between, dump, load
from controlplane.config.objects import MANY, Block, State, collect
from controlplane.edits.kinds import ANY, ObjectKey
from controlplane.edits.models import OTHER, Edit, EditCounter, RecordedObject, Revision
from controlplane.models import PublishedSnapshot

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
            summary=_summary(changes, [edit.name for edit in edits if edit.kind == OTHER]),
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
    found: State = {}
    for kind, names in wanted.items():
        rows = RecordedObject.objects.filter(kind=kind)
        if len(names) <= MANY:
            rows = rows.filter(name__in=list(names))
        found |= {_key(row): _block(row) for row in rows if row.name in names}
    return found


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


def _summary(changes: Collection[Change], others: Iterable[str]) -> dict[str, Any]:
    """`others` are edits of what no revision holds, in words."""
    counts: dict[str, Any] = dict.fromkeys(("added", "changed", "removed"), 0)
    for change in changes:
        counts[change.action] += 1
    objects = [*map(str, changes), *dict.fromkeys(others)]
    return {**counts, "objects": objects[:SHOWN]}


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


def of_object(kind: str, name: str, limit: int = 50) -> list[tuple[Revision, Change]]:
    """The newest revisions that changed an object, each with what it changed of it."""
    wanted = msgspec.json.encode([kind, name])[:-1] + b","
    found: list[tuple[Revision, Change]] = []
    for revision in Revision.objects.iterator(200):
        if wanted not in zlib.decompress(revision.packed):
            continue  # taking it apart would cost much more
        found += [
            (revision, change)
            for change in changes_of(revision)
            if (change.key.kind, change.key.name) == (kind, name)
        ]
        if len(found) >= limit:
            break
    return found[:limit]


def edits_of_other(label: str, name: str, limit: int = 50) -> list[Edit]:
    """The newest edits of what no revision holds, such as a team."""
    words = f"{apps.get_model(label)._meta.verbose_name} {name}"  # noqa: SLF001 - Django's own API
    edits = Edit.objects.filter(kind=OTHER, name__endswith=words[:300])
    return list(edits.order_by("-pk")[:limit])


def since(number: int) -> dict[ObjectKey, Block | None]:
    """
    What was edited since a revision, as it was then; None: it was not there. Raises NoSuchRevision.

    Of what is not recorded yet the edits say which objects it may be.
    """
    latest = revision_of(number)
    then: dict[ObjectKey, Block | None] = {}
    for revision in Revision.objects.filter(pk__gt=number).order_by("pk").iterator(50):
        latest = revision
        for change in changes_of(revision):
            then.setdefault(change.key, change.before)
    edits = list(Edit.objects.filter(pk__gt=latest.last_edit))
    if edits:
        wanted = _wanted(edits)
        recorded = _recorded(wanted)
        for key in {**recorded, **collect(wanted)}:
            then.setdefault(key, recorded.get(key))
    return then


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
