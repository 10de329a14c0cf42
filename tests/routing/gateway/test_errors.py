"""What a caller is told where everybody failed."""

from __future__ import annotations

import json

import pytest

from failover.engine.outcome import Ending, Failed
from failover.engine.plan import Rejected
from providers.errors import Fault
from providers.protocols import PROTOCOLS, Protocol
from routing.gateway.deciding.snapshot import RuleSpec
from routing.gateway.errors import bad_request, providers_failed, render
from tests.support.asking import Asked, key
from tests.support.builders import candidate, content, failure, pool, provider


@pytest.mark.pure
@pytest.mark.parametrize("status", [502, 503])
@pytest.mark.parametrize("ending", sorted(set(Ending) - {Ending.CALLER}))
def test_only_plain_failures_of_all_have_the_status_that_the_pool_says(
    ending: Ending, status: int
) -> None:
    told = providers_failed(Failed(ending=ending, failure=failure(Fault.STATUS)), status)

    fixed = {
        Ending.RATE_LIMITED: 429,
        Ending.OUT_OF_QUOTA: 429,
        Ending.OVERLOADED: 503,
        Ending.TIMED_OUT: 504,
        Ending.LOOP: 508,
    }
    assert told.status == fixed.get(ending, status)
    if ending is Ending.UPSTREAM_FAILED:
        assert told.code == "upstream_failed"


@pytest.mark.pure
@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_an_error_may_repeat_words_that_utf_8_cannot_hold(protocol: Protocol) -> None:
    status, _, body = render(bad_request("Nobody can take '\ud83d'."), protocol, b"req_1")

    assert status == 400
    assert "Nobody can take '\ud83d'." in json.dumps(json.loads(body), ensure_ascii=False)


@pytest.mark.pure
def test_who_was_left_out_is_told_beside_who_was_called_the_first_ten_in_words() -> None:
    failed = Failed(ending=Ending.UPSTREAM_FAILED, failure=failure(Fault.STATUS))
    rejected = [
        Rejected(candidate=candidate(f"lab/m-{place}"), reason="key_not_allowed")
        for place in range(12)
    ]

    told = providers_failed(failed, 502, rejected)

    assert "Left out: lab/m-0: key_not_allowed, lab/m-1: " in told.message
    assert told.message.endswith("lab/m-9: key_not_allowed and 2 more.")
    assert told.extra is not None
    assert told.extra["rejected"][11] == {
        "provider": "lab",
        "model": "m-11",
        "reason": "key_not_allowed",
    }
    assert "rejected" not in (providers_failed(failed, 502).extra or {})


async def test_a_key_that_may_not_use_a_rules_target_is_told_so_beside_what_failed() -> None:
    asked = Asked(
        content(
            pool("m", "down/x"),
            pool("other", "up/y"),
            providers=(
                provider("down", kind="simulator", fault="status:500"),
                provider("up", kind="simulator"),
            ),
            rules=(RuleSpec(primary="m", fallbacks=("other",)),),
            keys=(key("narrow", "m"),),
        )
    )
    async with asked:
        answer = await asked.chat("m", key="narrow")

    error = answer.json()["error"]
    assert answer.status == 502
    assert {entry["provider"] for entry in error["attempts"]} == {"down"}
    assert error["rejected"] == [{"provider": "up", "model": "y", "reason": "key_not_allowed"}]
    assert "Left out: up/y: key_not_allowed." in error["message"]
