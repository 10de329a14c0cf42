"""API of drafts: failover rules that an operator might want, by what is known of the models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.urls import re_path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response
from rest_framework.views import APIView

from controlplane.advice.scene import StoredScene, members_of
from controlplane.advice.throttling import DraftsThrottle
from failover.cautions import Meaning, Member, meaning_of, unserved
from failover.models import FailoverRule
from failover.suggestions import Offer, suggest
from providers.adapters.spec import NO_FACTS
from providers.managed.api import OrderSerializer
from providers.models import Provider, ProviderModel
from routing.models import CanonicalModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rest_framework.request import Request

MOST_MODELS: Final = 100
MOST_OFFERS: Final = 1000


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
        return Response(drafts(StoredScene(), named))


def drafts(scene: StoredScene, named: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Drafts for the names given, or for pools without a rule. Raises ValidationError."""
    offers = _offers(scene)
    ruled = dict(FailoverRule.effective().values_list("primary_model", "fallback_models"))
    if named is None:
        pools = set(CanonicalModel.effective().values_list("name", flat=True)) - ruled.keys()
        primaries = [offer for offer in offers if offer.name in pools][:MOST_MODELS]
    else:
        primaries = [_primary(scene, name) for name in dict.fromkeys(named)]
    found = []
    for primary in primaries:
        evidence = suggest(primary, offers, _targets(scene, ruled.get(primary.name, ())))
        if evidence or named is not None:
            view = {
                "primary_model": primary.name,
                "fallback_models": [entry.fallback_model for entry in evidence],
                "evidence": evidence,
            }
            found.append(dict(DraftView(view).data))
    return found


def _targets(scene: StoredScene, names: Iterable[str]) -> Iterator[Offer]:
    """What a rule names already; an unknown name is nobody."""
    for name in names:
        meaning = meaning_of(scene, name)
        yield _offer(scene, name, meaning or Meaning(members=()))


def _offers(scene: StoredScene) -> list[Offer]:
    """The pools that operators leave somebody to serve, and that may fail over."""
    rows = CanonicalModel.effective().filter(enabled=True).prefetch_related("candidates")
    meanings = (
        (row.name, Meaning(members=members_of(row.candidates.all())))
        for row in rows.order_by("name")[:MOST_OFFERS]
    )
    pools = [
        _offer(scene, name, meaning)
        for name, meaning in meanings
        if name not in scene.disabled_models and not unserved(scene, meaning)
    ]
    return [*pools, *_listed(scene, {member for offer in pools for member in offer.members})]


def _listed(scene: StoredScene, in_pools: set[tuple[str, str]]) -> Iterator[Offer]:
    """Models of inventories that are in no pool, by provider/model."""
    providers = Provider.effective().filter(enabled=True)
    pairs = ProviderModel.objects.filter(provider__in=providers).values_list(
        "provider__name", "model_id"
    )
    for provider, model in pairs.order_by("provider__name", "model_id")[:MOST_OFFERS]:
        member = Member(provider=provider, model=model)
        if (provider, model) not in in_pools and member.name not in scene.disabled_models:
            yield _offer(scene, member.name, Meaning(members=(member,)))


def _primary(scene: StoredScene, name: str) -> Offer:
    meaning = meaning_of(scene, name.strip())
    if meaning is None:
        raise ValidationError(
            {"models": [f"{name!r} is no model pool, alias, provider/model or listed model"]}
        )
    return _offer(scene, name.strip(), meaning)


def _offer(scene: StoredScene, name: str, meaning: Meaning) -> Offer:
    """The first member speaks for the facts: it serves as long as nothing fails."""
    known = [scene.known(member) for member in meaning.members[:1]]
    return Offer(
        name=name,
        members=frozenset((member.provider, member.model) for member in meaning.members),
        domains=frozenset(_domain(scene, member.provider) for member in meaning.members),
        facts=known[0].facts if known else NO_FACTS,
        family=str(known[0].values.get("family", "")) if known else "",
    )


def _domain(scene: StoredScene, provider_name: str) -> str:
    provider = scene.provider(provider_name)
    if provider is None:
        return provider_name
    domain = ", ".join(f"{key} {value}" for key, value in sorted(provider.domain.items()))
    return domain or provider.host or provider.name


urlpatterns = [re_path(r"^failover/generate/?$", DraftsView.as_view())]
