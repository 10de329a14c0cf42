"""A pool asks for its prompts and answers to be kept; an operator reads them a moment later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from tests.support.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.gateways import GatewayProcess
    from tests.support.upstream import Upstream

SECRET = "the-providers-own-secret-key"


def test_what_a_pool_has_kept_is_read_by_the_api_without_secrets(
    gateway_process: Callable[..., GatewayProcess], upstream: Callable[..., Upstream]
) -> None:
    provider = {"kind": "openai_compatible", "base_url": upstream().base_url, "api_key": SECRET}
    candidates = [{"provider": "lab", "model": "m"}]
    gateway = gateway_process(
        {
            "providers": {"lab": provider},
            "routing": {
                "model_pools": {
                    "kept": {"candidates": candidates, "capture": {"requests": True}},
                    "plain": {"candidates": candidates},
                }
            },
            "capture": {"responses": True},
        }
    )

    def ask(model: str, **more: Any) -> httpx.Response:
        prompt = f"is {SECRET} a good key?"
        body = {"model": model, "messages": [{"role": "user", "content": prompt}], **more}
        return client.post("/v1/chat/completions", json=body)

    def captured(answer: httpx.Response) -> dict[str, Any]:
        path = f"/api/requests/{answer.headers['x-request-id']}/captured"
        found = wait_for(
            lambda: got if (got := client.get(path)).status_code == 200 else None, what=path
        )
        told: dict[str, Any] = found.json()
        return told

    headers = {"authorization": f"Bearer {gateway.key}"}
    with httpx.Client(base_url=gateway.url, headers=headers, trust_env=False) as client:
        streamed, plain = ask("kept", stream=True), ask("plain")
        assert (streamed.status_code, plain.status_code) == (200, 200), gateway.logs()
        kept, other = captured(streamed), captured(plain)

    assert kept["response"] == streamed.text
    assert "is [redacted] a good key?" in kept["request"]
    assert (other["request"], other["response"]) == ("", plain.text)
