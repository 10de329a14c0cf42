"""A job's run for tests that call the job's function themselves."""

from __future__ import annotations

from datetime import UTC, datetime


class Told:
    """What a job is given, with what it told in `progressed`."""

    def __init__(self, began_at: datetime | None = None) -> None:
        self.began_at = began_at or datetime.now(UTC)
        self.progressed: list[tuple[int, int]] = []

    def progress(self, done: int, total: int) -> None:
        self.progressed.append((done, total))
