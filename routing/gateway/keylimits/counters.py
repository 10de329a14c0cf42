"""
What the workers of a host count together: requests, tokens and requests at once, by subject.

The counts stand in one file that every worker maps into its memory, so a limit is exact per host
and nobody has to be asked. A row is changed under a lock of its own byte of the file; the kernel
takes the lock, and the lock that says that a worker lives, from whoever dies.

A window is a ring of entries. An entry gathers what came within a quarter of a second and counts
until its newest is a minute old, so no sixty seconds ever hold more than the limit. Times are
microseconds of time.monotonic, which all processes of a host share.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from msgspec import Struct

WINDOW_US: Final = 60_000_000
GATHER_US: Final = 250_000
REQUESTS, TOKENS, PARALLEL = "requests", "tokens", "parallel"

_ROWS: Final = 8192  # subjects in use at once
_PROBES: Final = 512  # rows that a subject may have
_NAME: Final = 32  # bytes; a subject is a SHA-256
_NOBODY: Final = bytes(_NAME)
_COLUMNS: Final = 128  # workers of a host
_RING: Final = 256  # at most 242 entries begin within a minute and a quarter of a second
_FIRST, _NEXT, _USED, _SPENT, _OPEN = range(5)
_COLUMN_AT: Final = 8
_RING_AT: Final = _COLUMN_AT + _COLUMNS
_START, _NEWEST, _COUNT, _SUM = range(4)
_WORDS: Final = _RING_AT + 4 * _RING
_INDEX_BYTES: Final = _ROWS * _NAME
_SIZE: Final = _INDEX_BYTES + _ROWS * _WORDS * 8

# Bytes that are locked, beyond the file's end; up to _ROWS they are the rows' own.
_CLAIM: Final = _SIZE
_LIVES: Final = _SIZE + 1

_TRIES, _PAUSE_S = 60, 50e-6  # about 6 ms; a row is held for about 5 µs
_IMPATIENT_S: Final = 0.1
_IDLE_US: Final = 2 * WINDOW_US


class Quota(Struct, frozen=True):
    """What a subject may have: per minute, and at once. None: as much as it likes."""

    rpm: int | None = None
    tpm: int | None = None
    max_parallel: int | None = None


class Taken(Struct):
    """
    What came of asking for a request.

    `stopped` names the limit that refused it, "" if none did. The counts include it if it was
    admitted. `wait_s`: until there is room; None if that can not be known, or never will be.
    `reset_s`: until the window is empty. `entry` is where it was counted.
    """

    stopped: str = ""
    requests: int = 0
    tokens: int = 0
    parallel: int = 0
    wait_s: float | None = None
    reset_s: float = 0.0
    entry: int = -1


class Full(Exception):
    """There is no row for one more subject, or no room on the disk for it."""


class KeyCounters:
    """
    The counts of one host, or of this process alone if there is no `file`.

    `tries` for a row that another process holds, 50 µs apart; then it is counted without.

    Raises OSError if the file can not be made.
    """

    def __init__(
        self,
        file: Path | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        tries: int = _TRIES,
    ) -> None:
        self.is_shared = file is not None
        self._clock = clock
        self._tries = tries
        self._rows: dict[bytes, int] = {}
        self._fd = -1
        self._column = 0
        self._impatient_until = 0.0
        if file is None:
            self._map = mmap.mmap(-1, _SIZE)
        else:
            self._fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._prepare()
            self._map = mmap.mmap(self._fd, _SIZE)
        self._words = memoryview(self._map).cast("q")
        if file is not None:
            self._take_column()

    def close(self) -> None:
        self._words.release()
        self._map.close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    # What callers do

    def take(
        self, subject: bytes, quota: Quota, tokens: int, *, force: bool = False, count: int = 1
    ) -> Taken:
        """
        Count a request that wants `tokens`, if `quota` has room for it; with `force` anyway.
        `count` 0: the request itself has been counted before.

        Raises Full. An admitted request is given back by `settle`.
        """
        row = self._row_of(subject)
        is_locked = self._lock(row)
        try:
            return self._take(row, quota, tokens, force=force, count=count)
        finally:
            if is_locked:
                self._unlock(row)

    def settle(self, subject: bytes, entry: int, *, more: int, parallel: bool) -> None:
        """A request has ended: it took `more` tokens than it wanted (or fewer)."""
        row = self._rows.get(subject)
        if row is None or not self._is_row_of(row, subject):
            return  # its row went to somebody else after minutes without a request
        is_locked = self._lock(row)
        try:
            words, at = self._words, self._at(row)
            if parallel and words[at + _COLUMN_AT + self._column] > 0:
                words[at + _COLUMN_AT + self._column] -= 1
                words[at + _OPEN] -= 1
            if more and words[at + _FIRST] <= entry < words[at + _NEXT]:
                words[at + _RING_AT + 4 * (entry % _RING) + _SUM] += more
                words[at + _SPENT] += more
        finally:
            if is_locked:
                self._unlock(row)

    # Windows

    def _take(self, row: int, quota: Quota, tokens: int, *, force: bool, count: int) -> Taken:
        words, at = self._words, self._at(row)
        now = int(self._clock() * 1e6)
        now = self._expire(at, now)
        used, spent, running = words[at + _USED], words[at + _SPENT], words[at + _OPEN]
        rpm, tpm, most = quota.rpm, quota.tpm, quota.max_parallel
        taken = Taken(requests=used, tokens=spent, parallel=running)
        if not force:
            if rpm is not None and used >= rpm:
                taken.stopped = REQUESTS
                taken.wait_s = self._room_in(at, now, _COUNT, used + 1 - rpm)
            elif tpm is not None and spent + tokens > tpm:
                taken.stopped = TOKENS
                if tokens <= tpm:
                    taken.wait_s = self._room_in(at, now, _SUM, spent + tokens - tpm)
            elif most is not None and running >= most:
                taken.parallel = running = self._bury(at)
                if running >= most:
                    taken.stopped = PARALLEL
        first, following = words[at + _FIRST], words[at + _NEXT]
        if taken.stopped:
            if first != following:
                newest = words[at + _RING_AT + 4 * ((following - 1) % _RING) + _NEWEST]
                taken.reset_s = (newest + WINDOW_US - now) / 1e6
            return taken
        if tpm is None:
            tokens = 0
        entry = following - 1
        place = at + _RING_AT + 4 * (entry % _RING)
        if first == following or now - words[place + _START] >= GATHER_US:
            entry = following
            place = at + _RING_AT + 4 * (entry % _RING)
            words[place + _START] = now
            words[place + _COUNT] = words[place + _SUM] = 0
            words[at + _NEXT] = following + 1
        words[place + _NEWEST] = now
        words[place + _COUNT] += count
        words[place + _SUM] += tokens
        words[at + _USED] = taken.requests = used + count
        words[at + _SPENT] = taken.tokens = spent + tokens
        if most is not None:
            words[at + _COLUMN_AT + self._column] += 1
            words[at + _OPEN] = taken.parallel = running + 1
        taken.entry = entry
        taken.reset_s = WINDOW_US / 1e6
        return taken

    def _expire(self, at: int, now: int) -> int:
        """Drop what is older than a minute. The time, which never runs backwards."""
        words = self._words
        first, following = words[at + _FIRST], words[at + _NEXT]
        if first == following:
            return now
        newest = words[at + _RING_AT + 4 * ((following - 1) % _RING) + _NEWEST]
        if newest > now + GATHER_US or not 0 < following - first <= _RING:
            # Of another boot of this machine, or torn by a death in the middle of a change.
            first = following
            now = max(now, 0)
        else:
            now = max(now, newest)
        while first != following:
            place = at + _RING_AT + 4 * (first % _RING)
            if words[place + _NEWEST] > now - WINDOW_US:
                break
            words[at + _USED] -= words[place + _COUNT]
            words[at + _SPENT] -= words[place + _SUM]
            first += 1
        words[at + _FIRST] = first
        if first == following:
            words[at + _USED] = words[at + _SPENT] = 0
        return now

    def _room_in(self, at: int, now: int, what: int, excess: int) -> float | None:
        """Seconds until `excess` of `what` has expired."""
        words = self._words
        for entry in range(words[at + _FIRST], words[at + _NEXT]):
            place = at + _RING_AT + 4 * (entry % _RING)
            excess -= words[place + what]
            if excess <= 0:
                return (words[place + _NEWEST] + WINDOW_US - now) / 1e6
        return None

    # Workers that are gone

    def _take_column(self) -> None:
        """The first column that no living worker has; what its last one left is cleared."""
        for column in range(_COLUMNS):
            if self._try_lock(_LIVES + column):
                self._column = column
                break
        else:
            raise OSError(f"more than {_COLUMNS} workers share a host")
        for row in range(_ROWS):
            if self._map[row * _NAME : (row + 1) * _NAME] != _NOBODY:
                is_locked = self._lock(row)
                self._clear(self._at(row), self._column)
                if is_locked:
                    self._unlock(row)

    def _bury(self, at: int) -> int:
        """Clear what dead workers hold. How many requests are open then."""
        for column in range(_COLUMNS if self.is_shared else 0):
            if column == self._column or not self._words[at + _COLUMN_AT + column]:
                continue
            if self._try_lock(_LIVES + column):
                self._clear(at, column)
                self._unlock(_LIVES + column)
        return self._words[at + _OPEN]

    def _clear(self, at: int, column: int) -> None:
        self._words[at + _COLUMN_AT + column] = 0
        columns = self._words[at + _COLUMN_AT : at + _COLUMN_AT + _COLUMNS]
        self._words[at + _OPEN] = sum(columns)

    # Rows

    @staticmethod
    def _at(row: int) -> int:
        return _INDEX_BYTES // 8 + row * _WORDS

    def _row_of(self, subject: bytes) -> int:
        row = self._rows.get(subject)
        if row is not None and self._is_row_of(row, subject):
            return row
        is_locked = self._lock(_CLAIM)
        try:
            row = self._rows[subject] = self._claim(subject)
        finally:
            if is_locked:
                self._unlock(_CLAIM)
        return row

    def _is_row_of(self, row: int, subject: bytes) -> bool:
        return self._map[row * _NAME : (row + 1) * _NAME] == subject

    def _claim(self, subject: bytes) -> int:
        """The row of `subject`, made if it has none: an empty one, else one long unused."""
        start = int.from_bytes(subject[:4], "big")
        idle = -1
        for step in range(_PROBES):
            row = (start + step) % _ROWS
            name = self._map[row * _NAME : (row + 1) * _NAME]
            if name == subject:
                return row
            if name == _NOBODY:
                break
            if idle < 0 and self._is_idle(row):
                idle = row
        else:
            row = -1
        row = row if idle < 0 else idle
        if row < 0:
            raise Full
        if self._fd >= 0:
            # Written, not only mapped: a full disk must be an error here, not a signal later.
            try:
                os.pwrite(self._fd, bytes(8 * _WORDS), 8 * self._at(row))
            except OSError as error:
                raise Full from error
        else:
            self._map[8 * self._at(row) : 8 * self._at(row + 1)] = bytes(8 * _WORDS)
        self._map[row * _NAME : (row + 1) * _NAME] = subject
        return row

    def _is_idle(self, row: int) -> bool:
        words, at = self._words, self._at(row)
        newest = words[at + _RING_AT + 4 * ((words[at + _NEXT] - 1) % _RING) + _NEWEST]
        return words[at + _OPEN] == 0 and abs(int(self._clock() * 1e6) - newest) > _IDLE_US

    # The file

    def _prepare(self) -> None:
        is_locked = self._lock(_CLAIM)
        if os.fstat(self._fd).st_size < _SIZE:
            os.pwrite(self._fd, bytes(_INDEX_BYTES), 0)
            os.ftruncate(self._fd, _SIZE)  # a hole: only rows in use take room on the disk
        if is_locked:
            self._unlock(_CLAIM)

    def _lock(self, byte: int) -> bool:
        """
        Hold `byte`, and say so. After some milliseconds go on without it, for a while at once.

        Whoever holds it was stopped in the middle of a few microseconds: better one count that
        may be wrong than a worker that stands still.
        """
        if self._fd < 0:
            return False
        for _ in range(self._tries if time.monotonic() >= self._impatient_until else 1):
            if self._try_lock(byte):
                return True
            time.sleep(_PAUSE_S)
        self._impatient_until = time.monotonic() + _IMPATIENT_S
        return False

    def _try_lock(self, byte: int) -> bool:
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except (BlockingIOError, PermissionError):  # POSIX leaves it open which
            return False
        return True

    def _unlock(self, byte: int) -> None:
        fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, byte)
