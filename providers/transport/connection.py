"""
One HTTP/1.1 connection: the fast path (what httptools calls back is in parsing.py).

Measured figures stand in docs/decisions/0001-own-transport.md. What keeps a call cheap: no task
and no lock per call, one future per wait, one loop timer per connection that is re-armed only
when it fires or a nearer deadline comes, one write for head and body, one dict per reply.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import TYPE_CHECKING, cast

from httptools import HttpParserError, HttpParserUpgrade

from providers.errors import BadFraming, ConnectionReset, ProviderError, UpstreamTimedOut
from providers.transport.parsing import IncomingReply
from providers.transport.response import Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from providers.transport.endpoint import TransportLimits

# One write up to here (joining head and body costs 0.07 µs for 230 bytes, 2.2 µs for 64 KiB);
# above, slices, so that write back-pressure and an early answer are seen in between. asyncio's
# high-water mark is 64 KiB too.
WRITE_SLICE = 64 * 1024

# uvloop rounds timers to whole milliseconds and may fire just before the deadline.
TIMER_SLACK_S = 0.002


class Connection(IncomingReply, asyncio.Protocol):
    """
    A socket that serves one exchange at a time.

    `on_idle` is called when it can serve again, `on_lost` once when its socket is closed.
    """

    __slots__ = (
        "_busy", "_deadline", "_ends_at", "_idle_s", "_is_stopped", "_loop", "_read_paused",
        "_timer", "_timer_at", "_to", "_transport", "_waiter", "_write_paused", "idle_since",
        "is_lost", "is_reused", "on_idle", "on_lost",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: TransportLimits) -> None:
        super().__init__(limits)
        self._loop = loop
        self.on_idle: Callable[[Connection], None] = _ignore
        self.on_lost: Callable[[Connection], None] = _ignore
        self.idle_since = 0.0
        self.is_lost = False
        self.is_reused = False
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[bool] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._deadline = 0.0
        # Where the body goes as it comes, if it flows; `_is_stopped`: no more of it is wanted.
        self._to: Callable[[bytes], bool] | None = None
        self._idle_s = self._ends_at = 0.0
        self._is_stopped = False
        self._busy = False
        self._read_paused = False
        self._write_paused = False

    # The caller's side

    async def exchange(self, head: bytes, body: bytes, deadline: float) -> Response | None:
        """
        Send one request and wait for the reply's head.

        None if a reused connection died before any byte of the reply: the peer had closed it
        while it was idle, and the request may be sent once more on a fresh one.
        """
        self._begin()
        self._busy = True
        transport = self._transport
        if transport is None or transport.is_closing():
            if self.is_reused:
                return None
            raise ConnectionReset("the connection closed before the request")
        try:
            if len(body) <= WRITE_SLICE:
                transport.write(head + body)
            else:
                transport.write(head)
                await self._upload(transport, body, deadline)
            while not self._has_head:
                fault = self._fault
                if fault is not None:
                    if self.is_reused and not self._heard and isinstance(fault, ConnectionReset):
                        return None
                    raise fault
                if await self._wait(deadline) and not self._has_head:
                    self.abort()
                    raise UpstreamTimedOut("no reply headers before the deadline")
        except asyncio.CancelledError:
            self.abort()
            raise
        return Response(self, self._status, self._headers, self._fields)

    async def _upload(self, transport: asyncio.Transport, body: bytes, deadline: float) -> None:
        """Write a large body at the peer's pace; stop when it has answered or died."""
        view = memoryview(body)
        for start in range(0, len(view), WRITE_SLICE):
            transport.write(view[start : start + WRITE_SLICE])
            while self._write_paused and not self._is_settled():
                if await self._wait(deadline):
                    self.abort()
                    raise UpstreamTimedOut("the request was not taken before the deadline")
            if self._is_settled():
                self._reusable = False
                return

    def _is_settled(self) -> bool:
        # A 413 or 401 before the whole body is the answer: the rest would only break the pipe.
        # The head of a 200 is not, its sender may still be reading.
        refused = self._has_head and self._status >= 400
        return refused or self.is_complete or self._fault is not None

    def take(self) -> bytes:
        """Return all unread body bytes at once, and read on from the socket if that was paused."""
        pieces = self._body
        piece = b"".join(pieces)  # of one it is that one
        pieces.clear()
        self._unread = 0
        if self._read_paused:
            self._resume_reading()
        return piece

    async def more(self, deadline: float) -> bool:
        """
        Wait until unread bytes are there (True) or the reply is complete (False).

        At the deadline UpstreamTimedOut; the reply stays as it is and may be waited for again.
        """
        while not self._body:
            if self.is_complete:
                return False
            if self._fault is not None:
                raise self._fault
            try:
                timed_out = await self._wait(deadline)
            except asyncio.CancelledError:
                self.abort()
                raise
            if timed_out and not self._body and not self.is_complete and self._fault is None:
                raise UpstreamTimedOut("no more of the reply before the deadline")
        return True

    async def flow(self, to: Callable[[bytes], bool], idle_s: float, ends_at: float) -> None:
        """
        Give `to` each piece of the body in the turn of the loop in which it comes, until it says
        no or the reply is complete: without a future, a task's step and five frames for each.

        UpstreamTimedOut after `idle_s` without a piece, or at `ends_at`.
        """
        while not self._body or to(self.take()):
            if self.is_complete:
                return
            if self._fault is not None:
                raise self._fault
            self._to, self._idle_s, self._ends_at, self._is_stopped = to, idle_s, ends_at, False
            try:
                timed_out = await self._wait(min(self._loop.time() + idle_s, ends_at))
            except asyncio.CancelledError:
                self.abort()
                raise
            finally:
                self._to = None
            if self._is_stopped:
                return
            # What came in the same moment as the time was up is in `_body`, and counts.
            if timed_out and not self._body and not self.is_complete and self._fault is None:
                raise UpstreamTimedOut("no more of the reply before the deadline")

    def _pass_on(self, to: Callable[[bytes], bool]) -> None:
        self._deadline = min(self._loop.time() + self._idle_s, self._ends_at)
        try:
            is_wanted = to(self.take())
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the reader's
            self._to = None
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_exception(error)
            return
        if not is_wanted:
            self._to = None
            self._is_stopped = True
        if not is_wanted or self.is_complete:
            self._wake()

    @property
    def is_received(self) -> bool:
        """The whole reply has come, and nothing of it is unread."""
        return self.is_complete and not self._body

    def release(self) -> None:
        """End the exchange: back to the pool if the socket is clean, else abort it."""
        transport = self._transport
        if (
            not self.is_complete
            or not self._reusable
            or self.is_lost
            or transport is None
            or transport.is_closing()
            or transport.get_write_buffer_size()
        ):
            self.abort()
            return
        self._busy = False
        self._body.clear()
        if self._read_paused:
            self._resume_reading()
        self.is_reused = True
        self.on_idle(self)

    def abort(self) -> None:
        """Close the socket now. `on_lost` follows in the loop's next turn."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def body_bound(self) -> int:
        """The largest body, in bytes, that may be read as a whole."""
        return self._limits.body_bytes

    def is_open(self) -> bool:
        """Whether the socket can be tried; the peer may have closed it without our knowing."""
        return self._transport is not None and not self._transport.is_closing()

    def _wait(self, deadline: float) -> asyncio.Future[bool]:
        """Return a future of whether the deadline came; any event on the socket ends it too."""
        if self._timer is None or deadline < self._timer_at:
            self._arm(deadline)
        self._deadline = deadline
        self._waiter = waiter = self._loop.create_future()
        return waiter

    def _wake(self, *, timed_out: bool = False) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():  # done: its task was cancelled
                waiter.set_result(timed_out)

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._waiter is None:
            return
        if self._deadline - self._loop.time() > TIMER_SLACK_S:
            self._arm(self._deadline)
            return
        self._wake(timed_out=True)

    def _fail(self, fault: ProviderError) -> None:
        if self._fault is None:
            self._fault = fault
        self.abort()
        self._wake()

    def _fail_head(self) -> None:
        self._has_head = False  # complete perhaps, but not to be given out
        self._fail(BadFraming("the reply's header fields are too large"))

    def _resume_reading(self) -> None:
        self._read_paused = False
        if self.is_open():
            cast("asyncio.Transport", self._transport).resume_reading()

    # The socket's side (asyncio.Protocol)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if not self._busy or self.is_complete:
            # Bytes that nobody asked for: whatever they are, they would be taken for the next
            # reply. A complete reply that is still unread stays readable.
            self._reusable = False
            self.abort()
            return
        self._heard = True
        body = self._body
        pieces, had_head = len(body), self._has_head
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._reusable = False
            if not self.is_complete:
                cause = error.__context__
                broken = BadFraming("the reply is not sound HTTP/1.1")
                self._fail(cause if isinstance(cause, BadFraming) else broken)
                return
        if len(body) > pieces:
            self._unread += sum(map(len, body[pieces:]))
        if self.is_complete or len(body) > pieces:
            if not had_head and self._is_head_too_large(len(data)):
                self._fail_head()
                return
            self._overhead = 0
        else:
            self._overhead += len(data)
            if self._overhead > self._limits.header_bytes:
                self._fail_head()
                return
            if not self._has_head:
                return
        if self._to is not None and self._waiter is not None and body:
            self._pass_on(self._to)
            return
        if self._unread > self._limits.unread_bytes and not self._read_paused:
            self._read_paused = True
            cast("asyncio.Transport", self._transport).pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        self._reusable = False
        if self._busy and not self.is_complete and self._fault is None:
            if self._has_head and self._until_close and self._is_end_authentic():
                self.is_complete = True
                self._wake()
            else:
                self._fail(ConnectionReset("the connection closed before the reply's end"))
        return False

    def _is_end_authentic(self) -> bool:
        """
        Whether the peer itself has ended the stream.

        In TLS that takes a close_notify: a FIN alone may be anybody's. asyncio reports both
        alike (tested with 3.11), uvloop does not.
        """
        tls = cast("asyncio.Transport", self._transport).get_extra_info("ssl_object")
        if tls is None:
            return True
        try:
            return not tls.read(1)
        except ssl.SSLZeroReturnError:
            return True
        except ssl.SSLError:
            return False  # it would wait for more

    def connection_lost(self, exc: Exception | None) -> None:
        if self._busy and not self.is_complete and self._fault is None:
            if exc is not None:
                self._salvage()
            if not self.is_complete and self._fault is None:
                self._fault = ConnectionReset("the connection was reset before the reply's end")
        self.is_lost = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # The parser holds bound methods of this object: without the cycle, memory goes at once.
        del self._parser
        self._wake()
        self.on_lost(self)

    def _salvage(self) -> None:
        """
        Read what the kernel still holds after a failed write.

        A peer that answers 413 and closes without reading the rest makes our next write fail;
        its answer is then here, unread. Not possible inside TLS.
        """
        transport = cast("asyncio.Transport", self._transport)
        if transport.get_extra_info("sslcontext") is not None:
            return
        try:
            fd = transport.get_extra_info("socket").fileno()
            while not self.is_complete and self._unread <= self._limits.unread_bytes:
                data = os.read(fd, WRITE_SLICE)
                if not data:
                    self.eof_received()
                    return
                self.data_received(data)
        except OSError:
            # Nothing more to be had; the caller of this method reports the reset.
            return

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self._wake()


def _ignore(_connection: Connection) -> None:
    """Do nothing: the connection belongs to no pool yet."""
