"""
Who may be called now: benches of every scope, seen from one candidate.

The planner asks `blocked` for a reason to leave a candidate out; the engine asks
`usable_credential` when it is about to call. Both go by the same two rules.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

from failover.engine.benches import BenchEntry, Benches, Key
from failover.engine.outcome import Attempt
from failover.engine.plan import Candidate
from providers.adapters.upstream import Credential, Upstream
from providers.errors import Fault

SHORT_WAIT_S = 2.0
_NEVER_EARLY = frozenset({Fault.AUTH.value, Fault.QUOTA.value})


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """
    Why a candidate sits out. `yields`: it may be tried after all if nobody else is left.
    `is_stated`: it is inside a rate limit whose end the provider named.
    """

    reason: str
    returns_in_s: float
    yields: bool
    is_stated: bool


def blocked(candidate: Candidate, benches: Benches, now: float) -> Block | None:
    """What keeps `candidate` from being called now; None if nothing does."""
    if benches.is_empty:
        return None
    for key in (candidate.endpoint_key, candidate.candidate_key):
        entry = benches.holding(key, now)
        if entry is not None:
            return _block(entry, key, candidate, benches, now)
    best: Block | None = None
    for credential in candidate.credentials:
        block = _credential_block(candidate, credential.label, benches, now)
        if block is None:
            return None
        if best is None or _openness(block) > _openness(best):
            best = block
    return best


def soonest_return_s(
    steps: Sequence[Candidate], attempts: Sequence[Attempt], benches: Benches, now: float
) -> float | None:
    """When the first of `steps` may be called again; None if one may be at once."""
    waits = []
    for candidate in steps:
        block = blocked(candidate, benches, now)
        stated = [
            attempt.failure.retry_after_s
            for attempt in attempts
            if attempt.candidate is candidate
            and attempt.failure is not None
            and attempt.failure.retry_after_s is not None
        ]
        if block is None and not stated:
            return None
        waits.append(block.returns_in_s if block is not None else min(stated))
    return min(waits, default=None)


def usable_credential(
    candidate: Candidate,
    benches: Benches,
    now: float,
    *,
    used: Container[str] = (),
    last_standing: bool = False,
) -> Credential | None:
    """The first credential not in `used` that may be called now."""
    second_best: Credential | None = None
    for credential in candidate.credentials:
        if credential.label in used:
            continue
        if benches.is_empty:
            return credential
        block = _credential_block(candidate, credential.label, benches, now)
        if block is None:
            return credential
        if block.yields and second_best is None:
            second_best = credential
    return second_best if last_standing else None


def is_half_open(candidate: Candidate, benches: Benches, now: float) -> bool:
    """True if the next call would be the one probe of a bench whose time has run out."""
    return not benches.is_empty and (
        benches.is_half_open(candidate.endpoint_key, now)
        or benches.is_half_open(candidate.candidate_key, now)
    )


def mended(
    before: Mapping[str, Upstream], after: Mapping[str, Upstream]
) -> Iterator[tuple[str, frozenset[str] | None]]:
    """
    Whose benches an edit of providers makes void: (provider, credential labels).

    Another address voids all of a provider's (None); another secret those of its credential.
    """
    for name in before.keys() & after.keys():
        old, new = before[name], after[name]
        if old.spec.base_url != new.spec.base_url:
            yield name, None
            continue
        secrets = {c.label: c.secret for c in old.credentials}
        changed = frozenset(c.label for c in new.credentials if secrets.get(c.label) != c.secret)
        if changed:
            yield name, changed


def _credential_block(
    candidate: Candidate, label: str, benches: Benches, now: float
) -> Block | None:
    for key in candidate.credential_keys(label):
        entry = benches.holding(key, now)
        if entry is not None:
            return _block(entry, key, candidate, benches, now)
    return None


def _block(
    entry: BenchEntry, key: Key, candidate: Candidate, benches: Benches, now: float
) -> Block:
    returns_in_s = benches.returns_in(key, now)
    if entry.manual or entry.reason in _NEVER_EARLY:
        yields = False
    elif entry.stated and returns_in_s > SHORT_WAIT_S:
        yields = benches.may_try_early(key, now, candidate.bench_policy.cooldown_s)
    else:
        yields = True
    return Block(
        reason="benched_manually" if entry.manual else "benched",
        returns_in_s=returns_in_s,
        yields=yields,
        is_stated=entry.stated,
    )


def _openness(block: Block) -> tuple[bool, float]:
    return (block.yields, -block.returns_in_s)
