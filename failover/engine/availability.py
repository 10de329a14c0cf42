"""
Who may be called now: benches of every scope, seen from one candidate.

The planner asks `blocked` for a reason to leave a candidate out; the engine asks
`usable_credential` when it is about to call. Both go by the same two rules.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from failover.engine.benches import RETURN_S, BenchEntry, Benches, Key
from failover.engine.outcome import Attempt
from failover.engine.plan import FULL_RAMP, Candidate
from failover.engine.rendezvous import hash_of, score
from providers.adapters.upstream import Credential, Upstream
from providers.errors import Failure, Fault

SHORT_WAIT_S = 2.0
RAMP_STEP_S: Final = RETURN_S / (FULL_RAMP - 1)
_hash_of: Final = lru_cache(maxsize=1024)(hash_of)
_NEVER_EARLY = frozenset({Fault.AUTH.value, Fault.QUOTA.value})


@dataclass(frozen=True, slots=True, kw_only=True)
class SittingOut:
    """
    Why a candidate sits out. `yields`: it may be tried after all if nobody else is left.
    `is_stated`: it is inside a rate limit whose end the provider named.
    """

    reason: str
    returns_in_s: float
    yields: bool
    is_stated: bool


def blocked(candidate: Candidate, benches: Benches, now: float) -> SittingOut | None:
    """What keeps `candidate` from being called now; None if nothing does."""
    if benches.is_empty:
        return None
    keys = (candidate.endpoint_key, candidate.candidate_key)
    block = _held(keys, candidate, benches, now)
    if block is not None and not block.yields:
        return block
    best: SittingOut | None = None
    for credential in candidate.credentials:
        held = _credential_block(candidate, credential.label, benches, now)
        if held is None:
            return block
        if best is None or _openness(held) > _openness(best):
            best = held
    if block is None or best is None:
        return best or block
    if best.yields:
        return block
    # That the candidate may be tried early is no use while none of its keys may.
    return replace(best, returns_in_s=max(block.returns_in_s, best.returns_in_s))


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
    session: int | None = None,
) -> Credential | None:
    """
    The first credential not in `used` that may be called now.

    With a `session` its own comes first, the same in every process, and then the next by score.
    """
    second_best: Credential | None = None
    credentials: Sequence[Credential] = candidate.credentials
    if session is not None and len(credentials) > 1:
        credentials = sorted(
            credentials, key=lambda c: score(session, _hash_of(c.key_id)), reverse=True
        )
    for credential in credentials:
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


def worth_trying(
    waiting: list[Candidate], candidate: Candidate, failure: Failure
) -> list[Candidate]:
    """Those who may do better: after a context too small, only larger or unknown windows."""
    window = candidate.context_window
    if failure.fault is not Fault.CONTEXT_LENGTH or window is None:
        return waiting
    return [c for c in waiting if c.context_window is None or c.context_window > window]


def take_next(waiting: list[Candidate], benches: Benches, now: float) -> Candidate:
    """
    Take the next of `waiting` out of it: the first that may be called now.

    Whoever was benched, or is tried by another request, since the plan was made has its turn
    after the others.
    """
    if len(waiting) > 1 and not benches.is_empty:
        for place, candidate in enumerate(waiting):
            if blocked(candidate, benches, now) is None:
                return waiting.pop(place)
    return waiting.pop(0)


def is_half_open(candidate: Candidate, benches: Benches, now: float) -> bool:
    """True if the next call would be the one probe of a bench whose time has run out."""
    if benches.is_empty:
        return False
    if benches.is_half_open(candidate.endpoint_key, now) or benches.is_half_open(
        candidate.candidate_key, now
    ):
        return True
    return bool(candidate.credentials) and all(
        any(benches.is_half_open(key, now) for key in candidate.credential_keys(credential.label))
        for credential in candidate.credentials
    )


def ramp(candidate: Candidate, benches: Benches, now: float) -> int:
    """
    Sixteenths of its weight that count for `candidate`: few when a bench of it has just ended.

    They grow over RETURN_S. A credential's bench counts where it is the only one.
    """
    keys = [candidate.endpoint_key, candidate.candidate_key]
    if len(candidate.credentials) == 1:
        keys += candidate.credential_keys(candidate.credentials[0].label)
    ends = [at for key in keys if (at := benches.returned_at(key, now)) is not None]
    return min(1 + int((now - max(ends)) / RAMP_STEP_S), FULL_RAMP) if ends else FULL_RAMP


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
) -> SittingOut | None:
    return _held(candidate.credential_keys(label), candidate, benches, now)


def _held(
    keys: Iterable[Key], candidate: Candidate, benches: Benches, now: float
) -> SittingOut | None:
    """By the first of `keys` that is benched; an operator's bench comes before traffic's."""
    first: tuple[Key, BenchEntry] | None = None
    for key in keys:
        entry = benches.holding(key, now)
        if entry is not None and (first is None or entry.manual):
            first = (key, entry)
            if entry.manual:
                break
    if first is None:
        return None
    key, entry = first
    return _block(entry, key, candidate, benches, now)


def _block(
    entry: BenchEntry, key: Key, candidate: Candidate, benches: Benches, now: float
) -> SittingOut:
    returns_in_s = benches.returns_in(key, now)
    if entry.manual or entry.reason in _NEVER_EARLY:
        yields = False
    elif entry.stated and returns_in_s > SHORT_WAIT_S:
        yields = benches.may_try_early(key, now, candidate.bench_policy.cooldown_s)
    else:
        yields = True
    return SittingOut(
        reason="benched_manually" if entry.manual else "benched",
        returns_in_s=returns_in_s,
        yields=yields,
        is_stated=entry.stated,
    )


def _openness(block: SittingOut) -> tuple[bool, float]:
    return (block.yields, -block.returns_in_s)
