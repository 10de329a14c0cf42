"""
Replies that come packed although nobody asked: some proxies compress whatever they are told.

gzip and deflate are unpacked within bounds. Anything else, a body that does not unpack, and one
that grows beyond measure is BadFraming, so that the next candidate is tried.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING, Final

from providers.errors import BadFraming
from providers.transport.endpoint import TransportLimits
from providers.transport.response import Response

if TYPE_CHECKING:
    from zlib import _Decompress

PIECE: Final = 1 << 20  # unpacked at a time: 3 ms of the event loop
FREE: Final = 1 << 20  # up to here any ratio is fine: JSON of one repeated word packs 1000:1
RATIO: Final = 100
_GZIP: Final = frozenset({b"gzip", b"x-gzip"})
_BROKEN: Final = "the reply does not unpack as its content-encoding says"


def unpacked(response: Response, *, bound: int = TransportLimits().body_bytes) -> Response:
    """`response` with its body as if it had been sent plain; its bytes are judged when read."""
    coding = (response.header(b"content-encoding") or b"").strip().lower()
    return response if coding in {b"", b"identity"} else _Unpacked(response, coding, bound)


class _Unpacked(Response):
    """A reply around another one; reading, bounds and closing are the other's but for size."""

    __slots__ = ("_bound", "_coding", "_packed", "_packed_size", "_response", "_size", "_unpacker")
    flows = False

    def __init__(self, response: Response, coding: bytes, bound: int) -> None:
        self.status = response.status
        self.headers = response.headers
        self._response = response
        self._coding = coding
        self._bound = bound
        self._packed = b""  # received, and not unpacked yet
        self._packed_size = 0
        self._size = 0
        self._unpacker: _Decompress | None = None

    def header(self, name: bytes) -> bytes | None:
        return self._response.header(name)

    async def read(self, deadline: float) -> bytes:
        if self._coding not in _GZIP and self._coding != b"deflate":
            raise BadFraming("the reply is packed in a way that was not asked for")
        while True:
            if not self._packed:
                self._packed = await self._response.read(deadline)
                self._packed_size += len(self._packed)
                if not self._packed:
                    return self._last()
            piece = self._unpack()
            if piece:
                return piece

    async def read_all(self, deadline: float) -> bytes:
        pieces: list[bytes] = []
        while piece := await self.read(deadline):
            if self._size > self._bound:
                self.close()
                raise BadFraming("the reply's body is too large")
            pieces.append(piece)
            await asyncio.sleep(0)  # others first: nothing here waits for the socket
        return b"".join(pieces)

    def close(self) -> None:
        self._packed = b""
        self._response.close()

    def _last(self) -> bytes:
        """What zlib still held back when the body ended; b"" if that was all."""
        unpacker, self._unpacker = self._unpacker, None
        rest = unpacker.flush() if unpacker is not None else b""
        if self._packed_size == 0 or (unpacker is not None and not unpacker.eof):
            raise BadFraming(_BROKEN)
        return rest

    def _unpack(self) -> bytes:
        """At most one piece of what has been received. Raises BadFraming."""
        unpacker = self._unpacker
        if unpacker is None:
            unpacker = self._unpacker = zlib.decompressobj(self._window_bits())
        try:
            piece = unpacker.decompress(self._packed, PIECE)
        except zlib.error as error:
            raise BadFraming(_BROKEN) from error
        if unpacker.eof:
            self._packed = unpacker.unused_data  # the next member of a gzip file, if any
            self._unpacker = None
        else:
            self._packed = unpacker.unconsumed_tail
        self._size += len(piece)
        if self._size > FREE and self._size > RATIO * self._packed_size:
            self.close()
            raise BadFraming("the reply unpacks to more than a hundred times its size")
        return piece

    def _window_bits(self) -> int:
        if self._coding in _GZIP:
            return 16 + zlib.MAX_WBITS
        # "deflate" means zlib's format (RFC 9110 section 8.4.1.2); some send the bare stream.
        is_zlib = self._packed[0] & 0x0F == zlib.DEFLATED
        return zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS
