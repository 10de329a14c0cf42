"""
A gateway with one protocol more: `python -m tests.support.made_up_gateway UPSTREAM_URL`.

Asks it once for each line of standard input, a JSON body, and prints status and answer.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from providers import protocols
from tests.support.made_up import PLAIN

KEY = b"sy_of-the-made-up"
# The line of providers/protocols/__init__.py, before anybody reads the registry.
protocols.PROTOCOLS = {**protocols.PROTOCOLS, PLAIN.name: PLAIN}


async def main(url: str) -> None:
    from routing.gateway.app import Gateway  # noqa: PLC0415
    from routing.gateway.auth import digest_of  # noqa: PLC0415
    from tests.support.builders import content, pool, provider, snapshot  # noqa: PLC0415

    loop = asyncio.get_running_loop()
    gateway = Gateway(decrypt=str, environ={}, master=digest_of(KEY), clock=loop.time)
    speaks = (PLAIN.name,)
    providers = (
        provider("other", base_url=url),  # does not speak it
        provider("dead", base_url="http://127.0.0.1:9", protocols=speaks),
        provider("live", base_url=url, protocols=speaks),
    )
    pools = pool("m", "other/x", "dead/x", "live/y")
    gateway.load(snapshot(content(pools, providers=providers)))
    await gateway.startup()
    for line in sys.stdin:
        print(json.dumps(await ask(gateway, line.encode())))
    await gateway.shutdown()


async def ask(gateway: Any, body: bytes) -> Any:
    sent: list[dict[str, Any]] = []
    message = {"type": "http.request", "body": body, "more_body": False}
    headers = [(b"authorization", b"Bearer " + KEY), (b"plain-x", b"1"), (b"cookie", b"2")]
    scope = {"type": "http", "method": "POST", "path": PLAIN.path, "headers": headers}

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        return message

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    await gateway(scope, receive, send)
    told = b"".join(event.get("body", b"") for event in sent)
    answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return [sent[0]["status"], json.loads(told), answered]


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
