"""Counts in a real Valkey, and the connection to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from typing import Any

import pytest

from routing.gateway.deciding.snapshot import KeySpec
from routing.gateway.keylimits.allowances import KeyLimits
from routing.gateway.keylimits.counters import PARALLEL, REQUESTS, TOKENS, Quota
from routing.gateway.keylimits.redis import (
    LuaScript,
    Redis,
    RedisAddress,
    RedisAway,
    _Link,
    address_of,
)
from routing.gateway.keylimits.shared import LEASE_MS, SCRIPTS, SharedCounters
from tests.support.databases import valkey
from tests.support.processes import wait_for


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with valkey() as found:
        yield found


async def until_up(redis: Redis) -> None:
    await asyncio.to_thread(wait_for, lambda: redis.is_up, what="the connection", limit_s=20)


@contextlib.asynccontextmanager
async def hosts(url: str, number: int) -> AsyncIterator[list[SharedCounters]]:
    made = [Redis(url, SCRIPTS) for _ in range(number)]
    for redis in made:
        redis.start()
    try:
        for redis in made:
            await until_up(redis)
        yield [SharedCounters(redis) for redis in made]
    finally:
        for redis in made:
            await redis.aclose()


def key(request: pytest.FixtureRequest) -> bytes:
    return sha256(request.node.name.encode()).digest()


async def test_hosts_at_once_admit_exactly_the_limit(
    url: str, request: pytest.FixtureRequest
) -> None:
    async with hosts(url, 4) as four:
        taken = await asyncio.gather(
            *(one.take(key(request), Quota(rpm=25), 0, "") for one in four for _ in range(20))
        )
    assert sorted(one.stopped for one in taken) == [""] * 25 + [REQUESTS] * 55
    waits = [one.wait_s for one in taken if one.stopped]
    assert all(wait is not None and 50 < wait <= 60 for wait in waits)


async def test_the_limits_stop_in_their_order_and_true_usage_counts(
    url: str, request: pytest.FixtureRequest
) -> None:
    subject = key(request)
    async with hosts(url, 2) as (one, other):
        first = await one.take(subject, Quota(5, 100, 1), 60, "a")
        assert (first.stopped, first.requests, first.tokens, first.parallel) == ("", 1, 60, 1)
        assert (await other.take(subject, Quota(1, 100, 1), 60, "b")).stopped == REQUESTS
        assert (await other.take(subject, Quota(5, 100, 1), 60, "b")).stopped == TOKENS
        assert (await other.take(subject, Quota(5, 200, 1), 60, "b")).stopped == PARALLEL
        one.settle(subject, first.entry, more=-50, lease="a")
        await one.take(sha256(b"another").digest(), Quota(rpm=9), 0, "")  # it has been told by then
        second = await other.take(subject, Quota(5, 100, 1), 60, "b")
        assert (second.stopped, second.requests, second.tokens, second.parallel) == ("", 2, 70, 1)
        too_much = await one.take(subject, Quota(5, 100, 1), 101, "c")
        assert (too_much.stopped, too_much.wait_s) == (TOKENS, None)


async def test_a_lease_that_nobody_renews_ends_and_a_renewed_one_stays(
    url: str, request: pytest.FixtureRequest
) -> None:
    subject = key(request)
    async with hosts(url, 1) as (one,):
        quota = Quota(max_parallel=2)
        await one.take(subject, quota, 0, "kept")
        await one.take(subject, quota, 0, "lost")
        assert (await one.take(subject, quota, 0, "late")).stopped == PARALLEL
        age = LuaScript("return redis.call('ZADD', KEYS[1], 'XX', 1, ARGV[1], 1, ARGV[2])")
        aged = await one.redis._link.call(  # type: ignore[union-attr]
            b"EVAL", age.text, 1, b"switchyard:limits:{%b}:open" % subject.hex().encode(),
            "kept", "lost",
        )  # fmt: skip
        assert aged == 0  # changed, none added
        one.renew({subject: ["kept"]})
        assert [(await one.take(subject, quota, 0, name)).stopped for name in "xy"] == [
            "",
            PARALLEL,
        ]
    assert LEASE_MS == 30_000


async def test_a_script_that_the_server_forgot_is_loaded_again(
    url: str, request: pytest.FixtureRequest
) -> None:
    async with hosts(url, 1) as (one,):
        await one.redis._link.call(b"SCRIPT", b"FLUSH")  # type: ignore[union-attr]
        with pytest.raises(RedisAway, match="NOSCRIPT"):
            await one.take(key(request), Quota(rpm=1), 0, "")
        await asyncio.sleep(0)
        await until_up(one.redis)
        assert not (await one.take(key(request), Quota(rpm=1), 0, "")).stopped


async def test_a_server_that_does_not_answer_is_given_up_within_a_moment() -> None:
    """It answers as Valkey while scripts are loaded, and then no more."""
    asked = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(len(SCRIPTS)):
            await reader.readuntil(b"LOAD\r\n")
            writer.write(b"$40\r\n%040d\r\n" % number)
        await reader.readuntil(b"EVALSHA")
        asked.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reasons: list[str] = []
    redis = Redis(f"redis://127.0.0.1:{port}", SCRIPTS)
    redis.changed = reasons.append
    redis.start()
    try:
        await until_up(redis)
        async with asyncio.timeout(5):
            with pytest.raises(RedisAway):
                await SharedCounters(redis).take(bytes(32), Quota(rpm=1), 0, "")
        assert asked.is_set()
        await asyncio.sleep(0)
        with pytest.raises(RedisAway):  # at once: there is no connection any more
            await SharedCounters(redis).take(bytes(32), Quota(rpm=1), 0, "")
        await asyncio.to_thread(wait_for, lambda: len(reasons) == 2, what="the reason")
        assert reasons == ["", "no answer within 0.045s"]
    finally:
        await redis.aclose()
        server.close()
        await server.wait_closed()


async def test_answers_are_read_however_they_are_cut() -> None:
    wire = b":7\r\n*4\r\n:1\r\n$5\r\na\r\nbc\r\n$-1\r\n*1\r\n+ok\r\n-ERR no\r\n$0\r\n\r\n"
    whole = [7, [1, b"a\r\nbc", None, [b"ok"]], "ERR no", b""]
    for first in range(len(wire) + 1):
        for second in range(first, len(wire) + 1):
            link = _Link()
            link.connection_made(_Nowhere())
            replies = [link.call(b"PING") for _ in whole]
            for piece in (wire[:first], wire[first:second], wire[second:]):
                link.data_received(piece)
            assert [reply.result() for reply in replies] == whole
            link._timer.cancel()  # type: ignore[union-attr]


class _Nowhere(asyncio.Transport):
    def write(self, data: Any) -> None:
        pass


async def test_a_wrong_password_is_said_and_never_repeated(url: str) -> None:
    reasons: list[str] = []
    redis = Redis(url.replace("redis://", "redis://:geheim@"), SCRIPTS)
    redis.changed = reasons.append
    redis.start()
    try:
        await asyncio.to_thread(wait_for, lambda: reasons, what="the reason")
    finally:
        await redis.aclose()
    assert "AUTH" in reasons[0]
    assert "geheim" not in reasons[0] + repr(redis.address)


@pytest.mark.parametrize(
    ("given", "changes"),
    [
        ("redis://", {}),
        ("redis://cache:7000/3", {"host": "cache", "port": 7000, "database": 3}),
        ("valkey://[::1]:1?db=2", {"host": "::1", "port": 1, "database": 2}),
        (
            "rediss://me:a%40b@x/0",
            {"host": "x", "is_secure": True, "username": "me", "password": "a@b"},
        ),
        ("unix:///run/v.sock?db=4", {"path": "/run/v.sock", "database": 4}),
    ],
)
def test_an_address_is_read_as_clients_of_redis_write_it(
    given: str, changes: dict[str, Any]
) -> None:
    assert address_of(given) == RedisAddress(**changes)


@pytest.mark.parametrize(
    "given",
    [
        "http://x",
        "redis://x/first",
        "",
        "redis://:geheim@x/first",
        "redis://:geheim/x@y:1",
        "redis://:1234/geheim@y",
    ],
)
def test_a_wrong_address_is_refused_in_words(given: str) -> None:
    with pytest.raises(ValueError, match="REDIS_URL") as caught:
        address_of(given)
    assert "geheim" not in str(caught.value)


async def test_tokens_that_come_after_the_head_are_counted_for_all_hosts(
    url: str, request: pytest.FixtureRequest
) -> None:
    spec = KeySpec(name="late", digest=key(request), rpm=9, tpm=100)
    async with hosts(url, 2) as counters:
        one, other = [KeyLimits(shared=shared) for shared in counters]
        first = await one.admit(spec, 0)
        await one.add(first, 60)
        second = await other.admit(spec, 0)
        await other.add(second, 50)
        one.settle(first, 10)
        third = await one.admit(spec, 80)

    assert first.refusal is None
    assert second.refusal is not None
    assert third.refusal is None
    assert (third.taken.requests, third.taken.tokens) == (3, 90)


async def test_a_replica_that_takes_no_writes_is_as_good_as_away(
    url: str, request: pytest.FixtureRequest
) -> None:
    spec = KeySpec(name="replica", digest=key(request), rpm=1)
    async with hosts(url, 1) as [shared]:
        limits = KeyLimits(shared=shared)
        operator = Redis(url)
        operator.start()
        await until_up(operator)
        await operator.ask(b"REPLICAOF", b"127.0.0.1", b"1")
        try:
            with pytest.raises(RedisAway, match="READONLY"):
                await shared.take(key(request), Quota(rpm=1), 0, "")
            assert (await limits.admit(spec, 0)).refusal is None
        finally:
            await operator.ask(b"REPLICAOF", b"NO", b"ONE")
            await operator.aclose()
