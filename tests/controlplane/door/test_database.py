"""What operators are told of a database that does not take what is written."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import psycopg
import pytest
from django.db import DatabaseError, OperationalError

from controlplane.door.database import NO_ANSWER, said_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def full(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA max_page_count = 2")
        database.execute("CREATE TABLE t AS SELECT zeroblob(100000)")


def read_only(path: Path) -> None:
    sqlite3.connect(path).execute("CREATE TABLE t (x)").connection.close()
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        database.execute("INSERT INTO t VALUES (1)")


def damaged(path: Path) -> None:
    path.write_bytes(b"no database at all" * 100)
    with sqlite3.connect(path) as database:
        database.execute("SELECT * FROM t")


def held(path: Path) -> None:
    with sqlite3.connect(path) as one, sqlite3.connect(path, timeout=0) as other:
        one.execute("BEGIN IMMEDIATE")
        other.execute("BEGIN IMMEDIATE")


@pytest.mark.parametrize("trouble", [full, read_only, damaged, held])
def test_sqlite_says_why_by_its_code(trouble: Callable[[Path], None], tmp_path: Path) -> None:
    with pytest.raises(sqlite3.Error) as failed:
        trouble(tmp_path / "db")
    failed.value.args = ("in other words",)

    assert trouble.__name__.replace("_", "-").replace("held", "is held by") in told(failed.value)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("53100", "is full"),
        ("25006", "is read-only"),
        ("55P03", "is held by"),
        ("XX001", "is damaged"),
        ("57P01", "does not answer"),
    ],
)
def test_postgresql_says_why_by_its_code(state: str, words: str) -> None:
    assert words in told(psycopg.errors.lookup(state)("in einer anderen Sprache"))


def test_what_has_no_code_is_no_answer_and_a_fault_of_ours_is_neither() -> None:
    assert said_of(OperationalError("connection refused")) == NO_ANSWER
    assert told(sqlite3.OperationalError("no such table: x")) == ""
    assert told(psycopg.errors.lookup("42P01")("x"), DatabaseError) == ""


def told(cause: Exception, kind: type[Exception] = OperationalError) -> str:
    """As Django raises it."""
    error = kind(*cause.args)
    error.__cause__ = cause
    return said_of(error)
