"""
Every route of the admin API for every role, and each of their answers in the schema.

The table is complete: a route without a row fails. Add a row with the permissions that staff needs
and what an allowed request answers here, where no gateway runs.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admindocs.views import simplify_regex
from django.contrib.auth.models import Permission, User
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client, override_settings
from django.urls import URLResolver, get_resolver
from drf_spectacular.generators import SchemaGenerator

from tests.support import rows
from tests.support.rows import edit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

JSON = "application/json"
MASTER = "the-master-key-of-the-tests"
CANDIDATE = {"provider_name": "lab", "model": "s"}
READS_NO_BODY = frozenset(
    {
        "POST /api/failover/reset",
        "POST /api/jobs/{name}/run",
        "POST /api/suggestions/{number}/accept",
    }
)
OPEN = frozenset({"GET /api/schema", "GET /api/docs"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`needs`: staff's permissions; `answer`: the status of a request that is let in."""

    needs: tuple[str, ...]
    answer: int
    body: object = None
    path: str = ""


def resource(name: str, model: str, existing: str, body: dict[str, Any]) -> dict[str, Row]:
    """The six routes of an ordinary resource."""
    one = f"/api/{name}/{{name}}"
    app, _, row = model.partition(".")

    def may(*verbs: str) -> tuple[str, ...]:
        return tuple(f"{app}.{verb}_{row}" for verb in verbs)

    path = f"/api/{name}/{existing}"
    return {
        f"GET /api/{name}": Row(needs=may("view"), answer=200),
        f"POST /api/{name}": Row(needs=may("add"), answer=201, body=body),
        f"GET {one}": Row(needs=may("view"), answer=200, path=path),
        f"PUT {one}": Row(
            needs=may("add", "change"), answer=200, path=path, body={**body, "name": existing}
        ),
        f"PATCH {one}": Row(needs=may("change"), answer=200, path=path, body={"enabled": False}),
        f"DELETE {one}": Row(needs=may("delete"), answer=204, path=path),
    }


def rules(*verbs: str) -> tuple[str, ...]:
    return tuple(f"failover.{verb}_failoverrule" for verb in verbs)


def benches(*verbs: str) -> tuple[str, ...]:
    return tuple(f"failover.{verb}_bench" for verb in verbs)


def switches(*verbs: str) -> tuple[str, ...]:
    return tuple(f"routing.{verb}_routingstate" for verb in verbs)


def suggestions(*verbs: str) -> tuple[str, ...]:
    return tuple(f"controlplane.{verb}_suggestion" for verb in verbs)


SWITCH = {"kind": "provider", "provider_name": "lab"}
RULE = {"primary_model": "a", "fallback_models": ["b"]}
BENCH = {"model": "lab/s", "for_s": 60, "reason": "r"}
TABLE: dict[str, Row] = {
    **resource("providers", "providers.provider", "spare", {"name": "new", "kind": "openai"}),
    **resource(
        "pools", "routing.canonicalmodel", "free", {"name": "new", "candidates": [CANDIDATE]}
    ),
    **resource("aliases", "routing.alias", "tiny", {"name": "new", "target": "small"}),
    **resource("keys", "controlplane.apikey", "other", {"name": "new"}),
    "POST /api/keys/{name}/rotate": Row(
        needs=("controlplane.change_apikey",),
        answer=200,
        path="/api/keys/other/rotate",
        body={},
    ),
    "POST /api/providers/{name}/test": Row(
        needs=("providers.change_provider",), answer=200, path="/api/providers/sim/test", body={}
    ),
    "POST /api/providers/{name}/confirm": Row(
        needs=("providers.view_provider", "providers.change_credential"),
        answer=200,
        path="/api/providers/lab/confirm",
        body={},
    ),
    "GET /api/uses": Row(
        needs=("routing.delete_canonicalmodel",),
        answer=200,
        path="/api/uses?kind=pool&name=small",
    ),
    "GET /api/failover": Row(needs=rules("view"), answer=200),
    "PUT /api/failover": Row(needs=rules("add", "change"), answer=200, body=RULE),
    "DELETE /api/failover": Row(needs=rules("delete"), answer=204, body={"primary_model": "small"}),
    "POST /api/failover/reset": Row(needs=rules("delete"), answer=200, body={}),
    "POST /api/failover/generate": Row(needs=rules("add"), answer=200, body={}),
    "GET /api/benches": Row(needs=benches("view"), answer=503),
    "POST /api/benches": Row(needs=benches("add"), answer=503, body=BENCH),
    "DELETE /api/benches": Row(needs=benches("delete"), answer=503, body={"model": "lab/s"}),
    "GET /api/health": Row(needs=("controlplane.view_healthsnapshot",), answer=200),
    "GET /api/alerts": Row(needs=("controlplane.view_alert",), answer=200),
    "GET /api/processes": Row(needs=("controlplane.view_hostreport",), answer=200),
    "GET /api/jobs": Row(needs=("controlplane.view_job",), answer=200),
    "POST /api/jobs/{name}/run": Row(
        needs=("controlplane.change_job",),
        answer=202,
        path="/api/jobs/health/run",
        body={},
    ),
    "GET /api/catalog": Row(needs=("providers.view_catalogentry",), answer=200),
    "GET /api/catalog/facts": Row(
        needs=("providers.view_catalogentry",),
        answer=200,
        path="/api/catalog/facts?provider=lab&model=s",
    ),
    "GET /api/routing-state": Row(needs=switches("view"), answer=200),
    "PUT /api/routing-state": Row(
        needs=switches("add", "change"), answer=200, body={**SWITCH, "enabled": False}
    ),
    "DELETE /api/routing-state": Row(needs=switches("delete"), answer=204, body=SWITCH),
    "GET /api/routing/model-pools": Row(needs=("routing.view_canonicalmodel",), answer=503),
    "POST /api/explain": Row(
        needs=("routing.view_canonicalmodel",), answer=503, body={"model": "small"}
    ),
    "GET /api/config/export": Row(needs=("controlplane.view_revision",), answer=200),
    "POST /api/config/preview": Row(
        needs=("controlplane.add_revision",), answer=200, body={"yaml": "bench: {failures: 4}"}
    ),
    "POST /api/config/apply": Row(
        needs=("controlplane.add_revision", "controlplane.change_settings"),
        answer=200,
        body={"yaml": "bench: {failures: 4}"},
    ),
    "GET /api/revisions": Row(needs=("controlplane.view_revision",), answer=200),
    "GET /api/revisions/{number}": Row(
        needs=("controlplane.view_revision",), answer=404, path="/api/revisions/99"
    ),
    "POST /api/revisions/{number}/rollback": Row(
        needs=("controlplane.add_revision",),
        answer=404,
        path="/api/revisions/99/rollback",
        body={},
    ),
    "POST /api/revisions/{number}/undo": Row(
        needs=("controlplane.add_revision",), answer=404, path="/api/revisions/99/undo", body={}
    ),
    "GET /api/suggestions": Row(needs=suggestions("view"), answer=200),
    "POST /api/suggestions/{number}/accept": Row(
        needs=(*suggestions("change"), "routing.change_canonicalmodel"),
        answer=200,
        path="/api/suggestions/1/accept",
        body={},
    ),
    "POST /api/suggestions/{number}/dismiss": Row(
        needs=suggestions("change"),
        answer=200,
        path="/api/suggestions/1/dismiss",
        body={"reason": "r"},
    ),
    "GET /api/requests": Row(needs=("controlplane.view_requestrecord",), answer=200),
    "GET /api/requests/{id}": Row(
        needs=("controlplane.view_requestrecord",), answer=404, path="/api/requests/none"
    ),
    "GET /api/requests/{id}/captured": Row(
        needs=("controlplane.view_captured",), answer=404, path="/api/requests/none/captured"
    ),
}


# Complete


def routes() -> set[str]:
    """Every method and path of the API, from Django's own resolver."""
    return set(_routes(get_resolver().url_patterns, ""))


def _routes(patterns: Any, before: str) -> Iterator[str]:
    for entry in patterns:
        path = before + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from _routes(entry.url_patterns, path)
        elif path.startswith("api/"):
            view = entry.callback
            methods = getattr(view, "actions", None) or [
                method for method in view.view_class.http_method_names if hasattr(view.cls, method)
            ]
            name = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", simplify_regex(path)).rstrip("/")
            name = name.replace("{pk}", "{id}")
            yield from (f"{m.upper()} {name}" for m in methods if m not in {"options", "head"})


def test_the_table_has_a_row_for_every_route_and_no_other():
    assert routes() - OPEN == set(TABLE)


def test_the_schema_has_every_route_and_no_other(schema):
    described = {
        f"{method.upper()} {path}"
        for path, methods in schema["paths"].items()
        for method in methods
    }
    assert described == set(TABLE)


# Who gets in


def anonymous() -> Client:
    return Client()


def bearer(key: str) -> Callable[[], Client]:
    return lambda: Client(headers={"authorization": f"Bearer {key}"})


def person(*permissions: str, **fields: Any) -> Client:
    user = User.objects.create_user("person", **{"is_staff": True, **fields})
    for permission in permissions:
        app, _, codename = permission.partition(".")
        user.user_permissions.add(
            Permission.objects.get(content_type__app_label=app, codename=codename)
        )
    client = Client()
    client.force_login(user)
    return client


def viewer() -> Client:
    needed = {need for row in TABLE.values() for need in row.needs if ".view_" in need}
    return person(*needed)


def expected(route: str) -> dict[str, tuple[Callable[[], Client], int]]:
    """Each role: how it comes, and what it is answered."""
    row = TABLE[route]
    is_view = all(".view_" in need for need in row.needs)
    return {
        "nobody": (anonymous, 401),
        "a wrong key": (bearer("sy_wrong"), 401),
        "an inference key": (bearer("sy_caller"), 403),
        "an admin key": (bearer("sy_admin"), row.answer),
        "the master key": (bearer(MASTER), row.answer),
        "a person who is no staff": (lambda: person(*row.needs, is_staff=False), 403),
        "staff without permission": (person, 403),
        "staff who may view": (viewer, row.answer if is_view else 403),
        "staff with the permission": (lambda: person(*row.needs), row.answer),
        "staff with half of it": (lambda: person(*row.needs[1:]), 403),
        "a superuser": (lambda: person(is_superuser=True), row.answer),
    }


@pytest.fixture
def world(db):
    rows.api_key("admin", "sy_admin", scopes=["admin"])
    rows.api_key("caller", "sy_caller")
    rows.api_key("other", "sy_other")
    rows.provider("lab")
    rows.provider("spare")
    rows.provider("sim", kind="simulator")
    rows.pool("small", "lab/s")
    rows.pool("free", "lab/s")
    rows.alias("tiny", "small")
    rows.rule("small", "free")
    rows.suggestion("small", edit("pool", "small", "enabled", True, False, "lab/s"), pk=1)
    cache.clear()  # counts of the throttle
    with override_settings(MASTER_KEY=MASTER):
        yield
    cache.clear()


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return dict(SchemaGenerator().get_schema(request=None, public=True))


@pytest.mark.parametrize("route", sorted(TABLE))
def test_a_route_lets_in_who_may_and_nobody_else(world, schema, route):
    row = TABLE[route]
    method, name = route.split(" ")
    described = schema["paths"][name][method.lower()]["responses"]
    for role, (client, wanted) in expected(route).items():
        with transaction.atomic():
            body = (
                {} if row.body is None else {"data": row.body, "content_type": "application/json"}
            )
            answer = getattr(client(), method.lower())(row.path or name, **body)
            transaction.set_rollback(True)
        assert answer.status_code == wanted, f"{role}: {answer.content[:300]!r}"
        assert str(wanted) in described, f"{wanted} is not in the schema"


def test_the_schema_and_its_page_are_open_to_many_at_once(db):
    assert Client().get("/api/docs/").status_code == 200
    with ThreadPoolExecutor(3) as strangers:
        answers = list(strangers.map(lambda _: Client().get("/api/schema/"), range(3)))
    assert [answer.status_code for answer in answers] == [200] * 3
    assert answers[0].content == answers[1].content == answers[2].content


def test_the_schema_says_the_same_whatever_a_stranger_asks_for(db):
    odd = Client().get("/api/schema/?format=json&version=odd").content
    assert odd == Client().get("/api/schema/?format=json").content


def test_a_person_cannot_be_made_to_write_by_another_site(world):
    signed_in = Client(enforce_csrf_checks=True)
    signed_in.force_login(User.objects.create_superuser("root"))
    assert signed_in.post("/api/failover/reset", content_type=JSON).status_code == 403
    by_key = Client(enforce_csrf_checks=True, headers={"authorization": "Bearer sy_admin"})
    assert by_key.post("/api/failover/reset", content_type=JSON).status_code == 200


@pytest.mark.parametrize(
    "route", sorted(route for route, row in TABLE.items() if row.body is not None)
)
def test_a_body_that_is_no_json_is_answered_as_the_schema_says(world, schema, route):
    method, name = route.split(" ")
    send = getattr(bearer("sy_admin")(), method.lower())
    described = schema["paths"][name][method.lower()]["responses"]
    path = TABLE[route].path or name
    for body, content_type, wanted in [
        ("{", "application/json", 400),
        ("a=b", "application/x-www-form-urlencoded", 415),
    ]:
        if route in READS_NO_BODY:
            continue
        status = send(path, data=body, content_type=content_type).status_code
        assert (status, str(status) in described) == (wanted, True), body


def test_a_path_or_a_method_that_there_is_not_is_answered_as_json(world):
    send = bearer("sy_admin")()
    for path in ("/api/nothing", "/api/providers/nobody", "/api/"):
        answer = send.get(path)
        assert (answer.status_code, list(answer.json())) == (404, ["detail"])
    answer = send.put("/api/failover/reset")
    assert (answer.status_code, list(answer.json())) == (405, ["detail"])
    assert send.get("/nothing")["content-type"].startswith("text/html")


def test_a_failure_of_ours_is_answered_as_json_too(world):
    send = bearer("sy_admin")()
    send.raise_request_exception = False
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE failover_failoverrule")
    answer = send.get("/api/failover")
    assert (answer.status_code, list(answer.json())) == (500, ["detail"])


# The schema


@pytest.mark.django_db
def test_the_schema_is_valid_and_warns_of_nothing(tmp_path):
    target = tmp_path / "schema.yaml"
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(target))
    assert target.stat().st_size > 10_000


def test_every_error_has_a_shape(schema):
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            for status, answer in operation["responses"].items():
                has_content = "content" in answer
                assert has_content == (status != "204"), f"{method} {path} {status}"


def test_answers_name_every_field_as_required_but_those_that_come_and_go(schema):
    shapes = schema["components"]["schemas"]
    rule = shapes["Rule"]
    assert set(rule["properties"]) - set(rule["required"]) == {"warnings"}
    key = shapes["ApiKey"]
    assert set(key["properties"]) - set(key["required"]) == {"key", "warnings"}
    assert set(shapes["RuleRequest"]["required"]) == {"primary_model", "fallback_models"}
    assert "secret" not in shapes["Credential"]["properties"]


def test_the_documentation_page_loads_nothing_from_elsewhere(db):
    page = Client().get("/api/docs/").content.decode()
    named = re.findall(r"""(?:src|href)=["']([^"']+)""", page)
    assert len(named) >= 3
    assert not re.findall(r"https?://|['\"(]//", page)
    with override_settings(SERVESTATIC_USE_FINDERS=True):
        client = Client()
        for url in named:
            assert client.get(url).status_code == 200, url
