"""
Strategies: the order inside one tier.

Each is a function of (members, turn); nothing here changes state by being asked. In every order
the first is the choice, and the others follow as the table in docs/failover.md says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from operator import attrgetter
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

from failover.engine.plan import FULL_RAMP, Candidate, Standing
from providers.adapters.spec import Prices

USUAL_OUTPUT_TOKENS: Final = 500  # of a request that does not say how much it wants
_weight: Final = attrgetter("weight")


class Dice(Protocol):
    """Of random.Random, what planning uses."""

    def random(self) -> float:
        """Uniform in [0, 1)."""


class Ranking:
    """
    What strategies go by in one decision.

    `standings` have those who are not at rest; `draws` is what the dice gave, in turn.
    """

    __slots__ = ("_dice", "counters", "draws", "input_tokens", "output_tokens", "standings")

    def __init__(
        self,
        standings: Mapping[str, Standing],
        dice: Dice,
        input_tokens: int,
        output_tokens: int | None,
    ) -> None:
        self.standings = standings
        self.counters: Mapping[str, int] = {}
        self.draws: list[float] = []
        self.input_tokens = input_tokens
        self.output_tokens = USUAL_OUTPUT_TOKENS if output_tokens is None else output_tokens
        self._dice = dice

    def draw(self) -> float:
        drawn = self._dice.random()
        self.draws.append(drawn)
        return drawn

    def ramped(self, candidate: Candidate, weight: int) -> int:
        """`weight` in sixteenths, as far as it counts so soon after a bench."""
        standing = self.standings.get(candidate.name)
        return weight * (FULL_RAMP if standing is None else standing.ramp)


Order = Callable[[Sequence[Candidate], Ranking], list[Candidate]]


class Strategy(NamedTuple):
    """
    `is_settled`: nothing but the pool bears on the order. `takes_sessions`: session affinity acts
    on it. `rotates`: each choice moves counters. `is_weighted`: weights mean something to it.
    `goes_by_load`: its candidates have to be measured.
    """

    order: Order
    is_settled: bool = False
    takes_sessions: bool = True
    rotates: bool = False
    is_weighted: bool = True
    goes_by_load: bool = False


def in_list_order(members: Sequence[Candidate], turn: Ranking) -> list[Candidate]:
    del turn
    return list(members)


def weighted_round_robin(members: Sequence[Candidate], turn: Ranking) -> list[Candidate]:
    """
    Smooth weighted round robin: every window of the sum of weights holds each candidate exactly
    its weight of times, spread out rather than in runs.

    Source: nginx, commit 52327e0627f4 "Upstream: smooth weighted round-robin balancing".
    """
    counters, standings = turn.counters, turn.standings
    chosen, most = members[0], -inf
    for candidate in members:
        name = candidate.name
        value = candidate.weight * FULL_RAMP
        if name in standings:
            value = candidate.weight * standings[name].ramp
        value += counters.get(name, 0)
        if value > most:
            chosen, most = candidate, value
    rest = [c for c in members if c is not chosen]
    rest.sort(key=_weight, reverse=True)  # stable: ties keep their order
    return [chosen, *rest]


def round_robin(members: Sequence[Candidate], turn: Ranking) -> list[Candidate]:
    """The same with equal weights."""
    counters = turn.counters
    chosen = max(members, key=lambda c: counters.get(c.name, 0) + turn.ramped(c, 1))
    return [chosen, *(c for c in members if c is not chosen)]


def weighted_random(members: Sequence[Candidate], turn: Ranking) -> list[Candidate]:
    """
    A weighted draw without replacement.

    Source: Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006: sorting
    by u ** (1 / weight) draws without replacement in proportion to the weights.
    """
    keys = [turn.draw() ** (FULL_RAMP / turn.ramped(c, c.weight)) for c in members]
    order = sorted(range(len(members)), key=keys.__getitem__, reverse=True)
    return [members[i] for i in order]


def lowest_latency(members: Sequence[Candidate], turn: Ranking) -> list[Candidate]:
    """
    The quicker of two drawn, then the others ascending; who was not measured counts as quickest.

    Two drawn, and not the best of all, so that a crowd does not follow one good measurement.
    Source: Mitzenmacher, "The power of two choices in randomized load balancing", 2001.
    """
    standings = turn.standings
    latencies = [
        0.0 if (standing := standings.get(c.name)) is None else standing.latency_s for c in members
    ]
    order = sorted(range(len(members)), key=latencies.__getitem__)
    if len(members) > 2:
        one = int(turn.draw() * len(members))
        other = int(turn.draw() * (len(members) - 1))
        other += other >= one
        # By rank in `order`, so that a tie goes to the earlier in the list.
        place = min(order.index(one), order.index(other))
        order.insert(0, order.pop(place))
    return [members[i] for i in order]


def lowest_cost(members: Sequence[Candidate], turn: Ranking) -> list[Candidate]:
    """By the price of this request as estimated; unknown prices last."""
    costs = [
        inf
        if c.facts.prices is None
        else expected_cost(c.facts.prices, turn.input_tokens, turn.output_tokens)
        for c in members
    ]
    order = sorted(range(len(members)), key=costs.__getitem__)
    return [members[i] for i in order]


def expected_cost(prices: Prices, input_tokens: int, output_tokens: int) -> float:
    """Millionths of a US dollar, nothing cached; infinite if a price that counts is unknown."""
    per_input, per_output = prices.input, prices.output
    for tier in prices.tiers:
        if input_tokens > tier.above_input_tokens:
            per_input = per_input if tier.input is None else tier.input
            per_output = per_output if tier.output is None else tier.output
    if (per_input is None and input_tokens) or (per_output is None and output_tokens):
        return inf
    return (per_input or 0.0) * input_tokens + (per_output or 0.0) * output_tokens


def least_busy(members: Sequence[Candidate], turn: Ranking) -> list[Candidate]:
    standings = turn.standings
    busy = [
        0.0
        if (standing := standings.get(c.name)) is None
        else standing.in_flight / turn.ramped(c, c.weight)
        for c in members
    ]
    order = sorted(range(len(members)), key=busy.__getitem__)
    return [members[i] for i in order]


STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        "priority_failover": Strategy(in_list_order, is_settled=True, takes_sessions=False),
        "fill_first": Strategy(in_list_order, is_settled=True, takes_sessions=False),
        "weighted_round_robin": Strategy(weighted_round_robin, rotates=True),
        "round_robin": Strategy(round_robin, rotates=True, is_weighted=False),
        "weighted_random": Strategy(weighted_random),
        "lowest_latency": Strategy(lowest_latency, goes_by_load=True),
        "lowest_cost": Strategy(lowest_cost),
        "least_busy": Strategy(least_busy, goes_by_load=True),
    }
)


def strategy_named(name: str) -> Strategy:
    """Raises ValueError if there is none of that name."""
    try:
        return STRATEGIES[name]
    except KeyError:
        raise ValueError(f"strategy {name!r} is not known") from None
