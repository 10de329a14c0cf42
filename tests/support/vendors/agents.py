"""The model behind a coding agent: it reads a file with the agent's own tool, and says it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.support.vendors.asked import Asked, Call, Counts, Turn

if TYPE_CHECKING:
    from collections.abc import Callable

FILE = re.compile(r"(/\S+/secret\.txt)")
SECRET = re.compile(r"\b[a-z]+-[a-z]+-\d{4}\b")

# How each agent's tool for it is called: Claude Code, opencode, Gemini CLI, Codex (two ages of it).
TOOLS: dict[str, Callable[[str], dict[str, Any]]] = {
    "Read": lambda path: {"file_path": path},
    "read": lambda path: {"filePath": path},
    "read_file": lambda path: {"file_path": path},
    "exec_command": lambda path: {"cmd": f"cat {path}"},
    "shell": lambda path: {"command": ["cat", path]},
    "shell_command": lambda path: {"command": f"cat {path}"},
    "run_shell_command": lambda path: {"command": f"cat {path}"},
    "Bash": lambda path: {"command": f"cat {path}"},
}


def work(asked: Asked) -> Turn:
    """A call of the first tool that reads files; then what the result says. Titles get a title."""
    path = next((found[1] for text in asked.texts if (found := FILE.search(text))), None)
    secrets = [word for result in asked.results for word in SECRET.findall(result.text)]
    counts = Counts(input=900, cached=300, output=40)
    if secrets:
        return Turn(text=f"The secret word is {secrets[-1]}.", counts=counts)
    tool = next((name for name in TOOLS if name in asked.offered), None)
    if asked.results:
        said = " / ".join(result.text for result in asked.results)
        return Turn(text=f"The tool did not say it: {said[:300]}", counts=counts)
    if tool is None or path is None:
        return Turn(text="Secret word", counts=counts)
    call = Call(name=tool, arguments=TOOLS[tool](path))
    thought = "I read the file." if asked.effort else ""
    return Turn(thought=thought, text="I look.", calls=(call,), finish="tools", counts=counts)
