"""
Which models might stand in for which, by what is known of them: drafts for an operator to judge.

Pure: it looks at nothing but its arguments, and saves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from providers.adapters.spec import NO_FACTS, ModelFacts

MOST_FALLBACKS: Final = 3
LEAST_SCORE: Final = 0.3
NEAR_PRICE: Final = 1.5  # times, either way
FAR_PRICE: Final = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """
    A name that requests may go to: a model pool, an alias or provider/model.

    `members` are (provider, exact upstream id) of those behind it, `domains` what they fail with,
    `family` is the catalogue's word for its kind ("" unknown).
    """

    name: str
    members: frozenset[tuple[str, str]] = frozenset()
    domains: frozenset[str] = frozenset()
    facts: ModelFacts = NO_FACTS
    family: str = ""

    @property
    def models(self) -> frozenset[str]:
        return frozenset(model for _provider, model in self.members)

    @property
    def embeds(self) -> bool:
        return bool(self.facts.capabilities.get("embeddings")) or any(
            "embed" in model.lower() for model in self.models
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Why a model might stand in: `score` from 0 to 1, and what it was made of, in words."""

    fallback_model: str
    score: float
    reasons: tuple[str, ...]


def suggest(
    primary: Offer, offers: Iterable[Offer], targets: Iterable[Offer] = ()
) -> tuple[Evidence, ...]:
    """
    The best of `offers` for `primary`, best first. Embeddings follow no rules, so none.

    `targets` are those that its rule has already. Nobody is proposed of whom all is tried anyway:
    before a rule counts, by those targets, or by a better proposal.
    """
    if primary.embeds:
        return ()
    ruled = list(targets)
    names = {primary.name, *(target.name for target in ruled)}
    tried = set(primary.members).union(*(target.members for target in ruled))
    judged = [
        (judge(primary, offer), offer)
        for offer in offers
        if not offer.embeds and offer.name not in names
    ]
    judged.sort(key=lambda pair: (-pair[0].score, pair[0].fallback_model))
    found: list[Evidence] = []
    for evidence, offer in judged:
        if len(found) == MOST_FALLBACKS or evidence.score < LEAST_SCORE:
            break
        if not offer.members or not offer.members <= tried:
            found.append(evidence)
            tried |= offer.members
    return tuple(found)


def judge(primary: Offer, offer: Offer) -> Evidence:
    """How well `offer` might stand in for `primary`. What is unknown counts neither way."""
    points = list(_points(primary, offer))
    score = min(1.0, max(0.0, sum(worth for worth, _reason in points)))
    return Evidence(
        fallback_model=offer.name,
        score=round(score, 2),
        reasons=tuple(reason for _worth, reason in points),
    )


def _points(primary: Offer, offer: Offer) -> Iterator[tuple[float, str]]:
    """What speaks for and against it, each with its worth."""
    if same := sorted(primary.models & offer.models):
        yield 0.5, f"the same model ({', '.join(same)})"
    elif primary.family and primary.family == offer.family:
        yield 0.25, f"the same family ({offer.family})"
    own, other = primary.facts, offer.facts
    yield from _capability_points(own, other)
    if own.context_window and other.context_window:
        if other.context_window >= own.context_window:
            yield 0.15, f"a context window as large ({other.context_window:,} tokens)"
        else:
            yield -0.2, f"a smaller context window ({other.context_window:,} tokens)"
    yield from _price_points(own, other)
    if offer.domains and primary.domains:
        if offer.domains <= primary.domains:
            yield -0.3, f"fails together with it ({', '.join(sorted(offer.domains))})"
        else:
            away = sorted(offer.domains - primary.domains)
            yield 0.25, f"fails apart from it ({', '.join(away)})"


def _capability_points(own: ModelFacts, other: ModelFacts) -> Iterator[tuple[float, str]]:
    needed = sorted(name for name, can in own.capabilities.items() if can)
    lacking = [name for name in needed if other.capabilities.get(name) is False]
    if lacking:
        yield -0.3, f"cannot do what it can: {', '.join(lacking)}"
    elif needed and all(other.capabilities.get(name) for name in needed):
        yield 0.2, f"can do all that it can ({', '.join(needed)})"


def _price_points(own: ModelFacts, other: ModelFacts) -> Iterator[tuple[float, str]]:
    first, second = _price(own), _price(other)
    if not first or second is None:
        return  # free or unknown: no ratio means anything
    ratio = second / first
    if 1 / NEAR_PRICE <= ratio <= NEAR_PRICE:
        yield 0.1, f"about the same price ({ratio:.2g} times)"
    elif ratio > FAR_PRICE:
        yield -0.1, f"much dearer ({ratio:.2g} times)"


def _price(facts: ModelFacts) -> float | None:
    """Input and output together; US dollars for a million tokens of each."""
    prices = facts.prices
    if prices is None or prices.input is None or prices.output is None:
        return None
    return prices.input + prices.output
