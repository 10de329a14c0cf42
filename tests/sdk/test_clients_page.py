"""docs/clients.md: its programs run, and agents are told what `make agents` tells them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.agents.kinds import AGENTS, CODEX, GEMINI_CLI, OPENCODE, Scene
from tests.sdk.running import ROOT, SDKS

if TYPE_CHECKING:
    from tests.support.gateways import GatewayProcess

PAGE = (ROOT / "docs/clients.md").read_text("utf-8")
ADDRESS, KEY, MODEL = "http://127.0.0.1:8000", "sy_your-key", "sonnet"
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SCENE = Scene(url=ADDRESS, key=KEY, model=MODEL, home=Path("/"), task="")


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda text: text.split()[1])
def test_a_program_of_the_page_runs(program: str, gateway: GatewayProcess) -> None:
    python = SDKS / "new/bin/python" if "genai" in program else Path(sys.executable)
    if not python.exists():
        pytest.skip("google-genai is installed by `make sdk`")
    text = program.replace(ADDRESS, gateway.url).replace(KEY, gateway.key)

    done = subprocess.run(
        [str(python), "-c", text], text=True, capture_output=True, timeout=60, check=False
    )

    assert done.stdout == "Hello to you, who said Hello.\n", done.stderr


@pytest.mark.pure
def test_every_variable_of_an_agent_is_on_the_page() -> None:
    names = {name for agent in AGENTS for name in agent.env(SCENE) if "OPENCODE" not in name}

    assert [name for name in sorted(names) if name not in PAGE] == []


@pytest.mark.pure
def test_the_files_of_agents_are_those_of_the_page() -> None:
    shown = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
    (toml,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (codex,) = CODEX.files(SCENE).values()

    written = [json.loads(t) for a in (GEMINI_CLI, OPENCODE) for t in a.files(SCENE).values()]

    assert shown == written
    # In the test it also tells nobody, and does not look for a newer version of itself.
    assert tomllib.loads(toml).items() <= tomllib.loads(codex).items()
