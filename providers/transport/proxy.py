"""
HTTP proxies: a CONNECT tunnel for https, the absolute form of the request for http.

Credentials come from the proxy URL's userinfo and never reach an error text.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote, urlsplit

from providers.errors import ConnectFailed

if TYPE_CHECKING:
    import socket
    import ssl

    from providers.transport.endpoint import Endpoint

REPLY_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """Where a proxy listens, and the header line that it wants, if any."""

    scheme: str
    host: str
    port: int
    authorization: bytes = field(default=b"", repr=False)


@functools.lru_cache(maxsize=64)
def parse_proxy(url: str) -> Proxy:
    """Read `http[s]://[user:password@]host[:port]`; ConnectFailed if it is something else."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConnectFailed("the proxy's URL is malformed") from None  # the text may hold secrets
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConnectFailed("the proxy's URL is not http or https")
    authorization = b""
    if parts.username is not None:
        userinfo = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        authorization = b"Proxy-Authorization: Basic " + base64.b64encode(userinfo) + b"\r\n"
    return Proxy(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or (443 if parts.scheme == "https" else 80),
        authorization=authorization,
    )


def forwarded_head(head: bytes, endpoint: Endpoint) -> bytes:
    """
    Rewrite a header block for a proxy that forwards plain http.

    Many proxies refuse CONNECT to ports other than 443, so http goes in the absolute form.
    """
    request_line, rest = head.split(b"\r\n", 1)
    method, target, version = request_line.split(b" ", 2)
    origin = f"http://{endpoint.authority}".encode()
    authorization = parse_proxy(endpoint.proxy).authorization
    return b"%b %b%b %b\r\n%b%b" % (method, origin, target, version, authorization, rest)


async def open_tunnel(
    loop: asyncio.AbstractEventLoop,
    sock: socket.socket,
    proxy: Proxy,
    authority: str,
    tls: ssl.SSLContext | None,
) -> asyncio.Transport:
    """Ask the proxy for a tunnel to `authority`; ConnectFailed unless it answers 2xx."""
    reply = _TunnelReply(loop)
    try:
        await loop.create_connection(
            lambda: reply, sock=sock, ssl=tls, server_hostname=proxy.host if tls else None
        )
    except BaseException:
        sock.close()
        raise
    transport = cast("asyncio.Transport", reply.transport)
    name = authority.encode()
    transport.write(
        b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (name, name, proxy.authorization)
    )
    try:
        await reply.accepted
    except BaseException:
        transport.abort()
        raise
    return transport


class _TunnelReply(asyncio.Protocol):
    """Collect a proxy's answer to CONNECT."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.transport: asyncio.Transport | None = None
        self.accepted: asyncio.Future[None] = loop.create_future()
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.accepted.done():
            return
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            if len(self._received) > REPLY_BYTES:
                self._fail("the proxy's answer to CONNECT is too large")
            return
        words = head.split(b"\r\n", 1)[0].split(b" ", 2)
        if (
            len(words) < 2
            or not words[0].startswith(b"HTTP/1.")
            or not re.fullmatch(rb"[1-5]\d\d", words[1])
        ):
            self._fail("the proxy does not speak HTTP")
        elif not words[1].startswith(b"2"):
            self._fail(f"the proxy answered {int(words[1])} to CONNECT")
        elif rest:
            self._fail("the proxy sent bytes before the tunnel was used")
        else:
            self.accepted.set_result(None)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._fail("the proxy closed the connection")

    def _fail(self, message: str) -> None:
        if not self.accepted.done():
            self.accepted.set_exception(ConnectFailed(message))
