"""A picture of all pools says what looking at each of them would say, and at rest looks once."""

from __future__ import annotations

from random import Random

import pytest

from failover.engine.plan import Affinity
from routing.gateway.deciding.affinity import WHOLE_POOL
from routing.gateway.deciding.snapshot import CandidateSpec, finish
from routing.gateway.explain.overview import aliases_by_pool, view_pool
from routing.gateway.explain.picture import PoolsPicture
from tests.support.builders import pool
from tests.support.planning import World

pytestmark = pytest.mark.pure


def world() -> World:
    return World(
        pool("alone", "a/x"),
        pool("both", "a/x", "b/x"),
        pool("other", "b/y"),
        pool("off", "c/x", enabled=False),
        pool("nobody"),
        pool("stays", "c/x", "b/x", stay_after_failover=True),
        pool("few", CandidateSpec(provider="c", model="z", max_parallel=1)),
    )


def seen(world: World, picture: PoolsPicture) -> dict[str, str]:
    views = finish(picture.looking(world.live, world.clock.now))
    return {name: view.status for name, view in views.items()}


def looked_at_each(world: World) -> dict[str, str]:
    aliases = aliases_by_pool(world.table)
    views = [
        view_pool(world.table, name, aliases, world.live, world.clock.now, Random(0))
        for name in sorted(world.table.pools)
    ]
    return {v.canonical_model: v.status for v in views if v is not None and v.status != "enabled"}


def test_whatever_happens_it_is_what_each_pool_says_and_ends_with_what_has_happened():
    calm = world()
    picture = PoolsPicture(calm.table)
    at_rest = {"nobody": "unavailable", "off": "disabled"}
    assert seen(calm, picture) == looked_at_each(calm) == at_rest

    calm.bench("a/x")
    benched = {**at_rest, "alone": "unavailable", "both": "degraded"}
    assert seen(calm, picture) == looked_at_each(calm) == dict(sorted(benched.items()))

    calm.live.note_health({"b": "unhealthy", "c": "degraded"})
    assert seen(calm, picture) == looked_at_each(calm)
    assert seen(calm, picture)["other"] == "unavailable"
    assert seen(calm, picture)["few"] == "degraded"

    calm.live.note_health({})
    calm.release("a/x")
    assert seen(calm, picture) == looked_at_each(calm) == at_rest


def test_a_pool_that_stays_where_it_moved_to_is_not_at_rest():
    moved = world()
    picture = PoolsPicture(moved.table)
    assert "stays" not in seen(moved, picture)
    affinity = Affinity(
        pool="stays", session=WHOLE_POOL, natural="c/x", pinned="", ttl_s=60.0,
        members=frozenset({"c/x", "b/x"}),
    )  # fmt: skip
    moved.live.pins.note(affinity, "b/x", moved.clock.now)
    assert seen(moved, picture) == looked_at_each(moved)
    assert seen(moved, picture)["stays"] == "degraded"


def test_a_candidate_that_has_all_that_its_limits_allow_shows():
    full = world()
    picture = PoolsPicture(full.table)
    assert "few" not in seen(full, picture)
    candidate = full.table.pool("few").candidates[0]  # type: ignore[union-attr]
    full.live.loads.begin(candidate, 1, full.clock.now)
    assert seen(full, picture) == looked_at_each(full)
    assert seen(full, picture)["few"] == "unavailable"
