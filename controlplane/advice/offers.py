"""What requests may go to, as failover.suggestions judges it; and what traffic asked of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db.models import Max, Sum

from controlplane.records.models import NeedMinute, RequestMinute
from failover.cautions import TOGETHER, Meaning, Member, meaning_of, unserved
from failover.suggestions import Offer, Wants, needs_of
from providers.adapters.spec import NO_FACTS
from providers.models import ListedModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from controlplane.advice.scene import StoredScene

ALLOWLIST: Final = "allowlist"


def offers_in(scene: StoredScene) -> list[Offer]:
    """
    The pools that operators leave somebody to serve and that may fail over; then the models that
    providers list and that are in no pool, by provider/model. `scene` is a whole one.
    """
    pools = []
    for pool in scene.pools:
        meaning = scene.named(pool.name)
        if meaning and pool.name not in scene.disabled_models and not unserved(scene, meaning):
            pools.append(offer_of(scene, pool.name, meaning))
    in_pools = {member for offer in pools for member in offer.members}
    return [*pools, *_listed(scene, in_pools)]


def _listed(scene: StoredScene, in_pools: set[tuple[str, str]]) -> Iterator[Offer]:
    callable_ones = set(callable_providers(scene))
    for member in sorted(listed_members(scene), key=lambda each: each.name):
        pair = (member.provider, member.model)
        is_free = pair not in in_pools and member.name not in scene.disabled_models
        if member.provider in callable_ones and is_free:
            yield offer_of(scene, member.name, Meaning(members=(member,)))


def listed_members(scene: StoredScene) -> set[Member]:
    """What providers are configured to have, and what they list where that counts."""
    found = set(scene.inventory)
    if scene.settings["inventory_mode"] != ALLOWLIST:
        rows = ListedModel.objects.filter(vanished_at=None).values_list("provider", "model_id")
        found |= {Member(provider=provider, model=model) for provider, model in rows}
    return found


def callable_providers(scene: StoredScene) -> Iterator[str]:
    """Those that are on and that can be called as they are."""
    for name in scene.providers:
        provider = scene.provider(name)
        if provider is not None and provider.enabled and not provider.unable:
            yield name


def targets_of(scene: StoredScene, names: Iterable[str]) -> Iterator[Offer]:
    """What a rule names already; an unknown name is nobody."""
    for name in names:
        yield offer_of(scene, name, meaning_of(scene, name) or Meaning(members=()))


def offer_of(scene: StoredScene, name: str, meaning: Meaning) -> Offer:
    """The first member speaks for the facts: it serves as long as nothing fails."""
    known = [scene.known(member) for member in meaning.members[:1]]
    return Offer(
        name=name,
        members=frozenset((member.provider, member.model) for member in meaning.members),
        domains=frozenset(domain_of(scene, member.provider) for member in meaning.members),
        facts=known[0].facts if known else NO_FACTS,
        family=str(known[0].values.get("family", "")) if known else "",
    )


def domain_of(scene: StoredScene, provider_name: str) -> str:
    """What a provider fails with, in words: equal ones fail together."""
    provider = scene.provider(provider_name)
    if provider is None:
        return provider_name
    if together := provider.domain.get(TOGETHER):
        return f"{TOGETHER} {together}"
    domain = ", ".join(f"{key} {value}" for key, value in sorted(provider.domain.items()))
    return domain or provider.host or provider.name


def wants_between(since: datetime, until: datetime) -> Mapping[str, Wants]:
    """What the traffic of each name used, by the rollups of that time."""
    window = {"minute__gte": since, "minute__lt": until}
    needs: dict[str, set[str]] = {}
    used = NeedMinute.objects.filter(**window).values("pool", "need").annotate(n=Sum("requests"))
    for pool, need, number in used.order_by().values_list("pool", "need", "n"):
        if number:
            needs.setdefault(pool, set()).add(need)
    sizes = RequestMinute.objects.filter(**window).values("pool")
    most = dict(sizes.annotate(n=Max("most_input_tokens")).order_by().values_list("pool", "n"))
    return {
        pool: Wants(needs=needs_of(needs.get(pool, ())), input_tokens=most.get(pool) or 0)
        for pool in {*needs, *most}
    }
