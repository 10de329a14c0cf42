"""A protocol is a package and a line of the registry: one that nobody speaks takes no more."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.gateways import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator


class Provider(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked: list[tuple[str, dict[str, str], Any]] = []  # noqa: RUF012 - emptied by the fixture

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append((self.path, dict(self.headers), body))
        said = json.dumps({"said": body["say"].upper() if body["say"] != "silence" else ""})
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said.encode())

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture
def provider() -> Iterator[str]:
    Provider.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def asked_all(url: str, *bodies: Any) -> list[Any]:
    lines = "".join(json.dumps(body) + "\n" for body in bodies)
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.made_up_gateway", url],
        cwd=ROOT, input=lines, text=True, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_made_up_protocol_is_routed_failed_over_and_told_its_errors_in_its_own_words(
    provider: str,
) -> None:
    answered, malformed, unknown, silent = asked_all(
        provider,
        {"model": "m", "say": "hi", "more": 1.50},
        {"model": "m"},
        {"model": "nobody", "say": "hi"},
        {"model": "live/y", "say": "silence"},
    )

    status, body, headers = answered
    assert (status, body) == (200, {"said": "HI"})
    assert headers["x-switchyard-provider"] == "live"
    assert headers["x-switchyard-attempts"] == "2"  # the dead one, not the one without the protocol
    path, sent, asked = Provider.asked[0]
    assert path == "/plain"
    assert asked == {"model": "y", "say": "hi", "more": 1.5}
    assert "plain-x" in {name.lower() for name in sent}
    assert "cookie" not in {name.lower() for name in sent}
    assert malformed[:2] == [400, {"oops": "'say' is missing; it must be a string."}]
    assert unknown[0] == 404
    assert unknown[1].keys() == {"oops"}
    assert silent[0] == 502
    assert "nothing was said" in silent[1]["oops"]
