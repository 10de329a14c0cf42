"""docs/faults.md says of every fault where it is proved, and that is so."""

from __future__ import annotations

import re

import pytest

from tests.faults.page import PAGE, ROOT, Row, found, is_there, sections, text

pytestmark = pytest.mark.pure
LOCKED = re.compile(r"\S+==\S+ .*--hash=sha256:[0-9a-f]{64}")


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return [row for section in sections() for row in section.rows]


def test_every_test_that_is_named_is_there(rows: list[Row]) -> None:
    gone = [(row.name, test) for row in rows for test in row.tests if not is_there(test)]

    assert gone == []
    assert not is_there("faults/test_page: no such test")


def test_every_row_has_a_test_or_a_reason_and_every_case_a_row(rows: list[Row]) -> None:
    numbers = [row.number for row in rows if row.number is not None]

    assert [row.name for row in rows if not row.tests and not row.reason] == []
    assert numbers == list(range(1, len(numbers) + 1))
    assert found().keys() <= set(numbers)


def test_the_page_is_what_is_made_of_the_table() -> None:
    """`python -m tests.faults` makes it anew."""
    assert PAGE.read_text("utf-8") == text()


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_package_is_locked_with_its_hashes(name: str) -> None:
    """pip takes none without, if one has any."""
    locked = (ROOT / name).read_text("utf-8").replace("\\\n", " ").splitlines()

    assert [line for line in locked if not LOCKED.match(line)] == []
