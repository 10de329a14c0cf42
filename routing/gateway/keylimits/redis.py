"""
One pipelined connection to a Redis or Valkey server, kept up in the background.

    RedisAway    it is not connected, did not answer in time, or refused

Nobody waits for a connection: without one a call fails at once, and the caller does without.
Replies come in the order of the calls (RESP 2), so a call costs one write and one future.

Source: the RESP specification at redis.io/docs, checked 2026-11-21.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import parse_qs, unquote, urlsplit

TIMEOUT_S: Final = 0.04
GRACE_S: Final = 0.005  # for an answer that is here already, but was not read yet
CONNECT_S: Final = 1.0
CIRCUIT_S: Final = 2.0
_TLS, _PLAIN, _UNIX = ("rediss", "valkeys"), ("redis", "valkey"), ("unix", "redis+socket")

log = logging.getLogger("switchyard.redis")

Argument = bytes | str | int


class RedisAway(Exception):
    """The server did not do what it was asked to; perhaps it did, and could not say so."""


class ErrorReply(str):
    """An error reply."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAddress:
    """Where a server is. `path` is a Unix socket's; else host and port count."""

    host: str = "127.0.0.1"
    port: int = 6379
    path: str = ""
    is_secure: bool = False
    username: str = ""
    password: str = ""
    database: int = 0

    def __repr__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


def address_of(url: str) -> RedisAddress:
    """What REDIS_URL names. Raises ValueError, without repeating the password."""
    parts = urlsplit(url)
    if parts.scheme not in (*_TLS, *_PLAIN, *_UNIX):
        raise ValueError(f"REDIS_URL begins with {parts.scheme!r}; allowed is redis, rediss, unix")
    is_unix = parts.scheme in _UNIX
    try:
        port = parts.port
    except ValueError:
        raise ValueError(
            "REDIS_URL names a port that is no number up to 65535; in a password, / is written %2F"
        ) from None  # as below
    database = parse_qs(parts.query).get("db", [""])[0]
    if not database and not is_unix:
        database = parts.path.strip("/")
    if database and not database.isdigit():
        # Not repeated: after a password with a / in it, this is the rest of the password.
        raise ValueError(
            "REDIS_URL names a database that is no number; in a password, / is written %2F"
        )
    return RedisAddress(
        host=parts.hostname or "127.0.0.1",
        port=port or 6379,
        path=unquote(parts.path) if is_unix else "",
        is_secure=parts.scheme in _TLS,
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=int(database or 0),
    )


class LuaScript:
    """Lua that runs on the server. `sha` is known once it is loaded."""

    __slots__ = ("sha", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = b""


class Redis:
    """
    A server and the `scripts` that are run on it. `changed` hears of its coming and going.

    Scripts are loaded with each connection, and `channels` subscribed to: `heard` gets what comes
    by them, as (channel, message). `alone` says in the log what is done without the server.
    """

    def __init__(
        self,
        url: str,
        scripts: Sequence[LuaScript] = (),
        *,
        timeout_s: float = TIMEOUT_S,
        retry_s: float = CIRCUIT_S,
        channels: Sequence[bytes] = (),
        heard: Callable[[bytes, bytes], None] | None = None,
        alone: str = "this host counts for itself",
    ) -> None:
        self.address = address_of(url)
        self._timeout_s = timeout_s
        self._retry_s = retry_s
        self._channels = channels
        self._heard = heard
        self._alone = alone
        self.is_up = False
        self.changed: Callable[[str], None] | None = None
        self._scripts = scripts
        self._link: _Link | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._reason: str | None = None

    def start(self) -> None:
        """Begin to connect; needs a running loop."""
        self._keeper = asyncio.create_task(self._keep(), name="redis")

    async def aclose(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._link is not None:
            self._link.leave()

    async def run(self, script: LuaScript, keys: Sequence[bytes], *arguments: Argument) -> Any:
        """The reply of `script`. Raises RedisAway within 50 ms."""
        link = self._link
        if link is None or not self.is_up:
            raise RedisAway
        reply = await link.call(b"EVALSHA", script.sha, len(keys), *keys, *arguments)
        if isinstance(reply, ErrorReply):
            link.drop(f"it says {reply}")  # the next connection loads the scripts again
            raise RedisAway(reply)
        return reply

    async def ask(self, *command: Argument) -> Any:
        """The reply to `command`. Raises RedisAway in time."""
        link = self._link
        if link is None or not self.is_up:
            raise RedisAway
        reply = await link.call(*command)
        if isinstance(reply, ErrorReply):
            raise RedisAway(reply)
        return reply

    def tell(self, script: LuaScript, keys: Sequence[bytes], *arguments: Argument) -> None:
        """Run `script` without waiting; lost if the server is away."""
        link = self._link
        if link is not None and self.is_up:
            link.call(b"EVALSHA", script.sha, len(keys), *keys, *arguments)

    async def _keep(self) -> None:
        while True:
            reason = await self._connect()
            if not reason:
                assert self._link is not None  # noqa: S101 - it is there after _connect
                self._change("")
                reason = await self._link.lost
            if self._link is not None:
                self._link.drop(reason)
                self._link = None
            self._change(reason)
            await asyncio.sleep(self._retry_s)

    def _change(self, reason: str) -> None:
        was_up, self.is_up = self.is_up, not reason
        if reason == self._reason:
            return
        self._reason = reason
        if was_up and reason:
            log.warning("Redis at %r is away, %s: %s", self.address, self._alone, reason)
        elif self.is_up and not was_up:
            log.info("Redis at %r is here", self.address)
        if self.changed is not None:
            self.changed(reason)

    async def _connect(self) -> str:
        """Connect, authenticate, load the scripts. Why that failed, or ""."""
        at = self.address
        loop = asyncio.get_running_loop()

        def made() -> _Link:
            self._link = _Link(self._timeout_s, self._heard)
            return self._link

        try:
            async with asyncio.timeout(CONNECT_S):
                if at.path:
                    _, link = await loop.create_unix_connection(made, at.path)
                else:
                    secure = ssl.create_default_context() if at.is_secure else None
                    _, link = await loop.create_connection(made, at.host, at.port, ssl=secure)
                if at.password:
                    link.expect(await link.call(b"AUTH", *filter(None, (at.username, at.password))))
                if at.database:
                    link.expect(await link.call(b"SELECT", at.database))
                for script in self._scripts:
                    sha = await link.call(b"SCRIPT", b"LOAD", script.text)
                    script.sha = link.expect(sha)
                for channel in self._channels:
                    link.accept(await link.call(b"SUBSCRIBE", channel))
        except (OSError, RedisAway, TimeoutError, ValueError) as error:  # ValueError: a host's name
            return str(error) or type(error).__name__
        return ""


class _Link(asyncio.Protocol):
    """A connection. `lost` says why it ended; `heard` gets what was published."""

    def __init__(
        self,
        timeout_s: float = TIMEOUT_S,
        heard: Callable[[bytes, bytes], None] | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[str] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._buffer = b""
        self._timer: asyncio.TimerHandle | None = None

    def call(self, *arguments: Argument) -> asyncio.Future[Any]:
        """Write a command; the future is its reply, or RedisAway."""
        reply: asyncio.Future[Any] = self._loop.create_future()
        if self._transport is None or self.lost.done():
            reply.set_exception(RedisAway("it is not connected"))
            reply.exception()  # not everybody waits for it
            return reply
        self._waiting.append((self._loop.time(), reply))
        self._transport.write(_encoded(arguments))
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout_s, self._look, None)
        return reply

    @staticmethod
    def expect(reply: Any) -> bytes:
        """A reply that must be a string. Raises RedisAway."""
        _Link.accept(reply)
        return bytes(reply)

    @staticmethod
    def accept(reply: Any) -> None:
        """Raises RedisAway for a reply that is an error."""
        if isinstance(reply, ErrorReply):
            raise RedisAway(f"it says {reply}")

    def drop(self, reason: str) -> None:
        """Give the connection up, and with it every call that waits."""
        if not self.lost.done():
            self.lost.set_result(reason)
        if self._transport is not None:
            self._transport.abort()
        self._fail()

    def leave(self) -> None:
        """Close it after what has been written."""
        if self._transport is not None:
            self._transport.close()
        self._fail()

    def _fail(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            _since, reply = self._waiting.popleft()
            if not reply.done():
                reply.set_exception(RedisAway("it went away"))
                reply.exception()  # not everybody waits for it

    def _look(self, suspect: asyncio.Future[Any] | None) -> None:
        """One timer for all calls: is the oldest too old?"""
        self._timer = None
        if not self._waiting:
            return
        since, oldest = self._waiting[0]
        left_s = since + self._timeout_s - self._loop.time()
        if oldest is suspect:
            self.drop(f"no answer within {self._timeout_s + GRACE_S:g}s")
        elif left_s <= 0:
            # If it was us who stood still, the answer is read before this comes again.
            self._timer = self._loop.call_later(GRACE_S, self._look, oldest)
        else:
            self._timer = self._loop.call_later(left_s, self._look, None)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods, but not the base class.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer = buffer = self._buffer + data if self._buffer else data
        at = 0
        try:
            while at < len(buffer):
                found = _decoded(buffer, at)
                if found is None:
                    break
                value, at = found
                if self._heard is not None and isinstance(value, list) and value[0] == b"message":
                    self._heard(value[1], value[2])
                    continue
                _since, reply = self._waiting.popleft()
                if not reply.done():
                    reply.set_result(value)
        except (ValueError, IndexError):
            self.drop("it does not speak RESP")
            return
        self._buffer = buffer[at:]

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(str(exc) if exc else "it closed the connection")
        with contextlib.suppress(RuntimeError):  # the loop may be closing
            self._fail()


def _encoded(arguments: Sequence[Argument]) -> bytes:
    pieces = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        raw = argument if isinstance(argument, bytes) else str(argument).encode()
        pieces.append(b"$%d\r\n%b\r\n" % (len(raw), raw))
    return b"".join(pieces)


def _decoded(buffer: bytes, at: int) -> tuple[Any, int] | None:
    """The value that begins at `at`, and where it ends; None if it is not whole yet."""
    end = buffer.find(b"\r\n", at)
    if end < 0:
        return None
    kind, text, at = buffer[at : at + 1], buffer[at + 1 : end], end + 2
    if kind == b":":
        return int(text), at
    if kind == b"+":
        return text, at
    if kind == b"-":
        return ErrorReply(text.decode("utf-8", "replace")), at
    size = int(text)
    if kind == b"$":
        if size < 0:
            return None, at
        return (buffer[at : at + size], at + size + 2) if len(buffer) >= at + size + 2 else None
    if kind != b"*":
        raise ValueError(f"{kind!r} begins no value")
    values = []
    for _ in range(size):
        found = _decoded(buffer, at)
        if found is None:
            return None
        value, at = found
        values.append(value)
    return values, at
