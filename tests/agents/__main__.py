"""
`make agents`: every coding agent does a task with a tool call, whoever serves it.

The first provider of each pool answers 503, the second is one of the four vendors. What an agent
sends to a vendor of its own protocol must arrive byte for byte but for the model's name.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.agents.bytes import differences, lost_headers
from tests.agents.kinds import AGENTS, Agent
from tests.agents.running import Run, run
from tests.agents.tee import Tee
from tests.support.gateways import GatewayProcess
from tests.support.lone import lone_gateway
from tests.support.upstreams import Upstream
from tests.support.vendors.server import MODELS, Vendors, provider_of


def main(only: Sequence[str]) -> int:
    agents = [agent for agent in AGENTS if not only or agent.program in only]
    missing = [agent.name for agent in agents if not agent.path.exists()]
    if missing:
        print(f"Not installed, and skipped: {', '.join(missing)}")
    agents = [agent for agent in agents if agent.path.exists()]
    dead = Upstream("dead", "status:503")
    try:
        with Vendors() as vendors, lone_gateway(configuration(agents, dead, vendors)) as gateway:
            rows = [row(agent, gateway, dead, vendors) for agent in agents]
    finally:
        dead.stop()
    print(f"\n{'':14}" + "".join(f"{vendor:>16}" for vendor in MODELS))
    for agent, words in zip(agents, rows, strict=True):
        print(f"{agent.name:14}" + "".join(f"{word:>16}" for word in words))
    return int(any(word != "ok" for words in rows for word in words))


def configuration(agents: Sequence[Agent], dead: Upstream, vendors: Vendors) -> dict[str, object]:
    """A dead provider for each pool, so that no pool finds it benched by another."""
    cells = [(agent, vendor) for agent in agents for vendor in MODELS]
    return {
        "providers": vendors.providers()
        | {f"dead-{name_of(*cell)}": dead.provider() for cell in cells},
        "routing": {
            "model_pools": {
                name_of(agent, vendor): {
                    "candidates": [
                        {"provider": f"dead-{name_of(agent, vendor)}", "model": "gone"},
                        {
                            "provider": provider_of(vendor, agent.protocol),
                            "model": f"{MODELS[vendor]}~agent",
                        },
                    ]
                }
                for agent, vendor in cells
            }
        },
    }


def name_of(agent: Agent, vendor: str) -> str:
    return f"{agent.program}-{vendor}"


def row(agent: Agent, gateway: GatewayProcess, dead: Upstream, vendors: Vendors) -> list[str]:
    """A word for each vendor: "ok", or what is wrong."""
    return [cell(agent, vendor, gateway, dead, vendors) for vendor in MODELS]


def cell(
    agent: Agent, vendor: str, gateway: GatewayProcess, dead: Upstream, vendors: Vendors
) -> str:
    dead.clear()
    vendors.requests.clear()
    pool = name_of(agent, vendor)
    port = int(gateway.url.rpartition(":")[2])
    with tempfile.TemporaryDirectory(prefix="agent-") as home, Tee(port) as tee:
        done = run(agent, url=tee.url, key=gateway.key, model=pool, home=Path(home))
        sent = tee.heard()
    arrived = list(vendors.requests)
    word = "ok"
    if not done.did_it:
        word = "failed"
    elif not dead.requests:
        word = "no failover"
    elif vendor == agent.protocol and (found := differences(sent, arrived, pool)):
        word = "bytes differ"
        print(*found, sep="\n")
    elif vendor == agent.protocol and (names := lost_headers(sent, arrived)):
        word = "headers lost"
        print(f"These did not arrive: {', '.join(names)}")
    if word != "ok":
        show(agent, vendor, done, [f"{q['path']} {q['status']} {q.get('refusal', '')}"
                                   for q in arrived])  # fmt: skip
    print(f"{agent.name} over {vendor}: {word}", flush=True)
    return word


def show(agent: Agent, vendor: str, done: Run, arrived: list[str]) -> None:
    print(f"--- {agent.name} over {vendor}: exit code {done.code}")
    print(done.said[-1000:], done.complaint[-2000:], sep="\n")
    print(*arrived, sep="\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
