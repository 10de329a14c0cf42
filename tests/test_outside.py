"""
What others have written down of us: URLs, commands, metrics and loggers, by name.

tests/data/outside has them as they are, one a line, so that changing one is a change of that file,
on purpose.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest
from django.core.management import get_commands
from django.urls import URLPattern, get_resolver

from routing.gateway.telemetry.promtext import FAMILIES
from tests.support.imports import APPS, ROOT, modules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from django.urls import URLResolver


def urls() -> Iterator[str]:
    return _urls_below(get_resolver().url_patterns, "", "")


def _urls_below(
    patterns: Iterable[URLPattern | URLResolver], path: str, space: str
) -> Iterator[str]:
    for entry in patterns:
        here = path + str(entry.pattern)
        if isinstance(entry, URLPattern):
            yield f"/{here} {space}{entry.name or '-'}"
        else:
            inner = f"{space}{entry.namespace}:" if entry.namespace else space
            yield from _urls_below(entry.url_patterns, here, inner)


def commands() -> Iterator[str]:
    return (name for name, app in get_commands().items() if app in APPS)


def metrics() -> Iterator[str]:
    for family in FAMILIES:
        yield f"{family.kind} {family.name}{{{','.join(family.labels)}}}"


def loggers() -> Iterator[str]:
    """Ours alone: what libraries call theirs is no promise of this house."""
    for path in modules(*APPS).values():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "attr", "") == "getLogger"
                and node.args
                and isinstance(node.args[0], ast.Constant)
                and (name := str(node.args[0].value)).startswith("switchyard")
            ):
                yield name


@pytest.mark.parametrize("names", [urls, commands, metrics, loggers])
def test_a_name_that_others_use_changes_on_purpose(names: Callable[[], Iterator[str]]) -> None:
    kept = (ROOT / "tests/data/outside" / f"{names.__name__}.txt").read_text("utf-8").splitlines()

    assert sorted(set(names())) == kept
