"""
Which pools of a routing table are not well, looked at again and again.

A table never changes, so that how its pools stand at rest is worked out once; later only those
are looked at that something live may bear on. Ten thousand pools at rest take a second.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from random import Random
from typing import Final

from failover.engine.benches import Benches
from routing.gateway.deciding.snapshot import Steps
from routing.gateway.deciding.state import LiveState
from routing.gateway.deciding.table import Table
from routing.gateway.explain.overview import PoolView, aliases_by_pool, board_of, view_pool

AT_ONCE: Final = 20  # pools of one step
WELL: Final = "enabled"


class PoolsPicture:
    """The pools of one table."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.aliases = aliases_by_pool(table)
        self._at_rest: dict[str, PoolView] | None = None
        self._never_at_rest: set[str] = set()
        self._pools_of: defaultdict[str, set[str]] = defaultdict(set)  # by subjects of benches
        for name, spec in table.pools.items():
            for candidate in spec.candidates:
                self._pools_of[f"{candidate.provider}/{candidate.model}"].add(name)
                self._pools_of[f"{candidate.provider}/*"].add(name)

    def looking(self, live: LiveState, now: float) -> Steps[dict[str, PoolView]]:
        """Every pool that is not well by name, sorted; in steps of some milliseconds."""
        if self._at_rest is None:
            rest = LiveState(benches=Benches(rng=Random(0), wall=live.benches.wall))
            at_rest = yield from self._views(self.table.pools, rest, now)
            self._never_at_rest = {name for name in self.table.pools if self._moves(name)}
            self._at_rest = at_rest
        touched = self._touched(live, now)
        found = {name: view for name, view in self._at_rest.items() if name not in touched}
        if touched:
            found |= yield from self._views(touched, live, now)
        return dict(sorted(found.items()))

    def _moves(self, name: str) -> bool:
        """Whether pins or its candidates' own limits may change how the pool stands."""
        pool = self.table.pool(name)
        return pool is not None and (
            pool.stays or any(candidate.limits is not None for candidate in pool.candidates)
        )

    def _touched(self, live: LiveState, now: float) -> set[str]:
        subjects = {entry.subject for entry in live.benches.entries(now)}
        subjects.update(f"{name}/*" for name in live.unhealthy)
        subjects.update(f"{name}/*" for name, word in live.health.items() if word != "healthy")
        return self._never_at_rest.union(*(self._pools_of.get(of, ()) for of in subjects))

    def _views(
        self, names: Iterable[str], live: LiveState, now: float
    ) -> Steps[dict[str, PoolView]]:
        found = {}
        board = board_of(live, now)
        for number, name in enumerate(list(names), 1):
            view = view_pool(self.table, name, self.aliases, live, now, Random(0), board)
            if view is not None and view.status != WELL:
                found[name] = view
            if number % AT_ONCE == 0:
                yield
        return found
