"""
The door itself: an ASGI application around Django's.

Django reads a body whole, to disk if it is large, before its first middleware is asked; then it
runs its views in threads, as many as there are requests. So who sends it is found first, then a
place is taken, then the body is read into memory, bounded in size and time, and only then is Django
called. It is never cancelled: a thread cannot be, and waiting for one would stop the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from django.conf import settings
from django.urls import get_resolver

from controlplane.authentication import UNKNOWN, IsOperator
from controlplane.door.callers import KnownCaller, KnownCallers
from controlplane.door.database import NO_ANSWER, DatabaseWatch
from controlplane.door.forwarding import as_forwarded, networks
from controlplane.door.limits import DoorLimits
from controlplane.door.places import NoPlace, Places
from controlplane.door.saying import is_api, redirect, say
from controlplane.edits.patience import Caller, waits
from routing.gateway.auth import MISTYPED, is_mistyped, presented

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from routing.gateway.app import Gateway
    from routing.gateway.ingress import Message, Receive, Scope, Send

LOGIN: Final = "/admin/login/"
RETRY: Final = ((b"retry-after", b"5"),)
NO_KEY: Final = "Authentication credentials were not provided."

logger = logging.getLogger("switchyard.admin")


class _Unread(Exception):
    """A body that was not taken; `status` says why, the text tells the caller."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


class _Gone(Exception):  # not an error
    """The caller went away before its body was whole."""


class Door:
    def __init__(
        self,
        django: Callable[[Any, Any, Any], Awaitable[None]],
        gateway: Gateway,
        limits: DoorLimits | None = None,
    ) -> None:
        self._django = django
        self._limits = limits = limits or DoorLimits()
        # Its own threads: the loop's are others', and a database that hangs keeps them.
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="door")
        self._callers = KnownCallers(gateway, self._threads)
        self.database = DatabaseWatch(gateway, limits.database_s)
        waiting, wait_s, strangers = limits.waiting, limits.wait_s, limits.strangers
        self._known = Places(limits.at_once, each=limits.each, waiting=waiting, wait_s=wait_s)
        self._strangers = Places(strangers, each=strangers, waiting=waiting, wait_s=wait_s)
        self._trusted = networks(settings.TRUSTED_PROXIES)
        self._running: set[asyncio.Task[None]] = set()
        self._loading: asyncio.Future[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        scope = as_forwarded(scope, headers, self._trusted)
        try:
            caller = await self._found(headers)
            if (refusal := _refusal(scope, headers, caller, self._limits)) is not None:
                await self._refuse(scope, send, headers, refusal)
                return
            places = self._strangers if caller is None else self._known
            taken = places.place("" if caller is None else caller.name)
            await taken.__aenter__()
        except NoPlace as full:
            await say(scope, send, 503, str(full), headers=RETRY)
            return
        except TimeoutError:
            await say(scope, send, 503, NO_ANSWER, headers=RETRY)
            return
        is_handed_on = False
        try:
            body = await _body(scope, headers, receive, self._limits, is_stranger=caller is None)
            await self._load()
            is_handed_on = True
            await self._serve(scope, receive, send, body, taken)
        except _Gone:
            pass
        except _Unread as unread:
            if unread.status == 413 and caller is None and not is_api(scope["path"]):
                await self._refuse(scope, send, headers, 302)
            else:
                await say(scope, send, unread.status, str(unread), title="This was not taken")
        finally:
            if not is_handed_on:
                await taken.__aexit__(None, None, None)

    async def _load(self) -> None:
        """
        Have every page's module loaded in a thread. Django does that on the event loop, at the
        first request, which held all callers of the worker for a second and more.
        """
        if self._loading is None:
            loop = asyncio.get_running_loop()
            self._loading = loop.run_in_executor(self._threads, _load_pages)
        await asyncio.shield(self._loading)

    async def _found(self, headers: dict[bytes, bytes]) -> KnownCaller | None:
        """Raises NoPlace, or TimeoutError where the database does not say who it is."""
        if self._callers.shows_nothing(headers):
            return None
        async with asyncio.timeout(self._limits.silence_s + self._limits.database_s):
            return await self._callers.find(headers)

    async def _refuse(
        self, scope: Scope, send: Send, headers: dict[bytes, bytes], status: int
    ) -> None:
        if status == 302:
            path, query = scope["path"], scope.get("query_string", b"").decode("latin-1")
            if path == LOGIN:
                said = f"A sign-in is {self._limits.strangers_body >> 10} KiB at most."
                await say(scope, send, 413, said, title="This was not taken")
                return
            target = quote(path + (f"?{query}" if query else ""))
            await redirect(send, f"{LOGIN}?next={target}")
            return
        if status == 403:
            await say(scope, send, 403, IsOperator.message)
            return
        shown = presented({name: headers[name] for name in KEY_HEADERS if name in headers})
        said = (
            MISTYPED
            if shown and is_mistyped(shown, is_unknown=True)
            else UNKNOWN
            if shown
            else NO_KEY
        )
        await say(scope, send, 401, said, headers=((b"www-authenticate", b"Bearer"),))

    async def _serve(
        self, scope: Scope, receive: Receive, send: Send, body: bytes, taken: Any
    ) -> None:
        """Have Django answer; where it says nothing because of the database, say so for it."""
        answer = _Answer(send)
        caller = Caller()

        async def run() -> None:
            waits(caller)
            try:
                await self._django(scope, _whole(body), answer.send)
            finally:
                await taken.__aexit__(None, None, None)

        task = asyncio.create_task(run())
        self._running.add(task)
        task.add_done_callback(self._ended)
        gone = asyncio.create_task(_until_gone(receive))
        first, either = asyncio.FIRST_COMPLETED, {task, gone}
        try:
            await asyncio.wait(either, timeout=self._limits.silence_s, return_when=first)
            if not task.done() and not gone.done() and not answer.has_begun:
                reason = await self.database.silence()
                if reason and not answer.has_begun and not task.done():
                    answer.is_taken = True
                    logger.warning("%s %s: %s", scope["method"], scope["path"], reason)
                    await say(scope, send, 503, reason, headers=RETRY)
                    return
            await asyncio.wait(either, return_when=first)
        finally:
            gone.cancel()
            if not task.done():
                # It goes on for nobody, in its place, until it asks (edits.patience) or is done.
                caller.is_gone = True
                answer.is_taken = True
        if task.done():
            task.result()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # told by whoever waited; with nobody there, it is no news


class _Answer:
    """`has_begun` once Django answers; `is_taken`: somebody else did, or nobody is there."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = False
        self.is_taken = False

    async def send(self, message: Message) -> None:
        if self.is_taken:
            return
        self.has_begun = True
        await self._send(message)


KEY_HEADERS: Final = (b"authorization", b"x-api-key")


def _load_pages() -> None:
    assert get_resolver().url_patterns  # noqa: S101 - to ask for them loads them


def _has_body(headers: dict[bytes, bytes]) -> bool:
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0").strip() != b"0"


def _refusal(
    scope: Scope, headers: dict[bytes, bytes], caller: KnownCaller | None, limits: DoorLimits
) -> int | None:
    """The status for a body that is not even read."""
    if not _has_body(headers):
        return None
    if is_api(scope["path"]):
        if caller is None:
            return 401
        return None if caller.may_write else 403
    if caller is None and int(headers.get(b"content-length", b"0")) > limits.strangers_body:
        return 302
    return None


async def _body(
    scope: Scope,
    headers: dict[bytes, bytes],
    receive: Receive,
    limits: DoorLimits,
    *,
    is_stranger: bool,
) -> bytes:
    """The whole body. Raises _Unread or _Gone."""
    if not _has_body(headers):
        return b""
    most = limits.strangers_body if is_stranger else limits.body
    size = most / (1 << 20) if most >= 1 << 20 else most / (1 << 10)
    unit = "MiB" if most >= 1 << 20 else "KiB"
    what = "A body of the API" if is_api(scope["path"]) else "A form"
    too_large = f"{what} is {size:g} {unit} at most."
    if int(headers.get(b"content-length", b"0")) > most:
        raise _Unread(413, too_large)
    pieces, length = [], 0
    try:
        async with asyncio.timeout(limits.upload_s):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _Gone
                pieces.append(message.get("body", b""))
                length += len(pieces[-1])
                if length > most:
                    raise _Unread(413, too_large)
                if not message.get("more_body"):
                    return b"".join(pieces)
    except TimeoutError:
        said = f"The body was not there within {limits.upload_s:g} seconds."
        raise _Unread(408, said) from None


def _whole(body: bytes) -> Receive:
    """What Django receives: the body, and never the news that its caller is gone."""
    is_told = False

    async def receive() -> Message:
        nonlocal is_told
        if is_told:
            await asyncio.Event().wait()
        is_told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
