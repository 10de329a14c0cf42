"""
Who edits, and why: noted with every edit, in its own transaction.

The author is who asked for the HTTP request, unless the code says otherwise by `as_author`.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.db import connections, transaction
from django.db.models import F
from simple_history.models import HistoricalRecords

from controlplane.edits.kinds import ANY, SETTINGS, owners
from controlplane.edits.models import OTHER, Edit, EditCounter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from django.db.models import Model

    from controlplane.edits.kinds import ObjectKey

REASON_HEADER: Final = "x-switchyard-reason"
REASON_FIELD: Final = "change_reason"
LONGEST: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """`kind`: user, key, file, environment, command or process."""

    kind: str
    name: str = ""
    reason: str = ""


PROCESS: Final = Author(kind="process")
_said: ContextVar[Author | None] = ContextVar("author", default=None)
_unnoticed: ContextVar[bool] = ContextVar("unnoticed", default=False)


@contextmanager
def as_author(kind: str, name: str = "", reason: str = "") -> Iterator[None]:
    """Edits inside are by this author."""
    author = Author(kind=kind, name=name, reason=reason[:LONGEST])
    token = _said.set(author)
    try:
        yield
    finally:
        _said.reset(token)


def current_author() -> Author:
    if (said := _said.get()) is not None:
        return said
    request = getattr(HistoricalRecords.context, "request", None)
    return author_of(request) if request is not None else PROCESS


def author_of(request: Any) -> Author:
    """Who sent a Django request, and the reason that they gave."""
    given = request.headers.get(REASON_HEADER, "") or request.POST.get(REASON_FIELD, "")
    reason = " ".join(given.split())[:LONGEST]
    holder = getattr(request, "key_holder", "")
    if holder:
        return Author(kind="key", name=holder, reason=reason)
    user = getattr(request, "user", None)
    name = user.get_username() if user is not None else ""
    return Author(kind="user", name=name, reason=reason) if name else PROCESS


@contextmanager
def unnoticed() -> Iterator[None]:
    """Rows saved inside are not noted one by one: whoever saves them notes the edit at its end."""
    token = _unnoticed.set(True)
    try:
        yield
    finally:
        _unnoticed.reset(token)


def note(keys: Iterable[ObjectKey | tuple[str, str]], using: str = "default") -> None:
    """
    Note an edit of each object in its transaction, and have it published once it is committed.

    A request's edits of one object in one transaction are one. The counter makes publishing
    certain (the control child reads it); the poke only makes it sooner.
    """
    noted = _Noted(using, getattr(HistoricalRecords.context, "request", None))
    new = {(key[0], key[1][:300]): None for key in keys}
    author = current_author()
    with transaction.atomic(using=using):
        # Holding the counter's row until the end, edits are numbered as they are committed.
        counter = EditCounter.objects.using(using)
        if not counter.filter(pk=1).update(value=F("value") + 1):
            counter.get_or_create(pk=1, defaults={"value": 1})
        Edit.objects.using(using).bulk_create(
            [
                Edit(
                    kind=kind,
                    name=name,
                    author_kind=author.kind,
                    author=author.name[:1000],
                    reason=author.reason,
                )
                for kind, name in new
                if not noted.has(kind, name)
            ],
            batch_size=500,
        )
    noted.add(new)
    if not connections[using].in_atomic_block:
        publish()


class _Poke:
    """Publishes once its transaction is committed; `noted` is what was noted at its savepoint."""

    def __init__(self, *, is_first: bool) -> None:
        self.is_first = is_first
        self.noted: set[tuple[str, str, object]] = set()

    def __call__(self) -> None:
        if self.is_first:
            publish()


class _Noted:
    """
    What a request has noted in the transaction that runs; with it goes one poke, for all of it.

    What is rolled back to a savepoint takes its notes and its poke with it. Whatever is left of
    others cannot go unless what is noted now goes as well.
    """

    def __init__(self, using: str, request: object) -> None:
        self._connection = connections[using]
        self._request = request
        self._pokes = [
            (savepoints, poke)
            for savepoints, poke, *_ in self._connection.run_on_commit
            if isinstance(poke, _Poke)
        ]

    def has(self, kind: str, name: str) -> bool:
        """Without a request every edit counts: nobody says which belong together."""
        entry = (kind, name, self._request)
        return self._request is not None and any(entry in poke.noted for _, poke in self._pokes)

    def add(self, pairs: Iterable[tuple[str, str]]) -> None:
        if not self._connection.in_atomic_block:
            return
        here = set(self._connection.savepoint_ids)
        poke = next((poke for savepoints, poke in self._pokes if savepoints == here), None)
        if poke is None:
            poke = _Poke(is_first=not self._pokes)
            transaction.on_commit(poke, using=self._connection.alias, robust=True)
        if self._request is not None:
            poke.noted.update((kind, name, self._request) for kind, name in pairs)


def note_row(sender: type[Model], instance: Model, using: str, **signal: Any) -> None:  # noqa: ARG001
    """The receiver of post_save and post_delete."""
    if _unnoticed.get():
        return
    kind, name = object_of(instance)
    if kind == OTHER:
        # No revision has its fields, so that the edit says what became of it.
        action = {True: "added", False: "changed", None: "removed"}[signal.get("created")]
        words = getattr(instance, "edited_as", None)
        name = words(action) if words is not None else f"{action} {name}"
    note([(kind, name)], using)


def publish() -> None:
    from controlplane.edits.poke import publish_now  # noqa: PLC0415 - few processes ever publish

    publish_now()


def object_of(row: Model) -> tuple[str, str]:
    """
    The kind and name of the object that `row` is, or is a part of.

    Raises LookupError for a row that no kind knows of: its edits would be nobody's.
    """
    owner, kind = owners()[row._meta.label]  # noqa: SLF001 - Django's own API
    if kind in (SETTINGS, ANY):
        return kind, ""
    if kind == OTHER:
        return OTHER, f"{row._meta.verbose_name} {row}"  # noqa: SLF001 - Django's own API
    if owner and owner not in row._state.fields_cache:  # noqa: SLF001 - Django documents it
        return ANY, ""  # going with its owner, most likely, which can then not be asked any more
    return kind, str(getattr(row, owner) if owner else row)
