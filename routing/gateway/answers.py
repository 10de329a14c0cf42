"""What is asked beside inference: /v1/models, /healthz, /readyz, /metrics; and what is not here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

import msgspec

from providers import protocols
from routing.gateway.deciding.keys import Key
from routing.gateway.deciding.table import Table
from routing.gateway.errors import GatewayError, bad_request, render
from routing.gateway.ingress import Scope, Send, given_id, new_id
from routing.gateway.listing import answer_models, visible_names
from routing.gateway.records.recorder import Recorder
from routing.gateway.replies import JSON, send_body, send_start
from routing.gateway.telemetry.promtext import CONTENT_TYPE

MODELS_PATH: Final = "/v1/models"
METRICS: Final = (b"content-type", CONTENT_TYPE)
Scrape = Callable[[Mapping[bytes, bytes]], Awaitable[str]]


class AskedGateway(Protocol):
    """What is asked here of a gateway."""

    table: Table | None
    draining: bool
    status: dict[str, Any]
    scrape: Scrape | None
    recorder: Recorder

    def table_in_use(self) -> Table: ...

    def authenticate(self, table: Table, headers: Mapping[bytes, bytes]) -> Key: ...


async def answer(
    gateway: AskedGateway, scope: Scope, send: Send, protocol: protocols.Protocol | None
) -> None:
    """Answer one request; `protocol` is set if its path is for inference and its method is not."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    path = scope["path"].rstrip("/") or "/"
    is_look = scope["method"] in ("GET", "HEAD")
    status, kinds, body = 200, [JSON], b""
    try:
        if path == "/healthz":
            body = b'{"status":"ok"}'
        elif path == "/readyz":
            status, found = readiness(gateway)
            body = msgspec.json.encode(found)
        elif path == "/metrics" and gateway.scrape is not None and is_look:
            kinds, body = [METRICS], (await gateway.scrape(headers)).encode()
        elif path == MODELS_PATH or path.startswith(MODELS_PATH + "/"):
            if not is_look:
                raise bad_request(f"{path} takes GET", status=405)
            body = msgspec.json.encode(_models(gateway, path, headers))
        elif protocol is not None:
            raise bad_request(f"{path} takes POST", status=405)
        else:
            raise bad_request(f"there is no {path[:200]} here", status=404)
    except GatewayError as error:
        status, kinds, body = render(error)
    await send_start(send, status, [*kinds, (b"x-request-id", given_id(headers) or new_id())])
    await send_body(send, body, last=True)


def readiness(gateway: AskedGateway) -> tuple[int, dict[str, Any]]:
    """The status and body of /readyz."""
    table = gateway.table
    ready = table is not None and not gateway.draining
    body = {
        "ready": ready,
        "draining": gateway.draining,
        "generation": table.generation if table else None,
        "checksum": table.checksum if table else None,
        "records": gateway.recorder.status(),
        **gateway.status,
    }
    return (200 if ready else 503), body


def _models(gateway: AskedGateway, path: str, headers: Mapping[bytes, bytes]) -> dict[str, Any]:
    table = gateway.table_in_use()
    names = visible_names(table, gateway.authenticate(table, headers))
    anthropic = b"anthropic-version" in headers
    name = path[len(MODELS_PATH) + 1 :]
    return answer_models(name, names, table.created_at, anthropic=anthropic)
