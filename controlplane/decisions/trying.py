"""
One real request to the gateway of this process, for people who are signed in to admin.

It takes the way of every request (authentication, planning, attempts, record), except for the
socket. For as long as it takes, the gateway knows a key that was made for it alone.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from routing.gateway.auth import digest_of
from routing.gateway.deciding.keys import Key
from routing.gateway.deciding.snapshot import KeySpec

if TYPE_CHECKING:
    from routing.gateway.app import Gateway

GUEST_PREFIX: Final = "admin "  # of the key's name in records
KEPT_BYTES: Final = 256 << 10
HANG_UP_S: Final = 5.0
# What of an answer's headers people are shown: ours, and what callers go by.
SHOWN_HEADERS: Final = ("x-switchyard-", "x-request-id", "retry-after", "x-should-retry")


@dataclass(slots=True, kw_only=True)
class ShownAnswer:
    """
    What came back. Times are seconds since the call; None: it never got so far.

    `body` is cut at KEPT_BYTES; `size` is what it had.
    """

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    size: int = 0
    pieces: int = 0
    first_byte_s: float | None = None
    ended_s: float | None = None
    timed_out: bool = False

    @property
    def is_stream(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")

    @property
    def text(self) -> str:
        """The words of the answer, or of the error."""
        events = _events(self.body) if self.is_stream else [_json(self.body)]
        return "".join(_words(event) for event in events if isinstance(event, dict))

    @property
    def shown_headers(self) -> list[tuple[str, str]]:
        return [(n, v) for n, v in self.headers.items() if n.startswith(SHOWN_HEADERS)]


async def try_request(
    gateway: Gateway,
    *,
    path: str,
    body: Mapping[str, Any],
    headers: Mapping[str, str],
    who: str,
    limit_s: float,
) -> ShownAnswer:
    """
    Send `body` to `path` as the admin `who`, and wait for the whole answer, at most `limit_s`.

    After that the gateway is told that the caller has gone. Runs in the gateway's event loop.
    """
    secret = secrets.token_bytes(32).hex().encode()
    digest = digest_of(secret)
    spec = KeySpec(name=f"{GUEST_PREFIX}{who}"[:100], digest=digest, scopes=("inference", "admin"))
    raw = json.dumps(body).encode()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "client": None,
        "server": None,
        "headers": [
            (b"authorization", b"Bearer " + secret),
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(raw)),
            *((n.encode(), v.encode("latin-1", "replace")) for n, v in headers.items()),
        ],
    }
    gateway.guests[digest] = Key(spec, None)
    try:
        return await _converse(gateway, scope, raw, limit_s)
    finally:
        del gateway.guests[digest]


async def _converse(gateway: Gateway, scope: Any, raw: bytes, limit_s: float) -> ShownAnswer:
    answer = ShownAnswer()
    began = time.monotonic()
    has_left = asyncio.Event()
    requests = [{"type": "http.request", "body": raw, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if requests:
            return requests.pop()
        await has_left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {
                n.decode("latin-1").lower(): v.decode("latin-1") for n, v in message["headers"]
            }
            return
        piece = message.get("body", b"")
        if piece.strip():  # heartbeats are empty lines
            answer.pieces += 1
            if answer.first_byte_s is None:
                answer.first_byte_s = time.monotonic() - began
        answer.size += len(piece)
        answer.body += piece[: max(0, KEPT_BYTES - len(answer.body))]

    task = asyncio.create_task(gateway(scope, receive, send), name="try it")
    _done, running = await asyncio.wait({task}, timeout=limit_s)
    if running:
        answer.timed_out = True
        has_left.set()
        _done, running = await asyncio.wait({task}, timeout=HANG_UP_S)
        for stuck in running:
            stuck.cancel()
    elif task.exception() is not None:
        raise RuntimeError("the gateway broke off") from task.exception()
    answer.ended_s = time.monotonic() - began
    return answer


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None  # cut, or none: it is shown as it is


def _events(raw: bytes) -> list[Any]:
    return [
        _json(line.removeprefix(b"data:"))
        for line in raw.splitlines()
        if line.startswith(b"data:") and line[5:].strip() != b"[DONE]"
    ]


def _words(event: dict[str, Any]) -> str:
    """The text of a whole answer, of a chunk, or of an error."""
    error = event.get("error")
    if isinstance(error, dict):
        return str(error.get("message") or "")
    choices = event.get("choices")
    if not isinstance(choices, list):
        return ""
    found = ""
    for choice in choices:
        if not isinstance(choice, dict):
            continue
        said = choice.get("message") or choice.get("delta") or choice
        text = said.get("content", said.get("text")) if isinstance(said, dict) else None
        found += text if isinstance(text, str) else ""
    return found
