"""API of providers."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from providers import catalog_api
from providers.destinations import confirm, unconfirmed
from providers.managed.api import (
    MANAGED_FIELDS,
    CleanSerializer,
    ManagedSerializer,
    ManagedViewSet,
    OrderSerializer,
    SlashOrNoneRouter,
    refuse_twice,
)
from providers.managed.rights import rights_of
from providers.models import Credential, Provider, ProviderModel
from providers.secrets.fields import MASK, EncryptedTexts
from providers.secrets.masking import kept_proxy, masked_proxy, shown_proxy, unmasked
from providers.trial import NoSuchCredential, try_stored
from providers.validation import secret_problems

if TYPE_CHECKING:
    from rest_framework.request import Request


@extend_schema_field({"type": "object", "additionalProperties": {"type": "string"}})
class HeadersField(serializers.Field[Any, Any, Any, Any]):
    """Names in clear, values masked; a masked value that is sent back keeps the stored one."""

    def to_representation(self, value: Any) -> Any:
        return value.masked() if isinstance(value, EncryptedTexts) else {}

    def to_internal_value(self, data: Any) -> Any:
        row = getattr(self.parent, "instance", None)
        try:
            return unmasked(data, row.headers if row is not None else {})
        except ValueError as error:
            raise ValidationError(str(error)) from error

    @staticmethod
    def masked(sent: Any) -> Any:
        return dict.fromkeys(sent, MASK) if isinstance(sent, dict) else MASK


@extend_schema_field({"type": "string"})
class ProxyField(serializers.CharField):
    """An address, its password masked; the mask keeps the stored one."""

    def to_representation(self, value: Any) -> str:
        return shown_proxy(value)

    def to_internal_value(self, data: Any) -> Any:
        row = getattr(self.parent, "instance", None)
        text = super().to_internal_value(data)
        try:
            return kept_proxy(text, row.proxy if row is not None else None)
        except ValueError as error:
            raise ValidationError(str(error)) from error

    @staticmethod
    def masked(sent: Any) -> Any:
        return masked_proxy(sent) if isinstance(sent, str) else MASK


class CredentialSerializer(CleanSerializer):
    identity = ("label",)
    parent_field = "provider"

    confirmed = serializers.BooleanField(
        source="is_confirmed",
        read_only=True,
        help_text="Whether the key may go where the provider is now. If not, it is not sent.",
    )
    confirmed_for = serializers.CharField(
        read_only=True, help_text="Where it was entered or confirmed for."
    )
    secret = serializers.CharField(
        write_only=True,
        required=False,
        help_text="The key. Written, never read back; left out, the stored one stays.",
    )

    class Meta:
        model = Credential
        fields = ["label", "secret", "enabled", "confirmed", "confirmed_for"]
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

    headers = HeadersField(
        required=False, help_text="Values are written, never read back; ••• keeps the stored one."
    )
    proxy = ProxyField(
        required=False,
        allow_blank=True,
        help_text="Its password is not shown; ••• keeps the stored one.",
    )
    unconfirmed = serializers.SerializerMethodField(
        help_text="What was entered for another address or proxy, and so is not sent: in words."
    )
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
            "unconfirmed",
            *MANAGED_FIELDS,
        ]
        validators: list[Any] = []

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_unconfirmed(self, row: Provider) -> list[str]:
        return unconfirmed(row)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        self._refuse_without_right(attrs)
        credentials = attrs.get("credentials", [])
        refuse_twice(credentials, CredentialSerializer.identity, "credentials")
        refuse_twice(attrs.get("models", []), ProviderModelSerializer.identity, "models")
        stored = {c.label for c in self.instance.credentials.all()} if self.instance else set()
        for credential in credentials:
            if "secret" not in credential and credential["label"] not in stored:
                raise ValidationError({"credentials": [f"{credential['label']}: a key is needed"]})
        return attrs

    def _refuse_without_right(self, attrs: dict[str, Any]) -> None:
        """Keys are written by those who may write credentials, as on the provider's page."""
        if "credentials" not in attrs:
            return
        stored = {c.label: c for c in self.instance.credentials.all()} if self.instance else {}
        wanted = {entry["label"]: entry for entry in attrs["credentials"]}
        needed = {
            "providers.add_credential": wanted.keys() - stored.keys(),
            "providers.delete_credential": stored.keys() - wanted.keys(),
            "providers.change_credential": {
                label
                for label in wanted.keys() & stored.keys()
                if "secret" in wanted[label]
                or wanted[label].get("enabled", True) != stored[label].enabled
            },
        }
        rights_of(self.context["request"]).require(
            [name for name, labels in needed.items() if labels], "Writing keys"
        )


class TrialOrder(OrderSerializer):
    credential = serializers.CharField(
        required=False, help_text="The label of one. Default: the first that is enabled."
    )


class ConfirmOrder(OrderSerializer):
    destination = serializers.CharField(
        required=False,
        help_text="Where they may go, as `unconfirmed` has it: refused if it is another by now.",
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
        try:
            trial = try_stored(provider, order.validated_data.get("credential"))
        except NoSuchCredential as error:
            raise ValidationError({"credential": [str(error)]}) from error
        return Response(TrialView(dataclasses.asdict(trial)).data)

    @extend_schema(
        operation_id="providers_confirm",
        request=ConfirmOrder,
        responses=ProviderSerializer,
        filters=False,
    )
    @action(
        detail=True,
        methods=["post"],
        url_path="confirm",
        permission_names=("providers.view_provider", "providers.change_credential"),
    )
    def confirm(self, request: Request, name: str) -> Response:
        """
        Say that keys and headers may go where the provider is now.

        They were entered for another address or proxy, and are not sent until then.
        """
        del name  # get_object reads it
        order = ConfirmOrder(data=request.data)
        order.is_valid(raise_exception=True)
        provider = self.get_object()
        try:
            confirm(provider, order.validated_data.get("destination"))
        except ValueError as error:
            raise ValidationError({"destination": [str(error)]}) from error
        return Response(self.get_serializer(self.get_object()).data)


router = SlashOrNoneRouter()
router.register("providers", ProviderViewSet, basename="api-provider")
urlpatterns = [*router.urls, *catalog_api.urlpatterns]
