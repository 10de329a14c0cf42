"""What every configuration object has: where it comes from, and when it last changed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, Self, TypeVar

from django.core.exceptions import ValidationError
from django.db import models

from providers.validation import NO_TEXT, is_storable

IS_CONFIG = "This is managed by configuration; change the file or the environment instead."

Name = TypeVar("Name", bound=Hashable)
Value = TypeVar("Value")


# Functions from a row that has been saved to what its operator ought to know of it, as sentences.
# controlplane adds its own, which knows every kind of row.
caution_sources: list[Callable[[ManagedModel], list[str]]] = []


def cautions_of(row: ManagedModel) -> list[str]:
    """What is legal about a saved row, and does less than it seems to; as sentences."""
    return [caution for cautions in caution_sources for caution in cautions(row)]


# The same for what hangs on a row, and would lose it.
use_sources: list[Callable[[models.Model], list[str]]] = []


def uses_of(row: models.Model) -> list[str]:
    """Who would lose a row that is about to be deleted; as sentences."""
    return [use for uses in use_sources for use in uses(row)]


# Functions that tell what counts where a row says nothing itself, by the name of its field.
inherited_sources: list[Callable[[], dict[str, Any]]] = []


def inherited() -> dict[str, Any]:
    """What the settings say, for the fields of rows that may leave it to them."""
    return {name: value for told in inherited_sources for name, value in told().items()}


class ManagedSource(models.TextChoices):
    CONFIG = "config", "configuration"
    DASHBOARD = "dashboard", "dashboard"


def counting(found: Iterable[tuple[Name, str, Value]]) -> dict[Name, Value]:
    """
    Of names, sources and values those that count: the configuration's, and what it does not shadow.

    For what has been read already; of rows, `ManagedModel.effective` asks the database the same.
    """
    values: dict[Name, Value] = {}
    for name, source, value in found:
        if source == ManagedSource.CONFIG or name not in values:
            values[name] = value
    return values


class ManagedModel(models.Model):
    """
    A row that either the configuration (file, environment) or the dashboard (admin, API) owns.

    Two rows may have one name, one of each source; the configuration's then counts and the
    dashboard's is shadowed. `identity` names the field that is the object's name.
    """

    identity = "name"
    # Related managers of the rows that are edited together with it.
    versioned_parts: tuple[str, ...] = ()
    # Whether others refer to the row by its name, so that a rename would cut them off.
    is_referred_to_by_name = False

    managed_source = models.CharField(
        "managed by",
        max_length=16,
        choices=ManagedSource.choices,
        default=ManagedSource.DASHBOARD,
        editable=False,
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return str(getattr(self, self.identity))

    def clean(self) -> None:
        for field in self._meta.concrete_fields:
            is_json = isinstance(field, models.JSONField)
            if is_json and not is_storable(getattr(self, field.name)):
                raise ValidationError({field.name: f"{NO_TEXT.capitalize()}."})
        if not self.is_referred_to_by_name or self.pk is None:
            return
        before = self.rows().filter(pk=self.pk).values_list(self.identity, flat=True)
        if before and before[0] != getattr(self, self.identity):
            raise ValidationError(
                {
                    self.identity: f"{before[0]!r} cannot be renamed, because others refer to it by"
                    " its name. Make a new one, and delete this one when nothing uses it."
                }
            )

    def deletion_problems(self) -> list[str]:
        """Why the row may not be deleted, as sentences; empty if it may."""
        return [IS_CONFIG] if self.is_managed_by_config else []

    def unsent(self) -> list[str]:
        """Which stored secrets were entered for elsewhere, and so are not sent; as sentences."""
        return []

    @property
    def has_twin(self) -> bool:
        """Whether there is a row of the same name from the other source."""
        twins = self.rows().filter(**{self.identity: getattr(self, self.identity)})
        return twins.exclude(pk=self.pk).exists()

    @property
    def is_managed_by_config(self) -> bool:
        return self.managed_source == ManagedSource.CONFIG

    @property
    def is_shadowed(self) -> bool:
        """Whether a configuration row of the same name counts instead of this one."""
        if self.is_managed_by_config:
            return False
        known = self.__dict__.get("shadowed")  # annotated by with_shadowed()
        return self.config_twins().exists() if known is None else bool(known)

    def config_twins(self) -> models.QuerySet[Self]:
        return self._configured(getattr(self, self.identity))

    @classmethod
    def _configured(cls, name: object) -> models.QuerySet[Self]:
        return cls.rows().filter(**{cls.identity: name}, managed_source=ManagedSource.CONFIG)

    @classmethod
    def rows(cls) -> models.QuerySet[Self]:
        return cls._default_manager.all()

    @classmethod
    def with_shadowed(cls, rows: models.QuerySet[Self]) -> models.QuerySet[Any]:
        """`rows`, each knowing whether it is shadowed, for one query in all."""
        twins = cls._configured(models.OuterRef(cls.identity))
        return rows.annotate(
            shadowed=models.Q(managed_source=ManagedSource.DASHBOARD) & models.Exists(twins)
        )

    @classmethod
    def effective(cls) -> models.QuerySet[Any]:
        """The rows that count: the configuration's, and the dashboard's that nothing shadows."""
        return cls.with_shadowed(cls.rows()).filter(shadowed=False)

    @classmethod
    def named(cls, name: str) -> Self | None:
        """The row that counts among those of this name."""
        row: Self | None = cls.effective().filter(**{cls.identity: name}).first()
        return row
