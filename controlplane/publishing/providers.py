"""Providers as a snapshot carries them: with their keys still encrypted, and their models."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import msgspec
from django.utils import timezone

from controlplane.publishing.facts import facts_of
from providers.adapters.spec import CredentialSpec, ProviderSpec, Timeouts
from providers.catalog_rows import lookup
from providers.models import Credential, ListedModel, ProviderModel

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from providers.adapters.spec import ModelFacts
    from providers.models import Provider

NO_TIMEOUTS: Final = Timeouts()
FALLBACK: Final = "fallback"

Value = TypeVar("Value")


def converted(value: Any, kind: type[Value], what: str) -> Value:
    """Raises ValueError naming `what` cannot be published."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"{what} cannot be published: {error}") from error


def timeouts_of(block: Mapping[str, Any], what: str) -> Timeouts:
    return converted(block, Timeouts, f"timeouts of {what}") if block else NO_TIMEOUTS


class Keys(NamedTuple):
    """
    A provider's credentials: those that are used, in order, and the labels of the `withheld`.

    Withheld is what was entered for another destination than its provider's present one.
    """

    used: tuple[CredentialSpec, ...] = ()
    withheld: tuple[str, ...] = ()


NO_KEYS: Final = Keys()


def keys_by_provider() -> Mapping[int, Keys]:
    """By their provider's row; what is disabled is no part of it."""
    found: dict[int, Keys] = {}
    destinations: dict[int, str] = {}
    rows = Credential.objects.filter(enabled=True).select_related("provider")
    for row in rows.order_by("position", "pk"):
        if not row.secret:
            continue
        owner = row.provider_id
        if owner not in destinations:
            destinations[owner] = row.provider.destination
        keys = found.get(owner, NO_KEYS)
        bound = row.secret.bound
        if bound is not None and bound.destination == destinations[owner]:
            spec = CredentialSpec(label=row.label, secret=row.secret.token)
            found[owner] = keys._replace(used=(*keys.used, spec))
        else:
            found[owner] = keys._replace(withheld=(*keys.withheld, row.label))
    return found


def spec_of(
    row: Provider,
    keys: Keys,
    *,
    models: Iterable[str] = (),
    facts: Mapping[str, ModelFacts] | None = None,
) -> ProviderSpec:
    """Raises ValueError if the row holds what no snapshot can."""
    left_out = row.unconfirmed_headers
    return ProviderSpec(
        name=row.name,
        kind=row.kind,
        base_url=row.base_url,
        auth=row.auth,
        enabled=row.enabled,
        # Without one of its headers a call is not what the operator meant: none goes out.
        credentials=() if left_out else keys.used,
        models=tuple(models),
        facts=dict(facts or {}),
        protocols=tuple(row.protocols),
        headers={n: t for n, t in row.headers.tokens().items() if n not in left_out},
        timeouts=timeouts_of(row.timeouts, f"provider {row.name}"),
        proxy=row.proxy.token,
        trust_env_proxy=row.trust_env_proxy,
        fault=row.fault,
        source=row.managed_source,
        is_unconfirmed=bool(left_out or (keys.withheld and not keys.used)),
    )


def provider_specs(
    rows: Collection[Provider], named: Mapping[str, Iterable[str]], inventory_mode: str
) -> tuple[ProviderSpec, ...]:
    """
    Of every row its spec, with facts of the models that it lists or that are `named`.

    What it lists is what its own list said last, and else, or where `inventory_mode` is
    allowlist, what it is configured to have.
    """
    keys = keys_by_provider()
    configured: defaultdict[int, dict[str, Any]] = defaultdict(dict)
    for provider_id, model_id, metadata in ProviderModel.objects.order_by(
        "position", "pk"
    ).values_list("provider_id", "model_id", "metadata"):
        configured[provider_id][model_id] = metadata
    listed: defaultdict[str, list[str]] = defaultdict(list)
    if inventory_mode == FALLBACK:
        pairs = ListedModel.objects.filter(vanished_at=None).values_list("provider", "model_id")
        # Sorted here, not by the database: collations differ, the snapshot's bytes must not.
        for provider, model_id in sorted(pairs):
            listed[provider].append(model_id)
    catalogs = lookup(timezone.now())
    specs = []
    for row in rows:
        models = listed.get(row.name) or list(configured[row.pk])
        also = {*named.get(row.name, ()), *models}
        specs.append(
            spec_of(
                row,
                keys.get(row.pk, NO_KEYS),
                models=models,
                facts=facts_of(row, configured[row.pk], also, catalogs),
            )
        )
    return tuple(specs)
