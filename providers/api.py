"""API of providers."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from providers import catalog_api
from providers.managed.api import (
    MANAGED_FIELDS,
    CleanSerializer,
    ManagedSerializer,
    ManagedViewSet,
    OrderSerializer,
    SlashOrNoneRouter,
    refuse_twice,
)
from providers.models import Credential, Provider, ProviderModel
from providers.trial import try_provider
from providers.validation import secret_problems

if TYPE_CHECKING:
    from rest_framework.request import Request


class CredentialSerializer(CleanSerializer):
    identity = ("label",)
    parent_field = "provider"

    secret = serializers.CharField(
        write_only=True,
        required=False,
        help_text="The key. Written, never read back; left out, the stored one stays.",
    )

    class Meta:
        model = Credential
        fields = ["label", "secret", "enabled"]
        validators: list[Any] = []

    def validate_secret(self, secret: str) -> str:
        if problems := secret_problems(secret):
            raise ValidationError(problems)
        return secret

    def before_clean(self, row: Credential) -> None:
        if not row.secret:
            row.secret = "kept"  # noqa: S105 - the provider's serializer knows if there is one


class ProviderModelSerializer(CleanSerializer):
    identity = ("model_id",)
    parent_field = "provider"

    class Meta:
        model = ProviderModel
        fields = ["model_id", "metadata"]
        validators: list[Any] = []


class ProviderSerializer(ManagedSerializer):
    parts = ("credentials", "models")

    credentials = CredentialSerializer(many=True, required=False)
    models = ProviderModelSerializer(many=True, required=False)

    class Meta:
        model = Provider
        fields = [
            "name",
            "kind",
            "base_url",
            "auth",
            "enabled",
            "headers",
            "timeouts",
            "health",
            "failure_domain",
            "proxy",
            "trust_env_proxy",
            "protocols",
            "bench",
            "fault",
            "credentials",
            "models",
            *MANAGED_FIELDS,
        ]
        validators: list[Any] = []

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        credentials = attrs.get("credentials", [])
        refuse_twice(credentials, CredentialSerializer.identity, "credentials")
        refuse_twice(attrs.get("models", []), ProviderModelSerializer.identity, "models")
        stored = {c.label for c in self.instance.credentials.all()} if self.instance else set()
        for credential in credentials:
            if "secret" not in credential and credential["label"] not in stored:
                raise ValidationError({"credentials": [f"{credential['label']}: a key is needed"]})
        return attrs


class TrialOrder(OrderSerializer):
    credential = serializers.CharField(
        required=False, help_text="The label of one. Default: the first that is enabled."
    )


class TrialView(serializers.Serializer[Any]):
    """`ok` is null where the call leaves it open; `status` is null if there was no answer."""

    ok = serializers.BooleanField(allow_null=True)
    status = serializers.IntegerField(allow_null=True)
    latency_ms = serializers.FloatField()
    message = serializers.CharField()
    models = serializers.IntegerField(allow_null=True, help_text="How many it lists.")
    credential = serializers.CharField(allow_blank=True, help_text="The label of the key used.")


class ProviderViewSet(ManagedViewSet):
    permission_model = Provider
    serializer_class = ProviderSerializer
    filterset_fields = ["managed_source", "enabled", "kind"]
    prefetched = ("credentials", "models")
    queryset = Provider.objects.none()  # tells the schema the model
    open_to_config = ("test",)

    @extend_schema(
        operation_id="providers_test",
        request=TrialOrder,
        responses=TrialView,
        filters=False,
    )
    @action(detail=True, methods=["post"], url_path="test", permission_verbs=("change",))
    def test(self, request: Request, name: str) -> Response:
        """Make one cheap call to the provider now: what it lists as its models."""
        del name  # get_object reads it
        provider = self.get_object()
        order = TrialOrder(data=request.data)
        order.is_valid(raise_exception=True)
        label = order.validated_data.get("credential")
        usable = [c for c in provider.credentials.all() if c.label == label or c.enabled]
        chosen = next((c for c in usable if label in (None, c.label)), None)
        if label is not None and chosen is None:
            raise ValidationError({"credential": [f"there is no credential {label!r}"]})
        return Response(TrialView(dataclasses.asdict(try_provider(provider, chosen))).data)


router = SlashOrNoneRouter()
router.register("providers", ProviderViewSet, basename="api-provider")
urlpatterns = [*router.urls, *catalog_api.urlpatterns]
