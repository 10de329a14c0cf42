"""
Spool files into the database, by the control child, in a thread of its own.

A file is removed only after its records are committed, and records carry their own ids, so that
whatever dies in between, every record is there once. A database that is down leaves the files where
they are. No model objects are made: 10,000 records a second would cost more than serving them.
"""

from __future__ import annotations

import logging
import re
import secrets
import sqlite3
import threading
import time
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import NoneType
from typing import TYPE_CHECKING, Final
from uuid import UUID

from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    connection,
    transaction,
)

from controlplane.records.models import CENTURY, EPOCH, Captured, DirtyMinute, RequestRecord
from providers.saying.counting import counted
from routing.gateway.records.aside import is_its_fault, set_aside
from routing.gateway.records.record import COLUMNS, row_of
from routing.gateway.records.spool import CAPTURED, SPOOL_DIR, SUFFIX, spool_files, take
from routing.gateway.records.underway import files_of, lost_records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from routing.gateway.records.capture import CaptureRow
    from routing.gateway.records.record import Row
    from routing.gateway.records.spool import TakenFile

BATCH: Final = 1000
BREATH_S: Final = 0.01  # at least, between transactions: SQLite has one writer at a time
RETRY_FIRST_S: Final = 0.25
RETRY_MAX_S: Final = 5.0
MINUTE_MS: Final = 60_000
# What a row itself is to blame for: no such id, no such text, nothing where something has to be.
_REFUSED: Final = (DataError, IntegrityError, ValueError, TypeError, OverflowError)

logger = logging.getLogger("switchyard.ingest")

# Without an adapter the driver looks in three places for one, for each value: 0.5 µs instead of 0.3
# (measured 2026-11-28). A record has half a dozen of these.
sqlite3.register_adapter(bool, int)
sqlite3.register_adapter(NoneType, lambda none: none)


class Ingester:
    """
    Moves what lies in DATA_DIR's spool into the database, a round at a time, all in one thread.

    `note_lost` is told protocol and canonical model of each request that died with its worker.
    `stop` ends a round after the batch that it is at. `error` says why the last round failed.
    """

    def __init__(
        self, data_dir: Path, *, note_lost: Callable[[str, str], None] | None = None
    ) -> None:
        self._note_lost = note_lost
        self._data_dir = data_dir
        self._folder = data_dir / SPOOL_DIR
        self._is_stopping = threading.Event()
        self._stuck: set[Path] = set()  # what is neither ingested nor can be put aside
        self.error = ""
        self.ingested = 0

    def stop(self) -> None:
        self._is_stopping.set()

    def run(self, every_s: float) -> None:
        """Round after round until `stop`; less often while the database is away."""
        pause_s = every_s
        while not self._is_stopping.wait(pause_s):
            before = self.error
            self.round()
            pause_s = min(max(pause_s * 2, RETRY_FIRST_S), RETRY_MAX_S) if self.error else every_s
            if self.error and self.error != before:
                logger.error("request records wait in %s: %s", self._folder, self.error)
            elif before and not self.error:
                logger.info("request records are taken into the database again")
        connection.close()

    def round(self) -> int:
        """Ingest what there is; how many records. Never raises: what fails is in `error`."""
        done = 0
        try:
            # Looked at before the spool: what a worker had written until its death is in the
            # database by the time that the rest of what it was at is recorded as lost.
            with self._left_behind() as left:
                done += self._each(SUFFIX, self._ingest)
                for taken in () if self._is_stopping.is_set() else left:
                    done += self._record_lost(taken)
            self._each(CAPTURED, self._ingest_captures)
        except Exception as error:  # noqa: BLE001 - whatever it is, the files stay for the next round
            self.error = f"{type(error).__name__}: {error}".strip().splitlines()[0]
            connection.close()
        else:
            self.error = ""
        self.ingested += done
        return done

    def _each(self, suffix: str, ingest: Callable[[TakenFile], int]) -> int:
        """
        Every file that may be taken, one after the other; how many records they held.

        What one file is to blame for costs the others nothing. Raises what is nobody's fault.
        """
        done = 0
        for path in spool_files(self._folder, suffix):
            if self._is_stopping.is_set():
                break
            if path in self._stuck:
                continue
            try:
                taken = take(path)
                done += ingest(taken) if taken is not None else 0
            except (DatabaseError, InterfaceError):
                raise
            except Exception as error:
                if not is_its_fault(error):
                    raise
                self._put_aside(path, f"{type(error).__name__}: {error}")
        return done

    @contextmanager
    def _left_behind(self) -> Iterator[list[TakenFile]]:
        """What workers that are gone were at, taken meanwhile."""
        taken: list[TakenFile] = []
        try:
            for path in files_of(self._data_dir):
                # What cannot be opened is of no worker of ours.
                with suppress(OSError):
                    taken += filter(None, (take(path),))
            yield taken
        finally:
            for file in taken:
                file.release()

    def _record_lost(self, taken: TakenFile) -> int:
        records = lost_records(taken.raw(), time.time())
        if records:
            store([row_of(record) for record in records])
            name = taken.path.name
            logger.error("%d requests have no record of their worker's (%s)", len(records), name)
        taken.path.unlink()
        if (note_lost := self._note_lost) is not None:
            for record in records:
                note_lost(record.detail.protocol, record.canonical_model)
        return len(records)

    def _put_aside(self, path: Path, reason: str) -> None:
        try:
            set_aside(path, reason)
        except OSError as error:
            # It stays where it is, and is passed over.
            self._stuck.add(path)
            logger.error("%s is passed over: %s; nor can it be put aside: %s", path, reason, error)  # noqa: TRY400 - one line

    def _is_torn(self, taken: TakenFile, lost: int) -> bool:
        """Whether a part of a file could not be read; what could be is in the database then."""
        if lost:
            self._put_aside(
                taken.path, f"{counted(lost, 'byte was', 'bytes were')} torn and cannot be read"
            )
        return lost > 0

    def _ingest(self, taken: TakenFile) -> int:
        try:
            found, lost = taken.read()
            for start in range(0, len(found), BATCH):
                if self._is_stopping.is_set():
                    return start
                began = time.monotonic()
                store(found[start : start + BATCH])
                # Half the time is other writers', so that nobody in admin waits for long.
                if connection.vendor == "sqlite":
                    time.sleep(max((time.monotonic() - began) / 2, BREATH_S))
            if not self._is_torn(taken, lost):
                taken.path.unlink()
        finally:
            taken.release()
        return len(found)

    def _ingest_captures(self, taken: TakenFile) -> int:
        try:
            found, lost = taken.captures()
            store_captures(found)
            if not self._is_torn(taken, lost):
                taken.path.unlink()
        finally:
            taken.release()
        return len(found)


def store(rows: Sequence[Row]) -> None:
    """Commit the rows that are not there yet. Raises what the database raises."""
    try:
        _store(rows)
    except (InterfaceError, OperationalError):
        raise  # the database is away: the rows are not to blame
    except _REFUSED:
        for row in rows:
            _store_one(row)


def _store_one(row: Row) -> None:
    """A row of a batch that was refused: without NUL characters, or, if need be, not at all."""
    # In `detail` it is escaped, as JSON has it.
    clean = tuple([v.replace("\0", "") if isinstance(v, str) else v for v in row])
    try:
        _store([clean])
    except _REFUSED as error:
        logger.error("the record of request %s was refused: %s", clean[1], error)  # noqa: TRY400 - the database's words say it all


def store_captures(rows: Sequence[CaptureRow]) -> None:
    """Commit those that are not there yet. They are few: somebody has asked for each."""
    Captured.objects.bulk_create(
        [
            Captured(
                record=UUID(row.record),
                key=row.key,
                pool=row.pool,
                request=row.request,
                response=row.response,
                is_cut=row.is_cut,
                expires_at=EPOCH
                + timedelta(milliseconds=int(row.record[:12], 16))
                + timedelta(days=min(row.keep_days, CENTURY)),
            )
            for row in rows
        ],
        batch_size=100,
        ignore_conflicts=True,
    )


_NAMES: Final = ", ".join(f'"{name}"' for name in COLUMNS)
_TABLE: Final = RequestRecord._meta.db_table  # noqa: SLF001 - Django's own API


def _store(rows: Sequence[Row]) -> None:
    minutes = _minutes_of(rows)
    with transaction.atomic():
        if connection.vendor == "postgresql":
            _copy(rows)
        else:
            marks = ", ".join(["%s"] * len(COLUMNS))
            with connection.cursor() as cursor:
                cursor.executemany(
                    f"INSERT OR IGNORE INTO {_TABLE} ({_NAMES}) VALUES ({marks})",  # noqa: S608 - our own names
                    rows,
                )
        # Last, and in order: until the commit, other hosts that touch the same minutes wait.
        _mark(minutes)


def _minutes_of(rows: Sequence[Row]) -> list[int]:
    """
    Since 1970, those that `rows` are of. Ids begin with milliseconds in hex: what is alike but for
    the last three digits is within four seconds, and nearly always of one minute.
    """
    minutes = set[int]()
    for span in {row[0][:9] for row in rows}:
        first, last = (int(span + digits, 16) // MINUTE_MS for digits in ("000", "fff"))
        if first == last:
            minutes.add(first)
        else:
            within = [row[0][:12] for row in rows if row[0].startswith(span)]
            minutes |= {int(digits, 16) // MINUTE_MS for digits in within}
    return sorted(minutes)


def _mark(minutes: Sequence[int]) -> None:
    """
    Note that these minutes (since 1970) are to be summed anew.

    A row that is there already is written again, so that nobody takes it away for a sum which these
    records, not committed yet, are not in.
    """
    DirtyMinute.objects.bulk_create(
        [
            DirtyMinute(minute=EPOCH + timedelta(minutes=number), token=secrets.randbits(63))
            for number in minutes
        ],
        update_conflicts=True,
        unique_fields=["minute"],
        update_fields=["token"],
    )


def _copy(rows: Sequence[Row]) -> None:
    """COPY cannot skip what is there already, hence the table in between."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TEMPORARY TABLE IF NOT EXISTS spooled (LIKE {_TABLE}) ON COMMIT DELETE ROWS"
        )
        with (
            connection.wrap_database_errors,  # what comes while copying is the driver's own
            cursor.copy(f"COPY spooled ({_NAMES}) FROM STDIN") as copy,
        ):
            copy.write("".join(map(_copied, rows)))
        cursor.execute(
            f"INSERT INTO {_TABLE} ({_NAMES}) SELECT {_NAMES} FROM spooled ON CONFLICT DO NOTHING"  # noqa: S608
        )


_ESCAPES: Final = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
_SPECIAL: Final = re.compile(r"[\\\n\r]")
_TABS: Final = len(COLUMNS) - 1
_NULL: Final = "\0"  # in no text that PostgreSQL would take


def _copied(row: Row) -> str:
    """A row in COPY's text format: quickly where nothing in it needs an escape."""
    line = "\t".join([_NULL if v is None else v if v.__class__ is str else str(v) for v in row])
    if (
        line.count("\t") == _TABS
        and line.count(_NULL) == row.count(None)
        and not _SPECIAL.search(line)
    ):
        return line.replace(_NULL, r"\N") + "\n"
    return "\t".join([r"\N" if v is None else str(v).translate(_ESCAPES) for v in row]) + "\n"
