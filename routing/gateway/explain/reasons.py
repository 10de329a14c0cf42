"""Why each candidate of a plan stands where it stands, in words and in the numbers behind them."""

from __future__ import annotations

from collections.abc import Sequence
from math import isinf
from typing import Any, Final

from msgspec import Struct

from failover.engine.plan import FULL_RAMP, Candidate, Fitting, Inputs, Plan, Standing
from providers.saying.counting import counted
from routing.gateway.deciding.affinity import WHOLE_POOL
from routing.gateway.deciding.features import Features
from routing.gateway.deciding.pools import translates
from routing.gateway.deciding.resolution import Group, Resolution
from routing.gateway.deciding.strategies import STRATEGIES, USUAL_OUTPUT_TOKENS, expected_cost
from routing.gateway.deciding.wording import lasting, words_of

AT_REST: Final = Standing()


class ExplainedStep(Struct, frozen=True, kw_only=True):
    """
    A candidate in the order of trying.

    `stage` is "request", "chain" or "rule", and `name` the name that brought it in. `inputs` is
    what the strategy knew of it. `dropped` are the members of the request that it would not get.
    `flag` is what is odd about it, where whoever asks knows of such.
    """

    provider_name: str
    model: str
    stage: str
    name: str
    reason: str
    inputs: dict[str, Any]
    dropped: tuple[str, ...] = ()
    flag: str = ""


class Teller:
    """Says of each step of one plan why it stands where it stands."""

    def __init__(
        self,
        resolution: Resolution,
        features: Features,
        made: Plan,
        fitting: Fitting | None = None,
    ) -> None:
        self._fitting = fitting
        self._groups = resolution.groups
        self._features = features
        self._plan = made
        self._inputs = made.inputs or Inputs()

    def steps(self) -> list[ExplainedStep]:
        told: list[ExplainedStep] = []
        last: tuple[int, bool, int] | None = None  # the group and tier of the step before
        for candidate in self._plan.steps:
            at = self._group_of(candidate)
            group = self._groups[at]
            is_told_anew = group.pool.native_first and translates(
                candidate, self._features.protocol
            )
            tier = (at, is_told_anew, candidate.priority)
            reason = self._reason(candidate, at, is_first=tier != last, opens=not told)
            if is_told_anew:
                reason += "; after all who speak the request's own protocol"
            last = tier
            told.append(
                ExplainedStep(
                    provider_name=candidate.provider,
                    model=candidate.model,
                    stage=group.stage,
                    name=group.requested,
                    reason=reason,
                    inputs=self._known(candidate, group),
                    dropped=self._fitting.dropped(candidate) if self._fitting else (),
                )
            )
        return told

    def _group_of(self, candidate: Candidate) -> int:
        """The group that brought it in: the first that has it."""
        for at, group in enumerate(self._groups):
            if candidate in group.pool.candidates:
                return at
        return 0

    def _reason(self, candidate: Candidate, at: int, *, is_first: bool, opens: bool) -> str:
        group = self._groups[at]
        words = self._place(candidate, at, is_first=is_first, opens=opens)
        if group.stage == "rule":
            words = f"the failover rule names {group.requested}: {words}"
        elif group.stage == "chain":
            words = f"the chain goes on with {group.requested}: {words}"
        if self._standing(candidate).half_open:
            words += "; on its way back from a bench, one request at a time"
        return words

    def _place(self, candidate: Candidate, at: int, *, is_first: bool, opens: bool) -> str:
        if self._plan.last_standing:
            returns_in_s = self._standing(candidate).returns_in_s
            when = f", back in {lasting(returns_in_s)}" if returns_in_s else ""
            return f"last standing: everybody sits out, and may be tried all the same{when}"
        is_wished = candidate.provider == self._features.preferred_provider
        if is_wished and self._groups[at].stage != "rule":
            return "the provider that the request asked for"
        if at == 0 and opens and (words := self._by_session(candidate)):
            return words
        if not is_first:
            return self._follows(candidate, self._groups[at])
        words = self._chosen(candidate, self._groups[at])
        if candidate.priority > _best(self._groups[at]):
            return f"{words}, of tier {candidate.priority}"
        return words

    def _by_session(self, candidate: Candidate) -> str:
        """Why the session, if there is one, goes to its first step."""
        affinity = self._plan.affinity
        if affinity is None:
            return ""
        who = "the pool stays with it" if affinity.session == WHOLE_POOL else "the session stays"
        if affinity.pinned == candidate.name:
            return f"pinned: {who} where it was served after a failover"
        if affinity.session == WHOLE_POOL:
            return ""
        if affinity.natural == candidate.name:
            return "the session's own choice, by its hash"
        return f"the session's next choice by its hash, as {affinity.natural} sits out"

    def _chosen(self, candidate: Candidate, group: Group) -> str:
        """Why it is the first of its tier."""
        weight, total = candidate.weight, _weights(candidate, group)
        ramp = self._standing(candidate).ramp
        slowly = (
            f", {counted(ramp, 'sixteenth')} of it so soon after a bench"
            if ramp < FULL_RAMP
            else ""
        )
        match group.pool.strategy:
            case "weighted_round_robin":
                return f"its turn by weight, {weight} of {total}{slowly}"
            case "round_robin":
                return f"its turn{slowly}"
            case "weighted_random":
                return f"drawn by weight, {weight} of {total}{slowly}"
            case "lowest_latency":
                return f"the quicker of two drawn: {self._latency(candidate)}"
            case "lowest_cost" if self._usd(candidate) is None:  # who has a price comes before
                return "no price is known, so in the order of the list"
            case "lowest_cost":
                return f"the cheapest for this request: {self._cost(candidate)}"
            case "least_busy":
                return f"the least busy: {self._load(candidate)}{slowly}"
            case _:
                return _in_list(candidate, group)

    def _follows(self, candidate: Candidate, group: Group) -> str:
        """Why it comes after another of its tier."""
        match group.pool.strategy:
            case "weighted_round_robin":
                return f"then by weight: {candidate.weight} of {_weights(candidate, group)}"
            case "weighted_random":
                return "drawn next"
            case "lowest_latency":
                return f"then by latency: {self._latency(candidate)}"
            case "lowest_cost":
                return f"then by price: {self._cost(candidate)}"
            case "least_busy":
                return f"then by load: {self._load(candidate)}"
            case _:
                return "then in the order of the list"

    def _standing(self, candidate: Candidate) -> Standing:
        return self._inputs.standings.get(candidate.name, AT_REST)

    def _latency(self, candidate: Candidate) -> str:
        latency_s = self._standing(candidate).latency_s
        if not latency_s:
            return "not measured yet"
        return f"{1000 * latency_s:.0f} ms to the first token lately"

    def _load(self, candidate: Candidate) -> str:
        in_flight = self._standing(candidate).in_flight
        return f"{in_flight} in flight over weight {candidate.weight}"

    def _cost(self, candidate: Candidate) -> str:
        cost = self._usd(candidate)
        return "its price is unknown" if cost is None else f"${cost:.6f}"

    def _usd(self, candidate: Candidate) -> float | None:
        """What this request is expected to cost."""
        prices, features = candidate.facts.prices, self._features
        if prices is None:
            return None
        output = features.max_output_tokens
        millionths = expected_cost(
            prices, features.input_tokens, USUAL_OUTPUT_TOKENS if output is None else output
        )
        return None if isinf(millionths) else millionths / 1e6

    def _known(self, candidate: Candidate, group: Group) -> dict[str, Any]:
        """The numbers behind the words."""
        standing = self._standing(candidate)
        strategy = STRATEGIES[group.pool.strategy]
        known: dict[str, Any] = {"priority": candidate.priority, "weight": candidate.weight}
        if strategy.rotates:
            counters = self._inputs.counters.get(group.pool.name, {})
            known["counter"] = counters.get(candidate.name, 0) / FULL_RAMP
        if strategy.goes_by_load:
            known["in_flight"] = standing.in_flight
            known["latency_ms"] = 1000 * standing.latency_s if standing.latency_s else None
        if group.pool.strategy == "lowest_cost":
            known["expected_cost_usd"] = self._usd(candidate)
        if standing.ramp < FULL_RAMP:
            known["ramp"] = f"{standing.ramp}/{FULL_RAMP}"
        if standing.half_open:
            known["half_open"] = True
        if self._inputs.pin == candidate.name:
            known["pinned"] = True
        return known


def _best(group: Group) -> int:
    """The number of the best tier, as configured."""
    return min(c.priority for c in group.pool.candidates)


def _tier(candidate: Candidate, group: Group) -> Sequence[Candidate]:
    return [c for c in group.pool.candidates if c.priority == candidate.priority]


def _weights(candidate: Candidate, group: Group) -> int:
    return sum(c.weight for c in _tier(candidate, group))


def _in_list(candidate: Candidate, group: Group) -> str:
    tier = _tier(candidate, group)
    if len(group.pool.candidates) == 1:
        return "the only one that the name stands for"
    if tier[0] is candidate:
        return "first in the list"
    before = ", ".join(c.name for c in tier[: tier.index(candidate)])
    return f"next in the list, after {before}"


def read_of(inputs: Inputs | None) -> list[str]:
    """What a decision read of what changes from request to request, a sentence each."""
    if inputs is None:
        return ["nothing: only the configuration counted"]
    said = [f"{name}: {_stood(standing)}" for name, standing in sorted(inputs.standings.items())]
    for pool, counters in sorted(inputs.counters.items()):
        # Counters are kept in sixteenths of a weight.
        turns = [f"{name} {value / FULL_RAMP:+g}" for name, value in sorted(counters.items())]
        said.append(f"turns of {pool}: {', '.join(turns) or 'none taken yet'}")
    if inputs.draws:
        said.append(f"dice: {', '.join(f'{drawn:.4f}' for drawn in inputs.draws)}")
    if inputs.pin:
        said.append(f"pinned to {inputs.pin}")
    return said


def _stood(standing: Standing) -> str:
    said = []
    if standing.reason:
        returns_in_s = standing.returns_in_s
        back = "" if returns_in_s is None else f", back in {lasting(returns_in_s)}"
        said.append(f"{words_of(standing.reason)}{back}")
    if standing.half_open:
        said.append("on its way back from a bench")
    if standing.ramp < FULL_RAMP:
        said.append(f"{counted(standing.ramp, 'sixteenth')} of its weight")
    if standing.in_flight:
        said.append(f"{standing.in_flight} in flight")
    if standing.latency_s:
        said.append(f"{1000 * standing.latency_s:.0f} ms to the first token")
    return ", ".join(said) or "at rest"
