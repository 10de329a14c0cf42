"""What a request leaves behind, from what the gateway knew of it at its end."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from failover.engine.outcome import Attempt
from failover.engine.plan import Plan, Rejected
from providers.adapters.cost import cost_usd
from providers.errors import MESSAGE_LIMIT, Fault
from providers.protocols import PROTOCOLS, Usage
from routing.gateway.deciding.resolution import Resolution
from routing.gateway.deciding.snapshot import KeySpec
from routing.gateway.records.record import (
    NAME_LIMIT,
    NO_DECISION,
    NO_FEATURES,
    OWN_PREFIX,
    AttemptRecord,
    DecisionRecord,
    Detail,
    FeaturesRecord,
    RejectedRecord,
    RequestRecord,
)
from routing.gateway.records.trail import Trail


class RecordMaker:
    """Makes the records of one worker. About 4 µs each."""

    def __init__(self, worker: str) -> None:
        self._worker = worker
        self._prefix = "a" + secrets.token_hex(4)[1:]
        self._made = 0
        self._offset = 0.0
        self._seen: dict[int, _Planned] = {}

    def begin(self, offset: float) -> None:
        """Before a batch. `offset` turns the loop's time into Unix time."""
        self._offset = offset
        self._seen.clear()

    def record(self, trail: Trail) -> RequestRecord:
        self._made += 1
        plan = trail.plan
        planned = _UNPLANNED
        if plan is not None and trail.resolution is not None:
            # Quiet times have one plan for all requests of a name.
            known = self._seen.get(id(plan))
            if known is None:
                known = self._seen[id(plan)] = _planned(plan, trail.resolution)
            planned = known
        elif trail.resolution is not None:
            planned = _unplanned(trail.resolution, trail)
        key = trail.key.spec if trail.key is not None else _NOBODY
        served, usage = trail.served, trail.usage or _NO_USAGE
        started_at = trail.started_at
        calls = trail.calls or ()
        # The engine's clock stands still during a turn of the loop, so it may lag behind ours.
        since = min(started_at, calls[0].started_at) if calls else started_at
        attempts = tuple([_attempt(attempt, since) for attempt in calls])
        duration_s = trail.ended_at - started_at
        moved = served is not None and plan is not None and plan.preferred is not served
        request_id = trail.request_id.decode()
        # In the order of the fields: by keyword it would take 1.2 µs more.
        return RequestRecord(
            (trail.record_id or self._new_id(started_at))
            if trail.is_named
            else request_id[len(OWN_PREFIX) :],
            request_id,
            trail.outcome,
            trail.status,
            trail.code[:NAME_LIMIT],
            key.name,
            key.team,
            trail.requested[:NAME_LIMIT],  # requested_model
            trail.canonical_model[:NAME_LIMIT],
            served.provider if served is not None else "",
            served.model[:NAME_LIMIT] if served is not None else "",
            moved,  # failover
            trail.stream,
            len(attempts),  # calls
            int(duration_s * 1e6) / 1e3,  # duration_ms; round() takes five times as long
            attempts[0].content_ms if len(attempts) == 1 else _first_content_ms(attempts),
            usage.input_tokens,
            usage.output_tokens,
            usage.cached_tokens,
            usage.reasoning_tokens,
            _cost(trail) if served is not None and trail.usage is not None else None,
            trail.generation,
            Detail(
                self._worker,
                trail.endpoint,
                trail.protocol,
                key.user_path,
                planned.targets.get(served.name, "") if served is not None else "",
                _features(trail),
                planned.decision,
                attempts,
                _skipped(trail) if trail.misfits else (),
                trail.is_estimated,
            ),
        )

    def _new_id(self, started_at: float) -> str:
        """A UUID of version 7. Number and prefix keep it unique when the clock is set back."""
        number = self._made
        wall_ms = int((started_at + self._offset) * 1000)
        parts = (wall_ms, number & 0xFFF, self._prefix, number & 0xFFFFFFFF)
        return "%012x7%03x%s%08x" % parts  # noqa: UP031 - half the time of an f-string


class _Planned(Struct, frozen=True, kw_only=True):
    """What the records of all requests with one plan share. `targets`: names by rule target."""

    plan: Plan | None = None  # held, so that no other plan can have its id
    decision: DecisionRecord = NO_DECISION
    targets: dict[str, str] = {}


_UNPLANNED: Final = _Planned()
_NO_USAGE: Final = Usage()
_NOBODY: Final = KeySpec(name="", digest=b"")


def _planned(plan: Plan, resolution: Resolution) -> _Planned:
    targets: dict[str, str] = {}
    if resolution.rule is not None:
        for group in resolution.groups:
            target = group.requested if group.stage == "rule" else ""
            for candidate in group.pool.candidates:
                targets.setdefault(candidate.name, target)
    return _Planned(
        plan=plan,
        targets=targets,
        decision=DecisionRecord(
            resolved_by=resolution.resolved_by,
            strategy=plan.strategy,
            config_primary=_primary(resolution),
            planned=tuple([c.name[:NAME_LIMIT] for c in plan.steps]),
            rejected=_rejected(plan.rejected),
            last_standing=plan.last_standing,
            inputs=plan.inputs,
            preferred=_preferred(plan),
            warnings=plan.warnings,
        ),
    )


def _unplanned(resolution: Resolution, trail: Trail) -> _Planned:
    """Where planning left nobody."""
    return _Planned(
        decision=DecisionRecord(
            resolved_by=resolution.resolved_by,
            strategy=resolution.groups[0].pool.strategy,
            config_primary=_primary(resolution),
            rejected=_rejected(trail.rejected),
            inputs=trail.inputs,
        )
    )


def _preferred(plan: Plan) -> str:
    preferred = plan.preferred
    return "" if preferred is None or preferred is plan.steps[0] else preferred.name[:NAME_LIMIT]


def _primary(resolution: Resolution) -> str:
    primary = resolution.groups[0].pool.primary
    return primary.name[:NAME_LIMIT] if primary is not None else ""


def _cost(trail: Trail) -> float | None:
    """US dollars; None where prices or counts are not known."""
    prices = trail.served.facts.prices if trail.served is not None else None
    if prices is None:
        return None
    return cost_usd(prices, trail.usage, has_output=PROTOCOLS[trail.protocol].has_output)


def _features(trail: Trail) -> FeaturesRecord:
    asked = trail.features
    if asked is None and trail.estimated_input_tokens is None:
        return NO_FEATURES  # it was refused before anybody looked into it
    return FeaturesRecord(
        tuple(sorted(trail.needs)) if trail.needs else (),
        trail.estimated_input_tokens,
        trail.max_output_tokens,
        asked.preferred_provider[:NAME_LIMIT] if asked else "",
        asked.no_failover if asked else False,
        asked.strict_params if asked else False,
        f"{asked.session:x}" if asked and asked.session is not None else "",
    )


def _rejected(entries: Sequence[Rejected]) -> tuple[RejectedRecord, ...]:
    return tuple(
        RejectedRecord(candidate=e.candidate.name[:NAME_LIMIT], reason=e.reason) for e in entries
    )


def _skipped(trail: Trail) -> tuple[RejectedRecord, ...]:
    """Who turned out unfit after the decision, which knows of those before."""
    inputs = trail.plan.inputs if trail.plan is not None else trail.inputs
    known = inputs.misfits if inputs is not None else {}
    return tuple(
        RejectedRecord(candidate=name[:NAME_LIMIT], reason=f"unsupported:{what}"[:NAME_LIMIT])
        for name, what in trail.misfits.items()
        if name not in known
    )


def _attempt(attempt: Attempt, since: float) -> AttemptRecord:
    candidate, failure, dropped = attempt.candidate, attempt.failure, attempt.dropped
    headers_at, content_at, ended_at = attempt.headers_at, attempt.content_at, attempt.ended_at
    # Milliseconds with three decimals; a function for it would be called four times a request.
    return AttemptRecord(
        candidate.provider,
        candidate.model[:NAME_LIMIT],
        attempt.credential,
        int((attempt.started_at - since) * 1e6) / 1e3,
        None if headers_at is None else int((headers_at - since) * 1e6) / 1e3,
        None if content_at is None else int((content_at - since) * 1e6) / 1e3,
        None if ended_at is None else int((ended_at - since) * 1e6) / 1e3,
        attempt.status,
        "" if failure is None else failure.fault.value,
        "" if failure is None else failure.message[:MESSAGE_LIMIT],
        "" if attempt.simulated is None else attempt.simulated.text,
        attempt.is_hedge,
        tuple([name[:NAME_LIMIT] for name in dropped]) if dropped else (),
    )


def _first_content_ms(attempts: Sequence[AttemptRecord]) -> float | None:
    """Of who served, or was asked last: no other call goes on but one that was called off."""
    for attempt in reversed(attempts):
        if attempt.fault != Fault.HEDGED:
            return attempt.content_ms
    return None
