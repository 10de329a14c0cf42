"""
Strategies: the order inside one tier, and the counter move that the choice costs.

Each takes (tier, rotation, rng) and returns the order with, if a counter is involved, the move
that commits the choice. Nothing here changes state by being asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from math import inf
from operator import attrgetter
from random import Random
from types import MappingProxyType
from typing import NamedTuple

from failover.engine.plan import Candidate

Rotation = Mapping[str, int]
_weight = attrgetter("weight")


class Move(NamedTuple):
    """One pick of a rotation, still to be committed by `move_on`."""

    weights: list[tuple[str, int]]
    chosen: str


Ordered = tuple[list[Candidate], Move | None]
Strategy = Callable[[Sequence[Candidate], Rotation, Random], Ordered]


def smooth_weighted(current: Rotation, weights: Iterable[tuple[str, int]]) -> str:
    """
    The next name by smooth weighted round robin, of at least one.

    With `move_on` after each pick, every window of the sum of weights holds each name exactly its
    weight of times, spread out rather than in runs.

    Source: nginx, commit 52327e0627f4 "Upstream: smooth weighted round-robin balancing".
    """
    best, most = "", -inf
    for name, weight in weights:
        value = current.get(name, 0) + weight
        if value > most:
            best, most = name, value
    return best


def move_on(current: MutableMapping[str, int], move: Move) -> None:
    """Commit a pick."""
    total = 0
    for name, weight in move.weights:
        current[name] = current.get(name, 0) + weight
        total += weight
    current[move.chosen] -= total


def in_list_order(tier: Sequence[Candidate], rotation: Rotation, rng: Random) -> Ordered:
    del rotation, rng
    return list(tier), None


def weighted_round_robin(tier: Sequence[Candidate], rotation: Rotation, rng: Random) -> Ordered:
    del rng
    ordered, move = _rotate(tier, rotation, [(c.name, c.weight) for c in tier])
    if len(ordered) > 2:
        ordered[1:] = sorted(
            ordered[1:], key=_weight, reverse=True
        )  # stable: ties keep their order
    return ordered, move


def round_robin(tier: Sequence[Candidate], rotation: Rotation, rng: Random) -> Ordered:
    del rng
    return _rotate(tier, rotation, [(c.name, 1) for c in tier])


def weighted_random(tier: Sequence[Candidate], rotation: Rotation, rng: Random) -> Ordered:
    """
    A weighted draw without replacement.

    Source: Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006: sorting
    by u ** (1 / weight) draws without replacement in proportion to the weights.
    """
    del rotation
    return sorted(tier, key=lambda c: rng.random() ** (1 / c.weight), reverse=True), None


def _rotate(
    tier: Sequence[Candidate], rotation: Rotation, weights: list[tuple[str, int]]
) -> Ordered:
    """The picked one, then the others in list order."""
    chosen = smooth_weighted(rotation, weights)
    ordered = [c for c in tier if c.name == chosen]
    ordered += [c for c in tier if c.name != chosen]
    return ordered, Move(weights, chosen)


STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        "priority_failover": in_list_order,
        "fill_first": in_list_order,
        "weighted_round_robin": weighted_round_robin,
        "round_robin": round_robin,
        "weighted_random": weighted_random,
    }
)
# Those whose order depends on nothing but the pool.
SETTLED_STRATEGIES = frozenset({"priority_failover", "fill_first"})
