"""A gateway in an event loop of its own, and a Django client whose pages are served beside it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any

from django.test.client import Client, ClientHandler

from controlplane.decisions.local_worker import SCOPE_KEY, LocalWorker
from routing.gateway.app import Gateway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from routing.gateway.deciding.snapshot import Snapshot


@contextlib.contextmanager
def local_worker(snapshot: Snapshot) -> Iterator[LocalWorker]:
    """A worker that routes by `snapshot`, in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="worker of a test")
    thread.start()

    async def begin() -> Gateway:
        gateway = Gateway(
            decrypt=lambda token: token, environ={}, clock=loop.time, worker="of-the-test"
        )
        gateway.load(snapshot)
        await gateway.startup()
        return gateway

    gateway = asyncio.run_coroutine_threadsafe(begin(), loop).result(10)
    try:
        yield LocalWorker(gateway=gateway, loop=loop, plane="both")
    finally:
        asyncio.run_coroutine_threadsafe(gateway.shutdown(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


class _Handler(ClientHandler):
    worker: LocalWorker

    def get_response(self, request: HttpRequest) -> HttpResponseBase:
        request.scope = {SCOPE_KEY: self.worker}  # type: ignore[attr-defined]
        return super().get_response(request)


class WorkerClient(Client):
    """Its requests are served by `worker`'s process, as `controlplane.asgi` would have it."""

    def __init__(self, worker: LocalWorker, **options: Any) -> None:
        super().__init__(**options)
        self.handler = _Handler(enforce_csrf_checks=options.get("enforce_csrf_checks", False))
        self.handler.worker = worker
