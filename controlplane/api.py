"""API of keys, and the API's own pages."""

from __future__ import annotations

from threading import Lock
from typing import Any, ClassVar

from django.http import HttpResponse
from django.urls import path
from drf_spectacular.utils import extend_schema, extend_schema_field
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from controlplane.access.reach import gain_problems
from controlplane.advice import drafts
from controlplane.models import ApiKey, Team
from providers.managed.api import (
    MANAGED_FIELDS,
    ManagedSerializer,
    ManagedViewSet,
    SlashOrNoneRouter,
)
from providers.managed.rights import rights_of
from routing.gateway.auth import new_key


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


class ApiKeyViewSet(ManagedViewSet):
    permission_model = ApiKey
    serializer_class = ApiKeySerializer
    lookup_value_regex = ".+?"
    filterset_fields = ["managed_source", "enabled", "team__name"]
    queryset = ApiKey.objects.none()

    def get_queryset(self) -> Any:
        return super().get_queryset().select_related("team")


class SchemaView(SpectacularAPIView):
    """
    The API's schema, made and written once by each process: it takes a second, which strangers
    could ask for again and again, and two at a time fail in its generator.
    """

    permission_classes = ()
    _turn = Lock()
    _written: ClassVar[dict[str, str | bytes]] = {}

    @extend_schema(exclude=True)
    def get(self, request: Request, *_args: Any, **_named: Any) -> HttpResponse:
        renderer = request.accepted_renderer
        with self._turn:
            if renderer.media_type not in self._written:
                generator: Any = self.generator_class()
                made = generator.get_schema(request=None, public=True)
                self._written[renderer.media_type] = renderer.render(made, renderer.media_type, {})
        return HttpResponse(self._written[renderer.media_type], content_type=renderer.media_type)


router = SlashOrNoneRouter()
router.register("keys", ApiKeyViewSet, basename="api-key")
urlpatterns = [
    *router.urls,
    *drafts.urlpatterns,
    path("schema/", SchemaView.as_view(), name="api-schema"),
    path(
        "docs/",
        SpectacularSwaggerView.as_view(url_name="api-schema", permission_classes=[]),
        name="api-docs",
    ),
]
