from __future__ import annotations

from django.apps import AppConfig


class RoutingConfig(AppConfig):
    name = "routing"
    verbose_name = "Routing"

    def ready(self) -> None:
        from providers.models import uses_of_providers  # noqa: PLC0415 - models load
        from routing.models import uses_of_provider  # noqa: PLC0415 - after this

        if uses_of_provider not in uses_of_providers:
            uses_of_providers.append(uses_of_provider)
