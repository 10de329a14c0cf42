"""What every gateway is measured with: the models, the request bodies, the key."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

KEY = "sy_bench-0123456789abcdef0123456789abcdef"
PATH = "/v1/chat/completions"
BODY_BYTES = 230
CHUNKS = 60

CHAT = "bench-chat"  # two candidates, both well
FAILING = "bench-failing"  # the first always answers 503
PACED = "bench-paced"  # two candidates that stream as models speak: a chunk every PACE_S
HELD = "bench-held"  # a first chunk, then silence: one provider
SPREAD = "bench-spread"  # the same over all four providers

PROVIDERS = 4
PACE_S = 0.005
# Of failures until the refusing provider is benched: it has to fail every time.
NEVER = 100_000_000


def body(model: str, *, stream: bool = False) -> bytes:
    """
    A chat request of BODY_BYTES, whatever the model's name.

    A paced one says so to the upstream in its first message: gateways change models' names.
    """
    asked: dict[str, Any] = {"model": model, "temperature": 0.7, "max_tokens": 256}
    if stream:
        asked["stream"] = True
    asked["messages"] = [
        {"role": "system", "content": "paced" if model == PACED else "You are a terse assistant."},
        {"role": "user", "content": ""},
    ]
    missing = BODY_BYTES - len(json.dumps(asked))
    asked["messages"][1]["content"] = ("Say something about benchmarks. " * 8)[:missing]
    return json.dumps(asked).encode()


def configuration(ports: Sequence[int]) -> dict[str, Any]:
    """Switchyard's configuration file over the upstream's ports (JSON is YAML)."""
    providers: dict[str, Any] = {
        f"up{number}": _provider(f"http://127.0.0.1:{port}/v1")
        for number, port in enumerate(ports, 1)
    }
    providers["down"] = {
        **_provider(f"http://127.0.0.1:{ports[0]}/refuse/v1"),
        "bench": {"failures": NEVER},
    }
    return {
        "providers": providers,
        "routing": {
            "model_pools": {
                CHAT: _pool("up1/fixed", "up2/fixed"),
                FAILING: _pool("down/fixed", "up1/fixed"),
                PACED: _pool("up1/paced", "up2/paced"),
                HELD: _pool("up1/held"),
                SPREAD: {
                    **_pool(*(f"{name}/held" for name in providers if name != "down")),
                    "strategy": "round_robin",
                },
            }
        },
        "keys": [{"name": "bench", "team": "bench", "key": KEY}],
    }


def _provider(base_url: str) -> dict[str, Any]:
    return {"kind": "openai_compatible", "base_url": base_url, "api_key": "sk-of-the-upstream"}


def _pool(*names: str) -> dict[str, Any]:
    pairs = (name.split("/", 1) for name in names)
    return {"candidates": [{"provider": provider, "model": model} for provider, model in pairs]}
