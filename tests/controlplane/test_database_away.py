"""With the database away the API and admin say so, and when to ask again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError, connection
from drf_spectacular.generators import SchemaGenerator

from tests.support import rows
from tests.support.api import ADMIN_KEY, Api
from tests.support.databases import postgres_server
from tests.support.gateways import environment, manage
from tests.support.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.gateways import GatewayProcess

ROUTES = [
    ("get", "/api/providers"),
    ("put", "/api/failover"),
    ("post", "/api/benches"),
    ("delete", "/api/routing-state"),
    ("get", "/api/nosuch"),
    ("get", "/admin/"),
    ("get", "/admin/routing/canonicalmodel/"),
    ("post", "/admin/login/"),
]


def refuse(execute: Any, sql: Any, *rest: Any) -> Any:
    raise OperationalError("connection refused")


@pytest.mark.django_db
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_answers_503_in_plain_words(method: str, path: str) -> None:
    rows.api_key("operator", ADMIN_KEY, scopes=["admin"])
    client = Api().client
    client.raise_request_exception = False
    asked = {"data": {}, "content_type": "application/json"} if path.startswith("/api") else {}
    client.cookies["sessionid"] = "0123456789abcdef"

    with connection.execute_wrapper(refuse):
        answer = getattr(client, method)(path, **asked)

    if path == "/api/nosuch":
        assert answer.status_code == 404  # nothing had to be asked
        return
    assert answer.status_code == 503, answer.content
    assert answer.headers["Retry-After"] == "5"
    assert "database does not answer" in answer.content.decode()
    assert "connection refused" not in answer.content.decode()


@pytest.mark.django_db
def test_a_missing_table_is_a_fault_of_ours_that_no_wait_mends() -> None:
    def miss(execute: Any, sql: Any, *rest: Any) -> Any:
        raise OperationalError("no such table: x")

    rows.api_key("operator", ADMIN_KEY, scopes=["admin"])
    client = Api().client
    client.raise_request_exception = False
    with connection.execute_wrapper(miss):
        assert client.get("/api/providers").status_code == 500


def test_the_schema_names_503_everywhere_and_the_bodies_of_delete(db: None) -> None:
    schema = SchemaGenerator().get_schema(request=None, public=True)
    for path, routes in schema["paths"].items():
        for method, route in routes.items():
            assert "503" in route["responses"] or path in {"/api/schema", "/api/docs"}, (
                path,
                method,
            )
    for path in ("/api/failover", "/api/routing-state", "/api/benches"):
        body = schema["paths"][path]["delete"]["requestBody"]
        assert body["required"] is False
        assert "application/json" in body["content"]


def test_a_postgres_that_is_away_is_a_503_and_afterwards_all_is_well(
    gateway_process: Callable[..., GatewayProcess], tmp_path: Path
) -> None:
    with postgres_server() as server:
        url = {"DATABASE_URL": server.url}
        manage("migrate", "--verbosity", "0", env=environment(tmp_path, **url))
        served = gateway_process(env=url)
        assert served.request("/api/providers").status == 200
        server.stop()

        away = served.request("/api/providers")

        assert away.status == 503
        assert away.headers["Retry-After"] == "5"
        assert "database does not answer" in away.json()["detail"]
        server.start()
        wait_for(lambda: served.request("/api/providers").status == 200, what="the database again")
