"""The house's rules: style and types as the tools tell them, and what stands in which room."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.imports import APPS, ROOT, circles, imports, modules

if TYPE_CHECKING:
    from collections.abc import Iterator

TOOLS = {
    "ruff check": ["-m", "ruff", "check", "--quiet", "."],
    "ruff format": ["-m", "ruff", "format", "--check", "--quiet", "."],
    "mypy": ["-m", "mypy", "--no-error-summary"],
    "import-linter": ["-c", "from importlinter.cli import lint_imports_command as c; c()"],
    "migrations": ["manage.py", "makemigrations", "--check", "--dry-run"],
    "system check": ["manage.py", "check", "--fail-level", "WARNING"],
}
MOST_MODULES = 15
MOST_LINES = 400
MOST_LINES_OF_MODELS_AND_CODECS = 600
# What may be long: rows, and a codec's whole protocol.
LONG = re.compile(r"models\.py$|providers/protocols/")
GLOSSARY_WORDS = re.compile(r"^\| (\*\*.*)$", re.MULTILINE)
BOLD = re.compile(r"\*\*([^*]+)\*\*")
# How a file is made anew beside another, and takes its name.
DRAFTS = re.compile(
    r"\bos\.(?:fsync|link|rename|replace|O_EXCL|O_TRUNC)\b|\bdraft\.re(?:place|name)\("
)
# Names that two classes may have: a row, and the same idea where there is no Django. All others
# stand for one idea.
ROWS_AND_VALUES = {"Candidate", "Credential", "RequestRecord", "Strategy"}
DJANGOS_OWN = {"Command"}  # a management command is found by it
# Codecs have the same parts, and none of them knows another.
CODEC = re.compile(r"providers\.protocols\.\w+\..*")


@pytest.mark.parametrize("tool", TOOLS)
def test_the_tool_finds_nothing(tool: str) -> None:
    done = subprocess.run(
        [sys.executable, *TOOLS[tool]],
        cwd=ROOT, text=True, capture_output=True, timeout=600, check=False,
    )  # fmt: skip

    assert done.returncode == 0, f"\n{done.stdout}{done.stderr}"


@pytest.mark.pure
def test_no_modules_import_each_other_in_a_circle() -> None:
    found = circles(imports(modules(*APPS, "bench")))

    assert found == []


@pytest.mark.pure
def test_a_circle_is_found_where_one_of_its_imports_is_late_and_one_for_types(
    tmp_path: Path,
) -> None:
    sources = {
        "a": "def f():\n    import b\n",
        "b": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from c import C\n",
        "c": "import a\n",
        "d": "import a\n",
    }
    for name, source in sources.items():
        (tmp_path / f"{name}.py").write_text(source)

    found = circles(imports({name: tmp_path / f"{name}.py" for name in sources}))

    assert found == [["a", "b", "c"]]


@pytest.mark.pure
def test_no_floor_has_more_modules_than_one_can_overlook() -> None:
    floors: dict[Path, int] = {}
    for path in modules(*APPS, "bench").values():
        if path.name != "__init__.py":
            floors[path.parent] = floors.get(path.parent, 0) + 1

    crowded = {str(floor.relative_to(ROOT)): n for floor, n in floors.items() if n > MOST_MODULES}

    assert crowded == {}


@pytest.mark.pure
def test_no_module_is_longer_than_one_idea() -> None:
    too_long = {}
    for path in modules(*APPS, "bench").values():
        name = path.relative_to(ROOT).as_posix()
        most = MOST_LINES_OF_MODELS_AND_CODECS if LONG.search(name) else MOST_LINES
        lines = path.read_text("utf-8").count("\n")
        if lines > most:
            too_long[name] = lines

    assert too_long == {}


def named(tree: ast.Module) -> Iterator[str]:
    """The classes that other modules can meet: neither private nor inside another (Meta, Media)."""
    return (
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )


@pytest.mark.pure
def test_a_class_name_stands_for_one_idea() -> None:
    places: dict[str, set[str]] = {}
    for module, path in modules(*APPS).items():
        place = CODEC.sub("providers.protocols.*", module)
        for name in named(ast.parse(path.read_text("utf-8"))):
            places.setdefault(name, set()).add(place)

    twice = {name: found for name, found in places.items() if len(found) > 1}

    assert {name: twice[name] for name in twice.keys() - ROWS_AND_VALUES - DJANGOS_OWN} == {}
    assert {name: len(twice.get(name, ())) for name in ROWS_AND_VALUES} == dict.fromkeys(
        ROWS_AND_VALUES, 2
    )


@pytest.mark.pure
def test_the_glossary_explains_each_word_once_and_explains_words_that_are_used() -> None:
    page = (ROOT / "docs/glossary.md").read_text("utf-8")
    words = [
        word for entry in GLOSSARY_WORDS.findall(page) for word in BOLD.findall(entry.split("|")[0])
    ]
    pages = [path for path in (ROOT / "docs").rglob("*.md") if path.name != "glossary.md"]
    text = "\n".join(path.read_text("utf-8").lower() for path in [*modules(*APPS).values(), *pages])

    assert [word for word in words if words.count(word) > 1] == []
    assert [word for word in words if not re.search(rf"\b{re.escape(word)}", text)] == []


@pytest.mark.pure
def test_every_room_says_what_it_is_for() -> None:
    silent = [
        name
        for name, path in modules(*APPS).items()
        if path.name == "__init__.py"
        and len(list(path.parent.glob("*.py"))) > 1
        and not (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "")
    ]

    assert silent == []


@pytest.mark.pure
def test_the_contract_of_codecs_names_every_protocol() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (named,) = [c["modules"] for c in contracts if c["type"] == "independence"]

    packages = [
        f"providers.protocols.{path.parent.name}"
        for path in (ROOT / "providers/protocols").glob("*/__init__.py")
        if path.parent.name != "slices"  # of all protocols: how long bodies are read
    ]

    assert sorted(packages) == sorted(named)


@pytest.mark.pure
def test_files_are_replaced_by_one_module_alone() -> None:
    found = {name for name, p in modules(*APPS).items() if DRAFTS.search(p.read_text("utf-8"))}

    # The spool's files are locked before they are seen, and grow.
    assert found == {"providers.files", "routing.gateway.records.spool"}
