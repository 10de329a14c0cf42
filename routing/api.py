"""API of model pools and aliases."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError as ModelError
from rest_framework import serializers

from providers.listed import flags
from providers.managed.api import (
    MANAGED_FIELDS,
    CleanSerializer,
    ManagedSerializer,
    ManagedViewSet,
    SlashOrNoneRouter,
    as_api_error,
    refuse_twice,
)
from providers.managed.values import parts_of
from routing.models import Alias, AliasTarget, Candidate, CanonicalModel
from routing.switches import api as state_api

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.listed import Pair


class CandidateSerializer(CleanSerializer):
    identity = ("provider_name", "model")
    parent_field = "canonical_model"

    flag = serializers.SerializerMethodField(
        help_text="What is odd about it, such as that its provider does not list it; mostly empty."
    )

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
            "flag",
        ]
        validators: list[Any] = []

    def get_flag(self, row: Candidate) -> str:
        known = self._flags_of_list
        if known is None:
            known = self._flags_of_pool(row.canonical_model_id)
        return known.get((row.provider_name, row.model), "")

    @cached_property
    def _flags_of_list(self) -> Mapping[Pair, str] | None:
        """Of all candidates that a list shows, read once; None where one pool is shown."""
        if getattr(self.context.get("view"), "action", "") != "list":
            return None
        pools: Any = self.root.instance
        return flags(
            {(c.provider_name, c.model) for pool in pools for c in parts_of(pool, "candidates")}
        )

    def _flags_of_pool(self, pool: int) -> Mapping[Pair, str]:
        context: Any = self.context
        key = f"flags of {pool}"
        if key not in context:
            shown = Candidate.objects.filter(canonical_model=pool)
            context[key] = flags(set(shown.values_list("provider_name", "model")))
        known: Mapping[Pair, str] = context[key]
        return known


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
    is_listed_by_values = True
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
    is_listed_by_values = True
    queryset = Alias.objects.none()


router = SlashOrNoneRouter()
router.register("pools", PoolViewSet, basename="api-pool")
router.register("aliases", AliasViewSet, basename="api-alias")
urlpatterns = [*router.urls, *state_api.urlpatterns]
