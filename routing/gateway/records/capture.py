"""
Prompts and answers, kept where a key, a pool or the configuration asks for them.

A key's word is over its pool's, and that over the general one, member by member. On the request's
way bodies are only held: the request's as it came, the answer's pieces as they went out, all within
the worker's bounded room. The recorder's thread then makes text of them, without what is encoded
in base64, without known secrets, and cut; for records never hold a prompt, it has a spool of its
own. What there is no room for is dropped and counted.
"""

from __future__ import annotations

import re
import time
from typing import Any, Final

from msgspec import Struct

from providers.secrets.redaction import Secrets
from routing.gateway.deciding.snapshot import CaptureSpec
from routing.gateway.ingress import Send

ROOM_BYTES: Final = 64 << 20
REQUEST_LIMIT: Final = 64 << 10  # characters kept
RESPONSE_LIMIT: Final = 256 << 10  # nine tenths of a stream are its events' frames
KEEP_DAYS: Final = 7.0
TOKEN: Final = 1024  # no secret is longer
SIGN_OF_LIFE: Final = b"\n"
SLICE: Final = 4096  # characters that are searched while the event loop waits: half a millisecond
ENCODED: Final = 512
SHOWN: Final = 64  # of encoded data
_BASE64: Final = re.compile(rb"(?:data:[\w/\\+.;=-]*,)?(?:[A-Za-z0-9+/_=-]|\\/)+\\?")


class CaptureRow(Struct, frozen=True, array_like=True, gc=False):
    """
    What was captured of one request, as it travels to the database. `record` is its record's id.

    The fields travel by position: new ones go to the end, with a default.
    """

    record: str
    key: str
    pool: str
    request: str = ""
    response: str = ""
    is_cut: bool = False
    keep_days: float = KEEP_DAYS


class Room:
    """How many bytes of bodies a worker still may hold. `dropped` counts requests without."""

    def __init__(self, size: int = ROOM_BYTES) -> None:
        self.free = size
        self.dropped = 0

    def take(self, size: int) -> bool:
        if size > self.free:
            return False
        self.free -= size
        return True


class Capture:
    """What is held of one request until it is in the spool; `release` it in any case."""

    __slots__ = ("_held", "_left", "_pieces", "_room", "_send", "is_cut", "keep_days", "request")

    def __init__(self, room: Room, request: bytes, keep_days: float) -> None:
        self.request = request
        self.keep_days = keep_days
        self.is_cut = False
        self._room = room
        self._held = len(request)
        self._left = RESPONSE_LIMIT
        self._pieces: list[bytes] = []
        self._send: Send | None = None

    def sending(self, send: Send) -> Send:
        """`send`, and what it sends is held as well."""
        self._send = send
        return self._sent

    @property
    def response(self) -> bytes:
        return b"".join(self._pieces)

    def release(self) -> None:
        self._room.free += self._held
        self._held = 0
        self._pieces.clear()
        self.request = b""

    async def _sent(self, message: Any) -> None:
        body = message.get("body")
        if body and body != SIGN_OF_LIFE:
            self._hold(body)
        assert self._send is not None  # noqa: S101 - whoever has this got it from `sending`
        await self._send(message)

    def _hold(self, body: bytes) -> None:
        piece = body[: self._left]
        if not piece or not self._room.take(len(piece)):
            self.is_cut = True
            self._left = 0
            return
        self.is_cut |= len(piece) < len(body)
        self._left -= len(piece)
        self._held += len(piece)
        self._pieces.append(piece)


def begin(room: Room, request: bytes, keep_days: float | None) -> Capture | None:
    """None, and counted, if there is no room for the request."""
    if not room.take(len(request)):
        room.dropped += 1
        return None
    return Capture(room, request, KEEP_DAYS if keep_days is None else keep_days)


def merged(*specs: CaptureSpec | None) -> CaptureSpec:
    """What holds, member by member: what an earlier one says is over the later ones."""
    found: dict[str, Any] = {}
    for spec in filter(None, specs):
        for name in CaptureSpec.__struct_fields__:
            value = getattr(spec, name)
            if value is not None:
                found.setdefault(name, value)
    return CaptureSpec(**found)


def row_of(record: str, key: str, pool: str, capture: Capture, secrets: Secrets) -> CaptureRow:
    """The text of what was held. Takes a while; not for the event loop."""
    request, is_cut = text_of(capture.request, REQUEST_LIMIT, secrets)
    response, is_cut_too = text_of(capture.response, RESPONSE_LIMIT, secrets, capture.is_cut)
    return CaptureRow(
        record, key, pool, request, response, is_cut or is_cut_too, capture.keep_days
    )  # fmt: skip


def text_of(body: bytes, limit: int, secrets: Secrets, is_cut: bool = False) -> tuple[str, bool]:
    """
    `body` as text that may be kept, and whether that lacks an end; `is_cut` if `body` lacks it.
    """
    body = without_encoded(body, limit)
    is_cut |= len(body) > limit
    text = body[:limit].decode("utf-8", "replace").replace("\0", "")
    if is_cut:  # a part of a secret would not be known as one
        text = text[: max(text.rfind(" "), text.rfind('"'), len(text) - TOKEN)]
    return "".join([_redacted(piece, secrets) for piece in _slices(text)]), is_cut


def without_encoded(body: bytes, limit: int) -> bytes:
    """
    JSON in which long base64, such as an image, is shortened to its beginning and its length.

    What is longer than `limit` lacks its end: 31 MiB of quotes, split at once, would hold the
    event loop for seconds.
    """
    pieces: list[bytes] = []
    size = position = 0
    while size <= limit + 1 and position <= len(body):  # one more: what is cut is seen to be
        end = body.find(b'"', position)
        end = len(body) if end < 0 else end
        if end - position > ENCODED and _BASE64.fullmatch(body, position, position + ENCODED):
            begin = body[position : position + SHOWN].rstrip(b"\\")
            piece = b"%b\xe2\x80\xa6 (%d bytes)" % (begin, end - position)
        else:
            piece = body[position : min(end, position + limit + 1)]
        pieces.append(piece)
        size += len(piece) + 1
        position = end + 1
    return b'"'.join(pieces)


def _redacted(piece: str, secrets: Secrets) -> str:
    time.sleep(0)  # the event loop's turn
    return secrets.redact(piece)


def _slices(text: str) -> list[str]:
    """`text` in pieces that begin and end where no secret does."""
    found: list[str] = []
    start = 0
    while start < len(text):
        end = start + SLICE
        if end < len(text):
            cut = max(text.rfind('"', start, end), text.rfind(". ", start, end))
            if cut <= start:
                cut = text.find('"', end)
            end = len(text) if cut < 0 else cut + 1
        found.append(text[start:end])
        start = end
    return found
