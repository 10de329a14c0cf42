"""
What keeps objects from being what they were, found without writing anything.

The same rules as of a file that is applied: `controlplane.config.document` judges the objects by
themselves, and here is asked who else refers to what would be gone.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from controlplane.config.document import Applied, Document, parse
from controlplane.config.objects import DASHBOARD, MANY
from controlplane.config.text import plain, tree_of
from controlplane.config.yaml import ConfigErrors, Mistake, Tree, dotted
from controlplane.edits.kinds import KINDS, SETTINGS, ObjectKey
from providers.models import Provider
from routing.models import Alias, AliasTarget, Candidate, CanonicalModel
from routing.validation import alias_cycle

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from django.db.models import QuerySet

    from controlplane.config.changes import Change
    from controlplane.config.objects import State

CALLABLE: Final = ("pool", "alias")  # they share one set of names

Blocked = dict[ObjectKey, list[Mistake]]


def document_of(changes: Sequence[Change], filename: str) -> Document:
    """The objects that `changes` make, as a file would have them. Raises ConfigErrors."""
    state: State = {change.key: change.after for change in changes if change.after is not None}
    # Its values are there already: writing and reading a text would take a hundred times as long.
    tree = Tree("", filename=filename, environ={}, may_keep_secrets=True)
    tree.root = plain(tree_of(state), tree.kept)
    gone = {change.key for change in changes if change.after is None}
    applied = Applied(
        providers=frozenset(_names(Provider, "provider", gone)),
        names=frozenset({*_names(CanonicalModel, "pool", gone), *_names(Alias, "alias", gone)}),
    )
    return parse("", filename=filename, environ={}, applied=applied, tree=tree)


def _names(
    model: type[Provider | CanonicalModel | Alias], kind: str, gone: Collection[ObjectKey]
) -> Iterator[str]:
    for name, source in model._default_manager.order_by().values_list("name", "managed_source"):  # noqa: SLF001 - Django documents it
        if ObjectKey(kind, name, source) not in gone:
            yield name


def blocked(changes: Sequence[Change], filename: str) -> Blocked:
    """Which of `changes` cannot be made, and why."""
    found: Blocked = {}
    try:
        document_of(changes, filename)
    except ConfigErrors as error:
        found = by_object(changes, error)
    for key, text in (*_still_used(changes), *_taken(changes), *_in_circles(changes)):
        place = (*KINDS[key.kind].section, key.name)
        mistake = Mistake(file=filename, line=0, path=dotted(place), text=text)
        found.setdefault(key, []).append(mistake)
    return found


def by_object(changes: Sequence[Change], error: ConfigErrors) -> Blocked:
    """Each mistake with its object. Raises `error` if one is nobody's."""
    made = sorted(change.key for change in changes if change.after is not None)
    places: dict[str, ObjectKey] = {}
    for kind in KINDS.values():
        for index, key in enumerate(key for key in made if key.kind == kind.name):
            places[dotted((*kind.section, index if kind.is_list else key.name))] = key
    settings = ObjectKey(SETTINGS, "", DASHBOARD)
    found: defaultdict[ObjectKey, list[Mistake]] = defaultdict(list)
    for mistake in error.mistakes:
        owners = [place for place in places if is_below(mistake.path, place)]
        if owners:
            found[places[max(owners, key=len)]].append(mistake)
        elif settings in made:
            found[settings].append(mistake)
        else:
            raise error
    return dict(found)


def is_below(path: str, place: str) -> bool:
    return path == place or path.startswith((f"{place}.", f"{place}["))


def _still_used(changes: Sequence[Change]) -> Iterator[tuple[ObjectKey, str]]:
    """Providers, pools and aliases that would be gone, and are in use by what stays."""
    touched = {change.key for change in changes}
    gone = {c.key.name: c.key for c in changes if c.after is None and c.key.kind == "provider"}
    gone = _without_twins(Provider, gone)
    candidate, target = "The model pool {} has it as a candidate.", "The alias {} targets it."
    for rows, kind, owner, words in (
        (Candidate.objects.all(), "pool", "canonical_model", candidate),
        (AliasTarget.objects.all(), "alias", "alias", target),
    ):
        fields = ("provider_name", f"{owner}__name", f"{owner}__managed_source")
        for provider, name, source in sorted(_of(rows, "provider_name", gone, fields)):
            if ObjectKey(kind, name, source) not in touched:
                yield gone[provider], f"it is in use. {words.format(name)}"
    targets = {c.key.name: c.key for c in changes if c.after is None and c.key.kind in CALLABLE}
    for kind, model in (("pool", CanonicalModel), ("alias", Alias)):
        of_kind = {name: key for name, key in targets.items() if key.kind == kind}
        of_kind = _without_twins(model, of_kind)
        fields = ("target", "name", "managed_source")
        for target, name, source in sorted(_of(Alias.objects.all(), "target", of_kind, fields)):
            if ObjectKey("alias", name, source) not in touched:
                yield of_kind[target], f"it is in use. The alias {name} stands for it."


def _without_twins(
    model: type[Provider | CanonicalModel | Alias], gone: dict[str, ObjectKey]
) -> dict[str, ObjectKey]:
    """Of admin's objects those that the configuration has none of the same name beside."""
    rows = model._default_manager.exclude(managed_source=DASHBOARD)  # noqa: SLF001 - Django documents it
    twins = {name for (name,) in _of(rows, "name", gone, ("name",))}
    return {name: key for name, key in gone.items() if name not in twins}


def _of(
    rows: QuerySet[Any], field: str, names: Collection[str], fields: Sequence[str]
) -> Iterator[tuple[str, ...]]:
    """The distinct values of rows whose `field` is one of `names`; that field comes first."""
    if not names:
        return
    if len(names) <= MANY:
        rows = rows.filter(**{f"{field}__in": list(names)})
    for found in rows.order_by().values_list(*fields).distinct():
        if found[0] in names:
            yield found


def _taken(changes: Sequence[Change]) -> Iterator[tuple[ObjectKey, str]]:
    """New pools whose name an alias has that stays, and the other way round."""
    touched = {change.key for change in changes}
    new = [c.key for c in changes if c.before is None and c.key.kind in CALLABLE]
    for kind, other, model, words in (
        ("pool", "alias", Alias, "an alias has this name, allowed: another name"),
        ("alias", "pool", CanonicalModel, "a pool has this name, allowed: another name"),
    ):
        wanted = {key.name: key for key in new if key.kind == kind}
        rows = model._default_manager.all()  # noqa: SLF001 - Django documents it
        for name, source in _of(rows, "name", wanted, ("name", "managed_source")):
            if ObjectKey(other, name, source) not in touched:
                yield wanted[name], words


def _in_circles(changes: Sequence[Change]) -> Iterator[tuple[ObjectKey, str]]:
    """Aliases that would go round in a circle, with others that stay as they are."""
    made = {c.key.name: c for c in changes if c.key.kind == "alias" and c.after is not None}
    if not made:
        return
    target_of = {alias.name: alias.target for alias in Alias.effective()}
    gone = {c.key.name for c in changes if c.key.kind == "alias" and c.after is None}
    target_of = {name: target for name, target in target_of.items() if name not in gone}
    target_of |= {name: (c.after or {}).get("target", "") for name, c in made.items()}
    for name, change in made.items():
        if way := alias_cycle(name, target_of):
            yield change.key, f"a cycle of aliases ({' -> '.join(way)}), allowed: an end"
