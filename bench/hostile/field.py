"""Where hostile callers meet the gateway: what they send it, and what it answers, counted."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from bench.soak.callers import Connection

SHOWN: Final = 20
_STATUS: Final = re.compile(rb"HTTP/1\.1 (\d{3}) ")
AT_ONCE: Final = 256 << 10


class Notes:
    """Of one attack. `answers` by status, or by a word where there was none."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sent = 0
        self.mib = 0.0
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []

    def saw(self, status: int, what: str) -> None:
        """An answer to `what`. A 500 is a failure of ours whatever was sent."""
        self.answers[str(status)] += 1
        if status == 500:
            self.failures.append(f"{self.name}: a 500 for {what}")

    def __str__(self) -> str:
        found = sorted(self.answers.items())
        return ", ".join(f"{count:,} of {name}" for name, count in found) or "none"


class Field:
    """One gateway's address, and the session of somebody who is signed in."""

    def __init__(self, host: str, port: int, session: bytes = b"") -> None:
        self.host, self.port, self.session = host, port, session
        self.notes: dict[str, Notes] = {}

    def of(self, name: str) -> Notes:
        return self.notes.setdefault(name, Notes(name))

    async def connect(self) -> Connection:
        opened = await asyncio.open_connection(self.host, self.port, limit=1 << 20)
        return Connection(*opened)

    @asynccontextmanager
    async def answering(
        self, notes: Notes, raw: bytes
    ) -> AsyncIterator[tuple[Connection, asyncio.Task[tuple[int, dict[str, str]]]]]:
        """A connection on which `raw` was sent, and the head of what is answered meanwhile."""
        notes.sent += 1
        connection = await self.connect()
        connection.writer.write(raw)
        answer = asyncio.create_task(connection.head())
        try:
            yield connection, answer
        except (OSError, EOFError):
            notes.answers["closed"] += 1
        finally:
            answer.cancel()
            connection.reset()
            await asyncio.gather(answer, return_exceptions=True)

    async def ask(
        self, notes: Notes, raw: bytes, *, what: str, patience_s: float = 20.0
    ) -> tuple[int, dict[str, str]]:
        """Send `raw` on a connection of its own; the status and head of its answer, 0 if none."""
        notes.sent += 1
        try:
            connection = await self.connect()
        except OSError:
            notes.answers["no connection"] += 1
            return 0, {}
        sending = asyncio.create_task(self._send(connection, notes, raw))
        status, headers = 0, {}
        try:
            async with asyncio.timeout(patience_s):
                status, headers = await connection.head()
                while status == 100:
                    status, headers = await connection.head()
            notes.saw(status, what)
        except TimeoutError:
            notes.answers["silence"] += 1
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            notes.answers["closed"] += 1
        finally:
            sending.cancel()
            connection.reset()
        return status, headers

    async def burst(
        self, notes: Notes, raw: bytes, count: int, *, what: str, quiet_s: float = 3.0
    ) -> None:
        """`count` requests that are sent at once on one connection, and all of their answers."""
        notes.sent += count
        try:
            connection = await self.connect()
        except OSError:
            notes.answers["no connection"] += 1
            return
        sending = asyncio.create_task(self._send(connection, notes, raw))
        rest, seen = b"", 0
        try:
            while seen < count:
                async with asyncio.timeout(quiet_s):
                    data = await connection.reader.read(AT_ONCE)
                if not data:
                    break
                rest += data
                for found in _STATUS.finditer(rest):
                    seen += 1
                    notes.saw(int(found[1]), what)
                rest = rest[-16:] if not _STATUS.search(rest[-16:]) else b""
        except TimeoutError:
            notes.answers["silence"] += 1
        except OSError:
            notes.answers["reset"] += 1
        finally:
            sending.cancel()
            connection.reset()

    async def _send(self, connection: Connection, notes: Notes, raw: bytes) -> None:
        try:
            for place in range(0, len(raw), AT_ONCE):
                piece = raw[place : place + AT_ONCE]
                connection.writer.write(piece)
                await connection.writer.drain()
                notes.mib += len(piece) / (1 << 20)
        except OSError:
            pass  # what was answered meanwhile says why
