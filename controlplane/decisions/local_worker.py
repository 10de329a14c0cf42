"""
The gateway of the process that a page is served by, for pages that show its decisions.

`controlplane.asgi` puts it into the scope of every request that Django gets; there is nothing
global. Views run in threads of their own, so everything live is read by way of the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from django.http import HttpRequest

    from routing.gateway.app import Gateway

SCOPE_KEY: Final = "switchyard.worker"
ANSWER_WITHIN_S: Final = 5.0

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalWorker:
    """A gateway and the event loop that it lives in. `plane` is "both" or "admin"."""

    gateway: Gateway
    loop: asyncio.AbstractEventLoop
    plane: str

    @property
    def name(self) -> str:
        """What metrics, logs and records call this worker."""
        return self.gateway.worker

    def read(self, question: Callable[[], Answer]) -> Answer:
        """The answer of `question`, asked in the event loop between two requests."""
        found: Future[Answer] = Future()

        def ask() -> None:
            try:
                found.set_result(question())
            except BaseException as error:  # noqa: BLE001 - raised again where it was asked
                found.set_exception(error)

        self.loop.call_soon_threadsafe(ask)
        return found.result(ANSWER_WITHIN_S)

    def run(self, work: Awaitable[Answer], limit_s: float) -> Answer:
        """The result of `work`, done in the event loop. Raises TimeoutError, and cancels it."""

        async def bounded() -> Answer:
            async with asyncio.timeout(limit_s):
                return await work

        return asyncio.run_coroutine_threadsafe(bounded(), self.loop).result()


def worker_of(request: HttpRequest) -> LocalWorker | None:
    """The worker that serves `request`; None if there is none, or it has no snapshot yet."""
    scope: dict[str, Any] = getattr(request, "scope", {})
    worker: LocalWorker | None = scope.get(SCOPE_KEY)
    return worker if worker is not None and worker.gateway.table is not None else None
