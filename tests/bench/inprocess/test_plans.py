"""plan() as it is measured."""

from __future__ import annotations

from bench.inprocess import plans, pools


def test_plan_is_measured_in_a_small_world():
    table = pools.table(pools.content(2, 3))

    assert plans.plan_us(table, 2, calls=2) > 0
