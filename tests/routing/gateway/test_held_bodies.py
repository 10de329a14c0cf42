"""What becomes of the memory of long bodies once their requests have ended."""

from __future__ import annotations

import pytest

from routing.gateway import intake
from routing.gateway.app import Gateway
from routing.gateway.records.trail import Trail
from tests.support.builders import FakeClock
from tests.support.planning import key

pytestmark = pytest.mark.pure


def test_memory_is_given_back_when_a_long_body_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[bool] = []
    monkeypatch.setattr(intake, "give_back", lambda: given.append(True))
    bodies = Gateway(decrypt=str, environ={}, clock=FakeClock()).intake

    def hold(size: int) -> Trail:
        trail = Trail(b"r", 0.0)
        trail.key = key()
        bodies.hold(trail.key, trail, size)
        return trail

    bodies.release(hold(intake.SMALL + 1))
    bodies.release(hold(intake.QUICK + 1))
    late = hold(intake.QUICK + 1)
    bodies._slow.shutdown(wait=True)
    assert given == [True]
    bodies.close()
    bodies.release(late)  # when the worker ends: let go all the same
    assert bodies.held_bytes == 0
