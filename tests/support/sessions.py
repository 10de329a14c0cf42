"""Many sessions, and the choices of five candidates with weights for them."""

from failover.engine.rendezvous import hash_of
from routing.gateway.deciding.affinity import by_session
from routing.gateway.deciding.snapshot import (
    CandidateSpec,
)
from tests.support.builders import pool
from tests.support.planning import World

SESSIONS = [f"session-{number}" for number in range(10_000)]
WEIGHTS = {"a/x": 1, "b/x": 2, "c/x": 3, "d/x": 2, "e/x": 2}


def five(*without, **changes):
    specs = [
        CandidateSpec(provider=name[0], model="x", weight=weight)
        for name, weight in WEIGHTS.items()
        if name not in without
    ]
    return World(pool("m", *specs, strategy="weighted_round_robin", **changes))


def choices(world):
    members = world.table.pool("m").candidates
    return [by_session(members, hash_of(session))[0].name for session in SESSIONS]
