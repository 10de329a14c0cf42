"""
A gateway with the made-up family: `python -m tests.support.translating_gateway WORLD URL`.

WORLD is the JSON of {pools: {name: {candidates, …}}, speaks: {provider: protocols}, labels:
{provider: labels of its keys}}. Asks once for each line of standard input, {path, body, headers,
query}, and prints what came and its record.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import msgspec

from providers import protocols
from tests.support.made_up_family import KEY, MADE_UP

# The lines of providers/protocols/__init__.py, before anybody reads the registry.
protocols.PROTOCOLS = {**protocols.PROTOCOLS, **{made_up.name: made_up for made_up in MADE_UP}}


async def main(world: dict[str, Any], url: str) -> None:
    from providers.adapters.spec import CredentialSpec  # noqa: PLC0415
    from routing.gateway.app import Gateway  # noqa: PLC0415
    from routing.gateway.auth import digest_of  # noqa: PLC0415
    from tests.support.builders import content, pool, provider, snapshot  # noqa: PLC0415

    clock = asyncio.get_running_loop().time
    gateway = Gateway(decrypt=str, environ={}, master=digest_of(KEY.encode()), clock=clock)
    records: list[Any] = []
    gateway.recorder.observers.append(records.extend)
    providers = tuple(
        provider(
            name,
            base_url=f"{url}/{name}",
            protocols=tuple(speaks),
            credentials=tuple(
                CredentialSpec(label=label, secret=f"{name}-{label}")
                for label in world["labels"].get(name, ["main"])
            ),
        )
        for name, speaks in world["speaks"].items()
    )
    pools = [pool(name, *of.pop("candidates"), **of) for name, of in world["pools"].items()]
    gateway.load(snapshot(content(*pools, providers=providers)))
    await gateway.startup()
    told = []
    for line in sys.stdin:
        asked = json.loads(line)
        explained = explain_first(gateway, asked["path"], asked["body"])
        told.append({**await ask(gateway, **asked), "explained": explained})
    await gateway.shutdown()
    kept = {record.request_id: msgspec.to_builtins(record) for record in records}
    for one in told:
        print(json.dumps({**one, "record": kept[one["headers"]["x-request-id"]]}))


def explain_first(gateway: Any, path: str, body: Any) -> Any:
    """What explain says of the request before it is made; None for a name that means nothing."""
    from failover.engine.plan import Fitting  # noqa: PLC0415
    from routing.gateway.deciding.features import features_of  # noqa: PLC0415
    from routing.gateway.deciding.keys import MASTER  # noqa: PLC0415
    from routing.gateway.deciding.resolution import Unknown  # noqa: PLC0415
    from routing.gateway.deciding.resolver import resolve  # noqa: PLC0415
    from routing.gateway.explain.explaining import explain  # noqa: PLC0415
    from routing.gateway.routes import ROUTES  # noqa: PLC0415

    route = ROUTES.find(path)
    assert route is not None
    request = route.protocol.parse(
        json.dumps({"model": route.model, **body}).encode(), route.target
    )
    resolution = resolve(gateway.table, request.model)
    if isinstance(resolution, Unknown):
        return None
    features = features_of(request, {}, MASTER, resolution)
    fitting = Fitting(request, is_strict=features.strict_params)
    now, dice = gateway.clock(), gateway.foresight()
    told = explain(gateway.table, resolution, features, gateway.live, now, dice, {}, fitting)
    return msgspec.to_builtins(told)


async def ask(
    gateway: Any,
    path: str,
    body: Any,
    headers: dict[str, str] | None = None,
    query: str = "",
) -> dict[str, Any]:
    sent: list[dict[str, Any]] = []
    message = {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}
    given = {"authorization": f"Bearer {KEY}"} if headers is None else headers
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        return message

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    await gateway(scope, receive, send)
    said = b"".join(event.get("body", b"") for event in sent)
    answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return {"status": sent[0]["status"], "body": json.loads(said), "headers": answered}


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1]), sys.argv[2]))
