"""One check for text: what no name holds and no database stores is 400 on every route."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.test import Client
from drf_spectacular.generators import SchemaGenerator

from tests.support import rows
from tests.support.api import ADMIN_KEY
from tests.support.gateways import GatewayProcess, environment, manage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

HUGE = "9" * 400
DEEP = b"[" * 100_000
JSON = "application/json"
BODIES = {
    "nul": b'{"name": "\\u0000"}',
    "half a pair": b'{"name": "\\ud800"}',
    "half a pair as a name": b'{"\\udfff": 1}',
    "deep lists": DEEP,
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a little too deep": b"[" * 70 + b"]" * 70,
    "not UTF-8": b'{"name": "\xff"}',
    "UTF-16": '{"name": "a"}'.encode("utf-16"),
    "a huge number": b'{"name": %s}' % HUGE.encode(),
    "a number beyond every int": b'{"name": %s}' % (b"9" * 5000),
    "a number beyond every float": b'{"name": 1e999}',
    "no number": b'{"name": NaN}',
    "cut": b'{"name": "a',
}
SHAPES = (b"[1]", b"null", b'"x"', b"1", b'{"a": {"b": [null, [[]]]}}')
QUERIES = ("%00=q", "q=%ff", "q=%ed%a0%80")
NUMBERS = (HUGE, "-1", "NaN", "%E2%91%A0", "1_000", "")
CURSORS = ("AAAA", "cD0=", "cD0lMDA=", "%F0%9F%98%80", "a" * 5000, "=", "bnVsbA==")
PLACES = ("x%00y", "%ff", "%ed%a0%80")
ODD = (HUGE, "-1", "%E2%80%A8", "a" * 3000, "%25%30%30")


def routes() -> Iterator[tuple[str, str, dict[str, Any]]]:
    schema = SchemaGenerator().get_schema(request=None, public=True)
    for path, methods in schema["paths"].items():
        for method, route in methods.items():
            yield method.upper(), path, route


def walk(
    ask: Callable[..., tuple[int, bytes]], bodies: Iterable[bytes], shapes: Iterable[bytes]
) -> list[str]:
    """Every route with everything; what was answered wrongly, in words."""
    wrong: list[str] = []

    def expect(allowed: Callable[[int], bool], method: str, path: str, *more: Any) -> None:
        status, body = ask(method, path, *more)
        if not allowed(status):
            wrong.append(f"{method} {path[:90]} {str(more)[:60]}: {status} {body[:90]!r}")

    def is_400(status: int) -> bool:
        return status == 400

    def is_told(status: int) -> bool:
        # No gateway's snapshot or no object is there for some: 404 and 503 say so.
        return status in (200, 204, 400, 404, 405, 503)

    for method, path, route in routes():
        whole = path.replace("{number}", "1")
        for name in ("{name}", "{id}", "{provider}", "{kind}"):
            whole = whole.replace(name, "x")
        for query in QUERIES:
            expect(is_400, method, f"{whole}?{query}", b"{}" if method != "GET" else None)
        if "{" in path:
            before, after = path.split("{")[0], path.partition("}")[2]
            for place in PLACES:
                expect(is_400, method, f"{before}{place}{after}")
            for place in ODD:
                expect(is_told, method, f"{before}{place}{after}")
        if method != "GET":
            for body in bodies:
                expect(is_400, method, whole, body)
            for body in shapes:
                expect(is_told, method, whole, body)
            expect(is_400, method, whole, b"{}", "application/json; charset=rot13")
        if method == "GET":
            for parameter in route.get("parameters", []):
                if parameter["in"] != "query":
                    continue
                is_cursor = parameter["name"] == "cursor"
                allowed = is_400 if is_cursor else is_told
                for value in CURSORS if is_cursor else NUMBERS:
                    expect(allowed, method, f"{whole}?{parameter['name']}={value}")
    return wrong


@pytest.mark.django_db
def test_every_route_refuses_what_is_no_text_on_sqlite() -> None:
    rows.api_key("operator", ADMIN_KEY, scopes=["admin"])
    client = Client(headers={"authorization": f"Bearer {ADMIN_KEY}"})
    client.raise_request_exception = False

    def ask(method: str, path: str, body: bytes | None = None, kind: str = JSON) -> Any:
        address, _, query = path.partition("?")
        answer = client.generic(method, address, body or b"", content_type=kind, QUERY_STRING=query)
        return answer.status_code, answer.content

    assert walk(ask, BODIES.values(), SHAPES) == []


def test_every_route_refuses_what_is_no_text_on_postgresql(
    gateway_process: Callable[..., GatewayProcess], postgres_url: str, tmp_path: Path
) -> None:
    url = {"DATABASE_URL": postgres_url}
    manage("migrate", "--verbosity", "0", env=environment(tmp_path, **url))
    served = gateway_process(env=url)

    def ask(method: str, path: str, body: bytes | None = None, kind: str = JSON) -> Any:
        answer = served.request(path, body, method=method, headers={"content-type": kind})
        return answer.status, answer.body

    # Which of them is sound JSON is no question of the database.
    assert walk(ask, [BODIES["nul"]], []) == []
    assert "Traceback" not in served.logs()


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/admin/?q=%00", "/admin/%ff", "/admin/auth/user/_00/change/"])
def test_pages_refuse_it_as_well(admin_client: Client, path: str) -> None:
    answer = admin_client.get(path)

    assert answer.status_code == 400
    assert b"does" in answer.content


@pytest.mark.django_db
def test_a_cookie_is_text_too(client: Client) -> None:
    client.cookies[settings.SESSION_COOKIE_NAME] = "a\x00b"

    assert client.get("/admin/").status_code == 400


@pytest.mark.django_db
def test_what_is_ordinary_is_taken(client: Client) -> None:
    rows.api_key("operator", ADMIN_KEY, scopes=["admin"])
    body = {"name": "lab", "kind": "openai", "failure_domain": {"é": "日本"}}

    answer = client.generic(
        "POST", "/api/providers", json.dumps(body), headers={"x-api-key": ADMIN_KEY},
        content_type="application/json; charset=UTF-8",
    )  # fmt: skip

    assert answer.status_code == 201, answer.content
    assert client.get("/admin/?q=%F0%9F%98%80").status_code == 302
