"""The door before a Django that is none: what it lets through, how much, and how many at once."""

from __future__ import annotations

import asyncio
import importlib
import threading
from typing import TYPE_CHECKING, Any

import pytest

from controlplane.door import Door
from controlplane.door.limits import DoorLimits
from controlplane.door.places import NoPlace, Places
from controlplane.edits import patience
from controlplane.edits.patience import OutOfPatience, limited
from routing.gateway.app import Gateway
from routing.gateway.auth import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

MASTER = b"master"
KEY = (b"authorization", b"Bearer " + MASTER)
LENGTH = (b"content-length", b"3")


class Asked:
    """One request at the door; `pieces` is what arrives of its body, None for nothing more."""

    def __init__(self, *headers: tuple[bytes, bytes], path: str = "/api/x") -> None:
        self.scope = {
            "type": "http", "method": "POST", "path": path, "query_string": b"",
            "headers": list(headers),
        }  # fmt: skip
        self.arriving: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.status = 0
        self.body = b""

    def arrive(self, piece: bytes, *, more: bool = False) -> Asked:
        self.arriving.put_nowait({"type": "http.request", "body": piece, "more_body": more})
        return self

    def hang_up(self) -> None:
        self.arriving.put_nowait({"type": "http.disconnect"})

    async def send(self, message: Any) -> None:
        self.status = message.get("status", self.status)
        self.body += message.get("body", b"")

    async def at(self, door: Door) -> Asked:
        await door(self.scope, self.arriving.get, self.send)
        return self


def door_to(django: Any, **limits: Any) -> Door:
    gateway = Gateway(
        decrypt=str, environ={}, master=digest_of(MASTER), clock=asyncio.get_running_loop().time
    )
    return Door(django, gateway, DoorLimits(**limits))


async def echo(scope: Any, receive: Any, send: Any) -> None:
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work())


def test_a_body_comes_through_whole_however_it_was_sent() -> None:
    async def work() -> None:
        asked = Asked(KEY, (b"transfer-encoding", b"chunked"))
        asked.arrive(b"ab", more=True).arrive(b"c")
        assert (await asked.at(door_to(echo))).body == b"abc"

    run(work)


def test_pages_are_loaded_in_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """The first request has Django import all of them; on the event loop, callers would wait."""
    source = "import threading\nurlpatterns = [threading.current_thread()]\n"
    (tmp_path / "pages_of_this_test.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    settings.ROOT_URLCONF = "pages_of_this_test"

    async def work() -> None:
        asked = Asked(KEY, LENGTH).arrive(b"abc")
        assert (await asked.at(door_to(echo))).status == 200

    run(work)
    [loaded_by] = importlib.import_module("pages_of_this_test").urlpatterns
    assert loaded_by is not threading.main_thread()


@pytest.mark.parametrize("header", [(b"content-length", b"11"), (b"transfer-encoding", b"chunked")])
def test_a_body_that_is_too_large_never_reaches_django(header: tuple[bytes, bytes]) -> None:
    async def work() -> None:
        asked = Asked(KEY, header).arrive(b"a" * 6, more=True).arrive(b"a" * 5)
        await asked.at(door_to(untouched, body=10))
        assert asked.status == 413

    run(work)


async def untouched(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("this was not to be called")


def test_a_body_that_does_not_come_is_given_up_and_leaves_its_place() -> None:
    async def work() -> None:
        door = door_to(echo, upload_s=0.05, at_once=1, each=1)
        slow = await Asked(KEY, LENGTH).arrive(b"a", more=True).at(door)
        assert slow.status == 408
        assert (await Asked(KEY, LENGTH).arrive(b"abc").at(door)).body == b"abc"

    run(work)


def test_strangers_take_no_place_of_those_who_are_known() -> None:
    async def work() -> None:
        held = asyncio.Event()

        async def hold(scope: Any, receive: Any, send: Any) -> None:
            if not scope["headers"]:
                await held.wait()
            await echo(scope, receive, send)

        door = door_to(hold, strangers=1, waiting=2, at_once=1)
        strangers = [asyncio.create_task(Asked(path="/admin/").at(door)) for _ in range(4)]
        await asyncio.sleep(0)
        known = await Asked(KEY, LENGTH).arrive(b"abc").at(door)
        assert known.body == b"abc"
        held.set()
        statuses = sorted(asked.status for asked in await asyncio.gather(*strangers))
        assert statuses == [200, 200, 503, 503]  # one ran, one waited: half of the queue

    run(work)


def test_one_key_leaves_places_for_others_and_who_waits_is_let_in() -> None:
    async def work() -> None:
        places = Places(3, each=2, waiting=4, wait_s=5)
        async with places.place("a"), places.place("a"):
            waiting = [asyncio.create_task(enter(places, "a")) for _ in range(2)]
            await asyncio.sleep(0)
            with pytest.raises(NoPlace):
                await enter(places, "a")
            await enter(places, "b")
        await asyncio.gather(*waiting)

        async with places.place("a"), places.place("a"):
            with pytest.raises(NoPlace, match="busy"):
                await enter(Places(0, each=1, waiting=2, wait_s=0.01), "a")

    run(work)


async def enter(places: Places, name: str) -> None:
    async with places.place(name):
        pass


def test_work_ends_with_the_caller_it_was_for_and_keeps_its_place_until_then() -> None:
    async def work() -> None:
        seen: list[str] = []

        async def toil(scope: Any, receive: Any, send: Any) -> None:
            def until_nobody_waits() -> None:
                with limited(20):
                    while True:
                        patience.check()

            try:
                await asyncio.to_thread(until_nobody_waits)
            except OutOfPatience as error:
                seen.append(str(error))

        door = door_to(toil, at_once=1, each=1)
        asked = Asked(KEY, LENGTH).arrive(b"abc")
        task = asyncio.create_task(asked.at(door))
        await asyncio.sleep(0.05)
        asked.hang_up()
        await task
        assert asked.status == 0
        second = asyncio.create_task(Asked(KEY, LENGTH).arrive(b"abc").at(door))
        await asyncio.sleep(0.05)
        assert seen == ["Whoever asked for this went away, so nothing was changed."]
        second.cancel()

    run(work)
