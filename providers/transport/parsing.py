"""What one reply has brought so far, and what may not be in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from httptools import HttpResponseParser

from providers.errors import BadFraming

if TYPE_CHECKING:
    from providers.errors import ProviderError
    from providers.transport.endpoint import TransportLimits


class IncomingReply:
    """
    Collects a reply from httptools' callbacks; the base of Connection, to save a call per event.

    llhttp itself refuses (tested with httptools 0.9.0): Content-Length beside Transfer-Encoding,
    a second or malformed Content-Length, folded or malformed fields, bare LF, chunk sizes that
    overflow. It does not judge versions, other transfer codings, status 000, or sizes and counts:
    that is here. A status from 1 to 99 is an answer, a nonsensical one, and not informational.
    """

    __slots__ = (
        "_body", "_fault", "_fields", "_has_head", "_headers", "_heard",
        "_informational", "_limits", "_overhead", "_parser", "_reusable", "_status", "_unread",
        "_until_close", "is_complete", "on_body",
    )  # fmt: skip

    def __init__(self, limits: TransportLimits) -> None:
        self._limits = limits
        self._body: list[bytes] = []
        # Called for every chunk: of a stream that comes at once, without a frame for each.
        self.on_body = self._body.append
        self._parser = HttpResponseParser(self)
        self._begin()

    def _begin(self) -> None:
        self._heard = False  # any byte of the reply has come
        self._has_head = False
        self.is_complete = False
        self._until_close = False
        self._reusable = True
        self._fault: ProviderError | None = None
        self._status = 0
        self._informational = 0
        self._overhead = 0  # bytes since the last body bytes: head, 1xx, chunk sizes, trailers
        self._headers: list[tuple[bytes, bytes]] = []
        self._fields: dict[bytes, bytes] = {}
        self._body.clear()
        self._unread = 0

    def _is_head_too_large(self, last_read: int) -> bool:
        bound = self._limits.header_bytes
        # The sum is taken only if head and body together came in one read above the bound.
        return self._overhead + last_read > bound and bound < sum(
            len(name) + len(value) + 4 for name, value in self._headers
        )

    def on_message_begin(self) -> None:
        if self.is_complete:
            raise BadFraming("bytes after the end of the reply")

    def on_header(self, name: bytes, value: bytes) -> None:
        headers = self._headers
        if self._has_head:
            return  # a trailer field: nobody reads them, `_overhead` bounds them
        if len(headers) >= self._limits.header_fields:
            raise BadFraming("the reply has too many header fields")
        headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        status = self._status = parser.get_status_code()
        if status == 0 or 100 <= status < 200:
            self._count_informational(status)
            return
        headers = self._headers
        # Reversed, so that the first of several equal names is the one that is found.
        fields = self._fields = dict(reversed(headers))
        version = parser.get_http_version()
        if version not in {"1.1", "1.0"}:
            raise BadFraming("the reply is not HTTP/1.1")
        encoding = fields.get(b"transfer-encoding")
        if encoding is None:
            no_body = status in {204, 304}
            self._until_close = b"content-length" not in fields and not no_body
        elif (
            encoding.strip().lower() != b"chunked"
            or version == "1.0"
            or sum(name == b"transfer-encoding" for name, _ in headers) > 1
        ):
            raise BadFraming("the reply has a transfer coding other than chunked")
        self._reusable = parser.should_keep_alive()
        self._has_head = True

    def _count_informational(self, status: int) -> None:
        self._informational += 1
        if status in {0, 101} or self._informational > self._limits.informational:
            raise BadFraming("the reply has informational responses that were not asked for")
        self._headers = []

    def on_message_complete(self) -> None:
        if self._has_head:
            self.is_complete = True
