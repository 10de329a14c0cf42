"""
The coding agents, and what each needs to call a gateway: docs/clients.md says the same in prose.

Each runs in a home of its own, with an environment that has nothing of the developer's in it;
telemetry, updates and whatever else goes to its vendor are off.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".agents/node_modules/.bin"


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Where an agent works: a gateway's origin, a key and a model there; its home and task."""

    url: str
    key: str
    model: str
    home: Path
    task: str


@dataclass(frozen=True, kw_only=True)
class Agent:
    """`package` is npm's; `files` are written below the home before `command` runs there."""

    name: str
    package: str
    program: str
    protocol: str
    command: Callable[[Scene], list[str]]
    env: Callable[[Scene], dict[str, str]]
    files: Callable[[Scene], Mapping[str, str]]

    @property
    def path(self) -> Path:
        return BIN / self.program


def _no_files(_scene: Scene) -> dict[str, str]:
    return {}


def _codex_config(scene: Scene) -> dict[str, str]:
    text = f"""\
model = "{scene.model}"
model_provider = "switchyard"
check_for_update_on_startup = false
web_search = "disabled"  # OpenAI runs it: no other kind of provider could serve

[model_providers.switchyard]
name = "Switchyard"
base_url = "{scene.url}/v1"
env_key = "SWITCHYARD_KEY"
wire_api = "responses"

[agents]
enabled = false  # their tools come in a form that only OpenAI takes

[analytics]
enabled = false
"""
    return {".codex/config.toml": text}


def _gemini_settings(_scene: Scene) -> dict[str, str]:
    settings = {
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "privacy": {"usageStatisticsEnabled": False},
        "general": {"enableAutoUpdate": False},
        "telemetry": {"enabled": False},
    }
    return {".gemini/settings.json": json.dumps(settings)}


def _opencode_config(scene: Scene) -> dict[str, str]:
    config = {
        "autoupdate": False,
        "share": "disabled",
        "provider": {
            "switchyard": {
                "npm": "@ai-sdk/openai-compatible",
                "name": "Switchyard",
                "options": {"baseURL": f"{scene.url}/v1", "apiKey": "{env:SWITCHYARD_KEY}"},
                "models": {scene.model: {"name": scene.model}},
            }
        },
    }
    return {".config/opencode/opencode.json": json.dumps(config)}


CLAUDE_CODE = Agent(
    name="Claude Code",
    package="@anthropic-ai/claude-code",
    program="claude",
    protocol="messages",
    command=lambda s: ["-p", s.task, "--model", s.model, "--allowedTools", "Read"],
    env=lambda s: {
        "ANTHROPIC_BASE_URL": s.url,
        "ANTHROPIC_AUTH_TOKEN": s.key,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": s.model,  # for titles and other small work
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_TELEMETRY": "1",
    },
    files=_no_files,
)
CODEX = Agent(
    name="Codex",
    package="@openai/codex",
    program="codex",
    protocol="responses",
    # No sandbox of its own: it needs rights that a container seldom has.
    command=lambda s: [
        "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", s.task
    ],
    env=lambda s: {"SWITCHYARD_KEY": s.key},
    files=_codex_config,
)  # fmt: skip
GEMINI_CLI = Agent(
    name="Gemini CLI",
    package="@google/gemini-cli",
    program="gemini",
    protocol="gemini",
    command=lambda s: ["-p", s.task, "-m", s.model, "--approval-mode", "yolo"],
    env=lambda s: {
        "GOOGLE_GEMINI_BASE_URL": s.url,
        "GEMINI_API_KEY": s.key,
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
    },
    files=_gemini_settings,
)
OPENCODE = Agent(
    name="opencode",
    package="opencode-ai",
    program="opencode",
    protocol="chat",
    command=lambda s: ["run", "-m", f"switchyard/{s.model}", s.task],
    env=lambda s: {
        "SWITCHYARD_KEY": s.key,
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
    },
    files=_opencode_config,
)

AGENTS = (CLAUDE_CODE, CODEX, GEMINI_CLI, OPENCODE)
