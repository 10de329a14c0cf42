"""A reply as the caller of the transport sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from providers.errors import BadFraming, ConnectionReset

if TYPE_CHECKING:
    from collections.abc import Callable


class ReplySource(Protocol):
    """What a reply needs of the connection that brings it."""

    is_complete: bool

    @property
    def is_received(self) -> bool: ...

    @property
    def body_bound(self) -> int: ...

    def take(self) -> bytes: ...

    async def more(self, deadline: float) -> bool: ...

    async def flow(self, to: Callable[[bytes], bool], idle_s: float, ends_at: float) -> None: ...

    def release(self) -> None: ...


class Response:
    """
    A reply whose head has come: status, header fields with lower-case names, and the body to read.

    Whoever got one closes it, whatever happens; a body that was read to its end closes itself.
    """

    __slots__ = ("_connection", "_fields", "_is_whole", "headers", "status")
    flows = True  # there is `flow`; those around another reply can only be read

    def __init__(
        self,
        connection: ReplySource,
        status: int,
        headers: list[tuple[bytes, bytes]],
        fields: dict[bytes, bytes],
    ) -> None:
        self._connection: ReplySource | None = connection
        self._fields = fields
        self._is_whole = False
        self.status = status
        self.headers = headers

    def header(self, name: bytes) -> bytes | None:
        """Return the first value of a header field; `name` in lower case."""
        return self._fields.get(name)

    async def read(self, deadline: float) -> bytes:
        """
        Return all of the body that has arrived, waiting for some; b"" at its clean end.

        ConnectionReset if it was cut, BadFraming if its framing is broken, both after what had
        arrived before. UpstreamTimedOut at the deadline; the next read may wait again.
        """
        connection = self._connection
        if connection is None:
            if self._is_whole:
                return b""
            raise ConnectionReset("the reply was closed before its end")
        piece = b""
        # An empty piece cannot come: llhttp reports no body of no bytes.
        if await connection.more(deadline):
            piece = connection.take()
        if connection.is_received:
            self._finish(connection)
        return piece

    async def flow(self, to: Callable[[bytes], bool], idle_s: float, ends_at: float) -> None:
        """
        Give `to` the rest of the body as it comes, until it returns False or that is all.

        Raises as `read` does, UpstreamTimedOut after `idle_s` without any, or at `ends_at`. What
        `to` raises comes through.
        """
        connection = self._connection
        if connection is not None:
            await connection.flow(to, idle_s, ends_at)
            if connection.is_received:
                self._finish(connection)
        elif not self._is_whole:
            raise ConnectionReset("the reply was closed before its end")

    async def read_all(self, deadline: float) -> bytes:
        """Return the whole body; BadFraming above `limits.body_bytes`."""
        connection = self._connection
        if connection is None:
            return await self.read(deadline)
        bound = connection.body_bound
        if connection.is_complete:  # nearly every whole answer comes in one read
            piece = connection.take()
            if len(piece) > bound:
                self.close()
                raise BadFraming("the reply's body is too large")
            self._finish(connection)
            return piece
        size = 0
        pieces: list[bytes] = []
        while True:
            piece = await self.read(deadline)
            size += len(piece)
            if size > bound or int(self._fields.get(b"content-length", b"0")) > bound:
                self.close()
                raise BadFraming("the reply's body is too large")
            pieces.append(piece)
            if self._is_whole:
                return b"".join(pieces)

    def close(self) -> None:
        """Give the connection back if the whole reply has come, else abort it; idempotent."""
        connection = self._connection
        if connection is not None:
            self._connection = None
            connection.release()

    def _finish(self, connection: ReplySource) -> None:
        self._is_whole = True
        self._connection = None
        connection.release()
