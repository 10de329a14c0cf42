"""
Which models might stand in for which, by what is known of them: drafts for an operator to judge.

Pure: it looks at nothing but its arguments, and saves nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import inf, log
from typing import Final

from providers.adapters.spec import CAPABILITIES, NO_FACTS, ModelFacts

MOST_FALLBACKS: Final = 3
LEAST_SCORE: Final = 0.3
NEAR_PRICE: Final = 1.5  # times, either way
FAR_PRICE: Final = 4.0
APART: Final = 0.25  # what it is worth that two do not fail together


@dataclass(frozen=True, kw_only=True)
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

    @cached_property
    def models(self) -> frozenset[str]:
        return frozenset(model for _provider, model in self.members)

    @property
    def embeds(self) -> bool:
        return bool(self.facts.capabilities.get("embeddings")) or any(
            "embed" in model.lower() for model in self.models
        )

    @cached_property
    def kind(self) -> Kind:
        facts = self.facts
        can = frozenset(facts.capabilities.items())
        return facts.context_window, can, _price(facts)


# What of an offer its points are made of, where it is neither the same model nor the same family.
Kind = tuple[int | None, frozenset[tuple[str, bool]], float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wants:
    """What a model's traffic has used: capabilities, and so many tokens of input at most."""

    needs: frozenset[str] = frozenset()
    input_tokens: int = 0

    def refuse(self, facts: ModelFacts) -> bool:
        """Whether a model is known not to be able to take that traffic."""
        window = facts.context_window
        return (window is not None and window < self.input_tokens) or any(
            facts.capabilities.get(need) is False for need in self.needs
        )


NO_WANTS: Final = Wants()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Why a model might stand in: `score` from 0 to 1, and what it was made of, in words."""

    fallback_model: str
    score: float
    reasons: tuple[str, ...]


class Market:
    """Offers, arranged so that the best for one of them are found without a look at each."""

    def __init__(self, offers: Iterable[Offer]) -> None:
        self._by_model: defaultdict[str, list[Offer]] = defaultdict(list)
        self._by_family: defaultdict[str, list[Offer]] = defaultdict(list)
        self._by_kind: defaultdict[Kind, list[Offer]] = defaultdict(list)
        self._ranked: dict[tuple[Kind, Wants], list[Kind]] = {}
        for offer in offers:
            if offer.embeds:
                continue
            for model in offer.models:
                self._by_model[model].append(offer)
            if offer.family:
                self._by_family[offer.family].append(offer)
            self._by_kind[offer.kind].append(offer)

    def suggest(
        self, primary: Offer, targets: Iterable[Offer] = (), wants: Wants = NO_WANTS
    ) -> tuple[Evidence, ...]:
        """
        The best offers for `primary`: the same model first, then its family, then the nearest.

        `targets` are those that its rule has already. Nobody is proposed of whom all is tried
        anyway: before a rule counts, by those targets, or by a better proposal; nor anybody who is
        known not to be up to what its traffic `wants`. Embeddings follow no rules, so none.
        """
        if primary.embeds:
            return ()
        ruled = list(targets)
        names = {primary.name, *(target.name for target in ruled)}
        tried = set(primary.members).union(*(target.members for target in ruled))
        found: list[Evidence] = []
        for offer, evidence in self._best_first(primary, wants):
            if offer.name not in names and (not offer.members or not offer.members <= tried):
                names.add(offer.name)
                found.append(evidence)
                tried |= offer.members
            if len(found) == MOST_FALLBACKS:
                break
        return tuple(found)

    def _best_first(self, primary: Offer, wants: Wants) -> Iterator[tuple[Offer, Evidence]]:
        same = {o.name: o for model in primary.models for o in self._by_model[model]}
        yield from _good(primary, same.values(), wants)
        family = self._by_family[primary.family] if primary.family else ()
        yield from _good(primary, [o for o in family if o.name not in same], wants)
        for kind in self._kinds(primary, wants):
            strangers = [
                offer
                for offer in self._by_kind[kind]
                if not (primary.family and offer.family == primary.family)
                and offer.name not in same
                and not _fails_with(primary, offer)  # with that, its facts cannot be good enough
            ]
            yield from _good(primary, strangers, wants)

    def _kinds(self, primary: Offer, wants: Wants) -> list[Kind]:
        key = (primary.kind, wants)
        if key not in self._ranked:
            near = []
            for kind, offers in self._by_kind.items():
                facts = offers[0].facts
                if not wants.refuse(facts):
                    worth = sum(points for points, _ in _fact_points(primary.facts, facts, wants))
                    if worth + APART >= LEAST_SCORE:
                        near.append((-worth, _distance(primary.facts, facts), offers[0].name, kind))
            near.sort(key=lambda entry: entry[:3])
            self._ranked[key] = [kind for *_, kind in near]
        return self._ranked[key]


def _good(
    primary: Offer, offers: Iterable[Offer], wants: Wants
) -> Iterator[tuple[Offer, Evidence]]:
    judged = [
        (judge(primary, offer, wants), offer) for offer in offers if not wants.refuse(offer.facts)
    ]
    judged.sort(
        key=lambda pair: (
            -pair[0].score,
            _distance(primary.facts, pair[1].facts),
            pair[0].fallback_model,
        )
    )
    return ((offer, evidence) for evidence, offer in judged if evidence.score >= LEAST_SCORE)


def suggest(
    primary: Offer,
    offers: Iterable[Offer],
    targets: Iterable[Offer] = (),
    wants: Wants = NO_WANTS,
) -> tuple[Evidence, ...]:
    """The best of `offers` for `primary`, best first; see Market.suggest."""
    return Market(offers).suggest(primary, targets, wants)


def judge(primary: Offer, offer: Offer, wants: Wants = NO_WANTS) -> Evidence:
    """How well `offer` might stand in for `primary`. What is unknown counts neither way."""
    points = list(_points(primary, offer, wants))
    score = min(1.0, max(0.0, sum(worth for worth, _reason in points)))
    return Evidence(
        fallback_model=offer.name,
        score=round(score, 2),
        reasons=tuple(reason for _worth, reason in points),
    )


def _points(primary: Offer, offer: Offer, wants: Wants) -> Iterator[tuple[float, str]]:
    """What speaks for and against it, each with its worth."""
    if same := sorted(primary.models & offer.models):
        yield 0.5, f"the same model ({', '.join(same)})"
    elif primary.family and primary.family == offer.family:
        yield 0.25, f"the same family ({offer.family})"
    yield from _fact_points(primary.facts, offer.facts, wants)
    if offer.domains and primary.domains:
        if _fails_with(primary, offer):
            yield -0.3, f"fails together with it ({', '.join(sorted(offer.domains))})"
        else:
            away = sorted(offer.domains - primary.domains)
            yield APART, f"fails apart from it ({', '.join(away)})"


def _fails_with(primary: Offer, offer: Offer) -> bool:
    known = bool(offer.domains and primary.domains)
    return known and offer.domains <= primary.domains


def _fact_points(own: ModelFacts, other: ModelFacts, wants: Wants) -> Iterator[tuple[float, str]]:
    yield from _capability_points(own, other)
    if unknown := [need for need in sorted(wants.needs) if need not in other.capabilities]:
        yield -0.1, f"nobody knows whether it can do what is asked of it: {', '.join(unknown)}"
    if own.context_window and other.context_window:
        if other.context_window >= own.context_window:
            yield 0.15, f"a context window as large ({other.context_window:,} tokens)"
        else:
            yield -0.2, f"a smaller context window ({other.context_window:,} tokens)"
    yield from _price_points(own, other)


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


def _distance(own: ModelFacts, other: ModelFacts) -> float:
    """How far the prices are apart, either way; what is unknown is farthest."""
    first, second = _price(own), _price(other)
    return abs(log(second / first)) if first and second else inf


def _price(facts: ModelFacts) -> float | None:
    """Input and output together; US dollars for a million tokens of each."""
    prices = facts.prices
    if prices is None or prices.input is None or prices.output is None:
        return None
    return prices.input + prices.output


def needs_of(words: Iterable[str]) -> frozenset[str]:
    """Those of a request's needs that a model can be known to lack."""
    return frozenset(words) & frozenset(CAPABILITIES)
