"""What every configuration object has: where it comes from, and when it last changed."""

from __future__ import annotations

from typing import Any, Self

from django.db import models


class ManagedSource(models.TextChoices):
    CONFIG = "config", "configuration"
    DASHBOARD = "dashboard", "dashboard"


class ManagedModel(models.Model):
    """
    A row that either the configuration (file, environment) or the dashboard (admin, API) owns.

    Two rows may have one name, one of each source; the configuration's then counts and the
    dashboard's is shadowed. `identity` names the field that is the object's name.
    """

    identity = "name"

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

    @property
    def is_managed_by_config(self) -> bool:
        return self.managed_source == ManagedSource.CONFIG

    @property
    def is_shadowed(self) -> bool:
        """Whether a configuration row of the same name counts instead of this one."""
        if self.is_managed_by_config:
            return False
        known = self.__dict__.get("shadowed")  # annotated by with_shadowed()
        return type(self).config_twins(self).exists() if known is None else bool(known)

    @classmethod
    def config_twins(cls, row: Self) -> models.QuerySet[Self]:
        return cls._default_manager.filter(
            **{cls.identity: getattr(row, cls.identity)}, managed_source=ManagedSource.CONFIG
        )

    @classmethod
    def with_shadowed(cls, rows: models.QuerySet[Self]) -> models.QuerySet[Any]:
        """`rows`, each knowing whether it is shadowed, for one query in all."""
        twins = cls._default_manager.filter(
            **{cls.identity: models.OuterRef(cls.identity)}, managed_source=ManagedSource.CONFIG
        )
        return rows.annotate(
            shadowed=models.Q(managed_source=ManagedSource.DASHBOARD) & models.Exists(twins)
        )

    @classmethod
    def effective(cls) -> models.QuerySet[Any]:
        """The rows that count: the configuration's, and the dashboard's that nothing shadows."""
        return cls.with_shadowed(cls._default_manager.all()).filter(shadowed=False)
