"""
A configuration file's text made admin's: previewed or applied, all of it or nothing.

A section that stands in the text becomes exactly what it says there; a section that does not
stand in it is left alone. What the configuration file and the environment manage cannot be
changed by it: there it may only say what is so already.
"""

from __future__ import annotations

from collections.abc import Sized
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import NON_FIELD_ERRORS
from django.core.exceptions import ValidationError as ModelError
from django.db import transaction

from controlplane.config.changes import Change, Changeset, changes_between
from controlplane.config.document import Applied, Document, parse, tree_to_apply
from controlplane.config.general import SETTING_OF_KEY, TIMEOUT_KEYS, effective_settings
from controlplane.config.objects import (
    CONFIG,
    DASHBOARD,
    MANAGED,
    RULES_KEYS,
    collect,
)
from controlplane.config.permitted import not_theirs, refuse_what_is_not_theirs
from controlplane.config.references import mapping
from controlplane.config.rows.objects import refuse_shared_keys
from controlplane.config.rows.part import BATCH, Part, write_objects
from controlplane.config.yaml import ConfigErrors
from controlplane.edits import patience
from controlplane.edits.kinds import KINDS, SETTINGS, ObjectKey
from controlplane.edits.noting import note, unnoticed
from controlplane.models import ConfigSource, Settings
from providers.managed.models import ManagedSource
from providers.managed.rights import EVERYTHING, Rights

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from controlplane.config.objects import State
    from controlplane.config.yaml import Mistake, Path, Tree

# Admin has no general capture; what the file says of it may only be what holds anyway.
MOST_OBJECTS: Final = 20_000  # of one text
CAPTURE: Final = {"capture.requests": False, "capture.responses": False, "capture.keep_days": 7}


def apply_text(
    text: str,
    *,
    filename: str,
    environ: Mapping[str, str],
    is_preview: bool = False,
    rights: Rights = EVERYTHING,
) -> Changeset:
    """
    Make admin's objects what `text` says; with `is_preview`, only find out what would change.

    A preview is a real one, rolled back, so it meets every refusal that applying would; what the
    holder of `rights` may not do of it, its notes say. Raises ConfigErrors with every mistake that
    was found, and PermissionDenied; then nothing has changed.
    """
    # Reading takes longest, and needs no lock.
    tree = tree_to_apply(text, filename=filename, environ=environ)
    _refuse_too_many(tree)
    with transaction.atomic(), unnoticed():
        # The row is also the lock: two that apply, or mirror the file, do so one after the other.
        ConfigSource.locked()
        lock_objects()
        before = collect()
        applied = Applied(
            providers=frozenset(key.name for key in before if key.kind == "provider"),
            names=frozenset(key.name for key in before if key.kind in {"pool", "alias"}),
        )
        document = parse(text, filename=filename, environ=environ, applied=applied, tree=tree)
        _refuse_what_is_managed(document, before)
        _write(document, before)
        after = collect()
        changes = changes_between(before, after)
        if mistakes := [mistake for _key, mistake in problems_of(document, changes)]:
            raise ConfigErrors(mistakes)
        concerns = unconfirmed(changes)
        if is_preview:
            concerns += not_theirs(rights, changes)
            transaction.set_rollback(True)
        else:
            refuse_what_is_not_theirs(rights, changes)
            note(change.key for change in changes)
    notes = [*document.warnings, *_left(document, before), *concerns]
    return Changeset(changes=changes, notes=notes, concerns=concerns)


def unconfirmed(changes: Iterable[Change]) -> list[str]:
    """Secrets that were kept, while where they would be sent is another place now."""
    found = []
    for kind, name, source in (change.key for change in changes if change.after is not None):
        if kind in KINDS:
            model = KINDS[kind].rows
            row = model.rows().get(**{model.identity: name}, managed_source=source)
            found += [f"{name}: {said}" for said in row.unsent()]
    return found


def _refuse_too_many(tree: Tree) -> None:
    """Raise ConfigErrors for more objects than one request or command may put in order."""
    counts = {
        ".".join(kind.section): len(found)
        for kind in KINDS.values()
        if isinstance(found := mapping(tree.root, *kind.section[:-1]).get(kind.section[-1]), Sized)
    }
    if (number := sum(counts.values())) > MOST_OBJECTS:
        most, held = max(counts.items(), key=itemgetter(1))
        words = f"{number:,} objects ({most} has {held:,}) are too many, allowed: {MOST_OBJECTS:,}"
        raise ConfigErrors([tree.mistake((), f"{words} at once")])


def lock_objects(few: Mapping[str, Collection[str]] | None = None) -> None:
    """
    Wait for whoever is editing one of admin's objects, or one of those that `few` names by kind.

    Who saves an object takes its row first, then the counter of edits, then its parts. Taking
    parts first would have each of the two wait for the other.
    """
    for kind in KINDS.values():
        rows = kind.rows._default_manager.filter(managed_source=DASHBOARD)  # noqa: SLF001 - Django documents it
        if few is not None:
            rows = rows.filter(**{f"{kind.rows.identity}__in": list(few.get(kind.name, ()))})
        list(rows.select_for_update().order_by("pk").values_list("pk", flat=True))


def _sections(tree: Tree) -> dict[str, bool]:
    """Which kinds of objects the text says everything of."""
    return {
        kind.name: kind.section[-1] in mapping(tree.root, *kind.section[:-1])
        for kind in KINDS.values()
    }


def _names(document: Document) -> dict[str, set[str]]:
    """The objects that the text has, by kind."""
    return {kind.name: set(kind.named(document)) for kind in KINDS.values()}


def provider_names(document: Document) -> set[str]:
    return set(document.blocks.providers)


def pool_names(document: Document) -> set[str]:
    return set(document.blocks.routing.model_pools)


def alias_names(document: Document) -> set[str]:
    pools = document.blocks.routing.model_pools.values()
    return {*document.blocks.aliases, *(name for pool in pools for name in pool.aliases)}


def rule_names(document: Document) -> set[str]:
    return set(document.rules)


def key_names(document: Document) -> list[str]:
    return [block.name for block in document.blocks.keys]


def _managed(state: State, kind: str) -> set[str]:
    return {key.name for key in state if key.kind == kind and key.source == CONFIG}


def write_part(part: Part) -> None:
    """Write it, or raise ConfigErrors with what is wrong."""
    refuse_shared_keys(part)
    if not part.mistakes:
        write_objects(part)
    if part.mistakes:
        raise ConfigErrors(part.mistakes)


def _refuse_what_is_managed(document: Document, before: State) -> None:
    """
    Raise ConfigErrors if the text says anything else of the configuration's objects than they are.

    Found by letting it have its way, comparing, and rolling back.
    """
    managed = {kind: names & _managed(before, kind) for kind, names in _names(document).items()}
    mistakes: list[Mistake] = []
    if any(managed.values()):
        with transaction.atomic():
            write_part(
                Part(
                    document=document,
                    source=ManagedSource.CONFIG,
                    has=lambda kind, name: name in managed[kind],
                )
            )
            changes = changes_between(before, collect(managed) | _others(before, managed))
            transaction.set_rollback(True)
        for change in changes:
            words = "; ".join(map(str, change.fields)) if change.after is not None else "left out"
            said = f"{MANAGED} ({words}), allowed: what it says there, or nothing"
            mistakes.append(document.tree.mistake(_place_of(document, change.key), said))
    mistakes += _managed_settings(document)
    if mistakes:
        raise ConfigErrors(mistakes)


def _others(state: State, managed: Mapping[str, set[str]]) -> State:
    return {key: block for key, block in state.items() if key.name not in managed.get(key.kind, ())}


def _managed_settings(document: Document) -> Iterator[Mistake]:
    given = ConfigSource.objects.filter(pk=1).values_list("values", flat=True).first() or {}
    for name, entry in document.values.items():
        if name.startswith(RULES_KEYS):
            continue  # objects
        if name in given and given[name]["value"] != entry["value"]:
            said = f"{MANAGED} ({given[name]['source']}), allowed: what it says there, or nothing"
            yield document.tree.mistake(tuple(name.split(".")), said)
        elif name not in given and CAPTURE.get(name, entry["value"]) != entry["value"]:
            said = "admin has no such setting, allowed: in the configuration file only"
            yield document.tree.mistake(tuple(name.split(".")), said)


def _write(document: Document, before: State) -> None:
    sections, names = _sections(document.tree), _names(document)
    managed = {kind: _managed(before, kind) for kind in KINDS}

    def has(kind: str, name: str) -> bool:
        return name not in managed[kind] and (sections[kind] or name in names[kind])

    write_part(Part(document=document, source=ManagedSource.DASHBOARD, has=has))
    write_settings(document)


def write_settings(document: Document, more: Mapping[str, Any] | None = None) -> None:
    """The settings as the text has them, and the fields of `more`, which no text has."""
    row, usual = Settings.load(), Settings()
    given = ConfigSource.objects.filter(pk=1).values_list("values", flat=True).first() or {}
    values = {name: entry["value"] for name, entry in document.values.items() if name not in given}
    counts = effective_settings(row, given)
    for name, attribute in SETTING_OF_KEY.items():
        if _is_said(document.tree, name) and name not in given:
            wanted = values.get(name, getattr(usual, attribute))
            if wanted != counts[attribute]:  # beside the configuration another value may count
                setattr(row, attribute, wanted)
    if _is_said(document.tree, TIMEOUT_KEYS + "any"):
        row.timeouts = {
            name: value
            for name, value in row.timeouts.items()
            if TIMEOUT_KEYS + name in given  # covered by the configuration, not by this text
        } | {
            name.removeprefix(TIMEOUT_KEYS): value
            for name, value in values.items()
            if name.startswith(TIMEOUT_KEYS)
        }
    for name, value in (more or {}).items():
        setattr(row, name, value)
    try:
        row.full_clean()
    except ModelError as error:
        raise ConfigErrors(_told(document, ObjectKey(SETTINGS, "", DASHBOARD), error)) from error
    stored, names = Settings.load(), (*SETTING_OF_KEY.values(), "timeouts", *(more or ()))
    if any(getattr(stored, name) != getattr(row, name) for name in names):
        row.save()


def _is_said(tree: Tree, name: str) -> bool:
    """Whether the text decides on a setting: its whole section stands there, or itself."""
    section, *rest = name.split(".")
    if section in {"failover", "alerts"}:  # they hold objects as well
        return rest[0] in mapping(tree.root, section)
    if section == "routing":
        return "defaults" in mapping(tree.root, "routing")
    return section in tree.root


def problems_of(document: Document, changes: list[Change]) -> Iterator[tuple[ObjectKey, Mistake]]:
    """What the models, and those who refer to what is gone, say of each object."""
    rows = _changed_rows(changes)
    for change in changes:
        if change.key.kind == SETTINGS or change.key.source == CONFIG:
            continue
        patience.check()
        kind = KINDS[change.key.kind]
        model = kind.rows
        if change.after is None:
            problems = model(**{model.identity: change.key.name}).deletion_problems()
            where = _place_of(document, change.key)[:-1]
            words = f"{change.key.name} would be gone, but is in use. {' '.join(problems)}"
            if problems:
                yield change.key, document.tree.mistake(where, words)
            continue
        row = rows[change.key]
        row.may_wait_for_its_target = True
        try:
            # They are saved already, so what is unique the database has judged.
            row.full_clean(validate_unique=False, validate_constraints=False)
            for part in kind.members:
                for member in getattr(row, part).all():
                    member.full_clean(validate_unique=False, validate_constraints=False)
            if change.key.kind == "alias":
                row.check_targets(len(row.targets.all()))
        except ModelError as error:
            for mistake in _told(document, change.key, error):
                yield change.key, mistake


def _changed_rows(changes: list[Change]) -> dict[ObjectKey, Any]:
    """Admin's rows that are new or changed, with their members, for a few questions in all."""
    found: dict[ObjectKey, Any] = {}
    for kind in KINDS.values():
        keys = [c.key for c in changes if c.key.kind == kind.name and c.after is not None]
        names = [key.name for key in keys if key.source == DASHBOARD]
        model = kind.rows
        rows = model.rows().filter(managed_source=DASHBOARD).prefetch_related(*kind.members)
        for start in range(0, len(names), BATCH):
            some = rows.filter(**{f"{model.identity}__in": names[start : start + BATCH]})
            for row in some:
                found[ObjectKey(kind.name, getattr(row, model.identity), DASHBOARD)] = row
    return found


def _told(document: Document, key: ObjectKey, error: ModelError) -> list[Mistake]:
    where = _place_of(document, key)
    if not hasattr(error, "error_dict"):
        return [document.tree.mistake(where, text) for text in error.messages]
    return [
        document.tree.mistake(_below(where, name), text)
        for name, texts in error.message_dict.items()
        for text in texts
    ]


def _below(where: Path, name: str) -> Path:
    if where or name == NON_FIELD_ERRORS:
        return where
    dotted = {field: key for key, field in SETTING_OF_KEY.items()}.get(name, name)
    return tuple(dotted.split("."))


def _left(document: Document, before: State) -> list[str]:
    """The configuration's objects that the text leaves out, though it has their section."""
    names, sections = _names(document), _sections(document.tree)
    return [
        f"{key} is {MANAGED}, so it stays, though it is not in {document.filename}"
        for key in sorted(before)
        if key.source == CONFIG
        and key.kind != SETTINGS
        and sections[key.kind]
        and key.name not in names[key.kind]
    ]


def _place_of(document: Document, key: ObjectKey) -> Path:
    """Where an object stands in the text; the settings are the whole file."""
    kind = KINDS.get(key.kind)
    if kind is None:
        return ()
    if kind.is_list:
        names = kind.named(document)
        return (*kind.section, names.index(key.name) if key.name in names else len(names))
    for name, pool in document.blocks.routing.model_pools.items():
        if key.kind == "alias" and key.name in pool.aliases:
            return ("routing", "model_pools", name, "aliases", pool.aliases.index(key.name))
    return (*kind.section, key.name)
