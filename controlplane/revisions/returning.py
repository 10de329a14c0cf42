"""
The way back: to the state of a revision, or without what one revision changed.

Only what was edited since is looked at, as the packed revisions have it, and only what differs is
written. A preview reads and writes nothing. What cannot be had again is left out and named: of the
rest each object is what it was then, or none of them is.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction

from controlplane.config.apply import (
    lock_objects,
    problems_of,
    unconfirmed,
    write_part,
    write_settings,
)
from controlplane.config.changes import Change, Changeset, LeftOut, changes_between
from controlplane.config.general import ADMIN_ONLY
from controlplane.config.objects import CONFIG, DASHBOARD, MANAGED, MANY, Block, collect
from controlplane.config.permitted import not_theirs, refuse_what_is_not_theirs
from controlplane.config.rows.part import Part
from controlplane.config.yaml import ConfigErrors
from controlplane.edits.kinds import SETTINGS, ObjectKey
from controlplane.edits.noting import as_author, current_author, note, unnoticed
from controlplane.models import ConfigSource, Settings
from controlplane.revisions.blockers import Blocked, blocked, by_object, document_of, is_below
from controlplane.revisions.history import changes_of, revision_of, since
from controlplane.revisions.merging import taken_back
from controlplane.revisions.secrets import unsent_then, with_stored_secrets
from providers.managed.models import ManagedSource
from providers.managed.rights import EVERYTHING, Rights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from controlplane.config.objects import State

SETTINGS_KEY: Final = ObjectKey(SETTINGS, "", DASHBOARD)


def roll_back(
    number: int, *, reason: str = "", is_preview: bool = False, rights: Rights = EVERYTHING
) -> Changeset:
    """
    Make admin's objects what they were at a revision; or find out what that would change.

    What the configuration manages is left, and so are secrets: the notes name what differs.
    Raises NoSuchRevision, and PermissionDenied if the holder of `rights` may not make what it
    would change.
    """
    return _Way(
        name=f"revision {number}",
        said=f"roll back to revision {number}",
        then=lambda: {key: _Constant(block) for key, block in since(number).items()},
    ).go(reason, is_preview=is_preview, rights=rights)


def undo(
    number: int,
    *,
    only: ObjectKey | None = None,
    reason: str = "",
    is_preview: bool = False,
    rights: Rights = EVERYTHING,
) -> Changeset:
    """
    Take back what a revision changed, or of it one object's part; what came later stays.

    Raises as `roll_back` does.
    """
    what = f" of {only}" if only is not None else ""
    return _Way(
        name=f"revision {number}",
        said=f"undo revision {number}{what}",
        then=lambda: {
            change.key: _Undone(change)
            for change in changes_of(revision_of(number))
            if only is None or change.key == only
        },
    ).go(reason, is_preview=is_preview, rights=rights)


@dataclass(frozen=True, slots=True)
class _Constant:
    block: Block | None

    def of(self, _now: Block | None, _notes: list[str], _key: ObjectKey) -> Block | None:
        return self.block


@dataclass(frozen=True, slots=True)
class _Undone:
    change: Change

    def of(self, now: Block | None, notes: list[str], key: ObjectKey) -> Block | None:
        before, after = self.change.before, self.change.after
        if before is None:
            if now not in (None, after):
                notes.append(f"{key} was changed again since; it is removed all the same")
            return None
        if after is None:
            if now not in (None, before):
                notes.append(f"{key} was made anew since: it stays as it is")
            return before if now is None else now
        if now is None:
            notes.append(f"{key} was removed since: it stays so")
            return None
        found, stays = taken_back(before, after, now)
        notes += [f"{key}: {name} was changed again since: it stays as it is" for name in stays]
        return found


_Then = dict[ObjectKey, Any]  # _Constant or _Undone


@dataclass(frozen=True, kw_only=True)
class _Way:
    """`then` gives what the objects shall be, by their key."""

    name: str
    said: str
    then: Callable[[], _Then]
    notes: list[str] = field(default_factory=list)

    def go(self, reason: str, *, is_preview: bool, rights: Rights) -> Changeset:
        if is_preview:
            then = self.then()
            changes, left = _possible(self._changes(then, collect(_names(then))), self.name)
            concerns = [*_unsent(changes), *not_theirs(rights, changes)]
            return self._told(changes, left, concerns)
        author = current_author()
        said = ": ".join(part for part in (self.said, reason) if part)
        with as_author(author.kind, author.name, said), transaction.atomic(), unnoticed():
            ConfigSource.locked()
            then = self.then()
            names = _names(then)
            lock_objects(names)
            now = collect(names)
            wanted = self._changes(then, now)
            changes, left = _possible(wanted, self.name, then_do=_Writer(self.name, now))
            refuse_what_is_not_theirs(rights, changes)
            note(change.key for change in changes)
            concerns = unconfirmed(changes)
        return self._told(changes, left, concerns)

    def _told(self, changes: list[Change], left: list[LeftOut], concerns: list[str]) -> Changeset:
        notes = [*map(str, left), *self.notes, *concerns]
        return Changeset(changes=changes, notes=notes, concerns=concerns, left_out=left)

    def _changes(self, then: _Then, now: State) -> list[Change]:
        """What of admin's objects can be asked for, as far as it differs."""
        managed = {(key.kind, key.name) for key in now if key.source == CONFIG}
        found = []
        for key in sorted(then):
            current = now.get(key)
            stays = f"{key} is {MANAGED}: it stays as it is"
            if key.source == CONFIG:
                if key.kind != SETTINGS and then[key].of(current, [], key) != current:
                    self.notes.append(stays)
                continue
            block = then[key].of(current, self.notes, key)
            if key.kind == SETTINGS:
                block = self._own(block or {}, current or {}, now)
            elif block is not None:
                block = with_stored_secrets(key, block, current or {}, self.notes)
                if block is None:
                    continue  # it cannot come back, which was noted
            if block == current:
                continue
            if (key.kind, key.name) in managed and key.kind != SETTINGS:
                self.notes.append(stays)
                continue
            found.append(Change(key=key, before=current, after=block))
        return found

    def _own(self, then: Block, current: Block, now: State) -> Block:
        """The settings without what the configuration gives: that part stays."""
        given = now.get(ObjectKey(SETTINGS, "", CONFIG), {})
        differing = [name for name in given if then.get(name) != current.get(name)]
        self.notes.extend(f"{name} is {MANAGED}: it stays as it is" for name in differing)
        own = {name: value for name, value in then.items() if name not in given}
        stays = {name: value for name, value in current.items() if name in given}
        return dict(sorted((own | stays).items()))


def _names(then: Iterable[ObjectKey]) -> dict[str, set[str]]:
    names: defaultdict[str, set[str]] = defaultdict(set)
    for key in then:
        names[key.kind].add(key.name)
    return dict(names)


def _possible(
    wanted: list[Change], name: str, then_do: _Writer | None = None
) -> tuple[list[Change], list[LeftOut]]:
    """What of `wanted` can be had, and was made if somebody `then_do`es it; and what cannot."""
    left: dict[ObjectKey, LeftOut] = {}
    while True:
        found = blocked(wanted, name)
        if not found and then_do is not None and wanted:
            made, found = then_do.write(wanted)
            if not found:
                return made, list(left.values())
        if not found:
            return wanted, list(left.values())
        wanted = [change for old in wanted if (change := _without(old, found, left)) is not None]


def _without(change: Change, found: Blocked, left: dict[ObjectKey, LeftOut]) -> Change | None:
    """The change as far as nothing blocks it; of the settings single values are left out."""
    mistakes = found.get(change.key)
    if mistakes is None:
        return change
    reasons = list(dict.fromkeys(f"{m.path}: {m.text}" for m in mistakes))
    known = left.get(change.key)
    before, after = change.before or {}, change.after or {}
    wrong = {
        name
        for name in {**before, **after}
        if before.get(name) != after.get(name) and any(is_below(m.path, name) for m in mistakes)
    }
    if change.key.kind != SETTINGS or not wrong:
        left[change.key] = LeftOut(key=change.key, reasons=reasons)
        return None
    left[change.key] = LeftOut(
        key=change.key,
        reasons=[*(known.reasons if known else ()), *reasons],
        fields=(*(known.fields if known else ()), *sorted(wrong)),
    )
    kept = {name: value for name, value in after.items() if name not in wrong}
    kept |= {name: before[name] for name in wrong if name in before}
    kept = dict(sorted(kept.items()))
    return None if kept == change.before else Change(key=change.key, before=before, after=kept)


@dataclass(frozen=True, slots=True)
class _Writer:
    """Makes changes: all that it is given, or none."""

    name: str
    now: State

    def write(self, changes: list[Change]) -> tuple[list[Change], Blocked]:
        """What has changed, or what kept it from changing."""
        document = document_of(changes, self.name)
        names = _names(change.key for change in changes)
        few = names if sum(map(len, names.values())) <= MANY else None
        part = Part(
            document=document,
            source=ManagedSource.DASHBOARD,
            has=lambda kind, name: name in names.get(kind, ()),
            few=few,
        )
        found: Blocked = {}
        made: list[Change] = []
        with transaction.atomic():
            try:
                write_part(part)
                for change in changes:
                    if change.key == SETTINGS_KEY:
                        write_settings(document, _beside_the_text(change.after or {}))
                before = {k: b for k, b in self.now.items() if k.name in names.get(k.kind, ())}
                made = changes_between(before, collect(names))
                for key, mistake in problems_of(document, made):
                    found.setdefault(key, []).append(mistake)
            except ConfigErrors as error:
                found = by_object(changes, error)
            if found:
                transaction.set_rollback(True)
        return made, found


def _beside_the_text(block: Block) -> Mapping[str, Any]:
    usual = Settings()
    return {name: block.get(name, getattr(usual, name)) for name in ADMIN_ONLY}


def _unsent(changes: Iterable[Change]) -> list[str]:
    return [said for change in changes for said in unsent_then(change)]
