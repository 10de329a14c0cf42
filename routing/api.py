"""API of model pools and aliases."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError as ModelError

from providers.managed.api import (
    MANAGED_FIELDS,
    CleanSerializer,
    ManagedSerializer,
    ManagedViewSet,
    SlashOrNoneRouter,
    as_api_error,
    refuse_twice,
)
from routing.models import Alias, AliasTarget, Candidate, CanonicalModel
from routing.switches import api as state_api


class CandidateSerializer(CleanSerializer):
    identity = ("provider_name", "model")
    parent_field = "canonical_model"

    class Meta:
        model = Candidate
        fields = [
            "provider_name",
            "model",
            "priority",
            "weight",
            "rpm",
            "tpm",
            "max_parallel",
            "enabled",
            "timeouts",
        ]
        validators: list[Any] = []


class PoolSerializer(ManagedSerializer):
    parts = ("candidates",)

    candidates = CandidateSerializer(many=True, required=False)

    class Meta:
        model = CanonicalModel
        fields = [
            "name",
            "enabled",
            "strategy",
            "session_affinity",
            "session_affinity_ttl_s",
            "affinity_key",
            "stay_after_failover",
            "native_first",
            "params",
            "timeouts",
            "failover",
            "capture",
            "candidates",
            *MANAGED_FIELDS,
        ]
        validators: list[Any] = []

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        refuse_twice(attrs.get("candidates", []), CandidateSerializer.identity, "candidates")
        return attrs


class PoolViewSet(ManagedViewSet):
    permission_model = CanonicalModel
    serializer_class = PoolSerializer
    lookup_value_regex = ".+?"  # a name may hold a slash
    prefetched = ("candidates",)
    queryset = CanonicalModel.objects.none()


class AliasTargetSerializer(CleanSerializer):
    identity = ("provider_name", "model")
    parent_field = "alias"

    class Meta:
        model = AliasTarget
        fields = ["provider_name", "model", "priority", "weight"]
        validators: list[Any] = []


class AliasSerializer(ManagedSerializer):
    parts = ("targets",)

    targets = AliasTargetSerializer(many=True, required=False)

    class Meta:
        model = Alias
        fields = ["name", "target", "strategy", "enabled", "targets", *MANAGED_FIELDS]
        validators: list[Any] = []

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        refuse_twice(attrs.get("targets", []), AliasTargetSerializer.identity, "targets")
        before = self.instance
        target = attrs.get("target", before.target if before else "")
        number = len(
            attrs["targets"] if "targets" in attrs else before.targets.all() if before else []
        )
        try:
            Alias(target=target).check_targets(number)
        except ModelError as error:
            raise as_api_error(error) from error
        return attrs


class AliasViewSet(ManagedViewSet):
    permission_model = Alias
    serializer_class = AliasSerializer
    lookup_value_regex = ".+?"
    prefetched = ("targets",)
    queryset = Alias.objects.none()


router = SlashOrNoneRouter()
router.register("pools", PoolViewSet, basename="api-pool")
router.register("aliases", AliasViewSet, basename="api-alias")
urlpatterns = [*router.urls, *state_api.urlpatterns]
