"""Every test of the transport runs on asyncio's own loop and on uvloop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from providers.transport import Endpoint, Response, Transport
from tests.providers.transport.servers import Authority, Upstream, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Call = Callable[..., Awaitable[Response]]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    transport = Transport()
    yield transport
    await transport.aclose()
    assert transport.open_connections == 0


def call(
    transport: Transport,
    endpoint: Endpoint,
    body: bytes = b"{}",
    *,
    connect_s: float = 5,
    wait_s: float = 5,
) -> Awaitable[Response]:
    """Send one POST with deadlines from now."""
    deadline = asyncio.get_running_loop().time() + wait_s
    return transport.send(endpoint, request(body), body, connect_s=connect_s, deadline=deadline)


def soon(seconds: float = 5) -> float:
    """Return the loop.time() that many seconds from now."""
    return asyncio.get_running_loop().time() + seconds


async def whole(transport: Transport, upstream: Upstream, **options: Any) -> bytes:
    """Make a call and return the whole body of its reply."""
    response = await call(transport, upstream.endpoint, **options)
    return await response.read_all(soon())
