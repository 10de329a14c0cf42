"""Names that mean something, asked of the database for many at once: for lists and forms."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from django.db import InterfaceError, OperationalError
from django.db.models import CharField, F, Value
from django.db.models.functions import Concat

from failover.models import FailoverRule
from providers.adapters.spec import split_name
from providers.models import Credential, ListedModel, Provider, ProviderModel
from routing.models import Alias, AliasTarget, Candidate, CanonicalModel

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from django.db.models import QuerySet

SUGGESTED: Final = 20
CLOSE: Final = 3
COMPARED: Final = 2000


def unknown_names(names: Collection[str]) -> frozenset[str]:
    """Those that no pool, alias, provider/model or listed model answers to; four queries."""
    known = set(CanonicalModel.objects.filter(name__in=names).values_list("name", flat=True))
    known.update(Alias.objects.filter(name__in=names).values_list("name", flat=True))
    known.update(
        ProviderModel.objects.filter(model_id__in=names).values_list("model_id", flat=True)
    )
    providers = set(Provider.objects.values_list("name", flat=True))
    known.update(name for name in names if split_name(name, providers.__contains__))
    return frozenset(names) - known


def suggested_models(typed: str) -> list[str]:
    """Names that a request or a rule may use and that have `typed` in them, a few."""
    pools = CanonicalModel.objects.filter(name__icontains=typed)
    aliases = Alias.objects.filter(name__icontains=typed)
    names = {
        *pools.order_by("name").values_list("name", flat=True)[:SUGGESTED],
        *aliases.order_by("name").values_list("name", flat=True)[:SUGGESTED],
    }
    return (sorted(names) + [name for name in _candidates(typed) if name not in names])[:SUGGESTED]


def suggested_ids(provider: str, typed: str) -> list[str]:
    """Models of that provider, by whoever names them, that have `typed` in them; a few."""
    found: set[str] = set()
    for rows in _models_of(provider):
        found.update(rows.filter(name__icontains=typed).order_by("name")[:SUGGESTED])
    return sorted(found)[:SUGGESTED]


def suggested_subjects(typed: str) -> list[str]:
    """What can be benched and has `typed` in it, a few: provider/* and provider/model."""
    providers = Provider.objects.filter(name__icontains=typed.removesuffix("*").removesuffix("/"))
    names = sorted(set(providers.values_list("name", flat=True)))
    return [*(f"{name}/*" for name in names), *_candidates(typed)][:SUGGESTED]


def unknown_subject(subject: str, credential: str = "") -> dict[str, str]:
    """
    Why nobody is benched by `subject`, which is provider/model or provider/*; {} if somebody is.

    By the part that is wrong: model or credential. Only who is known to a pool, an alias, a rule or
    an inventory is ever benched. Without the database nobody is refused: hosts bench without it.
    """
    try:
        return _unknown_subject(subject, credential)
    except (OperationalError, InterfaceError):
        return {}


def _unknown_subject(subject: str, credential: str) -> dict[str, str]:
    provider, _, model = subject.partition("/")
    names = sorted(set(Provider.objects.values_list("name", flat=True)))
    if provider not in names:
        return {"model": f"There is no provider {provider[:100]!r}; {_close(provider, names)}."}
    if model != "*" and not _is_known(provider, model):
        models = sorted({name for rows in _models_of(provider) for name in rows})
        said = f"No pool, alias, rule or list has {subject[:200]!r}; {_close(model, models)}."
        return {"model": said}
    rows = Credential.objects.filter(provider__name=provider)
    labels = sorted(set(rows.values_list("label", flat=True)))
    if credential and credential not in labels:
        said = f"{provider} has no credential {credential[:100]!r}; {_close(credential, labels)}."
        return {"credential": said}
    return {}


def _is_known(provider: str, model: str) -> bool:
    named = (rows.filter(name=model) for rows in _models_of(provider))
    if any(rows.exists() for rows in named):
        return True
    rules = FailoverRule.objects.values_list("primary_model", "fallback_models")
    subject = f"{provider}/{model}"
    return any(subject == primary or subject in fallbacks for primary, fallbacks in rules)


def _models_of(provider: str) -> Iterator[QuerySet[Any, str]]:
    """The names that pools, inventories, aliases and the provider's own list have."""
    for rows, field in (
        (Candidate.objects.filter(provider_name=provider), "model"),
        (ProviderModel.objects.filter(provider__name=provider), "model_id"),
        (AliasTarget.objects.filter(provider_name=provider), "model"),
        (ListedModel.objects.filter(provider=provider, vanished_at=None), "model_id"),
    ):
        yield rows.order_by().annotate(name=F(field)).values_list("name", flat=True)


def _close(name: str, known: list[str]) -> str:
    """The names that are meant, or else some of those that there are."""
    if not known:
        return "there are none"
    near = get_close_matches(name[:100], known[:COMPARED], n=CLOSE, cutoff=0.5)
    more = len(known) - CLOSE
    rest = f" and {more} more" if not near and more > 0 else ""
    return f"known are {', '.join(near or known[:CLOSE])}{rest}"


def _candidates(typed: str) -> list[str]:
    """provider/model of pools and inventories."""
    found: set[str] = set()
    for rows, provider, model in (
        (Candidate.objects.all(), "provider_name", "model"),
        (ProviderModel.objects.all(), "provider__name", "model_id"),
    ):
        name = Concat(provider, Value("/"), model, output_field=CharField())
        named = rows.annotate(full=name).filter(full__icontains=typed)
        found.update(named.order_by("full").values_list("full", flat=True).distinct()[:SUGGESTED])
    return sorted(found)[:SUGGESTED]
