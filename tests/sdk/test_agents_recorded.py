"""
What coding agents have sent (tests/data/agents), played again: no agent is needed for that.

Each is the second request of a task: a file has been read by the agent's own tool, and the answer
has to say what stands in it. `make agents` runs the agents themselves.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.agents.bytes import KEPT
from tests.sdk.running import ROOT
from tests.support.vendors.server import MODELS, Vendors, provider_of
from tests.support.vendors.texts import text_of

if TYPE_CHECKING:
    from tests.support.gateways import GatewayProcess

RECORDED = [
    json.loads(file.read_text("utf-8")) for file in sorted(ROOT.glob("tests/data/agents/*.json"))
]
each_agent = pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded["agent"])


def play(gateway: GatewayProcess, recorded: dict[str, Any], vendor: str) -> tuple[bytes, bytes]:
    """The answer's body, and the body that was sent."""
    pool = f"{provider_of(vendor, recorded['protocol'])}.agent"
    path, body = recorded["path"], recorded["body"]
    if "model" in body:
        body = {**body, "model": pool}
    elif "/models/" in path:
        before, _, after = path.partition("/models/")
        path = f"{before}/models/{pool}:{after.partition(':')[2]}"
    sent = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    reply = gateway.request(path, sent, headers=recorded["headers"])
    assert reply.status == 200, reply.body
    return reply.body, sent


@pytest.mark.parametrize("vendor", MODELS)
@each_agent
def test_an_agent_goes_on_whoever_serves_it(
    gateway: GatewayProcess, recorded: dict[str, Any], vendor: str
) -> None:
    answer, _sent = play(gateway, recorded, vendor)

    said = text_of(recorded["protocol"], answer, stream=True)
    assert said == "The secret word is copper-lantern-4711."


@each_agent
def test_what_an_agent_sends_to_its_own_vendor_arrives_byte_for_byte(
    gateway: GatewayProcess, vendors: Vendors, recorded: dict[str, Any]
) -> None:
    vendor = recorded["protocol"]
    vendors.requests.clear()

    _answer, sent = play(gateway, recorded, vendor)

    (seen,) = vendors.requests
    model = f"{MODELS[vendor]}~agent"
    expected = sent.replace(f'"model":"{vendor}.agent"'.encode(), f'"model":"{model}"'.encode(), 1)
    assert seen["body"] == expected


@pytest.mark.parametrize(
    "recorded",
    [pytest.param(recorded, id=recorded["agent"]) for recorded in RECORDED],
)
def test_headers_that_are_between_an_agent_and_its_vendor_arrive(
    gateway: GatewayProcess, vendors: Vendors, recorded: dict[str, Any]
) -> None:
    vendors.requests.clear()

    play(gateway, recorded, recorded["protocol"])

    (seen,) = vendors.requests
    headers = {name.lower(): value for name, value in seen["headers"]}
    lost = {
        name: value
        for name, value in recorded["headers"].items()
        if name.startswith(KEPT) and headers.get(name) != value
    }
    assert lost == {}
