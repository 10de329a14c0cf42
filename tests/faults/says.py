"""What the byte-scripted provider says: heads, bodies and events, sound and unsound."""

from __future__ import annotations

import json
from typing import Any

TEXT = "Hello from the faulty one"
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
SSE = "text/event-stream"
DONE = b"data: [DONE]\n\n"


def dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def head(kind: str | None = "application/json", *, status: str = "200 OK", **more: str) -> bytes:
    """A response head; `content_length="3"` and the like become header fields."""
    lines = [f"HTTP/1.1 {status}"]
    if kind is not None:
        lines.append(f"content-type: {kind}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in more.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def whole(body: bytes, kind: str | None = "application/json", **more: str) -> bytes:
    return head(kind, **more, content_length=str(len(body))) + body


def chunked(*pieces: bytes, kind: str | None = SSE, is_ended: bool = True, **more: str) -> bytes:
    """A response in chunks, one a piece."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece)
    end = b"0\r\n\r\n" if is_ended else b""
    return head(kind, **more, transfer_encoding="chunked") + body + end


def reply(message: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A whole chat completion."""
    said = {"role": "assistant", "content": TEXT} | (message or {})
    choice = {"index": 0, "message": said, "finish_reason": "stop"} | more.pop("choice", {})
    return {
        "id": "up-1", "object": "chat.completion", "created": 1700000000, "model": "m",
        "choices": [choice], "usage": USAGE,
    } | more  # fmt: skip


def piece(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    """One chunk of a stream."""
    return {
        "id": "up-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    } | more  # fmt: skip


def event(value: Any) -> bytes:
    return b"data: " + dump(value) + b"\n\n"


def says(text: str) -> bytes:
    return event(piece({"content": text}))


ROLE = event(piece({"role": "assistant", "content": ""}))
BEGUN = ROLE + says("Hello") + says(" from")
FINISH = event(piece({}, "stop"))
USED = event(piece({}, choices=[], usage=USAGE))
ERROR = {"message": "The server had an error", "type": "server_error", "code": None}
STREAM = ROLE + b"".join(says(word) for word in ["Hello", " from", " the faulty one"]) + FINISH
PAGE = b"<!doctype html>\n\n<title>Portal</title>\n\n<h1>Sign in</h1>\n\n"
