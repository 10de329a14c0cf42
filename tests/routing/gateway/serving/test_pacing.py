"""What many connections at once may take of each turn of the event loop."""

from __future__ import annotations

import asyncio
import sys

import pytest

from routing.gateway.serving.pacing import Turns
from routing.gateway.serving.worker import share_the_interpreter

pytestmark = pytest.mark.pure


class Busy:
    """A connection that always has more to parse."""

    def __init__(self, turns: Turns) -> None:
        self.loop = asyncio.get_running_loop()
        self.times = 0
        self._turns = turns

    def go_on(self, until: float) -> None:
        self.times += 1
        while self.loop.time() < until:
            pass
        self._turns.add(self)  # type: ignore[arg-type]


async def test_all_who_have_more_to_parse_share_a_moment_of_each_turn() -> None:
    turns = Turns()
    many = [Busy(turns) for _ in range(20)]
    for each in many:
        turns.add(each)  # type: ignore[arg-type]

    await asyncio.sleep(0)
    assert [each.times for each in many] == [1] + [0] * 19
    while sum(each.times for each in many) < 20:  # noqa: ASYNC110 - a turn of the loop is the point
        await asyncio.sleep(0)
    assert [each.times for each in many] == [1] * 20


def test_threads_beside_the_loop_give_the_interpreter_back_soon() -> None:
    before = sys.getswitchinterval()
    try:
        share_the_interpreter()
        assert sys.getswitchinterval() <= 0.001
    finally:
        sys.setswitchinterval(before)
