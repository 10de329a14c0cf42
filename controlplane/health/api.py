"""API of health: how each provider was when it was looked at last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.urls import re_path
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from controlplane.health.models import HealthSnapshot, HealthStatus
from controlplane.health.statuses import is_stale
from providers.models import Provider

if TYPE_CHECKING:
    from rest_framework.request import Request


class StatusPageView(serializers.Serializer[Any]):
    """A provider's own word of itself. It changes no status."""

    indicator = serializers.CharField(
        source="page_indicator",
        allow_blank=True,
        help_text="As the page says it, usually none, minor, major or critical.",
    )
    description = serializers.CharField(source="page_says", allow_blank=True)
    error = serializers.CharField(
        source="page_error", allow_blank=True, help_text="Why it could not be read."
    )
    read_at = serializers.DateTimeField(source="page_read_at")


class HealthView(serializers.Serializer[Any]):
    """
    A provider. `registered`: it is on, and can be called at all. `discovered_models` counts what it
    lists, null if it never has; `using_cached_list`: that is what it listed earlier. `last_error`
    is why its list could not be read at `last_error_at`. What is `stale` counts for nothing.
    """

    provider = serializers.CharField()
    status = serializers.ChoiceField(choices=HealthStatus.values)
    reason = serializers.CharField(allow_blank=True, help_text="Why, in words.")
    registered = serializers.BooleanField()
    discovered_models = serializers.IntegerField(allow_null=True)
    using_cached_list = serializers.BooleanField()
    last_success_at = serializers.DateTimeField(allow_null=True)
    last_error_at = serializers.DateTimeField(allow_null=True)
    last_error = serializers.CharField(allow_blank=True)
    latency_ms = serializers.FloatField(allow_null=True)
    checked_at = serializers.DateTimeField(allow_null=True)
    updated_at = serializers.DateTimeField(allow_null=True)
    stale = serializers.BooleanField()
    status_page = serializers.SerializerMethodField()

    @extend_schema_field(StatusPageView(allow_null=True))
    def get_status_page(self, row: HealthSnapshot) -> dict[str, Any] | None:
        return None if row.page_read_at is None else dict(StatusPageView(row).data)


class HealthListView(APIView):
    permission_model = HealthSnapshot

    @extend_schema(operation_id="health_list", responses=HealthView(many=True))
    def get(self, request: Request) -> Response:
        """Every provider, by name."""
        del request
        now = timezone.now()
        rows = {row.provider: row for row in HealthSnapshot.objects.all()}
        found = []
        for name in sorted(set(Provider.objects.values_list("name", flat=True))):
            row = rows.get(name)
            if row is None:
                row = HealthSnapshot(provider=name, registered=False, reason="Not checked yet.")
            row.stale = is_stale(row, now)  # type: ignore[attr-defined] # for this answer only
            found.append(row)
        return Response(HealthView(found, many=True).data)


urlpatterns = [re_path(r"^health/?$", HealthListView.as_view())]
