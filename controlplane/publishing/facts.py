"""The facts that a snapshot carries: of the models that it names, and of no others."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from providers.adapters.spec import split_name
from providers.catalog.vendors import vendor_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from providers.adapters.spec import ModelFacts
    from providers.catalog.effective import Lookup
    from providers.models import Provider
    from routing.gateway.deciding.snapshot import AliasSpec, PoolSpec, RuleSpec

Metadata = dict[str, object]


def named_models(
    providers: Collection[str],
    pools: Iterable[PoolSpec],
    aliases: Iterable[AliasSpec],
    rules: Iterable[RuleSpec],
) -> Mapping[str, set[str]]:
    """The models that candidates, targets and rules name, by provider."""
    named: defaultdict[str, set[str]] = defaultdict(set)
    for pool in pools:
        for candidate in pool.candidates:
            named[candidate.provider].add(candidate.model)
    for alias in aliases:
        for target in alias.targets:
            named[target.provider].add(target.model)
    for rule in rules:
        for name in (rule.primary, *rule.fallbacks):
            if pair := split_name(name, providers.__contains__):
                named[pair[0]].add(pair[1])
    return named


def facts_of(
    provider: Provider,
    inventory: Mapping[str, Metadata],
    named: Iterable[str],
    lookup: Lookup,
) -> dict[str, ModelFacts]:
    """What is known of the models that `provider` lists or that are `named`, by id, sorted."""
    vendor = vendor_of(provider.kind, provider.base_url)
    if not vendor:  # only what operators state, as there is no other way to know its models
        stated = sorted(model for model, metadata in inventory.items() if metadata)
    else:
        stated = sorted({*inventory, *named})
    found = {model: lookup.facts(vendor, model, inventory.get(model, {})) for model in stated}
    return {model: facts for model, facts in found.items() if facts is not None}
