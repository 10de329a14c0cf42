"""
One gateway and two providers' servers that all journeys of a test process share.

A module adds its own providers, pools and keys to the configuration file, so that no bench of one
test meets another; the edit goes live without a restart, as an operator's does.
"""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from openai import OpenAI

from tests.support.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.gateways import GatewayProcess
    from tests.support.upstreams import Upstream

HELLO = [{"role": "user", "content": "Hello"}]
DEFAULTS: dict[str, Any] = {"backoff": {"base_ms": 1}}


class Stage:
    """`first` fails as a test says, `second` is well."""

    def __init__(self, gateway: GatewayProcess, first: Upstream, second: Upstream) -> None:
        self.gateway = gateway
        self.first = first
        self.second = second
        self.config: dict[str, Any] = starting_config()
        self._clients: list[OpenAI] = []

    def add(
        self,
        *,
        providers: Mapping[str, Any] | None = None,
        pools: Mapping[str, Any] | None = None,
        aliases: Mapping[str, Any] | None = None,
        rules: Mapping[str, Any] | None = None,
        disabled_models: list[str] | None = None,
        keys: list[dict[str, Any]] | None = None,
    ) -> None:
        """Add to the configuration file, and wait until the gateway routes by it."""
        config = copy.deepcopy(self.config)
        config["providers"] |= providers or {}
        config["routing"]["model_pools"] |= pools or {}
        config["aliases"] |= aliases or {}
        config["failover"]["rules"] |= rules or {}
        config["failover"]["disabled_models"] += disabled_models or []
        config["keys"] += keys or []
        before = generation(self.gateway)
        self.gateway.write_config(config)
        wait_for(
            lambda: generation(self.gateway) > before or _fail_on(config_errors(self.gateway)),
            what="the edit of the configuration file to be live",
        )
        self.config = config  # a refused edit is not repeated by the next one

    def client(
        self, key: str | None = None, *, base_url: str | None = None, **options: Any
    ) -> OpenAI:
        """The official SDK, which must not hide a failure by trying again."""
        client = OpenAI(
            base_url=base_url or self.gateway.base_url,
            api_key=key or self.gateway.key,
            **{"max_retries": 0, "timeout": 30, **options},
        )
        self._clients.append(client)
        return client

    def restore(self) -> None:
        """Both providers well again, and no connection left open."""
        for client in self._clients:
            client.close()
        self._clients.clear()
        self.first.set("ok")
        self.second.set("ok")


def starting_config() -> dict[str, Any]:
    return {
        "providers": {"nobody": {"kind": "simulator"}},
        "routing": {
            "defaults": {"failover": DEFAULTS},
            "model_pools": {"nothing": {"candidates": [candidate("nobody", "m")]}},
        },
        "aliases": {},
        "failover": {"rules": {}, "disabled_models": []},
        "keys": [],
    }


def candidate(provider: str, model: str, **more: Any) -> dict[str, Any]:
    return {"provider": provider, "model": model, **more}


def generation(gateway: GatewayProcess) -> int:
    return int((gateway.ready() or {}).get("generation") or 0)


def config_errors(gateway: GatewayProcess) -> list[str]:
    """What /readyz says of an edit that was refused."""
    return list((gateway.ready() or {}).get("config_errors") or [])


def _fail_on(errors: list[str]) -> None:
    assert not errors, errors


def calls(server: Upstream, model: str) -> list[dict[str, Any]]:
    """What the server has been asked for `model`, first request first."""
    return [entry for entry in server.requests if asked(entry).get("model") == model]


def asked(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a logged request."""
    body = json.loads(entry["body"] or "{}")
    assert isinstance(body, dict)
    return body


def benched(gateway: GatewayProcess) -> set[str]:
    """Everyone whom the bench board shows, as "provider/model" or "provider/*"."""
    return {row["model"] for row in gateway.request("/api/benches").json()}
