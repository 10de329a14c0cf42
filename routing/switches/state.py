"""
Operators' switches: the few functions that admin, the API and the control child call.

A switch applies to whatever carries its names, the configuration's objects too. Each change is
kept in its history with who made it; an edit signal has it published.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.db import IntegrityError, transaction

from failover.models import FailoverRule
from providers.models import Provider
from routing.models import Candidate, CanonicalModel, RoutingState, SwitchKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

ENDED: Final = "its time was over"
LISTED: Final = 5


def identity_of(row: Provider | CanonicalModel | Candidate) -> dict[str, str]:
    """What names the switch of `row`."""
    names = {"kind": "", "provider_name": "", "canonical_model": "", "model": ""}
    if isinstance(row, Provider):
        return names | {"kind": SwitchKind.PROVIDER.value, "provider_name": row.name}
    if isinstance(row, CanonicalModel):
        return names | {"kind": SwitchKind.CANONICAL_MODEL.value, "canonical_model": row.name}
    return {
        "kind": SwitchKind.POOL_CANDIDATE.value,
        "provider_name": row.provider_name,
        "canonical_model": row.canonical_model.name,
        "model": row.model,
    }


def set_state(identity: Mapping[str, str], said: Mapping[str, Any], by: str) -> RoutingState:
    """
    Switch what `identity` names, as `said` (enabled, perhaps reason and until) has it.

    A reason and a time that are not said stay, unless the switch turns: they were about the other
    way. Raises ValidationError.
    """
    try:
        with transaction.atomic():
            return _set(identity, said, by)
    except IntegrityError:
        # Somebody else made the same switch in this moment: the later word counts.
        with transaction.atomic():
            return _set(identity, said, by)


def _set(identity: Mapping[str, str], said: Mapping[str, Any], by: str) -> RoutingState:
    row = RoutingState.objects.select_for_update().filter(**identity).first()
    if row is None:
        row = RoutingState(**identity)
    elif row.enabled != said["enabled"] or not RoutingState.standing().filter(pk=row.pk).exists():
        row.reason, row.until = "", None
    for name, value in said.items():
        setattr(row, name, value)
    note_author(row, by)
    row.full_clean(validate_constraints=False)  # the row was looked for; the database sees to races
    row.save()
    return row


def end(row: RoutingState, by: str) -> None:
    """Delete the switch: what it was about is as the configuration says."""
    note_author(row, by)
    row.delete()


def note_author(row: RoutingState, by: str) -> None:
    """Say in the row and in its history who changes it."""
    row.set_by = by[:100]
    row._change_reason = row.set_by  # type: ignore[attr-defined] # noqa: SLF001 - simple_history's


def end_expired(now: datetime) -> int:
    """Delete the switches whose time is over; how many. Any number of hosts may do it at once."""
    over = RoutingState.objects.filter(until__lte=now)
    if not over.exists():  # looked at several times a second: no lock for nothing
        return 0
    with transaction.atomic():
        rows = list(over.select_for_update())
        for row in rows:
            end(row, ENDED)
    return len(rows)


def warnings_of(row: RoutingState) -> list[str]:
    """What the switch does less, or more, than its operator may think; as sentences."""
    if row.enabled:
        return [f"{_capital(row)} is off all the same: {own}."] if (own := _own_word(row)) else []
    said = []
    if emptied := sorted(_emptied(row)):
        said.append(f"Nobody is left to serve {_listed(emptied)}.")
    if losers := _rules_that_lose(row):
        said.append(f"Failover rules name it: those for {_listed(losers)}.")
    return said


def rules_naming(name: str, *, is_provider: bool = False) -> list[str]:
    """The primary models of the rules that have `name`, or a model of that provider, in them."""
    rules = FailoverRule.effective().filter(enabled=True).order_by("primary_model")
    return [
        rule.primary_model
        for rule in rules
        if any(
            fallback.startswith(f"{name}/") if is_provider else fallback == name
            for fallback in rule.fallback_models
        )
    ]


def _rules_that_lose(row: RoutingState) -> list[str]:
    if row.kind == SwitchKind.PROVIDER:
        return rules_naming(row.provider_name, is_provider=True)
    return rules_naming(row.canonical_model) if row.kind == SwitchKind.CANONICAL_MODEL else []


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def _capital(row: RoutingState) -> str:
    text = str(row)
    return text if row.kind == SwitchKind.POOL_CANDIDATE else f"{text[0].upper()}{text[1:]}"


def _own_word(row: RoutingState) -> str:
    """Whether the object itself is disabled, apart from switches."""
    of_pool = CanonicalModel.effective().filter(name=row.canonical_model)
    match row.kind:
        case SwitchKind.PROVIDER:
            found: Any = Provider.named(row.provider_name)
            owner = found
        case SwitchKind.CANONICAL_MODEL:
            found = owner = of_pool.first()
        case _:
            found = (
                Candidate.objects.filter(
                    canonical_model__in=of_pool, provider_name=row.provider_name, model=row.model
                )
                .select_related("canonical_model")
                .first()
            )
            owner = found and found.canonical_model
    if found is None or found.enabled:
        return ""
    return (
        "the configuration disables it"
        if owner.is_managed_by_config
        else "its own settings disable it"
    )


def _emptied(row: RoutingState) -> Iterator[str]:
    """The pools that the switch concerns and that no operator leaves a candidate for."""
    if row.kind == SwitchKind.CANONICAL_MODEL:
        return  # itself, and its operator knows
    if row.kind == SwitchKind.PROVIDER:
        named = Candidate.objects.filter(provider_name=row.provider_name)
        concerned = CanonicalModel.effective().filter(pk__in=named.values("canonical_model"))
    else:
        concerned = CanonicalModel.effective().filter(name=row.canonical_model)
    switches = RoutingState.standing().filter(enabled=False)
    off = {tuple(values) for values in switches.values_list(*RoutingState.IDENTITY)}
    providers = set(Provider.effective().filter(enabled=True).values_list("name", flat=True))
    providers -= {provider for kind, provider, *_ in off if kind == SwitchKind.PROVIDER}
    serving = {
        pool
        for pool, provider, model in Candidate.objects.filter(
            canonical_model__in=concerned, enabled=True
        ).values_list("canonical_model__name", "provider_name", "model")
        if provider in providers and (SwitchKind.POOL_CANDIDATE, provider, pool, model) not in off
    }
    yield from set(concerned.filter(enabled=True).values_list("name", flat=True)) - serving
