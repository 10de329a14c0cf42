"""Whether the database takes what is written, and why not, in words for operators."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from django.db import InterfaceError, OperationalError, connections, transaction

from controlplane.edits.models import EditCounter

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.backends.base.base import BaseDatabaseWrapper

    from routing.gateway.app import Gateway

LOOKED_S: Final = 1.0  # how long a look holds for others who ask
LOCK_S: Final = 4
TOLD_S: Final = 60.0  # how long /readyz tells of a write that failed
AGAIN: Final = "so nothing was changed. Try again in a few seconds."
NO_ANSWER: Final = f"The database does not answer, {AGAIN}"
_WAITS_BRIEFLY: Final = {
    "sqlite": "PRAGMA busy_timeout = 800",
    "postgresql": "SET lock_timeout = 800",
}
# By the codes of SQLite (sqlite.org/rescode.html) and PostgreSQL (its manual, appendix A).
_HELD: Final = "is held by another write"
_READ_ONLY: Final = "is read-only"
_FULL: Final = "is full"
_DAMAGED: Final = "is damaged"
_OF_CODE: Final[dict[int | str, str]] = {
    sqlite3.SQLITE_BUSY: _HELD,
    sqlite3.SQLITE_LOCKED: _HELD,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    "55P03": _HELD,
    "25006": _READ_ONLY,
    "53100": _FULL,
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
}
_PRIMARY: Final = 0xFF  # of SQLite's codes; the rest says more exactly why


def said_of(error: Exception) -> str:
    """What an operator is told of `error`; "" where it is no fault of the database's."""
    if words := _OF_CODE.get(_code_of(error)):
        return f"The database {words}, {AGAIN}"
    if isinstance(error, OperationalError | InterfaceError) and "no such " not in str(error):
        return NO_ANSWER
    return ""


def _code_of(error: Exception) -> int | str:
    """The driver's own, whose error is the cause of Django's; "" without one."""
    cause = error.__cause__ or error
    if isinstance(cause, sqlite3.Error):
        code: int = getattr(cause, "sqlite_errorcode", 0)
        return code & _PRIMARY
    return getattr(cause, "sqlstate", None) or ""


def wait_briefly(connection: BaseDatabaseWrapper, **_signal: Any) -> None:
    """The receiver of connection_created where people wait; SQLite's wait is in the settings."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = {LOCK_S * 1000}")


class _Failures:
    """The last write of this process that the database did not take."""

    def __init__(self) -> None:
        self._reason = ""
        self._at = 0.0

    def note(self, reason: str) -> None:
        self._reason, self._at = reason, time.monotonic()

    def lately(self) -> str:
        """A full disk shows only when something is written."""
        return self._reason if time.monotonic() - self._at < TOLD_S else ""


failures = _Failures()


class _Look:
    """
    One question to the database, in a thread of its own: it may never come back.

    Who asks while one is on its way, or shortly afterwards, gets the same answer.
    """

    def __init__(self, question: Callable[[], str], within_s: float) -> None:
        self._question = question
        self._within_s = within_s
        self._answer: asyncio.Future[str] | None = None
        self._asked_at = 0.0

    async def look(self) -> str:
        loop = asyncio.get_running_loop()
        answer = self._answer
        if answer is None or (answer.done() and time.monotonic() - self._asked_at > LOOKED_S):
            answer = self._answer = loop.create_future()
            self._asked_at = time.monotonic()
            threading.Thread(target=self._run, args=(loop, answer), daemon=True).start()
        try:
            return await asyncio.wait_for(asyncio.shield(answer), self._within_s)
        except TimeoutError:
            return NO_ANSWER

    def _run(self, loop: asyncio.AbstractEventLoop, answer: asyncio.Future[str]) -> None:
        try:
            found = self._question()
        except Exception as error:  # noqa: BLE001 - whatever it is, it does not answer
            found = said_of(error) or NO_ANSWER
        finally:
            connections.close_all()

        def tell() -> None:
            if not answer.done():
                answer.set_result(found)

        with contextlib.suppress(RuntimeError):  # the process ends
            loop.call_soon_threadsafe(tell)


class DatabaseWatch:
    def __init__(self, gateway: Gateway, within_s: float) -> None:
        self._gateway = gateway
        self._reads, self._writes = _Look(_read, within_s), _Look(_write, within_s)

    async def silence(self) -> str:
        """Why nothing comes from it; "" if it answers."""
        return await self._reads.look()

    async def tell(self) -> None:
        """Put into /readyz whether it takes writes, and why not."""
        reason = await self._writes.look() or failures.lately()
        told: dict[str, Any] = {"ok": not reason}
        if reason:
            told["reason"] = reason.removesuffix(f", {AGAIN}") + "."
        self._gateway.status["database"] = told


def _read() -> str:
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT 1")
    return ""


def _write() -> str:
    """Write, and take it back; whoever waits a moment behind another write is not in trouble."""
    connection = connections["default"]
    with connection.cursor() as cursor:
        cursor.execute(_WAITS_BRIEFLY.get(connection.vendor, "SELECT 1"))
    with transaction.atomic():
        EditCounter.objects.filter(pk=0).update(value=0)
        transaction.set_rollback(True)
    return ""
