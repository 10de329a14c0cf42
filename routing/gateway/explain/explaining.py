"""
A decision in words: who would be tried, why each stands where it stands, and why the others not.

Pure: `explain` asks the planner as a request does, and never commits what it answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec import Struct

from failover.engine.benches import BenchEntry
from failover.engine.benches import Key as BenchKey
from failover.engine.plan import Candidate, Fitting, Nobody, Plan, Rejected, Why
from routing.gateway.deciding.affinity import WHOLE_POOL
from routing.gateway.deciding.binding import bind, owner_of
from routing.gateway.deciding.features import Features
from routing.gateway.deciding.planner import plan
from routing.gateway.deciding.resolution import Resolution
from routing.gateway.deciding.state import State
from routing.gateway.deciding.strategies import Dice
from routing.gateway.deciding.table import Table
from routing.gateway.deciding.wording import words_of
from routing.gateway.errors import GatewayError, contradicted, nobody_may
from routing.gateway.estimates import estimate
from routing.gateway.explain.overview import bench_of
from routing.gateway.explain.reasons import ExplainedStep, Teller
from routing.gateway.explain.replay import decide_again
from routing.gateway.records.record import DecisionRecord

NO_BENCHES: Final[Mapping[BenchKey, BenchEntry]] = MappingProxyType({})
BENCHED: Final = frozenset({"benched", "benched_manually"})


class ExplainedRejection(Struct, frozen=True, kw_only=True):
    """
    `reason` is the planner's word, `words` what it means; `cause` what made a bench, "" where
    that is not known. `flag` is as in a step.
    """

    provider_name: str
    model: str
    reason: str
    words: str
    returns_in_s: float | None
    cause: str = ""
    flag: str = ""


class ExplainedRule(Struct, frozen=True, kw_only=True):
    primary_model: str
    fallback_models: tuple[str, ...]
    managed_source: str


class ExplainedAffinity(Struct, frozen=True, kw_only=True):
    """
    `scope` is "session", or "pool" where the whole pool stays after a failover. `natural` is the
    choice without benches, health and pins; `pinned` is empty without a pin.
    """

    scope: str
    natural: str
    pinned: str
    ttl_s: float


class ExplainedRefusal(Struct, frozen=True, kw_only=True):
    """What the caller would be told at once, because nobody may be tried."""

    status: int
    code: str | None
    message: str
    returns_in_s: float | None


class Explanation(Struct, frozen=True, kw_only=True):
    """
    One decision. `preferred` is the choice without benches and health, `max_calls` how many may
    be made in all.
    """

    requested_model: str
    canonical_model: str
    resolved_by: str
    strategy: str
    generation: int
    candidates: tuple[ExplainedStep, ...]
    rejected: tuple[ExplainedRejection, ...]
    preferred: str | None
    last_standing: bool
    failover_rule: ExplainedRule | None
    affinity: ExplainedAffinity | None
    warnings: tuple[str, ...]
    refusal: ExplainedRefusal | None
    max_calls: int

    @property
    def planned(self) -> tuple[str, ...]:
        """The candidates in the order of trying."""
        return tuple(f"{step.provider_name}/{step.model}" for step in self.candidates)


def explain(
    table: Table,
    resolution: Resolution,
    features: Features,
    state: State,
    now: float,
    rng: Dice,
    board: Mapping[BenchKey, BenchEntry] = NO_BENCHES,
    fitting: Fitting | None = None,
) -> Explanation:
    """
    What a request would meet, and why. `board` has the benches that are known; with `fitting` it is
    known as well who can take the request, and what of it.
    """
    made = plan(table, resolution, features, state, now, rng, fitting)
    if fitting is not None and fitting.request.state_id:
        owner = owner_of(features.key, table)
        made = bind(made, resolution, fitting.request, owner, state, now)
    return described(table.generation, resolution, features, made, board, fitting)


def explain_again(
    table: Table, resolution: Resolution, features: Features, decision: DecisionRecord
) -> Explanation:
    """
    The same decision once more, from what `decision` says that it read.

    Raises LookupError if it was made with another table.
    """
    made = decide_again(table, resolution, features, decision.inputs)
    return described(table.generation, resolution, features, made)


def described(
    generation: int,
    resolution: Resolution,
    features: Features,
    decided: Plan | Nobody,
    board: Mapping[BenchKey, BenchEntry] = NO_BENCHES,
    fitting: Fitting | None = None,
) -> Explanation:
    """`decided` in words."""
    rule = resolution.rule
    first = resolution.groups[0].pool
    refusal = affinity = None
    warnings = resolution.warnings
    preferred: Candidate | None = None
    candidates: tuple[ExplainedStep, ...] = ()
    if isinstance(decided, Nobody):
        contradiction = fitting.contradiction if fitting is not None else None
        if decided.why is Why.UNFIT and contradiction is not None:
            told: GatewayError = contradicted(contradiction)
        else:
            told = nobody_may(decided)
        if fitting is not None and estimate(fitting.request, told) is not None:
            warnings = (*warnings, "nobody can count it: the gateway answers with an estimate")
        else:
            refusal = ExplainedRefusal(
                status=told.status,
                code=told.code,
                message=told.message,
                returns_in_s=told.returns_in_s,
            )
    else:
        if fitting is not None:
            decided = _fitting(decided, fitting)
        candidates = tuple(Teller(resolution, features, decided, fitting).steps())
        warnings = decided.warnings
        preferred = decided.preferred
        if decided.affinity is not None:
            affinity = ExplainedAffinity(
                scope="pool" if decided.affinity.session == WHOLE_POOL else "session",
                natural=decided.affinity.natural,
                pinned=decided.affinity.pinned,
                ttl_s=decided.affinity.ttl_s,
            )
    return Explanation(
        requested_model=resolution.requested,
        canonical_model=resolution.canonical_model,
        resolved_by=resolution.resolved_by,
        strategy=first.strategy,
        generation=generation,
        candidates=candidates,
        rejected=tuple(_rejected(entry, board) for entry in decided.rejected),
        preferred=preferred.name if preferred is not None else None,
        last_standing=isinstance(decided, Plan) and decided.last_standing,
        failover_rule=ExplainedRule(
            primary_model=rule.primary,
            fallback_models=rule.fallbacks,
            managed_source=rule.source,
        )
        if rule is not None
        else None,
        affinity=affinity,
        warnings=warnings,
        refusal=refusal,
        max_calls=first.policy.max_attempts,
    )


def _fitting(made: Plan, fitting: Fitting) -> Plan:
    """`made` without those whom the engine would pass over when their turn comes."""
    misfits = [
        Rejected(candidate=candidate, reason=f"unsupported:{what}")
        for candidate in made.steps
        if (what := fitting.misfit(candidate))
    ]
    left_out = {entry.candidate for entry in misfits}
    return msgspec.structs.replace(
        made,
        steps=tuple(candidate for candidate in made.steps if candidate not in left_out),
        rejected=(*made.rejected, *misfits),
    )


def _rejected(entry: Rejected, board: Mapping[BenchKey, BenchEntry]) -> ExplainedRejection:
    bench = bench_of(entry.candidate, board) if entry.reason in BENCHED else None
    cause = ""
    if bench is not None:
        status = "" if bench.status is None else f" {bench.status}"
        said = f": {bench.sample_error}" if bench.sample_error else ""
        cause = f"{bench.reason}{status}{said}"
    return ExplainedRejection(
        provider_name=entry.candidate.provider,
        model=entry.candidate.model,
        reason=entry.reason,
        words=words_of(entry.reason),
        returns_in_s=entry.returns_in_s,
        cause=cause,
    )
