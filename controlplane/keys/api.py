"""API of callers' keys."""

from __future__ import annotations

from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any

from django.urls import re_path
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied

from controlplane.access.reach import gain_problems
from controlplane.keys.rotating import LONGEST, USUAL, rotate
from controlplane.models import ApiKey, Team
from providers.managed.api import (
    MANAGED_FIELDS,
    ManagedSerializer,
    ManagedViewSet,
    NumberField,
    OrderSerializer,
    SlashOrNoneRouter,
)
from providers.managed.rights import rights_of
from routing.gateway.auth import new_key

if TYPE_CHECKING:
    from django.http import HttpRequest
    from rest_framework.request import Request
    from rest_framework.response import Response


@extend_schema_field({"type": "string", "nullable": True})
class TeamField(serializers.Field[Any, Any, Any, Any]):
    """A team by name, made when it is first named. Null for none."""

    def to_representation(self, value: Team) -> str:
        return value.name

    def to_internal_value(self, data: Any) -> Team:
        if not isinstance(data, str) or not data.strip() or len(data) > 100:
            raise serializers.ValidationError("must be a team's name of at most 100 characters")
        return Team.objects.filter(name=data.strip()).first() or Team(name=data.strip())


class ApiKeySerializer(ManagedSerializer):
    team = TeamField(required=False, allow_null=True)
    models = serializers.ListField(child=serializers.CharField(), required=False)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=ApiKey.SCOPES), required=False
    )
    key = serializers.CharField(
        read_only=True, help_text="The key itself; only in the answer that made it."
    )

    class Meta:
        model = ApiKey
        fields = [
            "name",
            "key",
            "prefix",
            "last4",
            "team",
            "models",
            "user_path",
            "scopes",
            "rpm",
            "tpm",
            "max_parallel",
            "enabled",
            "expires_at",
            "former_until",
            "capture",
            *MANAGED_FIELDS,
        ]
        read_only_fields = ["prefix", "last4"]
        validators: list[Any] = []

    def before_clean(self, row: ApiKey) -> None:
        if not row.digest:
            row.set_key(new_key())  # stands in for the one that create() makes
        if row.team is not None and row.team.pk is None:
            row.team = None  # a new team is saved with the key
        rights = rights_of(self.context["request"])
        if problems := gain_problems(rights, self.instance, row):
            said = "; ".join(f"{field}: {' '.join(p)}" for field, p in problems.items())
            raise PermissionDenied(said)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        team = attrs.get("team")
        attrs = super().validate(attrs)
        return attrs | ({"team": team} if "team" in attrs else {})

    def save_row(self, row: ApiKey) -> None:
        if row.team is not None and row.team.pk is None:
            row.team, _made = Team.objects.get_or_create(name=row.team.name)
        if not row.digest:
            key = new_key()
            row.set_key(key)
            row.key = key  # type: ignore[attr-defined] # for this answer only
        super().save_row(row)


class RotateOrder(OrderSerializer):
    overlap_s = NumberField(
        required=False,
        default=USUAL.total_seconds(),
        min_value=0,
        max_value=LONGEST.total_seconds(),
        help_text="Seconds that the text of before goes on opening; 0: none. Default: a day.",
    )


class ApiKeyViewSet(ManagedViewSet):
    permission_model = ApiKey
    serializer_class = ApiKeySerializer
    lookup_value_regex = ".+?"
    filterset_fields = ["managed_source", "enabled", "team__name"]
    queryset = ApiKey.objects.none()

    def get_queryset(self) -> Any:
        return super().get_queryset().select_related("team")

    @extend_schema(operation_id="keys_rotate", request=RotateOrder, responses=ApiKeySerializer)
    def rotate(self, request: Request, **_name: Any) -> Response:
        """
        Another text for the key, in `key` of the answer alone.

        It opens at once; the one before does until `former_until`.
        """
        order = RotateOrder(data=request.data)
        order.is_valid(raise_exception=True)
        row = self.get_object()
        holder = getattr(request.auth, "name", "")
        reason = f"API: {holder}, rotated" if holder else "API, rotated"
        overlap = timedelta(seconds=order.validated_data["overlap_s"])
        row.key = rotate(row, overlap, rights_of(request), reason)
        return self._tagged(self.get_serializer(row))


_rotate = ApiKeyViewSet.as_view({"post": "rotate"}, permission_verbs=("change",))
_one = ApiKeyViewSet.as_view(
    {"get": "retrieve", "put": "update", "patch": "partial_update", "delete": "destroy"},
    detail=True,
)


@wraps(_rotate)  # which is what the schema is told of
def _rotate_or_one(request: HttpRequest, name: str) -> Any:
    """A name may end in `/rotate`, too: what is not posted there is for the key of that name."""
    if request.method in {"POST", "OPTIONS"}:
        return _rotate(request, name=name)
    return _one(request, name=f"{name}/rotate")


router = SlashOrNoneRouter()
router.register("keys", ApiKeyViewSet, basename="api-key")
urlpatterns = [re_path(r"^keys/(?P<name>.+)/rotate/?$", _rotate_or_one), *router.urls]
