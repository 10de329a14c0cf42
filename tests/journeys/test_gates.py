"""
Each way in which a provider fails a stream, by both gates: whole or a clear error, never a lie.

The times are a tenth of those in the documentation; GATES_SCALE=1 plays them as they stand there.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.journeys.stage import HELLO, Stage, candidate
from tests.support.upstreams import Upstream
from tests.support.validator import Told, read_error, read_json, read_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

SCALE = float(os.environ.get("GATES_SCALE", "0.1"))
FIRST_TOKEN_S, IDLE_S = 10 * SCALE, 20 * SCALE
WITHIN_S = 45 * SCALE
AWAY_S, RECOVERY_S = 60 * SCALE, 30 * SCALE
SLACK_S = 4.0  # a machine that is busy with other tests
BENCH = {"cooldown_s": 10 * SCALE, "max_outage_s": 20 * SCALE}
GATES = ("first_content", "whole_answer")
WHOLE = {"Hello from gated-first", "Hello from gated-second"}

FAULTS = {
    "cut-at-two-thirds": "cut_after:6",
    "stall": "stall_after:6",
    "malformed-event": "garbage_after:6",
    "missing-done": "ok:done=0",
    "silence": "stall",
    "429": "status:429",
    "429-with-retry-after": "status:429:retry-after=7",
}


@pytest.fixture(scope="module")
def ours() -> Iterator[tuple[Upstream, Upstream]]:
    """Servers of this module's own: the first one closes its port for everybody."""
    first, second = Upstream("gated-first"), Upstream("gated-second")
    yield first, second
    first.stop()
    second.stop()


@pytest.fixture(scope="module", autouse=True)
def config(whole_session_stage: Stage, ours: tuple[Upstream, Upstream]) -> None:
    first, second = ours
    timeouts = {"first_token_s": FIRST_TOKEN_S, "idle_s": IDLE_S}
    providers = {"gated-spare": second.provider()}
    pools = {}
    for gate in GATES:
        for name, mode in {**FAULTS, "away": "ok"}.items():
            called = f"gated-{name}-{gate}"
            providers[called] = first.provider(timeouts=timeouts, bench=BENCH)
            pools[called] = {
                "candidates": [candidate(called, f"m~{mode}"), candidate("gated-spare", "m")],
                "session_affinity": False,
            }
    whole_session_stage.add(providers=providers, pools=pools)


def ask(stage: Stage, name: str, gate: str) -> tuple[Told | None, str]:
    """What a streaming caller is told and who served; None for an error as a whole answer."""
    began = time.monotonic()
    reply = stage.gateway.request(
        "/v1/chat/completions",
        {"model": f"gated-{name}-{gate}", "messages": HELLO, "stream": True},
        headers={"x-switchyard-gate": gate},
        timeout_s=WITHIN_S + SLACK_S,
    )
    # The promise: whatever happens, the caller hears by then.
    assert time.monotonic() - began < WITHIN_S + SLACK_S
    if reply.status != 200:
        read_error(read_json(reply.body))
        return None, ""
    return read_stream(reply.body), reply.headers["x-switchyard-provider"] or ""


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("name", FAULTS)
def test_a_stream_is_whole_or_ends_in_a_clear_error(stage: Stage, name: str, gate: str) -> None:
    told, _who = ask(stage, name, gate)

    assert told is not None  # a spare is well, so an error can only come after content
    if gate == "whole_answer" or told.error is None:
        assert told.error is None
        assert any(told.text.startswith(text) for text in WHOLE)
        assert told.finish == "stop"
    else:
        assert told.error["code"] == "stream_interrupted"


@pytest.mark.parametrize("gate", GATES)
def test_a_provider_that_was_away_serves_again_and_nobody_noticed(
    stage: Stage, ours: tuple[Upstream, Upstream], gate: str
) -> None:
    first, _second = ours
    first.refuse()
    back_at = time.monotonic() + AWAY_S
    is_away = True
    served: list[str] = []
    while time.monotonic() < back_at + RECOVERY_S + SLACK_S:
        if is_away and time.monotonic() >= back_at:
            first.accept()
            is_away = False
        told, who = ask(stage, "away", gate)
        assert told is not None
        assert told.error is None
        served.append(who)
        if not is_away and who != "gated-spare":
            break
        time.sleep(0.5 * SCALE)

    first.accept()
    assert set(served[:-1]) == {"gated-spare"}
    assert served[-1] == f"gated-away-{gate}"
