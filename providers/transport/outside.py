"""One exchange with an address that is no provider's: a webhook, a status page."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from providers.transport.client import Transport
from providers.transport.guard import refusal_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from providers.transport.endpoint import Endpoint
    from providers.transport.response import Response


@asynccontextmanager
async def exchange(
    to: Endpoint,
    line: bytes,
    headers: Mapping[str, str],
    body: bytes = b"",
    *,
    is_guarded: bool,
    connect_s: float,
    deadline: float,
) -> AsyncIterator[Response]:
    """
    What is answered to `line`, a method and its target; the body is still to be read.

    No redirect is followed, and the connection is used once. With a guard private addresses are
    refused. Raises ProviderError.
    """
    lines = [
        b"%b HTTP/1.1" % line,
        b"user-agent: switchyard",
        b"connection: close",
        *([b"content-length: %d" % len(body)] if body else []),
        *(f"{name}: {value}".encode() for name, value in headers.items()),
    ]
    transport = Transport(guard=refusal_of if is_guarded else None)
    try:
        head = b"\r\n".join([*lines, b"", b""])
        response = await transport.send(to, head, body, connect_s=connect_s, deadline=deadline)
        try:
            yield response
        finally:
            response.close()
    finally:
        await transport.aclose()
