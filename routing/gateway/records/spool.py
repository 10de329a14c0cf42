"""
Spool files: request records on their way from a worker to the database, on the local disk.

A file belongs to the worker that holds its lock; the kernel frees the lock when the worker closes
the file or dies, and only then may another take it (`take`). A file is a row of frames, each with
its length and checksum, so that a torn end costs only the frame that it tore. Nothing is synced:
what a worker has written survives the worker, not a crash of the machine within seconds.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import Struct as Layout
from typing import Any, Final, TypeVar

import msgspec

from routing.gateway.records.aside import count_aside
from routing.gateway.records.capture import CaptureRow
from routing.gateway.records.record import RecordRow, RequestRecord, Row, row_of, written_out

SPOOL_DIR: Final = "spool"
SUFFIX: Final = ".msgpack"
CAPTURED: Final = ".captured"  # prompts and answers: not for whoever reads records
BUDGET_BYTES: Final = 1 << 30
FILE_BYTES: Final = 4 << 20
FILE_AGE_S: Final = 0.5
MANY_FILES: Final = 100  # nobody takes them: fewer, larger files then
MANY_FILES_AGE_S: Final = 10.0
ATTEMPTS: Final = 10  # at a name that is free

_HEAD: Final = Layout(">II")  # length and CRC-32 of what follows
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(list[RecordRow])
_captures: Final = msgspec.msgpack.Decoder(list[CaptureRow])
_astuple: Final = msgspec.structs.astuple
Value = TypeVar("Value")


class SpoolRefused(Exception):
    """The records cannot be kept. The text is for the operator."""


class SpoolWriter:
    """
    Appends records to files of its own below `folder`, for one worker.

    At most `budget_bytes` for all files there, other workers' included; what is there already
    stays, what comes is refused. Not for the event loop: every method may wait for the disk.
    """

    def __init__(
        self, folder: Path, *, worker: str, budget_bytes: int = BUDGET_BYTES, suffix: str = SUFFIX
    ) -> None:
        self._folder = folder
        self._suffix = suffix
        self._worker = worker
        self._budget = budget_bytes
        self._fd: int | None = None
        self._size = 0
        self._free = 0
        self._age_limit_s = FILE_AGE_S
        self._opened_at = 0.0
        self._number = 0

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str], data_dir: Path, *, worker: str
    ) -> SpoolWriter:
        """Raises ValueError for a SPOOL_MAX_BYTES that is no number."""
        budget = int(environ.get("SPOOL_MAX_BYTES") or BUDGET_BYTES)
        return cls(data_dir / SPOOL_DIR, worker=worker, budget_bytes=budget)

    def for_captures(self) -> SpoolWriter:
        """A second one, that leaves at least half of the budget to records."""
        return SpoolWriter(
            self._folder, worker=self._worker, budget_bytes=self._budget // 2, suffix=CAPTURED
        )

    @property
    def set_aside(self) -> int:
        """How many things in the folder turned out to be no files of records."""
        return count_aside(self._folder)

    @property
    def is_open(self) -> bool:
        return self._fd is not None

    def write(self, records: Sequence[RequestRecord]) -> int:
        """
        Append them all, or none; the bytes that took. Raises SpoolRefused.

        An old file is given away, so call it now and then with nothing to append, too.
        """
        size = 0
        if records:
            try:
                size = self.append([row_of(record) for record in records])
            except UnicodeEncodeError:  # one caller's odd text is not to cost others their records
                size = self.append([row_of(written_out(record)) for record in records])
        age_s = time.monotonic() - self._opened_at
        if self._size >= FILE_BYTES or age_s >= self._age_limit_s:
            self.close()
        return size

    def append(self, rows: Sequence[Any]) -> int:
        """One frame of rows of any kind; the bytes that took. Raises SpoolRefused."""
        body = _encoder.encode(rows)
        frame = _HEAD.pack(len(body), zlib.crc32(body)) + body
        try:
            if self._fd is None:
                self._open()
            if len(frame) > self._free:
                raise SpoolRefused(f"the spool has reached its {self._budget} bytes")
            self._append(frame)
        except OSError as error:
            self.close()
            raise SpoolRefused(f"{self._folder}: {error.strerror or error}") from error
        return len(frame)

    def close(self) -> None:
        """Give the file away; the next write begins another."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        count, used = 0, 0
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):  # taken in the meantime, or none of ours
                    used += entry.stat(follow_symlinks=False).st_size
                    count += 1
        self._free = self._budget - used
        if self._free <= 0:
            raise SpoolRefused(f"the spool has reached its {self._budget} bytes")
        fd = self._begin_file()
        self._fd, self._size, self._opened_at = fd, 0, time.monotonic()
        self._age_limit_s = FILE_AGE_S if count < MANY_FILES else MANY_FILES_AGE_S

    def _begin_file(self) -> int:
        """A new, locked file that is seen by others once it is locked. Raises OSError."""
        for _attempt in range(ATTEMPTS):
            self._number += 1
            # Names sort by time, so that files are taken in the order of their making.
            name = f"{time.time_ns() // 1_000_000:013d}-{self._worker}-{os.getpid()}-{self._number}"
            path = self._folder / f"{name}{self._suffix}"
            draft = path.with_name(f"{path.name}.new")
            try:
                fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            except FileExistsError:
                continue  # somebody else's: the next number is free
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                draft.rename(path)
            except BaseException:
                os.close(fd)
                draft.unlink(missing_ok=True)
                raise
            return fd
        raise FileExistsError(errno.EEXIST, "other things have the names of spool files")

    def _append(self, frame: bytes) -> None:
        assert self._fd is not None  # noqa: S101 - write() has opened it
        written = 0
        try:
            while written < len(frame):
                written += os.write(self._fd, memoryview(frame)[written:])
        except OSError:
            # A full disk takes a part. Without it, the frames before stay the file's end.
            with contextlib.suppress(OSError):  # else the reader skips what is torn
                os.ftruncate(self._fd, self._size)
            raise
        self._size += written
        self._free -= written


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenFile:
    """A spool file that nobody writes any more; `fd` holds its lock until `release`."""

    path: Path
    fd: int

    def read(self) -> tuple[list[Row], int]:
        """Its records as rows, and how many bytes could not be read. Raises OSError."""
        return read_frames(self.raw())

    def captures(self) -> tuple[list[CaptureRow], int]:
        """The same of a file of captures."""
        return _read(self.raw(), _captures.decode)

    def raw(self) -> bytes:
        with open(self.fd, "rb", closefd=False) as file:
            file.seek(0)
            return file.read()

    def release(self) -> None:
        os.close(self.fd)


def read_frames(raw: bytes) -> tuple[list[Row], int]:
    """The rows in `raw`, and how many of its bytes are torn, altered or foreign."""
    return _read(raw, _rows)


def _rows(body: bytes) -> Iterable[Row]:
    return map(_astuple, _decoder.decode(body))


def _read(raw: bytes, decode: Callable[[bytes], Iterable[Value]]) -> tuple[list[Value], int]:
    rows: list[Value] = []
    position = lost = 0
    while position < len(raw):
        body_at = position + _HEAD.size
        if body_at > len(raw):
            return rows, lost + len(raw) - position
        length, checksum = _HEAD.unpack_from(raw, position)
        body = raw[body_at : body_at + length]
        if len(body) < length:
            return rows, lost + len(raw) - position
        try:
            rows += decode(body if zlib.crc32(body) == checksum else b"")
        except ValueError:
            lost += _HEAD.size + length
        position = body_at + length
    return rows, lost


def _check_is_file(fd: int) -> None:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise OSError(errno.EINVAL, "it is no file")


def take(path: Path) -> TakenFile | None:
    """
    The file at `path`, if no worker writes it and nobody else has taken it.

    Raises OSError for what is no file, or cannot be opened.
    """
    try:
        # A link would lead to somebody else's file, and a pipe would never end.
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        _check_is_file(fd)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_nlink:  # else another ingested it between open and lock
            return TakenFile(path=path, fd=fd)
    except BlockingIOError:
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def spool_files(folder: Path, suffix: str = SUFFIX) -> Iterator[Path]:
    """The spool files in `folder`, oldest first."""
    try:
        names = sorted(entry for entry in os.listdir(folder) if entry.endswith(suffix))  # noqa: PTH208 - names sort faster than paths
    except FileNotFoundError:
        names = []
    return (folder / name for name in names)


def lag_s(data_dir: Path) -> float:
    """How long the oldest records have been waiting for the database, in seconds."""
    oldest = next(spool_files(data_dir / SPOOL_DIR), None)
    if oldest is None:
        return 0.0
    made_ms = oldest.name.partition("-")[0]
    return max(0.0, round(time.time() - int(made_ms) / 1000, 3)) if made_ms.isdigit() else 0.0
