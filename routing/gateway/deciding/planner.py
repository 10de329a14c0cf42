"""
The one decision: who is tried, in which order, and why the others are not.

`plan` is pure: no clock, no dice of its own, no I/O. It only reads `state`; the counter move that
its choice costs comes back in the plan, and the engine commits it. What it read comes back as
`Plan.inputs`, so that the decision can be made again (routing.gateway.explain.replay).

A candidate has one reason at most. They are looked for in this order, first what no time mends:
the operators' switches, the endpoint and capabilities, the credential (all three in pools.py),
the key's rights, the size of the request, what of it cannot be told in the provider's protocol,
and then what changes from moment to moment: manual benches, probes, traffic's benches, and the
candidate's own limits (state.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from failover.engine.plan import Fitting, Nobody, Plan
from routing.gateway.deciding.features import Features
from routing.gateway.deciding.planning import Planning
from routing.gateway.deciding.resolution import Resolution
from routing.gateway.deciding.state import State
from routing.gateway.deciding.strategies import Dice
from routing.gateway.deciding.table import Table


def plan(
    table: Table,
    resolution: Resolution,
    features: Features,
    state: State,
    now: float,
    rng: Dice,
    fitting: Fitting | None = None,
) -> Plan | Nobody:
    """
    The plan for one request, or that nobody may be tried. `now` is monotonic seconds.

    Who would be called first can take the request, as far as `fitting` knows: it is asked about
    those alone that come before. Whether the others can, the engine asks when their turn comes, as
    most requests never need to be told in another protocol.
    """
    made = _planned(table, resolution, features, state, now, rng)
    if fitting is None:
        return made
    misfits: dict[str, str] = {}
    while isinstance(made, Plan) and fitting.misfit(made.steps[0]):
        for candidate in made.steps:
            if not (what := fitting.misfit(candidate)):
                break
            misfits[candidate.name] = what
        made = Planning(features, state, now, rng, misfits).plan(table, resolution)
    return made


def plan_without(
    table: Table,
    resolution: Resolution,
    features: Features,
    state: State,
    now: float,
    rng: Dice,
    misfits: Mapping[str, str],
) -> Plan | Nobody:
    """The plan where it is known who cannot take the request, and which member of it."""
    if not misfits:
        return _planned(table, resolution, features, state, now, rng)
    return Planning(features, state, now, rng, misfits).plan(table, resolution)


def _planned(
    table: Table, resolution: Resolution, features: Features, state: State, now: float, rng: Dice
) -> Plan | Nobody:
    # Nothing but the table bears on a request whose key may use everything, while nobody is
    # benched and no counter or dice choose: its plan is made once.
    if (
        resolution.is_settled
        and features.key.pattern is None
        and not features.preferred_provider
        and features.input_tokens + (features.max_output_tokens or 0) <= resolution.smallest_window
        and not state.disturbed(now)
    ):
        needs = features.needs
        if needs:
            needs &= resolution.lacking
        settled = (features.protocol, features.no_failover, needs)
        known = resolution.plans.get(settled)
        if known is None:
            made = Planning(features, state, now, rng).plan(table, resolution)
            if isinstance(made, Nobody):
                return made
            known = resolution.plans[settled] = made
        return known
    return Planning(features, state, now, rng).plan(table, resolution)
