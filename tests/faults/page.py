"""
The page of all faults and where each is proved, made of table.toml and of the tests themselves.

Cases called `row-N-…` and tests called `test_row_N_…` are found by their names.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.imports import ROOT

TESTS = ROOT / "tests"
PAGE = ROOT / "docs/faults.md"
HEAD = """\
# What can go wrong

What Switchyard does then, and where it is proved. Made of `tests/faults/table.toml` by \
`python -m tests.faults`; a test fails if a test that is named here is gone, or a row has neither \
test nor reason.

Tests are named by the sentence that their name is. `row-N-` stands for all tests whose name has \
it: `pytest tests/faults -k row-34-`. Most of them play to a real gateway, with a provider made of \
bytes before it and a caller made of bytes behind, and six things are looked at around each: what \
the caller gets is sound to its last byte or ends in an error; no more calls and no more time than \
were allowed; one record that says what happened; no key and no prompt where it should not be; \
sockets, threads and memory as before; and who served is who the provider's own log says.
"""
CASE = re.compile(r"\brow-(\d+)-")
NUMBERED = re.compile(r"^row \d+ ")
OF_A_ROW = re.compile(r"test_row_(\d+)_(\w+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the page. `number` is None for what is known by its `name` alone."""

    number: int | None
    name: str
    fault: str
    does: str
    tests: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    title: str
    about: str
    rows: tuple[Row, ...]


@cache
def sections() -> tuple[Section, ...]:
    table = tomllib.loads((TESTS / "faults/table.toml").read_text("utf-8"))
    return tuple(
        Section(
            title=section["title"],
            about=section.get("about", ""),
            rows=tuple(_row(row) for row in section["rows"]),
        )
        for section in table["section"]
    )


def _row(given: dict[str, Any]) -> Row:
    number = given.get("row")
    own = () if number is None else found().get(number, ())
    return Row(
        number=number,
        name=str(given.get("area", number)),
        fault=given["fault"],
        does=given["does"],
        tests=(*own, *given.get("tests", ())),
        reason=given.get("reason", ""),
    )


@cache
def found() -> dict[int, tuple[str, ...]]:
    """By the number of a row, what is named for it: as in the table, or "file: row-N-" of cases."""
    by_row: dict[int, set[str]] = defaultdict(set)
    for path in TESTS.rglob("test_*.py"):
        for name in functions_of(path):
            if matched := OF_A_ROW.fullmatch(name):
                sentence = f"row {matched[1]} {matched[2].replace('_', ' ')}"
                by_row[int(matched[1])].add(f"{_short(path)}: {sentence}")
    for path in (TESTS / "faults").glob("test_*.py"):
        for number in CASE.findall(path.read_text("utf-8")):
            by_row[int(number)].add(f"{_short(path)}: row-{number}-")
    return {number: tuple(sorted(names)) for number, names in by_row.items()}


@cache
def functions_of(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text("utf-8"))
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return frozenset(node.name for node in nodes)


def is_there(test: str) -> bool:
    """Whether a test of the table exists."""
    file, _, sentence = test.partition(": ")
    path = TESTS / f"{file}.py"
    if not path.is_file():
        return False
    if CASE.match(sentence):
        return sentence in path.read_text("utf-8")
    return f"test_{sentence.replace(' ', '_')}" in functions_of(path)


def text() -> str:
    return HEAD + "".join(_section(section) for section in sections())


def _section(section: Section) -> str:
    about = f"{section.about}\n\n" if section.about else ""
    lines = "".join(
        f"| {row.name} | {row.fault} | {row.does} | {_proof(row)} |\n" for row in section.rows
    )
    return (
        f"\n## {section.title}\n\n{about}"
        "| row | what goes wrong | what happens | proved by |\n| --- | --- | --- | --- |\n" + lines
    )


def _proof(row: Row) -> str:
    by_file: dict[str, list[str]] = defaultdict(list)
    for test in row.tests:
        file, _, sentence = test.partition(": ")
        shown = f"`{sentence}`" if CASE.match(sentence) else NUMBERED.sub("", sentence)
        by_file[file].append(shown)
    named = [f"[{file}](../tests/{file}.py): {'; '.join(names)}" for file, names in by_file.items()]
    return "<br>".join([*named, *([f"*{row.reason}*"] if row.reason else [])])


def _short(path: Path) -> str:
    return path.relative_to(TESTS).with_suffix("").as_posix()


def write() -> None:
    PAGE.write_text(text(), encoding="utf-8")
