"""The control plane's app, and the one place that notices edits."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.signals import connection_created
from django.db.models.signals import post_delete, post_save

if TYPE_CHECKING:
    from django.db.models import Model

    from providers.managed.models import ManagedModel


class ControlPlaneConfig(AppConfig):
    name = "controlplane"
    verbose_name = "System"

    def ready(self) -> None:
        from controlplane.edits.kinds import owners, unlisted  # noqa: PLC0415 - as below
        from controlplane.edits.noting import note_row  # noqa: PLC0415 - models load before this

        if missing := unlisted():
            words = ", ".join(missing)
            raise ImproperlyConfigured(f"no kind of controlplane.edits.kinds names {words}")
        for label in owners():
            model = apps.get_model(label)
            post_save.connect(note_row, sender=model, dispatch_uid=f"edit.{label}")
            post_delete.connect(note_row, sender=model, dispatch_uid=f"edit.{label}")
        if settings.SHOWS_PAGES:
            from controlplane.door.database import wait_briefly  # noqa: PLC0415 - as below

            connection_created.connect(wait_briefly, dispatch_uid="wait_briefly")
        from controlplane.edits import poke  # noqa: PLC0415 - as above

        poke.publish_alone = publish_alone
        from providers.managed import models  # noqa: PLC0415 - models load after this

        if cautions_of not in models.caution_sources:
            models.caution_sources.append(cautions_of)
            models.use_sources.append(uses_of)
            models.inherited_sources.append(inherited)


def publish_alone() -> bool:
    from controlplane.publishing.alone import publish_alone as publish  # noqa: PLC0415 - as above

    return publish()


def cautions_of(row: ManagedModel) -> list[str]:
    from controlplane.advice import scene  # noqa: PLC0415 - models load after this

    return scene.cautions_of(row)


def inherited() -> dict[str, Any]:
    from controlplane.advice.scene import StoredScene  # noqa: PLC0415 - models load after this
    from failover.engine.plan import Times  # noqa: PLC0415 - beside its only use

    settings = StoredScene().settings
    return settings | {"timeouts": asdict(Times()) | settings["timeouts"]}


def uses_of(row: Model) -> list[str]:
    from controlplane.advice import uses  # noqa: PLC0415 - models load after this

    return uses.uses_of(row)
