"""The rules that tests keep themselves."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from tests.support.imports import imports, modules

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.pure

PRIVATE = re.compile(r"_[a-z]\w*")
# A test in a text that another process runs counts as well.
IN_A_TEXT = re.compile(r"\b(?:from|import) (tests\.[\w.]*test_\w+)")
CLOCKS = {"monotonic", "perf_counter", "time"}


def trees() -> Iterator[tuple[str, ast.Module, list[str]]]:
    for name, path in modules("tests").items():
        text = path.read_text("utf-8")
        yield name, ast.parse(text), text.splitlines()


def test_no_test_is_imported() -> None:
    found = modules("tests", "bench")

    imported = [
        (name, other)
        for name, others in imports(found).items()
        for other in others
        if other.rpartition(".")[2].startswith("test_")
    ] + [(n, o) for n, p in found.items() for o in IN_A_TEXT.findall(p.read_text("utf-8"))]

    assert imported == []


def test_the_harness_and_the_tests_share_support_and_not_each_other() -> None:
    graph = imports(modules("tests", "bench"))

    crossing = [
        (name, other)
        for name, others in graph.items()
        for other in others
        if (name.startswith("bench") and not other.startswith(("bench", "tests.support")))
        or (not name.startswith(("bench", "tests.bench")) and other.startswith("bench"))
    ]

    assert [other for others in graph.values() for other in others if other.startswith("bench")]
    assert crossing == []


def test_support_needs_no_test_and_no_harness() -> None:
    graph = imports(modules("tests", "bench"))

    outside = [
        (name, other)
        for name, others in graph.items()
        for other in others
        if name.startswith("tests.support.")
        and ".test_" not in name
        and not other.startswith("tests.support")
    ]

    assert outside == []


def test_no_private_name_is_patched() -> None:
    patched = []
    for name, tree, _lines in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "setattr":
                given = node.args[1] if len(node.args) > 1 else None
                if isinstance(given, ast.Constant) and PRIVATE.fullmatch(str(given.value)):
                    patched.append((name, node.lineno, given.value))
            targets = node.targets if isinstance(node, ast.Assign) else []
            patched += [
                (name, target.lineno, target.attr)
                for target in targets
                if isinstance(target, ast.Attribute)
                and PRIVATE.fullmatch(target.attr)
                and not (isinstance(target.value, ast.Name) and target.value.id == "self")
            ]

    assert patched == []


def test_time_is_asserted_only_where_it_is_the_promise() -> None:
    silent = []
    for name, tree, lines in trees():
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                timed = _timed(function)
                silent += [
                    (name, node.lineno)
                    for node in ast.walk(function)
                    if isinstance(node, ast.Assert)
                    and _is_a_limit_on(node.test, timed)
                    and "promise" not in _comment_over(lines, node.lineno)
                ]

    assert silent == []


def _timed(function: ast.AST) -> set[str]:
    """The names in `function` that hold times of a clock, or differences of them."""
    found: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and _reads_a_clock(node.value):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "append"
            and isinstance(node.func.value, ast.Name)
            and any(_reads_a_clock(given) for given in node.args)
        ):
            found.add(node.func.value.id)
    return found


def _reads_a_clock(node: ast.AST) -> bool:
    return any(
        isinstance(each, ast.Call)
        and isinstance(each.func, ast.Attribute)
        and each.func.attr in CLOCKS
        and isinstance(each.func.value, ast.Name)
        and each.func.value.id == "time"
        for each in ast.walk(node)
    )


def _is_a_limit_on(test: ast.expr, timed: set[str]) -> bool:
    limits = [
        node
        for node in ast.walk(test)
        if isinstance(node, ast.Compare)
        and any(isinstance(each, ast.Lt | ast.LtE | ast.Gt | ast.GtE) for each in node.ops)
    ]
    return any(
        _reads_a_clock(limit)
        or any(isinstance(each, ast.Name) and each.id in timed for each in ast.walk(limit))
        for limit in limits
    )


def _comment_over(lines: list[str], number: int) -> str:
    """The comment lines right above line `number`."""
    found = []
    for line in reversed(lines[: number - 1]):
        if not line.strip().startswith("#"):
            break
        found.append(line)
    return " ".join(found)
