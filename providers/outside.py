"""One exchange with an address that is no provider's: a webhook, a status page."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from providers.adapters.address import address_of
from providers.transport import Transport
from providers.transport.guard import refusal_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from providers.transport import Response


@asynccontextmanager
async def exchange(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes = b"",
    *,
    is_guarded: bool,
    connect_s: float,
    deadline: float,
) -> AsyncIterator[Response]:
    """
    What is answered, its body still to be read; no redirect is followed.

    Raises ProviderError, and ValueError for what is no address. With a guard private addresses are
    refused, and there is no proxy: that would connect to what it likes.
    """
    to = address_of(url, proxy="", trust_env_proxy=not is_guarded, environ=os.environ)
    path = to.path or b"/"
    if url.partition("?")[0].endswith("/") and not path.endswith(b"/"):
        path += b"/"
    head = _head(method.encode() + b" " + path + to.query, to.host, headers, len(body))
    transport = Transport(guard=refusal_of if is_guarded else None)
    try:
        response = await transport.send(
            to.endpoint, head, body, connect_s=connect_s, deadline=deadline
        )
        try:
            yield response
        finally:
            response.close()
    finally:
        await transport.aclose()


def _head(target: bytes, host: bytes, headers: Mapping[str, str], length: int) -> bytes:
    lines = [
        b"%b HTTP/1.1" % target,
        b"host: %b" % host,
        b"user-agent: switchyard",
        *([b"content-length: %d" % length] if length else []),
        b"connection: close",
        *(f"{name}: {value}".encode() for name, value in headers.items()),
    ]
    return b"\r\n".join([*lines, b"", b""])
