"""
Deciding again: what a decision read, put in the place of the live state and the dice.

With the table of the same generation `plan` then decides the same. That it does is what makes a
record an explanation and not a story.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

from failover.engine.plan import Candidate, Inputs, Nobody, Plan, Standing
from routing.gateway.deciding.binding import bound
from routing.gateway.deciding.features import Features
from routing.gateway.deciding.keys import Key
from routing.gateway.deciding.planner import plan_without
from routing.gateway.deciding.resolution import Resolution
from routing.gateway.deciding.table import Table
from routing.gateway.records.record import Detail

AT_REST = Inputs()


class Recorded:
    """A `State` that answers what was answered then."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs

    def disturbed(self, now: float) -> AbstractSet[str]:
        del now
        return self._inputs.standings.keys()

    def standing(self, candidate: Candidate, tokens: int, now: float) -> Standing | None:
        del tokens, now
        return self._inputs.standings.get(candidate.name)

    def busy(self, candidate: Candidate, tokens: int, now: float) -> Standing | None:
        return self.standing(candidate, tokens, now)

    def counters(self, pool: str) -> dict[str, int]:
        return self._inputs.counters.get(pool) or {}

    def pinned(self, pool: str, session: int, now: float) -> str:
        del pool, session, now
        return self._inputs.pin

    def commit(self, pool: str, weights: Sequence[tuple[str, int]], chosen: str) -> None:
        """Nothing: that move was made then."""


class RepeatedDice:
    """Gives what the dice gave then."""

    def __init__(self, draws: Sequence[float]) -> None:
        self._draws: Iterator[float] = iter(draws)

    def random(self) -> float:
        """Raises LookupError if more is asked for than was drawn: then the table is another."""
        for drawn in self._draws:
            return drawn
        raise LookupError("the decision asks for more draws than were recorded")


def features_then(told: Detail, key: Key) -> Features:
    """What a recorded request asked of routing."""
    asked = told.features
    return Features(
        protocol=told.protocol,
        key=key,
        needs=frozenset(asked.needs),
        input_tokens=asked.estimated_input_tokens or 0,
        max_output_tokens=asked.max_output_tokens,
        preferred_provider=asked.preferred_provider,
        no_failover=asked.no_failover,
        strict_params=asked.strict_params,
        session=int(asked.session, 16) if asked.session else None,
    )


def decide_again(
    table: Table, resolution: Resolution, features: Features, inputs: Inputs | None
) -> Plan | Nobody:
    """
    What was decided from `inputs`, which are None where nothing but the table was read.
    """
    read = inputs or AT_REST
    dice, misfits = RepeatedDice(read.draws), read.misfits
    made = plan_without(table, resolution, features, Recorded(read), 0.0, dice, misfits)
    return bound(made, read.holder, features.protocol) if read.holder else made
