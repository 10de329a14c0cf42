"""A caller made of bytes: it sends what a test says, and sees every byte that comes back."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any, Self

from tests.faults.says import dump


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole response. `headers` have lower-case names; the framing has been taken off `body`."""

    status: int
    headers: dict[str, str]
    body: bytes


class Cut(AssertionError):
    """The response's framing ended early."""


class Caller:
    """One connection to the gateway."""

    def __init__(self, url: str, *, timeout_s: float = 20) -> None:
        host, port = url.removeprefix("http://").split(":")
        self._socket = socket.create_connection((host, int(port)), timeout=timeout_s)
        self.received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def hang_up(self) -> None:
        self._socket.close()

    def until(self, marker: bytes) -> bytes:
        """All bytes so far, once `marker` is among them."""
        while marker not in self.received:
            self._more()
        return self.received

    def answer(self) -> Answer:
        """The response, which has to be the last one of the connection."""
        head, _, _ = self.until(b"\r\n\r\n").partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = [line.split(": ", 1) for line in lines]
        headers = {name.lower(): value for name, value in pairs}
        assert len(headers) == len(pairs), f"a header field twice: {lines}"
        assert all(32 <= ord(c) < 127 for line in lines for c in line), lines
        while self._more(may_end=True):
            pass
        body = self.received[len(head) + 4 :]
        if headers.get("transfer-encoding") == "chunked":
            assert "content-length" not in headers
            body = unchunked(body)
        elif len(body) != int(headers["content-length"]):
            raise Cut(f"{len(body)} bytes of {headers['content-length']}")
        return Answer(status=int(first.split(" ")[1]), headers=headers, body=body)

    def _more(self, *, may_end: bool = False) -> bool:
        data = self._socket.recv(1 << 16)
        self.received += data
        if not data and not may_end:
            raise Cut(f"the connection ended after {self.received[-200:]!r}")
        return bool(data)


def unchunked(body: bytes) -> bytes:
    """The payload of a chunked body that is whole, with nothing behind it."""
    payload = []
    while True:
        line, end, body = body.partition(b"\r\n")
        if not end:
            raise Cut(f"no end of the chunks, but {line[-200:]!r}")
        size = int(line, 16)
        if len(body) < size + 2:
            raise Cut(f"a chunk of {size} bytes ended after {len(body)}")
        assert body[size : size + 2] == b"\r\n"
        payload.append(body[:size])
        body = body[size + 2 :]
        if size == 0:
            assert body == b"", f"bytes after the response: {body[:200]!r}"
            return b"".join(payload)


def request(body: Any, *, key: str, path: str = "/v1/chat/completions", **headers: str) -> bytes:
    """A request; a `body` that is not bytes goes as JSON. `x_a="b"` becomes a header field."""
    raw = body if isinstance(body, bytes) else dump(body)
    lines = [
        f"POST {path} HTTP/1.1", "host: gateway", "connection: close",
        f"authorization: Bearer {key}", "content-type: application/json",
        f"content-length: {len(raw)}",
    ]  # fmt: skip
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + raw
