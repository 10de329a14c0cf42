"""What the documents for developers name is there."""

from __future__ import annotations

import re

import pytest

from routing.gateway.telemetry.promtext import FAMILIES
from tests.support.imports import ROOT

DOCUMENTS = ["docs/architecture.md", "CONTRIBUTING.md", "docs/decisions/0009-rooms.md"]
# What stands in backquotes and has a slash is a path from the root, unless it is on a host's disk.
PATH = re.compile(r"`([a-z_.]+(?:/[\w.-]+)*/?)`")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_that_is_named_exists(document: str) -> None:
    text = (ROOT / document).read_text("utf-8")

    named = {path for path in PATH.findall(text) if "/" in path}
    missing = sorted(path for path in named if not (ROOT / path).exists())

    assert named
    assert missing == []


def test_every_link_of_every_document_leads_somewhere() -> None:
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]

    dead = [
        (document.name, link)
        for document in documents
        for link in LINK.findall(document.read_text("utf-8"))
        if not (document.parent / link).exists()
    ]

    assert dead == []


def test_the_table_of_changes_has_a_row_for_what_is_changed_most() -> None:
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    table = text.split("## I want to change")[1].split("## ")[0]

    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]

    assert len(rows) >= 15
    assert all(PATH.search(row) for row in rows)


def test_operators_can_read_what_each_metric_means() -> None:
    rows = (ROOT / "docs/metrics.md").read_text("utf-8")

    silent = [family.name for family in FAMILIES if f"`{family.name}`" not in rows]

    assert silent == []
