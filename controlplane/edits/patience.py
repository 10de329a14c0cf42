"""
How long an edit that somebody waits for may take, and that it ends when nobody waits any more.

Whatever runs inside `limited` is asked at each question to the database, and wherever it asks by
`check` itself; it ends by OutOfPatience, which rolls back what it did. A thread cannot be stopped
from outside, so it has to ask.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.db import connection

if TYPE_CHECKING:
    from collections.abc import Iterator

# SQLite has one writer: whoever else saves waits as long, or is told so after four seconds.
APPLY_S: Final = 20.0


class OutOfPatience(Exception):  # not an error: whoever asked is told, or is gone
    """The text is for whoever asked."""


@dataclass(slots=True)
class Caller:
    """Whoever waits for an answer. `is_gone` is set from the event loop."""

    is_gone: bool = False


_caller: ContextVar[Caller | None] = ContextVar("caller", default=None)
_until: ContextVar[tuple[float, float] | None] = ContextVar("until", default=None)


def waits(caller: Caller) -> None:
    """What runs in this context runs for `caller`."""
    _caller.set(caller)


def check() -> None:
    """Raises OutOfPatience if the time is up, or whoever asked is gone."""
    limit = _until.get()
    if limit is None:
        return
    if time.monotonic() > limit[0]:
        raise OutOfPatience(
            f"This took longer than {limit[1]:g} seconds, which is the most, so nothing was"
            " changed. Do it in smaller parts."
        )
    caller = _caller.get()
    if caller is not None and caller.is_gone:
        raise OutOfPatience("Whoever asked for this went away, so nothing was changed.")


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    token = _until.set((time.monotonic() + seconds, seconds))
    try:
        with connection.execute_wrapper(_checked):
            yield
    finally:
        _until.reset(token)


def _checked(execute: Any, *question: Any) -> Any:
    check()
    return execute(*question)
