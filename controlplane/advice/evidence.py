"""What the finders look at: the configuration, and the rollups of the last day and week."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import UTC, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Count, F, Max, Min, Q, Sum

from controlplane.advice.finding.limits import Passed, is_always_limited
from controlplane.advice.finding.rules import Model, NameTraffic, Ruled
from controlplane.advice.finding.values import (
    ERRORS,
    LOST,
    NO_CALLS,
    OUTAGES,
    Line,
    Seat,
    Span,
    Tally,
)
from controlplane.advice.offers import (
    callable_providers,
    domain_of,
    listed_members,
    offer_of,
    offers_in,
    targets_of,
    wants_between,
)
from controlplane.advice.scene import StoredScene
from controlplane.records.models import CONTENT, CallMinute, FaultMinute, RequestMinute
from failover.cautions import Meaning, Member, meaning_of, shared_domain, unserved
from failover.models import FailoverRule
from failover.suggestions import NO_WANTS, Market
from providers.adapters.spec import split_name
from providers.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from failover.suggestions import Offer
    from providers.adapters.spec import ModelFacts
    from routing.models import CanonicalModel

SETTLED: Final = timedelta(minutes=1)  # records of a minute may come in after it
DAY_S: Final = 24 * 3600
WEEK_S: Final = 7 * DAY_S
BAD_CALLS: Final = 3  # so many outages make a minute bad, if they are half of its calls
AT_ONCE: Final = 500
USUAL_MIX: Final = (3, 1)  # tokens in and out, without traffic


class Picture:
    """Everything that one pass looks at, each read once and when it is asked for."""

    def __init__(self, now: datetime) -> None:
        until = (now - SETTLED).astimezone(UTC).replace(second=0, microsecond=0)
        self.day = Span(until=until, seconds=DAY_S)
        self.week = Span(until=until, seconds=WEEK_S)
        self.scene = StoredScene.whole()

    @cached_property
    def lines(self) -> list[Line]:
        """The pools that operators let serve."""
        found = []
        for pool in self.scene.pools:
            meaning = self.scene.named(pool.name)
            if meaning is not None and not meaning.off:
                found.append(self._line(pool, meaning))
        return found

    def _line(self, pool: CanonicalModel, meaning: Meaning) -> Line:
        callable_ones = self.callable
        members = {(member.provider, member.model): member for member in meaning.members}
        rows = sorted(pool.candidates.all(), key=lambda row: (row.priority, row.position, row.pk))
        seats = tuple(
            Seat(
                provider=row.provider_name,
                model=row.model,
                priority=row.priority,
                weight=row.weight,
                rpm=row.rpm,
                tpm=row.tpm,
                max_parallel=row.max_parallel,
                is_live=row.provider_name in callable_ones
                and members[row.provider_name, row.model].enabled,
                tally=self.tallies.get((pool.name, row.provider_name, row.model), NO_CALLS),
            )
            for row in rows
        )
        rule = self._rule_of(pool.name, seats)
        targets = rule.targets if rule is not None and rule.is_enabled else ()
        return Line(
            pool=pool.name,
            strategy=pool.strategy or self.scene.settings["strategy"],
            seats=seats,
            ruled=frozenset().union(*(target.members for target in targets)),
        )

    @cached_property
    def callable(self) -> frozenset[str]:
        return frozenset(callable_providers(self.scene))

    @cached_property
    def tallies(self) -> Mapping[tuple[str, ...], Tally]:
        """By pool, provider and model: the last day's calls."""
        return _tallies(self.day, "pool", "provider", "model")

    def whole_tally(self, seat: Seat) -> Tally:
        """A provider's model's, whatever pool asked for it."""
        return self._whole_tallies.get((seat.provider, seat.model), NO_CALLS)

    @cached_property
    def _whole_tallies(self) -> Mapping[tuple[str, str], Tally]:
        limited = {key[1:] for key, tally in self.tallies.items() if tally.limited}
        names = {provider for provider, _model in limited}
        if not names:
            return {}
        found = _tallies(self.day, "provider", "model", provider__in=names)
        return {(provider, model): tally for (provider, model), tally in found.items()}

    def passed(self, seat: Seat) -> Sequence[Passed]:
        """Each of the day's minutes in which it was rate limited: what passed all the same."""
        return self._passed.get((seat.provider, seat.model), ())

    @cached_property
    def _passed(self) -> Mapping[tuple[str, str], Sequence[Passed]]:
        """Of all that are always limited, however many there are: two queries."""
        always = {key for key, tally in self._whole_tallies.items() if is_always_limited(tally)}
        if not always:
            return {}
        of_them = {
            **_between(self.day),
            "provider__in": {provider for provider, _model in always},
            "model__in": {model for _provider, model in always},
        }
        key = ("provider", "model", "minute")
        faults = FaultMinute.objects.filter(**of_them, fault=Fault.RATE_LIMITED).values(*key)
        counts = faults.annotate(n=Sum("calls")).order_by().values_list(*key, "n")
        limited = {(provider, model, at): number for provider, model, at, number in counts}
        sums = (
            CallMinute.objects.filter(**of_them)
            .values(*key)
            .annotate(
                n=Sum("calls"),
                tokens=Sum(F("input_tokens") + F("output_tokens")),
                ms=Sum("duration_ms"),
            )
        )
        found: defaultdict[tuple[str, str], list[Passed]] = defaultdict(list)
        for provider, model, minute, calls, tokens, ms in sums.order_by().values_list(
            *key, "n", "tokens", "ms"
        ):
            refused = limited.get((provider, model, minute))
            if refused is not None and (provider, model) in always:
                passed = Passed(calls=max(0, calls - refused), tokens=tokens, busy_s=ms / 1000)
                found[provider, model].append(passed)
        return found

    @cached_property
    def bad_minutes(self) -> Mapping[str, AbstractSet[datetime]]:
        """By provider, the week's minutes in which most of what was asked of it failed."""
        # Minutes in which half of all calls failed, whatever the reason, are few: only for them it
        # is looked why.
        calls = CallMinute.objects.filter(**_between(self.week)).values("minute", "provider")
        sums = calls.annotate(asked=Sum("calls"), lost=Sum("failed")).order_by()
        poor = sums.filter(lost__gte=BAD_CALLS).filter(asked__lte=2 * F("lost"))
        asked = {
            (minute, provider): number
            for minute, provider, number in poor.values_list("minute", "provider", "asked")
            if provider in self.callable
        }
        faults = FaultMinute.objects.filter(fault__in=OUTAGES).values("minute", "provider")
        out = faults.annotate(n=Sum("calls")).filter(n__gte=BAD_CALLS).order_by()
        found: defaultdict[str, set[datetime]] = defaultdict(set)
        minutes = sorted({minute for minute, _provider in asked})
        for start in range(0, len(minutes), AT_ONCE):
            some = out.filter(minute__in=minutes[start : start + AT_ONCE])
            for minute, provider, failed in some.values_list("minute", "provider", "n"):
                if 2 * failed >= asked.get((minute, provider), math.inf):
                    found[provider].add(minute)
        return found

    def domain(self, provider: str) -> Mapping[str, str]:
        known = self.scene.provider(provider)
        return known.domain if known is not None else {}

    def fails_with(self, provider: str) -> str:
        return domain_of(self.scene, provider)

    def is_one_domain(self, first: str, second: str) -> bool:
        """Whether it is known that they fail together."""
        pair = [Member(provider=name, model="") for name in (first, second)]
        return bool(shared_domain(self.scene, pair))

    @cached_property
    def listed(self) -> Mapping[str, Sequence[str]]:
        """By model, the providers that list it and that can be called."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for member in listed_members(self.scene):
            if member.provider in self.callable:
                found[member.model].append(member.provider)
        return found

    @cached_property
    def market(self) -> Market:
        return Market(self._offers.values())

    @cached_property
    def _offers(self) -> Mapping[str, Offer]:
        return {offer.name: offer for offer in offers_in(self.scene)}

    @cached_property
    def models(self) -> list[Model]:
        """The pools, and the provider models that were asked for by name."""
        if not self.scene.rules_are_on:
            return []
        asked = self._asked
        wants = wants_between(self.week.until - timedelta(seconds=WEEK_S), self.week.until)
        found = [
            Model(
                offer=offer,
                rule=rule,
                wants=wants.get(offer.name, NO_WANTS),
                asked=asked.get(offer.name, NameTraffic()),
            )
            for offer, rule in self._primaries(asked)
        ]
        return sorted(found, key=lambda model: model.offer.name)

    def _primaries(self, asked: Mapping[str, NameTraffic]) -> Iterator[tuple[Offer, Ruled | None]]:
        disabled = self.scene.disabled_models
        for line in self.lines:
            first = line.live[0].name if line.live else ""
            offer = self._offers.get(line.pool)
            if offer is not None and disabled.isdisjoint({line.pool, first}):
                yield offer, self._rule_of(line.pool, line.seats)
        for name in asked:
            if name in disabled or self.scene.named(name) is not None:
                continue
            pair = split_name(name, lambda provider: self.scene.provider(provider) is not None)
            if pair is not None:
                member = Member(provider=pair[0], model=pair[1])
                known = self._offers.get(name)
                yield (
                    known or offer_of(self.scene, name, Meaning(members=(member,))),
                    (self._rules.get(name)),
                )

    def _rule_of(self, pool: str, seats: tuple[Seat, ...]) -> Ruled | None:
        """The rule that a request for the pool is followed by, as requests look for it."""
        first = next((seat.name for seat in seats if seat.is_live), "")
        return self._rules.get(pool) or self._rules.get(first)

    @cached_property
    def _rules(self) -> Mapping[str, Ruled]:
        return {
            rule.primary_model: Ruled(
                primary=rule.primary_model,
                fallbacks=tuple(rule.fallback_models),
                is_enabled=rule.enabled,
                is_served=any(self._is_served(name) for name in rule.fallback_models),
                targets=tuple(targets_of(self.scene, rule.fallback_models)),
            )
            for rule in FailoverRule.effective()
        }

    def _is_served(self, name: str) -> bool:
        meaning = meaning_of(self.scene, name)
        return meaning is not None and not unserved(self.scene, meaning)

    @cached_property
    def _asked(self) -> Mapping[str, NameTraffic]:
        sums = {name: Sum(name) for name in ("requests", "failovers", *LOST)}
        rows = RequestMinute.objects.filter(**_between(self.week)).exclude(pool="").values("pool")
        found = rows.annotate(**sums).order_by().values_list("pool", *sums)
        return {
            pool: NameTraffic(requests=requests, failovers=failovers, lost=sum(lost))
            for pool, requests, failovers, *lost in found
        }

    def price(self, provider: str, model: str) -> float | None:
        """US dollars for a million tokens, by the catalogue and the traffic's mix."""
        return self._blend(self.scene.facts(Member(provider=provider, model=model)))

    def price_of(self, name: str) -> float | None:
        offer = self._offers.get(name)
        return self._blend(offer.facts) if offer is not None else None

    def _blend(self, facts: ModelFacts) -> float | None:
        prices = facts.prices
        if prices is None or prices.input is None or prices.output is None:
            return None
        given, made = self._mix
        return (prices.input * given + prices.output * made) / (given + made)

    @cached_property
    def _mix(self) -> tuple[int, int]:
        given = sum(tally.input_tokens for tally in self.tallies.values())
        made = sum(tally.output_tokens for tally in self.tallies.values())
        return (given, made) if given and made else USUAL_MIX


def _between(window: Span) -> dict[str, Any]:
    since = window.until - timedelta(seconds=window.seconds)
    return {"minute__gte": since, "minute__lt": window.until}


def _tallies(window: Span, *names: str, **only: Any) -> dict[tuple[str, ...], Tally]:
    """What became of calls, by `names`: two queries."""
    within = {**_between(window), **only}
    calls = CallMinute.objects.filter(**within).values(*names).order_by()
    faults = FaultMinute.objects.filter(**within).values(*names).order_by()
    is_error, is_limit = Q(fault__in=ERRORS), Q(fault=Fault.RATE_LIMITED)
    failed = {
        tuple(row[name] for name in names): row
        for row in faults.annotate(
            errors=Sum("calls", filter=is_error, default=0),
            limited=Sum("calls", filter=is_limit, default=0),
            error_minutes=Count("minute", filter=is_error, distinct=True),
            limited_minutes=Count("minute", filter=is_limit, distinct=True),
        )
    }
    sums = ("calls", "served", "input_tokens", "output_tokens", *CONTENT)
    rows = calls.annotate(
        **{f"sum_{name}": Sum(name) for name in sums},
        sum_cost=Sum("cost_usd"),
        minutes=Count("minute", distinct=True),
        first_at=Min("minute"),
        last_at=Max("minute"),
    )
    found = {}
    for row in rows:
        key = tuple(row[name] for name in names)
        lost = failed.get(key, {})
        found[key] = Tally(
            calls=row["sum_calls"],
            served=row["sum_served"],
            errors=lost.get("errors", 0),
            limited=lost.get("limited", 0),
            minutes=row["minutes"],
            error_minutes=lost.get("error_minutes", 0),
            limited_minutes=lost.get("limited_minutes", 0),
            input_tokens=row["sum_input_tokens"],
            output_tokens=row["sum_output_tokens"],
            cost_usd=float(row["sum_cost"]),
            content=tuple(row[f"sum_{name}"] for name in CONTENT),
            first_at=row["first_at"],
            last_at=row["last_at"],
        )
    return found
