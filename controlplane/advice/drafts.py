"""API of drafts: failover rules that an operator might want, by what is known of the models."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.urls import re_path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response
from rest_framework.views import APIView

from controlplane.advice.offers import offer_of, offers_in, targets_of, wants_between
from controlplane.advice.scene import StoredScene
from controlplane.advice.throttling import DraftsThrottle
from failover.cautions import meaning_of
from failover.models import FailoverRule
from failover.suggestions import NO_WANTS, Market, Offer
from providers.managed.api import OrderSerializer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rest_framework.request import Request

MOST_MODELS: Final = 100
USED_WITHIN: Final = timedelta(days=7)


class DraftsOrder(OrderSerializer):
    models = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        allow_empty=False,
        max_length=MOST_MODELS,
        help_text="Model pools, aliases or provider/model. Default: the model pools that have no"
        f" rule yet, up to {MOST_MODELS}.",
    )


class EvidenceView(serializers.Serializer[Any]):
    fallback_model = serializers.CharField()
    score = serializers.FloatField(help_text="From 0 to 1.")
    reasons = serializers.ListField(child=serializers.CharField())


class DraftView(serializers.Serializer[Any]):
    """A rule as it might be. Nothing is saved; PUT /api/failover saves one."""

    primary_model = serializers.CharField()
    fallback_models = serializers.ListField(child=serializers.CharField())
    evidence = EvidenceView(many=True)


class DraftsView(APIView):
    permission_model = FailoverRule
    throttle_classes = (DraftsThrottle,)

    @extend_schema(
        operation_id="failover_generate", request=DraftsOrder, responses=DraftView(many=True)
    )
    def post(self, request: Request) -> Response:
        """Draft failover rules. A model that nothing fits is in the answer if it was named."""
        order = DraftsOrder(data=request.data)
        order.is_valid(raise_exception=True)
        named: list[str] | None = order.validated_data.get("models")
        return Response(drafts(StoredScene.whole(), named))


def drafts(scene: StoredScene, named: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """
    Drafts for the names given, or for pools without a rule. Raises ValidationError.

    `scene` is a whole one.
    """
    offers = offers_in(scene)
    market = Market(offers)
    wants = wants_between(scene.now - USED_WITHIN, scene.now)
    ruled = dict(FailoverRule.effective().values_list("primary_model", "fallback_models"))
    if named is None:
        pools = {pool.name for pool in scene.pools} - ruled.keys()
        primaries = [offer for offer in offers if offer.name in pools][:MOST_MODELS]
    else:
        primaries = [_primary(scene, name) for name in dict.fromkeys(named)]
    found = []
    for primary in primaries:
        targets = targets_of(scene, ruled.get(primary.name, ()))
        evidence = market.suggest(primary, targets, wants.get(primary.name, NO_WANTS))
        if evidence or named is not None:
            view = {
                "primary_model": primary.name,
                "fallback_models": [entry.fallback_model for entry in evidence],
                "evidence": evidence,
            }
            found.append(dict(DraftView(view).data))
    return found


def _primary(scene: StoredScene, name: str) -> Offer:
    meaning = meaning_of(scene, name.strip())
    if meaning is None:
        raise ValidationError(
            {"models": [f"{name!r} is no model pool, alias, provider/model or listed model"]}
        )
    return offer_of(scene, name.strip(), meaning)


urlpatterns = [re_path(r"^failover/generate/?$", DraftsView.as_view())]
