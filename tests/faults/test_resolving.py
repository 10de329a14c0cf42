"""Row 3: the resolver fails, or takes ten seconds. The system's resolver is played by the test."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from providers.errors import ConnectFailed
from providers.transport import resolving
from providers.transport.resolving import FRESH_S, LAST_GOOD_S, Resolver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ANSWER = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.9", 80))]


class SystemResolver:
    """Answers at once, fails, or says nothing until `release` is called."""

    def __init__(self) -> None:
        self.mode = "well"
        self.asked = 0
        self.is_asked = threading.Event()
        self._released = threading.Event()

    def release(self) -> None:
        self._released.set()

    def getaddrinfo(self, *_arguments: Any, **_options: Any) -> list[Any]:
        self.asked += 1
        self.is_asked.set()
        if self.mode == "slow":
            self._released.wait(30)
        if self.mode == "fails":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return ANSWER


@pytest.fixture
async def system(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SystemResolver]:
    played = SystemResolver()
    monkeypatch.setattr(socket, "getaddrinfo", played.getaddrinfo)
    monkeypatch.setattr(resolving, "LOOKUP_S", 0.3)
    monkeypatch.setattr(resolving, "REFRESH_S", 0.02)
    yield played
    played.release()  # before the loop closes: it waits for its threads


class OlderBy:
    """A resolver whose answers are so many seconds older than they are."""

    def __init__(self, resolver: Resolver) -> None:
        self._answers = resolver._answers

    def __call__(self, seconds: float) -> None:
        for key, (at, addresses) in self._answers.items():
            self._answers[key] = (at - seconds, addresses)


@pytest.mark.parametrize("mode", ["fails", "slow"])
async def test_row_3_without_an_answer_the_connection_has_failed(
    system: SystemResolver, mode: str
) -> None:
    system.mode = mode
    with pytest.raises(ConnectFailed, match=r"provider\.test does not resolve"):
        await Resolver().resolve("provider.test", 80)


@pytest.mark.parametrize("mode", ["fails", "slow"])
async def test_row_3_the_last_good_address_serves_for_ten_minutes_and_no_longer(
    system: SystemResolver, mode: str
) -> None:
    resolver = Resolver()
    grow_older = OlderBy(resolver)
    [good] = await resolver.resolve("provider.test", 80)
    grow_older(FRESH_S)
    system.mode = mode
    assert await resolver.resolve("provider.test", 80) == [good]
    grow_older(LAST_GOOD_S - FRESH_S - 5)
    assert await resolver.resolve("provider.test", 80) == [good]
    grow_older(5)
    with pytest.raises(ConnectFailed):
        await resolver.resolve("provider.test", 80)


async def test_row_3_a_slow_lookup_holds_nobody_else_up_and_is_made_once(
    system: SystemResolver,
) -> None:
    system.mode = "slow"
    resolver = Resolver()
    waiting = [asyncio.create_task(resolver.resolve("provider.test", 80)) for _ in range(20)]
    await asyncio.to_thread(system.is_asked.wait, 5)
    [literal] = await resolver.resolve("127.0.0.1", 80)
    assert literal.target == ("127.0.0.1", 80)
    assert not any(task.done() for task in waiting)
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, ConnectFailed) for result in results)
    assert system.asked == 1


async def test_row_3_an_answer_that_comes_late_serves_the_next_call(
    system: SystemResolver,
) -> None:
    system.mode = "slow"
    resolver = Resolver()
    with pytest.raises(ConnectFailed):
        await resolver.resolve("provider.test", 80)
    system.release()
    await asyncio.gather(*resolver._lookups.values())
    [late] = await resolver.resolve("provider.test", 80)
    assert late.target == ("127.0.0.9", 80)
    assert system.asked == 1
