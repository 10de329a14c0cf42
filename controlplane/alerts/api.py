"""API of alerts: what needs an operator now, and what did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.db.models import F
from django.urls import re_path
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from controlplane.alerts.kinds import KINDS
from controlplane.alerts.models import Alert

if TYPE_CHECKING:
    from rest_framework.request import Request

MOST: Final = 1000


class NoticeView(serializers.Serializer[Any]):
    """
    One message. `sent_at` is null as long as it was not taken; without `due_at` it is not tried
    again. `error` is what the receiver last answered.
    """

    to = serializers.CharField(source="channel", help_text="The address, without its secrets.")
    is_recovery = serializers.BooleanField(source="is_end")
    sent_at = serializers.DateTimeField(allow_null=True)
    due_at = serializers.DateTimeField(allow_null=True)
    tries = serializers.IntegerField()
    error = serializers.CharField(allow_blank=True)


class AlertView(serializers.Serializer[Any]):
    """An alert is open while `ended_at` is null."""

    id = serializers.IntegerField()
    kind = serializers.CharField(help_text=f"One of {', '.join(KINDS)}.")
    subject = serializers.CharField()
    text = serializers.CharField()
    since = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
    sent = NoticeView(many=True, source="notices")


class AlertsView(APIView):
    permission_model = Alert

    @extend_schema(
        operation_id="alerts_list",
        parameters=[OpenApiParameter("open", bool, description="true: only those that last.")],
        responses=AlertView(many=True),
    )
    def get(self, request: Request) -> Response:
        """Open and past alerts, newest first; of the past ones the last thousand."""
        rows = Alert.objects.order_by("-since", "-pk").prefetch_related("notices")
        if request.query_params.get("open") in {"true", "1"}:
            rows = rows.filter(ended_at=None)
        # The open ones are never beyond the end, however old they are.
        those = rows.order_by(F("ended_at").desc(nulls_first=True))[:MOST]
        newest = sorted(those, key=lambda row: (row.since, row.pk), reverse=True)
        return Response(AlertView(newest, many=True).data)


urlpatterns = [re_path(r"^alerts/?$", AlertsView.as_view())]
