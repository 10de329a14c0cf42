"""The short answers of those who stand before Django: JSON for scripts, a page for people."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from routing.gateway.ingress import Scope, Send

API: Final = "/api/"
_PAGE: Final = (
    '<!doctype html><title>Switchyard</title><meta name="color-scheme" content="light dark">'
    "<h1>{title}</h1><p>{said}</p>"
)


def is_api(path: str) -> bool:
    return path.startswith(API)


def page(title: str, said: str) -> str:
    return _PAGE.format(title=escape(title), said=escape(said))


async def say(
    scope: Scope,
    send: Send,
    status: int,
    said: str,
    *,
    title: str = "Not now",
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> None:
    """Answer without the body having been read: the connection ends with it."""
    fields = [(b"connection", b"close"), (b"x-content-type-options", b"nosniff"), *headers]
    if is_api(scope["path"]):
        kind, body = b"application/json", json.dumps({"detail": said}).encode()
    else:
        kind, body = b"text/html; charset=utf-8", page(title, said).encode()
    fields += [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    start: dict[str, Any] = {"type": "http.response.start", "status": status, "headers": fields}
    await send(start)
    await send({"type": "http.response.body", "body": body})


async def redirect(send: Send, location: str) -> None:
    fields = [
        (b"location", location.encode("ascii")),
        (b"connection", b"close"),
        (b"content-length", b"0"),
    ]
    await send({"type": "http.response.start", "status": 302, "headers": fields})
    await send({"type": "http.response.body", "body": b""})
