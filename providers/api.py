"""API of providers."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from providers.managed_api import (
    MANAGED_FIELDS,
    CleanSerializer,
    ManagedSerializer,
    ManagedViewSet,
    SlashOrNoneRouter,
    refuse_twice,
)
from providers.models import Credential, Provider, ProviderModel
from providers.validation import secret_problems


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


class ProviderViewSet(ManagedViewSet):
    permission_model = Provider
    serializer_class = ProviderSerializer
    filterset_fields = ["managed_source", "enabled", "kind"]
    prefetched = ("credentials", "models")
    queryset = Provider.objects.none()  # tells the schema the model


router = SlashOrNoneRouter()
router.register("providers", ProviderViewSet, basename="api-provider")
urlpatterns = router.urls
