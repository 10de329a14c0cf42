"""One ASGI app of two planes: inference paths to the gateway, everything else to Django."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

from django.core.asgi import get_asgi_application

from controlplane.decisions.local_worker import SCOPE_KEY, LocalWorker
from routing.gateway.answers import is_operator
from routing.gateway.app import Gateway
from routing.gateway.ingress import given_id, new_id
from routing.gateway.routes import is_inference
from routing.gateway.telemetry.logs import REQUEST_ID

ASGI = Callable[[Any, Any, Any], Awaitable[None]]

HEALTH_PATHS = frozenset({"/healthz", "/readyz"})
INFERENCE_PATHS = HEALTH_PATHS | {"/metrics"}


def mount(gateway: Gateway, plane: str) -> ASGI:
    """
    `gateway` with Django behind it. Plane admin keeps only the health paths of the gateway.

    Pages find the gateway in their scope (controlplane.decisions.local_worker).

    Handed to `routing.gateway.serving.worker --app`: the data plane need not know of Django.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
    django = get_asgi_application()
    from controlplane.door import Door  # noqa: PLC0415 - it has models, which are ready only now

    door = Door(django, gateway)
    is_both = plane == "both"
    paths = INFERENCE_PATHS if is_both else HEALTH_PATHS

    async def application(scope: Any, receive: Any, send: Any) -> None:
        path: str = scope.get("path", "")
        is_for_gateway = (
            scope["type"] == "lifespan"  # Django knows none
            or (path.rstrip("/") or path) in paths
            or (is_both and (is_inference(path) or _is_probe(scope)))
        )
        if is_for_gateway:
            if path.rstrip("/") == "/readyz" and is_operator(gateway, dict(scope["headers"])):
                await door.database.tell()
            await gateway(scope, receive, send)
        else:
            # Django passes it on to its threads; whatever is logged there says which request.
            REQUEST_ID.set((given_id(dict(scope["headers"])) or new_id()).decode())
            loop = asyncio.get_running_loop()
            worker = LocalWorker(gateway=gateway, loop=loop, plane=plane)
            await door({**scope, SCOPE_KEY: worker}, receive, send)

    return application


def _is_probe(scope: Any) -> bool:
    """Whether a client asks if anybody is here; it would take admin's redirect for a failure."""
    return bool(scope.get("method") == "HEAD" and scope["path"] == "/")
