"""
Strategies: the order inside one tier, and the counter move that the choice costs.

Each takes (tier, rotation, rng) and returns the order with, if a counter is involved, the move
that commits the choice. Nothing here changes state by being asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

from failover.engine.plan import Candidate

Rotation = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Move:
    """One pick of a rotation, still to be committed by `move_on`."""

    weights: Mapping[str, int]
    chosen: str


Ordered = tuple[list[Candidate], Move | None]
Strategy = Callable[[Sequence[Candidate], Rotation, Random], Ordered]


def smooth_weighted(current: Rotation, weights: Mapping[str, int]) -> str:
    """
    The next name by smooth weighted round robin.

    With `move_on` after each pick, every window of sum(weights) picks holds each name exactly
    weights[name] times, spread out rather than in runs.

    Source: nginx, commit 52327e0627f4 "Upstream: smooth weighted round-robin balancing".
    """
    return max(weights, key=lambda name: current.get(name, 0) + weights[name])


def move_on(current: MutableMapping[str, int], move: Move) -> None:
    """Commit a pick."""
    for name, weight in move.weights.items():
        current[name] = current.get(name, 0) + weight
    current[move.chosen] -= sum(move.weights.values())


def in_list_order(tier: Sequence[Candidate], rotation: Rotation, rng: Random) -> Ordered:
    del rotation, rng
    return list(tier), None


def weighted_round_robin(tier: Sequence[Candidate], rotation: Rotation, rng: Random) -> Ordered:
    del rng
    return _rotate(tier, rotation, {c.name: c.weight for c in tier})


def round_robin(tier: Sequence[Candidate], rotation: Rotation, rng: Random) -> Ordered:
    del rng
    return _rotate(tier, rotation, {c.name: 1 for c in tier})


def weighted_random(tier: Sequence[Candidate], rotation: Rotation, rng: Random) -> Ordered:
    """
    A weighted draw without replacement.

    Source: Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006: sorting
    by u ** (1 / weight) draws without replacement in proportion to the weights.
    """
    del rotation
    return sorted(tier, key=lambda c: rng.random() ** (1 / c.weight), reverse=True), None


def _rotate(tier: Sequence[Candidate], rotation: Rotation, weights: Mapping[str, int]) -> Ordered:
    chosen = smooth_weighted(rotation, weights)
    rest = sorted((c for c in tier if c.name != chosen), key=lambda c: -weights[c.name])
    first = next(c for c in tier if c.name == chosen)
    return [first, *rest], Move(weights, chosen)


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
