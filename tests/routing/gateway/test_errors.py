"""What a caller is told where everybody failed."""

from __future__ import annotations

import json

import pytest

from failover.engine.outcome import Ending, Failed
from providers.errors import Fault
from providers.protocols import PROTOCOLS, Protocol
from routing.gateway.errors import bad_request, providers_failed, render
from tests.support.builders import failure

pytestmark = pytest.mark.pure


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


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_an_error_may_repeat_words_that_utf_8_cannot_hold(protocol: Protocol) -> None:
    status, _, body = render(bad_request("Nobody can take '\ud83d'."), protocol, b"req_1")

    assert status == 400
    assert "Nobody can take '\ud83d'." in json.dumps(json.loads(body), ensure_ascii=False)
