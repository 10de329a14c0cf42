"""API of operators' switches: providers, model pools, and candidates in one pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError as ModelError
from django.db import transaction
from django.urls import re_path
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound
from rest_framework.response import Response
from rest_framework.views import APIView

from providers.managed.api import OrderSerializer, as_api_error
from routing.models import RoutingState, SwitchKind
from routing.switches.state import end, set_state, warnings_of

if TYPE_CHECKING:
    from rest_framework.request import Request


class StrictName(serializers.CharField):
    """A string and nothing else; null is as good as leaving it out."""

    def __init__(self) -> None:
        super().__init__(required=False, allow_blank=True, allow_null=True, default="")

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class SwitchName(OrderSerializer):
    """
    Identity: a provider by `provider_name`, a model pool by `canonical_model`, a candidate by
    all three names.
    """

    kind = serializers.ChoiceField(choices=SwitchKind.choices)
    provider_name = StrictName()
    canonical_model = StrictName()
    model = StrictName()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        for name in RoutingState.IDENTITY:
            attrs[name] = attrs[name] or ""
        try:
            RoutingState(**identity_of(attrs)).check_identity()
        except ModelError as error:
            raise as_api_error(error) from error
        return attrs


class SwitchOrder(SwitchName):
    """Without `reason` and `until` those of the same switch stay, unless it turns."""

    enabled = serializers.BooleanField()
    reason = serializers.CharField(required=False, allow_blank=True, max_length=500)
    until = serializers.DateTimeField(
        required=False, allow_null=True, help_text="Then the switch ends by itself."
    )


class SwitchView(serializers.Serializer[Any]):
    """Names that a kind does not have are null. `until` null: it holds until somebody ends it."""

    kind = serializers.ChoiceField(choices=SwitchKind.choices)
    provider_name = serializers.CharField(allow_null=True)
    canonical_model = serializers.CharField(allow_null=True)
    model = serializers.CharField(allow_null=True)
    enabled = serializers.BooleanField()
    reason = serializers.CharField(allow_blank=True)
    until = serializers.DateTimeField(allow_null=True)
    set_by = serializers.CharField(allow_blank=True)
    updated_at = serializers.DateTimeField()
    warnings = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="Only in the answer to a write."
    )

    def to_representation(self, instance: RoutingState) -> dict[str, Any]:
        shown: dict[str, Any] = super().to_representation(instance)
        return shown | {name: shown[name] or None for name in RoutingState.IDENTITY}


class RoutingStateView(APIView):
    deletes_by_body = True
    permission_model = RoutingState

    @extend_schema(operation_id="routing_state_list", responses=SwitchView(many=True))
    def get(self, request: Request) -> Response:
        """Every switch that holds. What has none is as the configuration says."""
        del request
        # Sorted here, not by the database, whose collation is its own.
        rows = sorted(RoutingState.standing(), key=lambda row: tuple(row.identity.values()))
        return Response(SwitchView(rows, many=True).data)

    @extend_schema(operation_id="routing_state_put", request=SwitchOrder, responses=SwitchView)
    def put(self, request: Request) -> Response:
        """Switch one off or on. Live in this process before the answer."""
        order = SwitchOrder(data=request.data)
        order.is_valid(raise_exception=True)
        given = dict(order.validated_data)
        said = {name: given[name] for name in ("enabled", "reason", "until") if name in given}
        try:
            row = set_state(identity_of(given), said, author_of(request))
        except ModelError as error:
            raise as_api_error(error) from error
        row.warnings = warnings_of(row)  # type: ignore[attr-defined] # for this answer only
        return Response(SwitchView(row).data)

    @extend_schema(
        operation_id="routing_state_delete",
        request=SwitchName,
        parameters=[
            OpenApiParameter(
                "kind", str, enum=SwitchKind.values, description="If there is no body."
            ),
            *(OpenApiParameter(name, str) for name in RoutingState.IDENTITY[1:]),
        ],
        responses={204: None, 404: OpenApiResponse(description="Nothing has these names.")},
    )
    @transaction.atomic
    def delete(self, request: Request) -> Response:
        """Back to what the configuration says. What has no switch is so already: 204, too."""
        given = request.data if isinstance(request.data, dict) and request.data else None
        name = SwitchName(data=given if given is not None else request.query_params.dict())
        name.is_valid(raise_exception=True)
        wanted = RoutingState(**identity_of(name.validated_data))
        row = RoutingState.objects.select_for_update().filter(**wanted.identity).first()
        if row is not None:
            end(row, author_of(request))
        elif wanted.object_problems():
            raise NotFound(f"There is no {wanted}.")
        return Response(status=status.HTTP_204_NO_CONTENT)


def identity_of(given: dict[str, Any]) -> dict[str, str]:
    return {name: given[name] for name in RoutingState.IDENTITY}


def author_of(request: Request) -> str:
    """Who is asking, for the switch and its history."""
    holder = getattr(request.auth, "name", "")
    return f"API: {holder}" if holder else request.user.get_username()


urlpatterns = [re_path(r"^routing-state/?$", RoutingStateView.as_view())]
