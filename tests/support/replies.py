"""What the tests' provider says: modes, replies, pieces of streams, and their bytes."""

from __future__ import annotations

import json
from typing import Any

WORDS = ["Hello", "from", "{name}", ",", "which", "is", "well", "today", "."]
PAGE = b"<!doctype html><title>Gateway</title><h1>502 Bad Gateway</h1>"
ERROR = {"error": {"message": "The server had an error", "type": "server_error", "code": None}}
TYPES = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error",
         404: "invalid_request_error", 413: "invalid_request_error", 422: "invalid_request_error",
         429: "rate_limit_error"}  # fmt: skip
CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}


class Mode:
    """`name:positional:key=value`, read."""

    def __init__(self, text: str, *, body: str | None = None) -> None:
        self.text = text
        self.name, *rest = text.split(":")
        self.options = dict(part.split("=", 1) for part in rest if "=" in part)
        self.number = next((int(part) for part in rest if "=" not in part), 0)
        if body is not None:
            self.options["body"] = body

    def option(self, name: str, default: int) -> int:
        return int(self.options.get(name, default))


def contents(name: str, mode: Mode) -> list[str]:
    words = " ".join(WORDS).format(name=name).split(" ")
    count = mode.option("chunks", max(len(words), mode.number))
    size = mode.option("chunk_bytes", 0)
    texts = [words[i % len(words)] + " " for i in range(count)]
    return [text.ljust(size, ".") for text in texts]


def piece_of(
    body: dict[str, Any], is_chat: bool, delta: dict[str, Any], *, finish: str | None = None
) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "finish_reason": finish}
    if is_chat:
        choice["delta"] = delta
    else:
        choice["text"] = delta.get("content", "")
    return {
        "id": "up-1", "object": "chat.completion.chunk" if is_chat else "text_completion",
        "created": 1700000000, "model": body.get("model", ""), "choices": [choice],
    }  # fmt: skip


def reply(name: str, entry: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    model = body.get("model", "")
    text = "".join(contents(name, Mode("ok"))).strip()
    if entry["path"].endswith("/models"):
        return {"object": "list", "data": [{"id": f"{name}-model", "object": "model"}]}
    if entry["path"].endswith("/embeddings"):
        given = body.get("input")
        count = len(given) if isinstance(given, list) else 1
        data = [{"object": "embedding", "index": i, "embedding": [0.5, 0.25]} for i in range(count)]
        counts = {"prompt_tokens": 3, "total_tokens": 3}
        return {"object": "list", "data": data, "model": model, "usage": counts}
    if entry["path"].endswith("/chat/completions"):
        kind = "chat.completion"
        choice: dict[str, Any] = {"message": {"role": "assistant", "content": text}}
    else:
        kind = "text_completion"
        choice = {"text": text}
    return {
        "id": "up-1", "object": kind, "created": 1700000000, "model": model,
        "choices": [{"index": 0, "finish_reason": "stop", **choice}], "usage": usage(9),
    }  # fmt: skip


def usage(tokens: int) -> dict[str, int]:
    return {"prompt_tokens": 3, "completion_tokens": tokens, "total_tokens": 3 + tokens}


def error_status(mode: Mode) -> bytes:
    status = mode.number
    options = dict(mode.options)
    error = {
        "message": options.pop("message", f"{status} from the test's provider"),
        "type": options.pop("type", TYPES.get(status, "server_error")),
        "param": None,
        "code": options.pop("code", CODES.get(status)),
    }
    body = options.pop("body", None)
    kind = options.pop("content-type", "application/json")
    text = dump({"error": error}) if body is None else body.encode()
    extra = "".join(f"{name}: {value}\r\n" for name, value in options.items())
    return whole(text, kind, status=status, extra=extra)


def whole(
    body: bytes, kind: str = "application/json", *, status: int = 200, extra: str = ""
) -> bytes:
    head = f"HTTP/1.1 {status} Said So\r\ncontent-type: {kind}\r\n{extra}"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def event(value: dict[str, Any]) -> bytes:
    return b"data: " + dump(value) + b"\n\n"


def chunk(data: bytes, *, last: bool = False) -> bytes:
    if not data and not last:
        return b""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
