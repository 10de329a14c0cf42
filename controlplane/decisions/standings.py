"""
How all pools stand at the worker that serves the page: those that are not well, and who sits out.

What never changes of a routing table is worked out once; a badge in the menu may be a few seconds
old, so that opening a page costs nothing for it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from routing.gateway.explain.picture import WELL, PoolsPicture

if TYPE_CHECKING:
    from controlplane.decisions.local_worker import LocalWorker
    from routing.gateway.explain.overview import PoolView

WITHIN_S: Final = 30.0
# Worst first.
STATUSES: Final = ("unavailable", "degraded", "disabled", WELL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standings:
    """`not_well` are the views of pools that are not; `picture` has all of them at rest."""

    picture: PoolsPicture
    not_well: Mapping[str, PoolView]
    benched: int
    looked_at: float

    def status(self, name: str) -> str:
        view = self.not_well.get(name)
        return WELL if view is None else view.status

    @property
    def counts(self) -> dict[str, int]:
        """Pools by status, worst first."""
        found = Counter(view.status for view in self.not_well.values())
        found[WELL] = len(self.picture.table.pools) - len(self.not_well)
        return {status: found[status] for status in STATUSES}


class _Kept:
    """The last look of this process."""

    found: Standings | None = None


def standings_of(worker: LocalWorker, *, may_be_s_old: float = 0.0) -> Standings | None:
    """How the pools of `worker` stand; None without a table. Another table is looked at at once."""
    gateway, known = worker.gateway, _Kept.found
    if (
        known is not None
        and known.picture.table is gateway.table
        and gateway.clock() - known.looked_at < may_be_s_old
    ):
        return known
    return worker.run(_look(worker), WITHIN_S)


async def _look(worker: LocalWorker) -> Standings | None:
    gateway, known = worker.gateway, _Kept.found
    table = gateway.table
    if table is None:
        return None
    same = known is not None and known.picture.table is table
    picture = known.picture if known is not None and same else PoolsPicture(table)
    now = gateway.clock()
    steps = picture.looking(gateway.live, now)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            not_well = end.value
            break
        await asyncio.sleep(0)  # requests have their turn
    benched = len(gateway.live.benches.entries(now))
    _Kept.found = found = Standings(
        picture=picture, not_well=not_well, benched=benched, looked_at=now
    )
    return found
