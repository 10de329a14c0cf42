"""What is recorded of requests that their keys' limits refused."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from routing.gateway.app import Gateway
from routing.gateway.auth import digest_of
from routing.gateway.deciding.snapshot import AliasSpec, KeySpec
from tests.support.builders import content, pool, provider, snapshot

if TYPE_CHECKING:
    from routing.gateway.records.record import RequestRecord

KEY = b"sy_of-somebody-who-may-say-little"
CONTENT = content(
    pool("m", "a/x"),
    providers=(provider("a", kind="simulator", credentials=()),),
    aliases=(AliasSpec(name="also-m", target="m"),),
    keys=(KeySpec(name="little", digest=digest_of(KEY), tpm=20),),
)


async def asked(gateway: Gateway, model: str, said: str = "word " * 100) -> int:
    message = {"role": "user", "content": said}
    body = json.dumps({"model": model, "max_tokens": 1, "messages": [message]}).encode()
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    headers = [(b"authorization", b"Bearer " + KEY)]
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": headers}
    await gateway(scope, receive, send)
    status: int = sent[0]["status"]
    return status


async def test_a_429_has_the_canonical_model_that_it_was_for() -> None:
    loop = asyncio.get_running_loop()
    gateway = Gateway(decrypt=str, environ={}, clock=loop.time)
    records: list[RequestRecord] = []
    gateway.recorder.observers.append(records.extend)
    gateway.load(snapshot(CONTENT))
    await gateway.startup()
    statuses = [await asked(gateway, "m", "x")]
    statuses += [await asked(gateway, name) for name in ("m", "also-m", "nobody")]
    await gateway.shutdown()

    assert statuses == [200, 429, 429, 429]
    assert [record.canonical_model for record in records] == ["m", "m", "m", ""]
