"""The tests' own provider does what it says: a fault that is none would prove nothing."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.processes import wait_for
from tests.support.upstreams import Upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def ask(server: Upstream, *, stream: bool = False, model: str = "m") -> bytes | str:
    """Everything that comes on a new connection; "reset" or "refused" if that is how it ends."""
    body = json.dumps({"model": model, "messages": [], "stream": stream}).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    head += f"content-length: {len(body)}\r\n"
    received = b""
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
            connection.sendall(head.encode() + b"\r\n" + body)
            connection.settimeout(0.3)
            while data := connection.recv(65536):
                received += data
    except TimeoutError:
        return received
    except ConnectionRefusedError:
        return "refused"
    except ConnectionResetError:
        return received or "reset"
    return received


@pytest.fixture(scope="module")
def one() -> Iterator[Upstream]:
    server = Upstream("one")
    yield server
    server.stop()


PLAIN: list[tuple[str, Any]] = [
    ("ok", b"Hello from one"),
    ("status:503", b"HTTP/1.1 503 "),
    ("status:429:retry-after=7", b"retry-after: 7\r\n"),
    ("status:400:body=no:content-type=text/plain", b"content-type: text/plain\r\n"),
    ("html", b"<!doctype html>"),
    ("empty", b"content-length: 0\r\n\r\n"),
    ("error_object", b'{"error":{"message"'),
    ("no_choices", b'"choices":[]'),
]


@pytest.mark.parametrize(("mode", "found"), PLAIN)
def test_a_plain_request_is_answered_by_mode(one: Upstream, mode: str, found: bytes) -> None:
    assert found in ask(one, model=f"m~{mode}")


@pytest.mark.parametrize(
    ("mode", "whole"),
    [
        ("reset", "reset"),
        ("close", b""),
        ("stall", b""),
    ],
)
def test_faults_before_the_headers(one: Upstream, mode: str, whole: object) -> None:
    assert ask(one, model=f"m~{mode}") == whole


@pytest.mark.parametrize(
    ("mode", "chunks", "last"),
    [
        ("ok", 9, b"data: [DONE]\n\n\r\n0\r\n\r\n"),
        ("ok:chunks=60", 60, b"data: [DONE]\n\n\r\n0\r\n\r\n"),
        ("ok:done=0", 9, b"}\n\n\r\n0\r\n\r\n"),
        ("reset_after:3", 3, b"}\n\n\r\n"),
        ("stall_after:3", 3, b"}\n\n\r\n"),
        ("cut_after:3", 3, b"}\n\n\r\n0\r\n\r\n"),
        ("error_after:3", 3, b'"code":null}}\n\n\r\n0\r\n\r\n'),
        ("garbage_after:3", 3, b"not JSON\n\n\r\n0\r\n\r\n"),
        ("role_only", 0, b"data: [DONE]\n\n\r\n0\r\n\r\n"),
        ("empty_stream", 0, b"chunked\r\n\r\n0\r\n\r\n"),
        ("error_first", 0, b'"code":null}}\n\n\r\n0\r\n\r\n'),
    ],
)
def test_a_stream_ends_by_mode_after_its_content(
    one: Upstream, mode: str, chunks: int, last: bytes
) -> None:
    received = ask(one, model=f"m~{mode}", stream=True)

    assert isinstance(received, bytes)
    assert received.count(b'"content"') == chunks
    assert received.endswith(last)


def test_a_refusing_port_refuses_until_it_accepts_again(upstream: Callable[..., Upstream]) -> None:
    server = upstream("one")

    server.refuse()
    assert ask(server) == "refused"
    server.accept()

    assert b"Hello from one" in ask(server)


def test_a_model_id_chooses_its_own_mode_and_times_run_out(
    upstream: Callable[..., Upstream],
) -> None:
    server = upstream("one")
    server.set("status:500", times=1)

    answers = [ask(server, model="m~status:503"), ask(server), ask(server)]

    statuses = [answer.split(b" ", 2)[1] for answer in answers if isinstance(answer, bytes)]
    assert statuses == [b"503", b"500", b"200"]


def test_the_log_tells_what_came_and_when_the_caller_hung_up(
    upstream: Callable[..., Upstream],
) -> None:
    server = upstream("one", "stall")
    ask(server)

    seen = wait_for(
        lambda: server.requests[0] if server.requests[0]["hung_up_at"] else None,
        what="the hang-up in the log",
    )

    assert seen["path"] == "/v1/chat/completions"
    assert json.loads(seen["body"])["model"] == "m"
    assert ["host", "x"] in seen["headers"]
    assert seen["answered_at"] is None
    assert server.connections == 0
