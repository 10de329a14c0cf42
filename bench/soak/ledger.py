"""What the callers saw against what the gateway wrote down."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bench.soak.callers import LEFT, Answer
from bench.soak.world import BROKEN, ERROR, WHOLE, Kind

OUTCOMES: Final[Mapping[str, frozenset[str]]] = {
    WHOLE: frozenset({"answered"}),
    BROKEN: frozenset({"interrupted", "failed"}),
    ERROR: frozenset({"caller_error", "refused", "unavailable", "failed"}),
    # It may have been through before the gateway knew.
    LEFT: frozenset({"abandoned", "answered", "interrupted", "refused", "failed"}),
}
SHOWN: Final = 10


class Ledger:
    """Every request by its id: its kind, and what its caller saw."""

    def __init__(self) -> None:
        self.seen: dict[str, tuple[str, bool | None, str, int]] = {}

    def note(self, request_id: str, kind: Kind, answer: Answer) -> None:
        self.seen[request_id] = (kind.name, kind.is_recorded, answer.verdict, answer.status)

    def excuse(self, request_id: str) -> None:
        """Its record may be missing: the worker that had it was killed before it wrote it down."""
        kind, is_recorded, verdict, status = self.seen[request_id]
        if is_recorded:
            self.seen[request_id] = (kind, None, verdict, status)

    def compare(self, database: Path) -> list[str]:
        """What does not agree; nothing if every request has its one record, and a true one."""
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        try:
            rows = connection.execute(
                "SELECT request_id, outcome, status FROM controlplane_requestrecord"
            ).fetchall()
        finally:
            connection.close()
        problems: list[str] = []
        times = Counter(request_id for request_id, _, _ in rows)
        problems += _few("recorded more than once", [i for i, n in times.items() if n > 1])
        problems += _few("recorded, and nobody asked", [i for i in times if i not in self.seen])
        unrecorded = [
            f"{i} ({kind})"
            for i, (kind, is_recorded, _, _) in self.seen.items()
            if is_recorded and i not in times
        ]
        problems += _few("asked, and not recorded", unrecorded)
        false = []
        for request_id, outcome, status in rows:
            if request_id not in self.seen:
                continue
            kind, is_recorded, verdict, seen = self.seen[request_id]
            allowed = OUTCOMES.get(verdict)
            if is_recorded is False:
                false.append(f"{request_id} ({kind}): nobody was let in")
            elif allowed is not None and outcome not in allowed:
                false.append(f"{request_id} ({kind}): {verdict} was recorded as {outcome}")
            elif verdict != LEFT and seen and status != seen:
                false.append(f"{request_id} ({kind}): status {seen} was recorded as {status}")
        return problems + _few("recorded otherwise than seen", false)

    @property
    def to_be_recorded(self) -> int:
        return sum(is_recorded is True for _, is_recorded, _, _ in self.seen.values())


def records_of(database: Path) -> int:
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        (count,) = connection.execute("SELECT count(*) FROM controlplane_requestrecord").fetchone()
    finally:
        connection.close()
    return int(count)


def _few(what: str, found: list[str]) -> list[str]:
    if not found:
        return []
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return [f"{len(found)} {what}: {', '.join(found[:SHOWN])}{more}"]
