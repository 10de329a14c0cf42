"""
Operators' switches over what the configuration says: whoever is switched off is not enabled.

A switch only takes out. What the configuration itself has disabled stays so whatever a switch says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from math import inf
from typing import Final

import msgspec

from routing.gateway.deciding.snapshot import CandidateSpec, Content, PoolSpec, Snapshot, SwitchSpec

OVERDUE_S: Final = 2.0  # the control child publishes the end of a switch within a second


class Switches:
    """The switches of one snapshot, by what they take out."""

    def __init__(self, specs: Iterable[SwitchSpec] = ()) -> None:
        self._providers: dict[str, SwitchSpec] = {}
        self._pools: dict[str, SwitchSpec] = {}
        self._candidates: defaultdict[str, dict[tuple[str, str], SwitchSpec]] = defaultdict(dict)
        for spec in specs:
            if spec.kind == "provider":
                self._providers[spec.provider] = spec
            elif spec.kind == "canonical_model":
                self._pools[spec.canonical_model] = spec
            else:
                self._candidates[spec.canonical_model][spec.provider, spec.model] = spec

    def of_pool(self, name: str) -> SwitchSpec | None:
        return self._pools.get(name)

    def of_candidate(self, pool: str, provider: str, model: str) -> SwitchSpec | None:
        """The switch that takes this candidate out of `pool`: the widest, if there are several."""
        return (
            self._providers.get(provider)
            or self._pools.get(pool)
            or self._candidates.get(pool, {}).get((provider, model))
        )

    def over(self, content: Content) -> Content:
        """`content` with everybody disabled who is switched off; the rest is the same objects."""
        changed: dict[str, object] = {}
        if self._providers:
            changed["providers"] = tuple(
                msgspec.structs.replace(spec, enabled=False)
                if spec.name in self._providers
                else spec
                for spec in content.providers
            )
        if self._pools or self._candidates:
            changed["pools"] = tuple(
                self._over_pool(spec)
                if spec.name in self._pools or spec.name in self._candidates
                else spec
                for spec in content.pools
            )
        return msgspec.structs.replace(content, **changed) if changed else content

    def _over_pool(self, pool: PoolSpec) -> PoolSpec:
        off = self._candidates.get(pool.name, {})
        return msgspec.structs.replace(
            pool,
            enabled=pool.enabled and pool.name not in self._pools,
            candidates=tuple(_over_candidate(spec, off) for spec in pool.candidates),
        )


def _over_candidate(spec: CandidateSpec, off: dict[tuple[str, str], SwitchSpec]) -> CandidateSpec:
    if (spec.provider, spec.model) not in off:
        return spec
    return msgspec.structs.replace(spec, enabled=False)


def without_overdue(snapshot: Snapshot, wall: float) -> tuple[Snapshot, float]:
    """
    `snapshot` without the switches that should have ended a while ago, and when the next is due.

    Only where the control child cannot publish is there any. `wall` is Unix time in seconds.
    """
    content = snapshot.content
    due = {spec: inf if spec.until is None else spec.until + OVERDUE_S for spec in content.switches}
    left = tuple(spec for spec in content.switches if wall < due[spec])
    if len(left) < len(content.switches):
        content = msgspec.structs.replace(content, switches=left)
        snapshot = msgspec.structs.replace(snapshot, content=content)
    return snapshot, min((due[spec] for spec in left), default=inf)


def words_of_switch(switch: SwitchSpec) -> str:
    """Why and how long, as an operator said it: "key rotation, until 2026-11-21 15:00:00 UTC"."""
    said = [switch.reason] if switch.reason else []
    if switch.until is not None:
        said.append(f"until {datetime.fromtimestamp(switch.until, UTC):%Y-%m-%d %H:%M:%S} UTC")
    return ", ".join(said)
