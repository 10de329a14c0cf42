"""What is asked beside inference: /v1/models, /healthz, /readyz, /metrics; and what is not here."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

import msgspec

from routing.gateway.auth import authenticate
from routing.gateway.deciding.keys import Key
from routing.gateway.deciding.table import Table
from routing.gateway.errors import GatewayError, bad_request, render
from routing.gateway.families import GEMINI, Family
from routing.gateway.ingress import Scope, Send, given_id, new_id
from routing.gateway.listing import answer_models, visible_names
from routing.gateway.records.recorder import Recorder
from routing.gateway.replies import JSON, send_body, send_start
from routing.gateway.routes import ROUTES, family_at, model_named, query_key
from routing.gateway.telemetry.promtext import CONTENT_TYPE

HERE: Final = b'{"service":"switchyard","status":"ok"}'  # clients ask "/" whether we are here
METRICS: Final = (b"content-type", CONTENT_TYPE)
Scrape = Callable[[Mapping[bytes, bytes]], Awaitable[str]]


class AskedGateway(Protocol):
    """What is asked here of a gateway."""

    table: Table | None
    master: bytes | None
    draining: bool
    status: dict[str, Any]
    scrape: Scrape | None
    recorder: Recorder

    def table_in_use(self) -> Table: ...

    def authenticate(
        self, table: Table, headers: Mapping[bytes, bytes], in_query: bytes = b""
    ) -> Key: ...


async def answer(gateway: AskedGateway, scope: Scope, send: Send) -> None:
    """Answer one request that is no inference."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    called, query = scope["path"], scope.get("query_string", b"")
    path = called.rstrip("/") or "/"
    family = family_at(called, headers, query)
    is_look = scope["method"] in ("GET", "HEAD")
    request_id = given_id(headers) or new_id()
    status, kinds, body = 200, [JSON], b""
    try:
        if path == "/healthz":
            body = b'{"status":"ok"}'
        elif path == "/readyz":
            status, found = readiness(gateway, is_operator=is_operator(gateway, headers))
            body = msgspec.json.encode(found)
        elif path == "/metrics" and gateway.scrape is not None and is_look:
            kinds, body = [METRICS], (await gateway.scrape(headers)).encode()
        elif path == "/" and is_look:
            body = HERE
        elif ROUTES.find(called) is not None:
            raise bad_request(f"{_short(path)} takes POST", status=405)
        elif (name := model_named(called)) is not None:
            if not is_look:
                raise bad_request(f"{_short(path)} takes GET", status=405)
            body = msgspec.json.encode(_models(gateway, name, headers, query, family))
        else:
            raise bad_request(f"there is no {_short(path)} here", status=404)
    except GatewayError as error:
        status, kinds, body = render(error, family.errors, request_id)
    ids = [(header, request_id) for header in family.request_ids]
    await send_start(send, status, [*kinds, *ids])
    await send_body(send, body, last=True)


def is_operator(gateway: AskedGateway, headers: Mapping[bytes, bytes]) -> bool:
    """Whether the request shows a key with the admin scope; without a table, the master key."""
    keys = gateway.table.keys if gateway.table is not None else {}
    try:
        authenticate(headers, keys, master=gateway.master, now=time.time(), scope="admin")
    except GatewayError:
        return False
    return True


def readiness(gateway: AskedGateway, *, is_operator: bool) -> tuple[int, dict[str, Any]]:
    """
    The status and body of /readyz.

    Strangers learn what a load balancer needs: errors name paths, processes hosts and versions.
    """
    table = gateway.table
    ready = table is not None and not gateway.draining
    body: dict[str, Any] = {
        "ready": ready,
        "draining": gateway.draining,
        "generation": table.generation if table else None,
    }
    if is_operator:
        body["checksum"] = table.checksum if table else None
        body["records"] = gateway.recorder.status()
        body |= gateway.status
    return (200 if ready else 503), body


def _models(
    gateway: AskedGateway, name: str, headers: Mapping[bytes, bytes], query: bytes, family: Family
) -> dict[str, Any]:
    table = gateway.table_in_use()
    in_query = query_key(query) if query and family is GEMINI else b""
    names = visible_names(table, gateway.authenticate(table, headers, in_query))
    return answer_models(name, names, table.created_at, family, query)


def _short(path: str) -> str:
    return path[:200]
