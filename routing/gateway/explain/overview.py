"""
What each pool would do now: who is configured first, who is chosen, and who sits out why.

Pure: it asks `plan` for a key that may use everything, and never commits what it answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Final, Literal

from msgspec import Struct

from failover.engine.benches import BenchEntry, Key
from failover.engine.plan import Candidate, Nobody, Rejected
from providers.protocols import PROTOCOLS
from routing.gateway.deciding.features import Features
from routing.gateway.deciding.keys import MASTER
from routing.gateway.deciding.planner import plan
from routing.gateway.deciding.pools import Pool
from routing.gateway.deciding.resolution import Group, Resolution
from routing.gateway.deciding.snapshot import SwitchSpec
from routing.gateway.deciding.state import LiveState
from routing.gateway.deciding.strategies import STRATEGIES
from routing.gateway.deciding.switches import words_of_switch
from routing.gateway.deciding.table import Table
from routing.gateway.deciding.wording import words_of

RuntimeStatus = Literal["healthy", "degraded", "unhealthy", "unknown"]
PoolStatus = Literal["enabled", "degraded", "disabled", "unavailable"]

REASON_OF_KIND: Final = {
    "provider": "provider_disabled",
    "canonical_model": "canonical_model_disabled",
    "pool_candidate": "candidate_disabled",
}
OPERATORS: Final = frozenset(REASON_OF_KIND.values())
# Left out of this one plan, and yet somebody who may serve the next request.
_CHOOSABLE: Final = frozenset({"failover_disabled"})


class CandidateView(Struct, frozen=True, kw_only=True):
    """
    A candidate of a pool as it stands now. `blocked_reason` is the planner's word, `switch` the
    operators' switch that takes it out here, the widest if there are several.
    """

    provider_name: str
    model: str
    priority: int
    weight: int
    enabled: bool
    runtime_status: RuntimeStatus
    selectable: bool
    blocked_reason: str | None
    bench: BenchEntry | None
    switch: SwitchSpec | None
    is_config_primary: bool
    is_effective_candidate: bool

    @property
    def name(self) -> str:
        return f"{self.provider_name}/{self.model}"

    @property
    def switch_words(self) -> str:
        """Why and how long its switch holds, where that is what keeps it out."""
        switch = self.switch
        if switch is None or self.blocked_reason != REASON_OF_KIND[switch.kind]:
            return ""
        return words_of_switch(switch)


class PoolView(Struct, frozen=True, kw_only=True):
    """A pool as it stands now. The two candidates are "provider/model", None if there is none."""

    canonical_model: str
    aliases: tuple[str, ...]
    strategy: str
    managed_source: str
    enabled: bool
    switch: SwitchSpec | None
    status: PoolStatus
    status_reason: str
    config_primary_candidate: str | None
    effective_candidate: str | None
    candidates: tuple[CandidateView, ...]


def aliases_by_pool(table: Table) -> dict[str, tuple[str, ...]]:
    """The aliases of each canonical model, sorted."""
    found: dict[str, list[str]] = {}
    for name in sorted(table.aliases):
        found.setdefault(table.canonical(name), []).append(name)
    return {name: tuple(aliases) for name, aliases in found.items()}


def board_of(live: LiveState, now: float) -> Mapping[Key, BenchEntry]:
    """Who sits out; of two benches of one subject the operator's."""
    return {entry.key: entry for entry in live.benches.entries(now)}  # the manual ones come last


def view_pool(
    table: Table,
    name: str,
    aliases: Mapping[str, Sequence[str]],
    live: LiveState,
    now: float,
    rng: Random,
    board: Mapping[Key, BenchEntry] | None = None,
) -> PoolView | None:
    """
    The pool of the canonical model `name` as it stands now; None if there is none.

    Whoever looks at many gives the `board_of` that moment.
    """
    spec, pool = table.pools.get(name), table.pool(name)
    if spec is None or pool is None:
        return None
    steps, reasons = _asked(table, pool, live, now, rng)
    board = board_of(live, now) if board is None else board
    effective = steps[0] if steps else None
    candidates = tuple(
        _candidate(
            candidate,
            reasons.get(candidate.name),
            pool=pool,
            effective=effective,
            health=_health_of(candidate.provider, live),
            bench=bench_of(candidate, board),
            switch=table.switches.of_candidate(name, candidate.provider, candidate.model),
        )
        for candidate in pool.candidates
    )
    switch = table.switches.of_pool(name)
    status, reason = _status(pool, switch, candidates, effective)
    return PoolView(
        canonical_model=name,
        aliases=tuple(aliases.get(name, ())),
        strategy=pool.strategy,
        managed_source=spec.source,
        enabled=spec.enabled,
        switch=switch,
        status=status,
        status_reason=reason,
        config_primary_candidate=pool.primary.name if pool.primary else None,
        effective_candidate=effective.name if effective else None,
        candidates=candidates,
    )


def _asked(
    table: Table, pool: Pool, live: LiveState, now: float, rng: Random
) -> tuple[Sequence[Candidate], Mapping[str, str]]:
    """
    What the planner says of a plain request: the order, and why others sit out.

    Those who are tried only because nobody else is left have a reason, too.
    """
    group = Group(requested=pool.name, pool=pool, resolved_by="pool")
    resolution = Resolution(requested=pool.name, groups=(group,), rule=None, resolved_by="pool")
    features = Features(protocol=_usual_protocol(pool), key=MASTER)
    made = plan(table, resolution, features, live, now, rng)
    if isinstance(made, Nobody):
        return (), _reasons(made.rejected)
    reasons = _reasons(made.rejected)
    if made.last_standing and made.inputs is not None:
        standings = made.inputs.standings
        reasons |= {c.name: standings[c.name].reason for c in made.steps if c.name in standings}
    return made.steps, reasons


def _reasons(rejected: Sequence[Rejected]) -> dict[str, str]:
    return {e.candidate.name: e.reason for e in rejected if e.reason not in _CHOOSABLE}


def _usual_protocol(pool: Pool) -> str:
    """The protocol that most candidates speak; of equals the first."""
    return max(
        PROTOCOLS,
        key=lambda protocol: sum(protocol in c.spoken for c in pool.candidates),
    )


def _candidate(
    candidate: Candidate,
    reason: str | None,
    *,
    pool: Pool,
    effective: Candidate | None,
    health: RuntimeStatus,
    bench: BenchEntry | None,
    switch: SwitchSpec | None,
) -> CandidateView:
    return CandidateView(
        provider_name=candidate.provider,
        model=candidate.model,
        priority=candidate.priority,
        weight=candidate.weight,
        enabled=candidate.is_enabled,
        runtime_status=_runtime_status(bench, health, is_blocked=reason == "benched"),
        selectable=reason is None,
        blocked_reason=reason,
        bench=bench,
        switch=switch,
        is_config_primary=candidate is pool.primary,
        is_effective_candidate=candidate is effective,
    )


def bench_of(candidate: Candidate, board: Mapping[Key, BenchEntry]) -> BenchEntry | None:
    """The bench that bears on `candidate`: an operator's before others, then the widest."""
    keys = [candidate.endpoint_key, candidate.candidate_key]
    for credential in candidate.credentials:
        keys += candidate.credential_keys(credential.label)
    found = [board[key] for key in keys if key in board]
    return max(found, key=lambda entry: entry.manual, default=None)  # of equals the first


def _health_of(provider: str, live: LiveState) -> RuntimeStatus:
    """What probes have shown."""
    if provider in live.unhealthy:
        return "unhealthy"
    known = live.health.get(provider)
    return "healthy" if known == "healthy" else "degraded" if known == "degraded" else "unknown"


def _runtime_status(
    bench: BenchEntry | None, health: RuntimeStatus, *, is_blocked: bool
) -> RuntimeStatus:
    """What traffic has shown: benched as a whole, or on its way back; else the probes' word."""
    if health == "unhealthy" or bench is None or bench.manual:
        return health
    return "unhealthy" if is_blocked and bench.credential is None else "degraded"


def _status(
    pool: Pool,
    switch: SwitchSpec | None,
    candidates: Sequence[CandidateView],
    effective: Candidate | None,
) -> tuple[PoolStatus, str]:
    """One word for the pool, and why, in words."""
    if not pool.is_enabled:
        said = words_of_switch(switch) if switch is not None else ""
        return "disabled", f"An operator has disabled the pool{said and f': {said}'}."
    if not candidates:
        return "unavailable", "The pool has no candidates."
    blocked = [c for c in candidates if not c.selectable]
    if len(blocked) == len(candidates):
        if all(c.blocked_reason in OPERATORS for c in blocked):
            return "disabled", f"Operators have left nobody: {_list(blocked)}."
        after_all = f"; {effective.name} is tried all the same" if effective else ""
        return "unavailable", f"Nobody can be chosen: {_list(blocked)}{after_all}."
    reasons = []
    if blocked:
        reasons.append(f"left out: {_list(blocked)}")
    chosen = next((c for c in candidates if c.is_effective_candidate), None)
    if chosen is not None and chosen.runtime_status in ("degraded", "unhealthy"):
        reasons.append(f"chosen is {chosen.name}, which is {chosen.runtime_status}")
    primary = pool.primary
    if effective is not None and primary is not None and _has_moved(pool, primary, effective):
        reasons.append(f"chosen is {effective.name}, not {primary.name}, which is configured first")
    if reasons:
        text = "; ".join(reasons)
        return "degraded", f"{text[0].upper()}{text[1:]}."
    return "enabled", "Every candidate can be chosen."


def _has_moved(pool: Pool, primary: Candidate, effective: Candidate) -> bool:
    """Whether somebody else than the configuration says is chosen: turns within a tier are not."""
    if STRATEGIES[pool.strategy].is_settled:
        return effective is not primary
    return effective.priority != primary.priority


def _list(candidates: Sequence[CandidateView]) -> str:
    return ", ".join(f"{c.name} ({_why(c)})" for c in candidates)


def _why(candidate: CandidateView) -> str:
    words, said = words_of(candidate.blocked_reason or ""), candidate.switch_words
    return f"{words}: {said}" if said else words
