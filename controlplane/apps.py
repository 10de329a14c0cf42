"""The control plane's app, and the one place that notices edits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import AppConfig, apps
from django.db import connections, transaction
from django.db.models import F, Model
from django.db.models.signals import post_delete, post_save

if TYPE_CHECKING:
    from providers.managed import ManagedModel

CONFIG_MODELS = (
    "providers.Provider",
    "providers.Credential",
    "providers.ProviderModel",
    "providers.CatalogEntry",
    "routing.CanonicalModel",
    "routing.Candidate",
    "routing.Alias",
    "routing.AliasTarget",
    "routing.RoutingState",
    "failover.FailoverRule",
    "controlplane.Team",
    "controlplane.ApiKey",
    "controlplane.Settings",
    "controlplane.ConfigSource",
)


class ControlPlaneConfig(AppConfig):
    name = "controlplane"
    verbose_name = "System"

    def ready(self) -> None:
        for label in CONFIG_MODELS:
            model = apps.get_model(label)
            post_save.connect(note_edit, sender=model, dispatch_uid=f"edit.{label}")
            post_delete.connect(note_edit, sender=model, dispatch_uid=f"edit.{label}")
        from providers.managed import caution_sources  # noqa: PLC0415 - models load after this

        if cautions_of not in caution_sources:
            caution_sources.append(cautions_of)


def cautions_of(row: ManagedModel) -> list[str]:
    from controlplane import scene  # noqa: PLC0415 - models load after this

    return scene.cautions_of(row)


def note_edit(sender: type[Model], using: str, **_signal: Any) -> None:  # noqa: ARG001
    """
    Move the edit counter with the edit, and have it published once it is committed.

    The counter makes it certain (the control child reads it); the poke only makes it sooner.
    """
    from controlplane.models import EditCounter  # noqa: PLC0415 - models load after this

    counter = EditCounter.objects.using(using)
    if not counter.filter(pk=1).update(value=F("value") + 1):
        counter.get_or_create(pk=1, defaults={"value": 1})
    # One poke per transaction, however many rows it saves.
    if not any(poke is publish for _, poke, *_ in connections[using].run_on_commit):
        transaction.on_commit(publish, using=using, robust=True)


def publish() -> None:
    from controlplane.poke import publish_now  # noqa: PLC0415 - few processes ever publish

    publish_now()
