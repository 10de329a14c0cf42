"""Who edited what, and what each published configuration changed (controlplane.revisions)."""

from __future__ import annotations

from typing import Final, Self

from django.db import models

OTHER: Final = "other"  # what no revision holds: facts, teams, switches; `name` says it in words


def author_text(kind: str, name: str) -> str:
    return name if kind == "user" else f"{kind} {name}".strip()


class Singleton(models.Model):
    """A table of one row."""

    class Meta:
        abstract = True

    @classmethod
    def load(cls) -> Self:
        """The row; if there is none yet one of defaults, not saved: looking writes nothing."""
        return cls._default_manager.filter(pk=1).first() or cls(pk=1)

    @classmethod
    def locked(cls) -> Self:
        """The row, made if there is none yet, and nobody else's until the transaction ends."""
        cls._default_manager.get_or_create(pk=1)
        return cls._default_manager.select_for_update().get(pk=1)


class EditCounter(Singleton):
    """Moves with every edit, in its own transaction: a cheap question for the control child."""

    value = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(pk=1), name="edit_counter_one_row"),
        ]

    def __str__(self) -> str:
        return str(self.value)


class Edit(models.Model):
    """
    One object that was saved or deleted, noted in its own transaction.

    Numbers follow the order in which edits were committed, because whoever writes one holds the
    row of EditCounter until then.
    """

    kind = models.CharField(max_length=20)
    name = models.CharField(max_length=300)
    author_kind = models.CharField(max_length=20)
    author = models.CharField(max_length=1000, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.name if self.kind == OTHER else f"{self.kind} {self.name}".strip()

    @property
    def line(self) -> str:
        """Who edited what, when and why."""
        why = f": {self.reason}" if self.reason else ""
        return (
            f"{self.at:%Y-%m-%d %H:%M:%S} {author_text(self.author_kind, self.author)}, {self}{why}"
        )


class Revision(models.Model):
    """
    What changed with one published configuration, by whom and why.

    `changes` are packed: controlplane.revisions.history reads and writes them. The edits of a
    revision are those up to `last_edit` that the one before does not have.
    """

    generation = models.PositiveBigIntegerField(db_index=True)
    created_at = models.DateTimeField("published", auto_now_add=True)
    last_edit = models.PositiveBigIntegerField(default=0)
    authors = models.JSONField(default=list)
    reason = models.CharField(max_length=1000, blank=True)
    summary = models.JSONField(default=dict)
    packed = models.BinaryField()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"revision {self.pk}"

    @property
    def who(self) -> str:
        """Its authors, as words."""
        words = (author_text(author["kind"], author["name"]) for author in self.authors)
        return ", ".join(words) or "unknown"

    @property
    def counts(self) -> str:
        """How many objects changed, as words."""
        numbers = ((name, self.summary.get(name)) for name in ("added", "changed", "removed"))
        said = ", ".join(f"{number} {name}" for name, number in numbers if number)
        return said or "; ".join(self.summary.get("objects", [])[:3]) or "no object"

    @property
    def line(self) -> str:
        """One line that tells it from others."""
        why = f": {self.reason}" if self.reason else ""
        when = f"{self.created_at:%Y-%m-%d %H:%M:%S}"
        return f"{self.pk} (generation {self.generation}) {when} {self.who}: {self.counts}{why}"


class RecordedObject(models.Model):
    """An object as the newest revision has it."""

    kind = models.CharField(max_length=20)
    name = models.CharField(max_length=300)
    source = models.CharField(max_length=16)
    block = models.TextField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["kind", "name", "source"], name="recorded_object_once"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".strip()
