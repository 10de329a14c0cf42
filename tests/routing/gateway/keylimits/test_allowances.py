"""What a limited key is told, and what the gateway itself does about it."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from failover.engine.attempts import Served
from routing.gateway.deciding.snapshot import KeySpec
from routing.gateway.keylimits.allowances import KeyLimits, duration
from routing.gateway.keylimits.counters import KeyCounters
from routing.gateway.replies import Trail, served_headers, served_lines
from tests.support.builders import FakeClock, candidate

pytestmark = pytest.mark.pure


def key(**limits: int) -> KeySpec:
    return KeySpec(name="team", digest=sha256(b"team").digest(), **limits)


async def test_a_wrong_redis_url_is_said_and_each_host_counts_for_itself(tmp_path: Path) -> None:
    environ = {"REDIS_URL": "http://:geheim@cache"}
    limits = KeyLimits.from_environment(environ, tmp_path, workers=2)
    status: dict[str, Any] = {}
    limits.start(status)
    assert "http" in status["redis_error"]
    assert "geheim" not in status["redis_error"]
    refusals = [(await limits.admit(key(rpm=1), 0)).refusal for _ in range(2)]
    assert [refusal is None for refusal in refusals] == [True, False]
    await limits.aclose()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.0123, "12ms"), (1, "1s"), (59.25, "59.25s"), (60, "1m0s"), (90.5, "1m30.5s")],
)
def test_times_are_written_as_openai_writes_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


async def test_what_a_refused_key_is_told_is_true() -> None:
    clock = FakeClock()
    limits = KeyLimits(KeyCounters(clock=clock))
    spec = key(rpm=2)
    for _ in range(2):
        assert (await limits.admit(spec, 0)).refusal is None
        clock.now += 10
    refused = await limits.admit(spec, 0)

    assert refused.refusal is not None
    assert (refused.refusal.status, refused.refusal.returns_in_s) == (429, 40)
    assert refused.headers() == [
        (b"x-ratelimit-limit-requests", b"2"),
        (b"x-ratelimit-remaining-requests", b"0"),
        (b"x-ratelimit-reset-requests", b"50s"),
    ]
    clock.now += 40
    assert (await limits.admit(spec, 0)).refusal is None
    await limits.aclose()


async def test_settling_twice_gives_back_once() -> None:
    limits = KeyLimits()
    spec = key(max_parallel=2, tpm=100)
    first, second = [await limits.admit(spec, 50) for _ in range(2)]
    for _ in range(2):
        limits.settle(first, 10)

    third = await limits.admit(spec, 40)

    assert third.refusal is None
    assert (third.taken.parallel, third.taken.tokens) == (2, 100)
    limits.settle(second, None)
    assert (await limits.admit(spec, 0)).taken.tokens == 100
    await limits.aclose()
    limits.settle(third, 0)  # a request that ends after all else is no trouble


async def test_without_common_counts_each_worker_keeps_to_its_part() -> None:
    limits = KeyLimits(workers=4)
    spec = key(rpm=10)
    refusals = [(await limits.admit(spec, 0)).refusal for _ in range(4)]
    assert [refusal is None for refusal in refusals] == [True, True, False, False]
    await limits.aclose()


async def test_the_limits_of_a_key_hide_those_of_its_provider() -> None:
    limits = KeyLimits()
    served = Served(
        candidate=candidate(),
        attempts=[],
        first=b"{}",
        content_type=b"application/json",
        headers=[(b"x-ratelimit-remaining-tokens", b"5"), (b"openai-version", b"1")],
    )
    trail = Trail(b"req")
    assert (b"x-ratelimit-remaining-tokens", b"5") in served_headers(served, trail)
    trail.allowance = await limits.admit(key(rpm=9), 0)

    headers = served_headers(served, trail)
    lines = served_lines(served, trail)

    names = [name for name, _value in headers if name.startswith((b"x-ratelimit", b"openai"))]
    assert names == [
        b"x-ratelimit-limit-requests",
        b"x-ratelimit-remaining-requests",
        b"x-ratelimit-reset-requests",
        b"openai-version",
    ]
    assert b"\r\nx-ratelimit-remaining-requests: 8\r\n" in lines
    assert b"tokens" not in lines
    await limits.aclose()


async def test_tokens_of_a_request_that_was_counted_before_are_counted_beside_it() -> None:
    limits, spec = KeyLimits(), key(rpm=9, tpm=100, max_parallel=2)
    first = await limits.admit(spec, 0)
    await limits.add(first, 60)
    second = await limits.admit(spec, 0)
    await limits.add(second, 50)

    assert first.refusal is None
    assert second.refusal is not None
    assert "tokens per minute (tpm)" in second.refusal.message
    assert (first.taken.requests, first.taken.tokens, second.taken.parallel) == (1, 60, 2)
    limits.settle(second, 0)
    limits.settle(first, 10)
    third = await limits.admit(spec, 90)
    assert third.refusal is None
    assert (third.taken.requests, third.taken.tokens, third.taken.parallel) == (3, 100, 1)
