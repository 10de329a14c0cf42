"""Failover rules for models that have none, or whose own does not help."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from controlplane.advice.finding.values import Ground, Proposal, Span, Step, money, share
from failover.suggestions import Evidence, Market, Offer, Wants
from providers.saying.counting import counted

KIND: Final = "failover_rule"
LOST: Final = 20  # requests that failed although there was a rule
LOST_SHARE: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class NameTraffic:
    """What a name's requests came to. `lost` got no answer, by no fault of theirs."""

    requests: int = 0
    lost: int = 0
    failovers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruled:
    """A rule that counts. `is_served`: somebody of whom it names can be called."""

    primary: str
    fallbacks: tuple[str, ...]
    is_enabled: bool
    is_served: bool
    targets: tuple[Offer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A name that may need a rule, the rule that holds for it, and what its traffic was."""

    offer: Offer
    rule: Ruled | None
    wants: Wants
    asked: NameTraffic


def rules(
    models: Iterable[Model],
    market: Market,
    price: Callable[[str], float | None],
    window: Span,
) -> Iterator[Proposal]:
    """
    A rule for whoever has none, and more fallbacks where the rule has nobody or lost requests.

    A rule that is off, or that does its work, is left alone: somebody decided it.
    """
    for model in models:
        rule = model.rule
        if rule is not None and not (rule.is_enabled and _is_wanting(rule, model.asked)):
            continue
        found = market.suggest(model.offer, rule.targets if rule else (), model.wants)
        if found:
            yield _rule(model, found, price, window)


def _is_wanting(rule: Ruled, asked: NameTraffic) -> bool:
    lost = asked.lost >= max(LOST, LOST_SHARE * asked.requests)
    return lost or not rule.is_served


def _rule(
    model: Model,
    found: tuple[Evidence, ...],
    price: Callable[[str], float | None],
    window: Span,
) -> Proposal:
    rule = model.rule
    name = rule.primary if rule else model.offer.name
    kept = rule.fallbacks if rule else ()
    added = [entry.fallback_model for entry in found]
    own, first = price(model.offer.name), price(added[0])
    verb = "After" if rule is None else "Add to the rule: after"
    return Proposal(
        kind=KIND,
        target=name,
        about=name,
        text=f"{verb} {name} has failed, try {', then '.join(added)}.",
        steps=(
            Step(
                object="rule", name=name, field="fallback_models",
                old=list(kept) if rule else None, new=[*kept, *added],
            ),
        ),
        grounds=(*_grounds(model, window), *(_reasons(entry) for entry in found)),
        confidence=min(0.95, found[0].score),
        price_change=None if own is None or first is None else money(first - own),
    )  # fmt: skip


def _grounds(model: Model, window: Span) -> Iterator[Ground]:
    asked, rule = model.asked, model.rule
    if rule is not None and not rule.is_served:
        yield Ground(
            text=f"Nobody of whom its rule names can be called: {', '.join(rule.fallbacks)}."
        )
    needs = sorted(model.wants.needs)
    text = f"{counted(asked.requests, 'request')}, {asked.lost:,} without an answer"
    if asked.requests:
        text += f" ({share(asked.lost / asked.requests)})"
    text += f"; asked of it: {', '.join(needs)}" if needs else "; nothing in particular asked of it"
    if model.wants.input_tokens:
        text += f", up to {model.wants.input_tokens:,} tokens of input"
    yield Ground(
        text=f"{text}.",
        figures={
            "model": model.offer.name,
            "requests": asked.requests,
            "lost": asked.lost,
            "failovers": asked.failovers,
            "most_input_tokens": model.wants.input_tokens,
            "needs": needs,
        },
        window=window,
    )


def _reasons(entry: Evidence) -> Ground:
    why = "; ".join(entry.reasons)
    return Ground(text=f"{entry.fallback_model}, score {entry.score:.2g}: {why}.")
