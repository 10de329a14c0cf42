"""The log of a real gateway: one event a line, each says which request, and none tells a secret."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.gateways import GatewayProcess
    from tests.support.upstreams import Upstream

PROVIDER_KEY = "canary.provider.key.4711"
CALLER_KEY = "canary.caller.key.4712"
HEADER = "canary header value 4713"
PROXY_PASSWORD = "canary-proxy-4714"
SECRET_KEY = "canary-of-django-4715-canary-of-django"
MASTER = "canary.master.key.4716"
CANARIES = (PROVIDER_KEY, CALLER_KEY, HEADER, PROXY_PASSWORD, SECRET_KEY, MASTER)


def config(server: Upstream) -> dict[str, Any]:
    candidates = {
        "chat": ("up", "m"),
        "refuses": ("up", "echoes"),
        "breaks": ("up", "m~reset"),
        "away": ("behind", "m"),
    }
    return {
        "providers": {
            "up": server.provider(api_key=PROVIDER_KEY, headers={"x-secret": HEADER}),
            "behind": {
                "kind": "openai_compatible",
                "base_url": "https://example.invalid/v1",
                "api_key": PROVIDER_KEY,
                "proxy": f"http://user:{PROXY_PASSWORD}@127.0.0.1:1",
            },
        },
        "routing": {
            "defaults": {"failover": {"backoff": {"base_ms": 1}}},
            "model_pools": {
                name: {"candidates": [{"provider": provider, "model": model}]}
                for name, (provider, model) in candidates.items()
            },
        },
        "keys": [{"name": "callers", "key": CALLER_KEY}],
    }


@pytest.mark.parametrize("style", ["json", "console"])
def test_no_secret_is_in_the_log_whatever_goes_wrong(
    style: str,
    gateway_process: Callable[..., GatewayProcess],
    upstream: Callable[..., Upstream],
) -> None:
    server = upstream("up")
    served = gateway_process(
        config(server),
        env={
            "LOG_FORMAT": style, "SECRET_KEY": SECRET_KEY, "SWITCHYARD_MASTER_KEY": MASTER,
        },
    )  # fmt: skip
    served.key = CALLER_KEY
    told = [served.chat("chat")]
    server.set(f"status:401:message=not-{PROVIDER_KEY}")
    told += [served.chat(model) for model in ("refuses", "breaks", "away")]
    told += [
        served.chat(f"names {secret} as model") for secret in (*CANARIES, "a\nb\x1b[2Jc\u2028")
    ]
    told.append(served.request("/api/providers"))
    served.key = "sy_not-a-key-of-ours-at-all"
    told += [served.chat("chat"), served.request(f"/v1/models?key={CALLER_KEY}")]
    told.append(served.request(f"/api/{CALLER_KEY}", headers={"authorization": MASTER}))
    served.write_config({"keys": [{"name": "x", "key": CALLER_KEY, "scopes": [PROVIDER_KEY]}]})
    wait_for(lambda: "configuration refused" in served.logs(), what="the refusal of the edit")
    wait_for(lambda: served.logs().count("/v1/chat/completions") >= 11, what="the failures")
    served.stop()

    log = served.logs()

    assert told[0].status == 200, log
    assert not [secret for secret in CANARIES if secret in log]
    assert log.isprintable() or all(line.isprintable() for line in log.split("\n"))
    for reply in told[:4]:
        assert not [secret for secret in CANARIES if secret.encode() in reply.body]


def test_every_json_line_can_be_read_and_names_the_request_that_failed(
    gateway_process: Callable[..., GatewayProcess], upstream: Callable[..., Upstream]
) -> None:
    server = upstream("up")
    served = gateway_process(config(server), env={"LOG_FORMAT": "json"})
    assert served.chat("chat").status == 200
    server.set("status:401")
    failed_id = served.chat("refuses").headers["x-request-id"]
    wait_for(lambda: failed_id in served.logs(), what="the failure's line")
    served.stop()

    _listens, *rest = served.logs().splitlines()
    lines = [json.loads(line) for line in rest]

    assert all({"time", "level", "logger", "process", "pid", "message"} <= set(x) for x in lines)
    [failed] = [x for x in lines if x["logger"] == "switchyard.requests"]
    assert failed["request_id"] == failed_id
    assert failed["level"] == "info"
    assert failed["outcome"] == "failed"
    assert failed["model"] == "refuses"
    assert "401 auth" in failed["attempts"]
    [benched] = [x for x in lines if x["logger"] == "switchyard.benches"]
    assert benched["request_id"] == failed_id
    assert benched["level"] == "warning"
    assert benched["reason"] == "auth"
    assert benched["until"]
