"""
What agents send, kept small in tests/data/agents: the suite replays it where no agent is.

`python -m tests.agents.recording` asks each agent anew, at the vendor of its own protocol.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from tests.agents.bytes import KEPT
from tests.agents.kinds import AGENTS, ROOT
from tests.agents.running import SECRET, run
from tests.support.vendors.server import Vendors

FOLDER = ROOT / "tests/data/agents"
HOME = Path("/tmp/agent")  # the same for everybody: signatures cover the path of the file
LONG = 100
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{64}")
# Beside the tool that reads: whatever is of another kind, and two more.
TOOLS = {"Read", "read", "read_file", "exec_command", "apply_patch", "Bash", "grep_search"}


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with Vendors() as vendors:
        for agent in AGENTS:
            shutil.rmtree(HOME, ignore_errors=True)
            vendors.requests.clear()
            model = f"{agent.program}~agent"  # as a pool is called: no agent knows it
            done = run(
                agent, url=f"{vendors.url}/{agent.protocol}", key="k", model=model, home=HOME
            )
            assert done.did_it, done
            last = vendors.requests[-1]
            kept = {
                "agent": agent.name,
                "protocol": agent.protocol,
                "path": "/" + last["path"].split("/", 2)[2],
                "headers": {
                    name.lower(): nobodys(value)
                    for name, value in last["headers"]
                    if name.lower().startswith((*KEPT, "accept", "user-agent", "x-"))
                    and name.lower() not in {"accept-encoding", "x-goog-api-key", "x-api-key"}
                },
                "body": small(json.loads(last["body"])),
            }
            text = json.dumps(kept, indent=1, ensure_ascii=False) + "\n"
            (FOLDER / f"{agent.program}.json").write_text(text, "utf-8")
            print(agent.name, len(text))
    shutil.rmtree(HOME, ignore_errors=True)


def nobodys(text: str) -> str:
    return UUID.sub(lambda hit: re.sub("[0-9a-f]", "0", hit[0]), text)


def small(value: Any) -> Any:
    """The same with short texts, few tools, and nobody's ids."""
    if isinstance(value, str):
        value = nobodys(value)
        is_long = len(value) > LONG and SECRET not in value
        return value[:LONG] + "\u2026" if is_long else value
    if isinstance(value, list):
        return [small(inner) for inner in value if _is_kept(inner)]
    if isinstance(value, dict):
        return {name: small(inner) for name, inner in value.items()}
    return value


def _is_kept(value: Any) -> bool:
    """Of a list of tools the few; everything else."""
    if not isinstance(value, dict) or "description" not in str(list(value)):
        inner = value.get("function") if isinstance(value, dict) else None
        return not isinstance(inner, dict) or inner.get("name") in TOOLS or "arguments" in inner
    return value.get("name") in TOOLS


if __name__ == "__main__":
    main()
