"""A gateway in this process that is asked as a caller asks, over an upstream that is a real one."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Self

from routing.gateway.app import Gateway
from routing.gateway.auth import digest_of
from routing.gateway.deciding.snapshot import Content, KeySpec
from tests.support.builders import snapshot

MASTER = "sy_master"


class Answer:
    def __init__(self, events: list[dict[str, Any]]) -> None:
        self.status: int = events[0]["status"]
        self.headers = {name.decode(): value.decode() for name, value in events[0]["headers"]}
        self.body = b"".join(event.get("body", b"") for event in events)

    def json(self) -> Any:
        return json.loads(self.body)


class Asked:
    """
    `async with Asked(content)`; `keys` by name may use the models that stand beside them.

    Without content it has no snapshot yet.
    """

    def __init__(self, content: Content | None, **more: Any) -> None:
        self.content = content
        self._more = more
        self.gateway: Gateway

    async def __aenter__(self) -> Self:
        clock = asyncio.get_running_loop().time
        parts = {"environ": {}, "master": digest_of(MASTER.encode()), "clock": clock}
        self.gateway = Gateway(**{"decrypt": str, **parts, **self._more})
        if self.content is not None:
            self.gateway.load(snapshot(self.content))
        await self.gateway.startup()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.gateway.shutdown()

    async def post(
        self,
        path: str,
        body: Any,
        *,
        key: str = MASTER,
        headers: list[tuple[str, str]] | None = None,
    ) -> Answer:
        """One POST; a body that is not bytes goes as JSON."""
        sent: list[dict[str, Any]] = []
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = [("authorization", f"Bearer {key}"), *(headers or [])]
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in named],
        }

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(0 if not sent else 3600)
            return {"type": "http.request", "body": data, "more_body": False}

        async def send(event: dict[str, Any]) -> None:
            sent.append(event)

        await self.gateway(scope, receive, send)
        return Answer(sent)

    async def chat(self, model: str = "m", **more: Any) -> Answer:
        headers, key = more.pop("headers", None), more.pop("key", MASTER)
        body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], **more}
        return await self.post("/v1/chat/completions", body, key=key, headers=headers)


def key(name: str, *models: str, **more: Any) -> KeySpec:
    """A key whose secret is its name."""
    return KeySpec(name=name, digest=digest_of(name.encode()), models=models, **more)
