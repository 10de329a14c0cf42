"""A provider that is slow in any way, in a pool that hedges: the spare answers beside it."""

from __future__ import annotations

import pytest

from tests.faults.field import Case, Field
from tests.faults.provider import HANG, Flood
from tests.faults.says import ROLE, SSE, head
from tests.faults.tongues import SPARE_TEXT
from tests.support.processes import wait_for

SOON = {"hedge_after_ms": 50}
CASES = {
    "hedge-no-headers": Case(script=(HANG,), failover=SOON),
    "hedge-half-a-body": Case(
        script=(head(content_length="9000") + b'{"id":', HANG), failover=SOON
    ),
    "hedge-only-a-role": Case(script=(head(SSE) + ROLE, HANG), failover=SOON),
    "hedge-only-comments": Case(
        script=(head(SSE), Flood(b": ping\n\n", pause_s=0.01)), failover=SOON
    ),
}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("hedge-no-headers", "plain"),
        ("hedge-no-headers", "stream"),
        ("hedge-half-a-body", "plain"),
        ("hedge-only-a-role", "stream"),
        ("hedge-only-comments", "stream"),
    ],
)
def test_the_spare_answers_and_the_slow_one_is_left_and_not_blamed(
    field: Field, name: str, kind: str
) -> None:
    for _turn in range(4):  # one more than would bench a provider that failed
        first = len(field.provider.calls)
        asked = field.ask(name, stream=kind == "stream")

        assert asked.answer is not None
        assert asked.answer.status == 200
        assert asked.calls[0] == name
        assert len(asked.calls) == 2
        if asked.told is not None:
            assert (asked.told.text, asked.told.finish) == (SPARE_TEXT, "stop")
        else:
            assert SPARE_TEXT.encode() in asked.answer.body
        slow = field.provider.calls[first]
        wait_for(lambda slow=slow: slow.gone_at, what="the slow one to be left", limit_s=3)  # type: ignore[misc]

    attempts = field.record(asked)["attempts"]
    assert [(a["fault"], a["is_hedge"]) for a in attempts] == [("hedged", False), ("", True)]
    assert not field.is_benched(name)
