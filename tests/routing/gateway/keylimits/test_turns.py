"""Whose long body has its turn."""

from __future__ import annotations

import asyncio

import pytest

from routing.gateway.keylimits.turns import BodyTurns

pytestmark = pytest.mark.pure
ONE, OTHER = b"one", b"other"


async def waiting(turns: BodyTurns, *sizes: int, wait_s: float = 60) -> list[asyncio.Task[None]]:
    """Tasks that want turns of these sizes, in this order."""
    tasks = []
    for size in sizes:
        tasks.append(asyncio.create_task(turns.take(ONE, size, wait_s=wait_s)))
        await asyncio.sleep(0)
    return tasks


async def done(tasks: list[asyncio.Task[None]]) -> list[bool]:
    for _ in range(3):
        await asyncio.sleep(0)
    return [task.done() for task in tasks]


async def test_so_many_bytes_of_a_key_have_a_turn_and_others_keys_their_own() -> None:
    turns = BodyTurns(10)
    tasks = await waiting(turns, 6, 4, 1)
    assert await done(tasks) == [True, True, False]
    await asyncio.wait_for(turns.take(OTHER, 10, wait_s=1), 1)
    turns.give_back(ONE, 4)
    assert await done(tasks) == [True, True, True]


async def test_a_body_that_is_larger_than_all_turns_has_one_alone() -> None:
    turns = BodyTurns(10)
    tasks = await waiting(turns, 30, 30)
    assert await done(tasks) == [True, False]
    turns.give_back(ONE, 30)
    assert await done(tasks) == [True, True]


async def test_nobody_passes_one_who_came_before() -> None:
    turns = BodyTurns(10)
    tasks = await waiting(turns, 9, 9, 1)
    assert await done(tasks) == [True, False, False]
    turns.give_back(ONE, 9)
    assert await done(tasks) == [True, True, True]


async def test_who_has_waited_too_long_or_gone_stands_in_nobodys_way() -> None:
    turns = BodyTurns(10)
    first, late = await waiting(turns, 9, 9, wait_s=0.01)
    gone, last = await waiting(turns, 9, 1)
    assert await done([first, late, gone, last]) == [True, False, False, False]
    gone.cancel()
    with pytest.raises(TimeoutError):
        await late
    await last
    turns.give_back(ONE, 9)
    turns.give_back(ONE, 1)
    assert not turns._taken
    assert not turns._waiting


async def test_a_turn_that_comes_as_its_caller_goes_is_given_on() -> None:
    turns = BodyTurns(10)
    tasks = await waiting(turns, 9, 9, 9)
    turns.give_back(ONE, 9)  # the second one's now
    tasks[1].cancel()
    assert await done(tasks) == [True, True, True]
    assert tasks[1].cancelled()
    turns.give_back(ONE, 9)
    assert not turns._taken
