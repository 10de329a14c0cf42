"""
Who imports whom in this checkout, read from the source.

Every import counts: at the top, inside a function, and for types alone. A late import hides a
circle from Python, not from the reader.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parent.parent.parent
APPS = ("controlplane", "routing", "failover", "providers")

Graph = dict[str, frozenset[str]]


def modules(*folders: str) -> dict[str, Path]:
    """
    The modules under `folders` of the root, by dotted name. Migrations are Django's; folders
    whose name begins with a dot hold what was installed.
    """
    found = {}
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if "migrations" not in parts and not any(part.startswith(".") for part in parts):
                found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imports(found: Mapping[str, Path]) -> Graph:
    """What each of these modules imports of them."""
    return {name: frozenset(_imported(name, path, found)) for name, path in found.items()}


def _imported(name: str, path: Path, found: Mapping[str, Path]) -> Iterator[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        named: list[str] = []
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join([*parents[: len(parents) - node.level + 1], *base.split(".")])
            base = base.rstrip(".")
            named = [
                full if (full := f"{base}.{alias.name}") in found else base for alias in node.names
            ]
        yield from (each for each in named if each in found and each != name)


def circles(graph: Mapping[str, frozenset[str]]) -> list[list[str]]:
    """The sets of modules that import each other, sorted; Tarjan's algorithm."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            at = stack.index(name)
            circle = sorted(stack[at:])
            del stack[at:]
            if len(circle) > 1:
                found.append(circle)

    for name in sorted(graph):
        if name not in index:
            visit(name)
    return sorted(found)
