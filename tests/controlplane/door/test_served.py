"""What strangers, and keys that may write nothing, can send to a whole gateway's admin side."""

from __future__ import annotations

import json
import socket
import sqlite3
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.support.databases import postgres_server
from tests.support.gateways import GatewayProcess, environment, manage
from tests.support.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LAB = {"name": "lab", "kind": "simulator"}
CALLER = "sy_a-caller-of-models"
RULE = {"primary_model": "small", "fallback_models": ["large"]}
CONFIG = {"keys": [{"name": "caller", "key": CALLER}]}


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, migrated_data_dir: Path
) -> Iterator[GatewayProcess]:
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("door"),
        template=migrated_data_dir,
        config=CONFIG,
        arguments=(),
        env={},
    )
    gateway.wait_until_ready()
    yield gateway
    gateway.stop()
    assert "Traceback" not in gateway.logs(), gateway.logs()


def head(served: GatewayProcess, text: str, body: bytes = b"") -> tuple[int, bytes]:
    """The status and the whole answer to a request of which only this is sent."""
    parts = urlsplit(served.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        connection.sendall(text.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return int(answer.split(b" ", 2)[1]), answer


LARGE = "content-length: 2147483648\ncontent-type: application/json"


@pytest.mark.parametrize(
    ("path", "more", "status", "said"),
    [
        ("/api/providers", "", 401, b"credentials were not provided"),
        ("/api/config/apply", "authorization: Bearer sy_nobody", 401, b"unknown, disabled"),
        ("/api/providers", "cookie: sessionid=0123456789abcdef", 401, b"not provided"),
        ("/api/providers", f"authorization: Bearer {CALLER}", 403, b"admin scope"),
        ("/api/providers", "authorization: Bearer sy_master-key-of-the-tests", 413, b"4 MiB"),
        ("/admin/login/", "", 413, b"16 KiB"),
        ("/admin/providers/provider/add/", "", 302, b"/admin/login/?next=/admin/providers"),
        ("/nosuch", "cookie: sessionid=junk", 302, b"/admin/login/"),
    ],
)
def test_two_gigabytes_are_refused_before_they_are_sent(served, path, more, status, said):
    lines = [f"POST {path} HTTP/1.1", "host: localhost", LARGE, more]

    found, answer = head(served, "\n".join(filter(None, lines)))

    assert found == status, answer
    assert said in answer
    assert b"connection: close" in answer


@pytest.mark.parametrize(("key", "status"), [("sy_master-key-of-the-tests", 413), ("sy_no", 401)])
def test_who_sends_all_of_a_body_before_it_reads_is_told_why_it_is_refused(served, key, status):
    parts = urlsplit(served.url)
    body = b" " * (6 << 20)
    lines = f"POST /api/keys HTTP/1.1\nhost: localhost\nauthorization: Bearer {key}\n"
    text = f"{lines}content-type: application/json\ncontent-length: {len(body)}\n\n"
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        # Neither is reset, and what would be a second request is none.
        connection.sendall(text.replace("\n", "\r\n").encode() + body)
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece

    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    assert answer.count(b"HTTP/1.1 ") == 1


def test_a_body_without_a_length_is_taken_no_further_than_one_with_it(served):
    pieces = b"4001\r\n" + b"a" * 0x4001 + b"\r\n"
    text = "POST /admin/login/ HTTP/1.1\nhost: localhost\ntransfer-encoding: chunked"

    found, answer = head(served, text, pieces)

    assert found == 413, answer


def test_a_key_that_was_made_a_moment_ago_may_write_at_once(served):
    made = served.request("/api/keys", {"name": "fresh", "scopes": ["admin"]}).json()["key"]
    typed = made[:-1] + ("0" if made[-1] != "0" else "1")

    answers = [
        served.request("/api/providers", LAB | {"name": name}, headers=shown(key))
        for name, key in (("one", made), ("two", typed))
    ]

    assert [answer.status for answer in answers] == [201, 401]
    assert "mistyped" in answers[1].json()["detail"]


def shown(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_a_strange_host_is_a_short_400_that_says_what_to_do(served):
    api = served.request("/api/providers", headers={"host": "evil.example"})
    page = served.request("/admin/login/", headers={"host": "evil.example"})

    assert (api.status, page.status) == (400, 400)
    assert "ALLOWED_HOSTS" in api.json()["detail"]
    assert b"ALLOWED_HOSTS" in page.body
    assert len(page.body) < 500
    assert served.logs().count("refused the host 'evil.example'") == 2


def test_strangers_learn_from_readyz_what_a_balancer_needs(served):
    told = served.request("/readyz", headers=shown("sy_nobody"))
    caller = served.request("/readyz", headers=shown(CALLER))
    operator = served.request("/readyz").json()

    assert set(told.json()) == set(caller.json()) == {"ready", "draining", "generation"}
    assert {"source", "config_errors", "records", "database"} <= set(operator)
    assert operator["database"] == {"ok": True}


def test_a_locked_database_is_a_503_with_its_reason_within_five_seconds(served):
    with sqlite3.connect(served.data_dir / "switchyard.sqlite3", timeout=20) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()

        answer = served.request("/api/failover", RULE, method="PUT")

        took_s = time.monotonic() - began
        told = served.request("/readyz").json()["database"]
        other.rollback()
    assert answer.status == 503
    assert "held by another write" in answer.json()["detail"]
    # five seconds are the promise
    assert took_s < 5.5
    assert told["ok"] is False
    assert "held by another write" in told["reason"]
    assert served.request("/api/failover").status == 200


def test_a_postgres_that_hangs_or_only_reads_is_a_503_with_its_reason(
    gateway_process: Callable[..., GatewayProcess], tmp_path: Path
) -> None:
    with postgres_server() as server:
        url = {"DATABASE_URL": server.url}
        manage("migrate", "--verbosity", "0", env=environment(tmp_path, **url))
        served = gateway_process(CONFIG, env=url)
        assert served.request("/api/providers", LAB).status == 201
        server.hang()
        began = time.monotonic()

        hung = served.request("/api/failover", RULE, method="PUT")

        took_s = time.monotonic() - began
        told = served.request("/readyz").json()["database"]
        called = served.request("/v1/models", headers=shown(CALLER)).status
        server.go_on()
        assert hung.status == 503, hung.body
        assert "does not answer" in hung.json()["detail"]
        # five seconds are the promise
        assert took_s < 5.5
        assert told["ok"] is False
        assert called == 200

        wait_for(lambda: served.request("/api/providers").status == 200, what="it to go on")
        server.ask("ALTER DATABASE switchyard SET default_transaction_read_only = on")
        refused = served.request("/api/providers", LAB | {"name": "two"})
        told = served.request("/readyz").json()["database"]

        assert refused.status == 503
        assert "read-only" in refused.json()["detail"]
        assert "read-only" in told["reason"]


def test_a_preview_of_too_many_objects_names_the_count(served):
    text = json.dumps({"aliases": {f"a{number}": "small" for number in range(20_001)}})

    answer = served.request("/api/config/preview", {"yaml": text}, timeout_s=60)

    if answer.status == 503:  # reading it took longer than may be: a slow machine
        assert "20 seconds" in answer.json()["detail"]
    else:
        assert answer.status == 400
        assert "20,001" in str(answer.json()["yaml"])
        assert "20,000" in str(answer.json()["yaml"])
