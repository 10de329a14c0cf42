"""Whether what was sent is what arrived."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import unquote

from tests.agents.tee import Heard

# What the gateway answers for, or what belongs to one connection.
OWN = {
    "authorization", "x-api-key", "x-goog-api-key", "host", "content-length", "accept-encoding",
    "connection", "transfer-encoding",
}  # fmt: skip
# What the vendors' contracts with their agents ask to be passed on.
KEPT = ("anthropic-", "x-claude-code-", "x-codex-", "session-id", "thread-id", "originator",
        "x-goog-api-client", "openai-")  # fmt: skip


def differences(sent: Sequence[Heard], arrived: Iterable[Any], pool: str) -> list[str]:
    """Each request that did not come as it was sent, but for the model; [] if all did."""
    arrived = list(arrived)
    model = _model_of(arrived)
    wanted = Counter(
        (_path(heard.path, pool, model), _body(heard.body, pool, model))
        for heard in sent
        if heard.method == "POST"
    )
    found = Counter((_tail(seen["path"]), seen["body"]) for seen in arrived)
    lost = [f"sent, and did not arrive so: {p} {b[:200]!r}" for p, b in (wanted - found)]
    more = [f"arrived, and was not sent so: {p} {b[:200]!r}" for p, b in (found - wanted)]
    return lost + more


def _model_of(arrived: Sequence[Any]) -> str:
    first = arrived[0]
    if "/models/" in first["path"]:
        return str(unquote(first["path"].partition("/models/")[2].rpartition(":")[0]))
    return str(json.loads(first["body"])["model"])


def _tail(path: str) -> str:
    """A path below the vendor's own first folder."""
    return unquote("/" + path.split("/", 2)[2])


def _path(path: str, pool: str, model: str) -> str:
    return unquote(path).replace(f"/models/{pool}:", f"/models/{model}:")


def _body(body: bytes, pool: str, model: str) -> bytes:
    """The first "model" of the body is the request's own: agents write it before all texts."""
    for space in ("", " "):
        sent = f'"model":{space}"{pool}"'.encode()
        if sent in body:
            return body.replace(sent, f'"model":{space}"{model}"'.encode(), 1)
    return body


def lost_headers(sent: Sequence[Heard], arrived: Sequence[Any]) -> list[str]:
    """The headers between an agent and its vendor that did not arrive."""
    posts = [heard for heard in sent if heard.method == "POST"]
    came = {name.lower() for seen in arrived for name, _value in seen["headers"]}
    asked = {name for heard in posts for name in heard.headers if name.startswith(KEPT)}
    return sorted(asked - came - OWN)
