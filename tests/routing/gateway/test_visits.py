"""When a caller who waits gets a sign of life."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from routing.gateway.visits import HEARTBEAT_S, Visit, Visits

pytestmark = pytest.mark.pure

HOLD_AT = 20.0


async def nothing(*_message: Any) -> Any:
    """Neither receive nor send is called here."""


def visit(*, streams: bool) -> Visit:
    made = Visit(nothing, nothing, sent_at=0.0)
    made.hold_at = HOLD_AT if streams else None
    return made


async def test_a_silent_stream_gets_its_200_at_the_hold_time_and_beats_from_then_on() -> None:
    held = visit(streams=True)
    visits = Visits()
    assert not visits._needs_a_beat(held, HOLD_AT - 0.1)
    assert visits._needs_a_beat(held, HOLD_AT)
    held.opened, held.sent_at = True, HOLD_AT
    assert not visits._needs_a_beat(held, HOLD_AT + HEARTBEAT_S - 0.1)
    assert visits._needs_a_beat(held, HOLD_AT + HEARTBEAT_S)


async def test_row_64_a_stream_that_stalls_beats_before_anything_between_us_gives_up() -> None:
    """After its content, long before `idle_s`; what has been sent since counts as life."""
    flowing = visit(streams=True)
    visits = Visits()
    flowing.opened = flowing.is_moving = True
    assert not visits._needs_a_beat(flowing, 100.0)
    assert not visits._needs_a_beat(flowing, 100.0 + HEARTBEAT_S - 0.1)
    assert visits._needs_a_beat(flowing, 100.0 + HEARTBEAT_S)


async def test_a_plain_caller_gets_none() -> None:
    assert not Visits()._needs_a_beat(visit(streams=False), 1e9)


async def test_what_was_asked_is_let_go_at_the_end_without_the_garbage_collector() -> None:
    class Body:
        """A request, of which nothing else keeps hold."""

    async def forever() -> Any:
        await asyncio.Event().wait()

    visits, long = Visits(), Visit(forever, nothing, sent_at=0.0)
    long.request = Body()  # type: ignore[assignment]
    asked = weakref.ref(long.request)
    visits.begin(long)
    gc.disable()
    try:
        visits._look_after_all(0.0)
        await asyncio.sleep(0)
        visits.end(long)
        del long
        for _ in range(3):
            await asyncio.sleep(0)
        assert asked() is None
    finally:
        gc.enable()
