"""
Requests that name what one provider keeps for the caller: they go there, or nowhere.

An earlier answer or a conversation lives at the account that made it, and belongs to the owner of
the key that it was made with. Who that is answers say in passing; it is remembered beside the
sessions that moved (affinity.Pins), and so known to other workers and hosts. The owner is part of
what is hashed: for any other the same id is as unknown as one that never was.
"""

from __future__ import annotations

from typing import Final

import msgspec

from failover.engine.plan import Candidate, Inputs, Nobody, Plan, Rejected, Why
from failover.engine.rendezvous import hash_of
from providers.protocols import Request
from routing.gateway.deciding.affinity import STATE, Pins
from routing.gateway.deciding.keys import Key
from routing.gateway.deciding.resolution import Resolution
from routing.gateway.deciding.state import State
from routing.gateway.deciding.table import Table

KEPT_ELSEWHERE: Final = "kept_elsewhere"
KEPT_S: Final = 30 * 24 * 3600.0  # so long OpenAI keeps a response


def owner_of(key: Key, table: Table) -> str:
    """Whose what is kept for `key` is. "" for all, where operators have callers share ids."""
    return "" if table.shares_ids else key.owner


def bind(
    made: Plan | Nobody,
    resolution: Resolution,
    request: Request,
    owner: str,
    state: State,
    now: float,
) -> Plan | Nobody:
    """`made` for who keeps for `owner` what `request` refers to: for nobody, if that is unknown."""
    if isinstance(made, Nobody):
        return made
    protocol = request.protocol.name
    holder = state.pinned(STATE, _place(owner, request.state_id), now)
    if not holder:
        holders = _holders(resolution, protocol) if not owner else ()
        if len(holders) != 1:
            left_out = (Rejected(candidate=c, reason=KEPT_ELSEWHERE) for c in made.steps)
            return Nobody(why=Why.UNKNOWN_STATE, rejected=(*made.rejected, *left_out))
        (holder,) = holders
    return bound(made, holder, protocol)


def remember(pins: Pins, owner: str, holder: str, now: float, *ids: str) -> None:
    """`holder` keeps for `owner` what has these ids, "" for none."""
    for state_id in ids:
        if state_id:
            pins.keep(_place(owner, state_id), holder, KEPT_S, now)


def _place(owner: str, state_id: str) -> int:
    return hash_of(f"{owner}\0{state_id}")


def holder_of(candidate: Candidate, label: str) -> str:
    """The account behind `candidate` whose credential is `label`."""
    return f"{candidate.provider}/{label}"


def label_of(made: Plan) -> str:
    """The only credential to call with; "" for any."""
    return made.inputs.holder.partition("/")[2] if made.inputs is not None else ""


def bound(made: Plan | Nobody, holder: str, protocol: str) -> Plan | Nobody:
    """`made` with the first candidate of `holder` alone: what it keeps nobody else has."""
    if isinstance(made, Nobody):
        return made
    provider = holder.partition("/")[0]
    keepers = [c for c in made.steps if c.provider == provider and protocol in c.spoken]
    others = [c for c in made.steps if c not in keepers[:1]]
    rejected = (
        *made.rejected,
        *(Rejected(candidate=c, reason=KEPT_ELSEWHERE) for c in others),
    )
    inputs = msgspec.structs.replace(made.inputs or Inputs(), holder=holder)
    if not keepers:
        returns = [e.returns_in_s for e in rejected if e.candidate.provider == provider]
        return Nobody(
            why=Why.NOBODY,
            rejected=rejected,
            returns_in_s=min((s for s in returns if s is not None), default=None),
            inputs=inputs,
        )
    return msgspec.structs.replace(
        made,
        steps=(keepers[0],),
        rejected=rejected,
        preferred=keepers[0],
        commit=None,
        affinity=None,
        inputs=inputs,
    )


def _holders(resolution: Resolution, protocol: str) -> set[str]:
    """The accounts that may keep something for requests of `protocol`."""
    return {
        holder_of(candidate, credential.label)
        for group in resolution.groups
        for candidate in group.pool.candidates
        if protocol in candidate.spoken
        for credential in candidate.credentials
    }
