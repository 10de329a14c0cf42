"""
A Document's objects as rows: those of a Part become exactly what it says.

A row is written only if it differs, so history and `updated_at` move only when something has
changed, and a secret keeps its token as long as its text stays the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.db import models
from simple_history.utils import bulk_create_with_history

from controlplane.config.yaml import Mistake
from controlplane.edits.kinds import KINDS
from controlplane.hosts.peers import refuse_to_take_secrets
from providers.managed.models import ManagedModel
from providers.models import Provider
from providers.secrets.encryption import CannotDecrypt
from providers.secrets.fields import EncryptedText, keyring
from routing.models import Alias, CanonicalModel

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from controlplane.config.document import Document

BATCH: Final = 500

Fields = dict[str, Any]
Row = TypeVar("Row", bound=models.Model)
Owner = TypeVar("Owner", bound=ManagedModel)


def _everything(_kind: str, _name: str) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """
    The rows that are made equal to `document`: those of `source` that `has(kind, name)` names.

    What is wrong is added to `mistakes`; whoever finds some there must roll back.
    `few` names the same by kind where they are so few that only those need to be read.
    """

    document: Document
    source: str
    has: Callable[[str, str], bool] = _everything
    few: Mapping[str, Collection[str]] | None = None
    mistakes: list[Mistake] = field(default_factory=list)

    def rows(self, kind: str, model: type[Owner]) -> list[Owner]:
        """Those of one kind that are there now."""
        found = self._read(kind, model)
        return [row for row in found if self.has(kind, getattr(row, model.identity))]

    def ids(self, kind: str, model: type[Provider | CanonicalModel | Alias]) -> dict[str, int]:
        pairs = self._read(kind, model).values_list("name", "pk")
        return {name: pk for name, pk in pairs if self.has(kind, name)}

    def _read(self, kind: str, model: type[Owner]) -> models.QuerySet[Owner]:
        rows = model._default_manager.filter(managed_source=self.source)  # noqa: SLF001 - Django documents it
        if self.few is None:
            return rows
        return rows.filter(**{f"{model.identity}__in": list(self.few.get(kind, ()))})

    def of(self, kind: str, blocks: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        return ((name, block) for name, block in blocks.items() if self.has(kind, name))

    def is_kept(self, *path: str | int) -> bool:
        return path in self.document.tree.kept

    def nothing_to_keep(self, *path: str | int) -> None:
        words = "nothing is stored that could be kept, allowed: a value, or a variable that is set"
        self.mistakes.append(self.document.tree.mistake(path, words))


def differing(row: models.Model, fields: Fields) -> list[str]:
    return [name for name, value in fields.items() if getattr(row, name) != value]


def sync(
    model: type[Row], rows: Iterable[Row], desired: Mapping[Any, Fields], *key_fields: str
) -> bool:
    """
    Make `rows` of `model` equal to `desired`, which is keyed by the values of `key_fields`.

    With one key field the key is its value, with more their tuple. Whether anything was written.
    """
    current: dict[Any, Row] = {}
    for row in rows:
        parts = tuple(getattr(row, name) for name in key_fields)
        current[parts if len(parts) > 1 else parts[0]] = row
    gone = [row.pk for key, row in current.items() if key not in desired]
    for start in range(0, len(gone), BATCH):
        model._default_manager.filter(pk__in=gone[start : start + BATCH]).delete()  # noqa: SLF001 - Django documents it
    moved = bool(gone)
    new: list[Row] = []
    for key, fields in desired.items():
        if key not in current:
            parts = key if isinstance(key, tuple) else (key,)
            new.append(model(**dict(zip(key_fields, parts, strict=True)), **fields))
        elif changed := differing(current[key], fields):
            for name in changed:
                setattr(current[key], name, fields[name])
            current[key].save()
            moved = True
    if new:
        bulk_create_with_history(new, model, batch_size=BATCH)
    return moved or bool(new)


def write_objects(part: Part) -> bool:
    """The rows of every kind; whether anything was written."""
    moved = False
    for kind in KINDS.values():
        moved |= kind.sync(part)
    return moved


def kept_or_new(stored: EncryptedText | None, text: str, to: str) -> EncryptedText | str:
    """
    What the row shall hold: the stored token, as long as it stands for the same text.

    Where the text stands, it is entered: it is bound anew if its destination is another now.
    """
    if not text:
        return EncryptedText("")
    if not stored or not holds(stored, text) or stored.bound is None:
        return text
    return stored if stored.bound.destination == to else text


def parts_of(ids: Mapping[str, int], model: type[Row], **source: str) -> list[Row]:
    """The rows of `model` that belong to one of `ids`."""
    owner = next(iter(source)).removesuffix("__managed_source") + "_id"
    known = set(ids.values())
    rows = model._default_manager.filter(**source)  # noqa: SLF001 - Django documents it
    if len(known) < BATCH:
        return list(rows.filter(**{f"{owner}__in": known}))
    return [row for row in rows if getattr(row, owner) in known]


def holds(token: Any, text: str) -> bool:
    """Whether a stored secret is that text."""
    try:
        return bool(token.reveal() == text)
    except CannotDecrypt:
        refuse_to_take_secrets(keyring().fingerprint)
        return False  # made with a key that is lost: encrypt the text anew
