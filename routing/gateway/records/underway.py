"""
Which requests a worker is at, for whoever finds that it has died: they are recorded as lost.

A file of slots below DATA_DIR/run, mapped into the worker's memory, so that to note a request is to
copy a hundred bytes: no system call, and what has been copied survives the process. The worker
holds the file's lock; the kernel frees it when the worker dies, and then the control child takes
what is still noted (controlplane.records.ingest). A slot is freed only when the request's record
is in the spool, so that requests which had ended just before are not lost either.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import mmap
import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from routing.gateway.deciding.keys import Key
from routing.gateway.deciding.resolution import Resolution
from routing.gateway.records.record import (
    NAME_LIMIT,
    OWN_PREFIX,
    Detail,
    Outcome,
    RequestRecord,
)
from routing.gateway.records.trail import Trail

RUN_DIR: Final = "run"
SUFFIX: Final = ".underway"
SLOT_BYTES: Final = 2048
SLOTS: Final = 8192  # of the file's 16 MiB only what is used takes any room
TAILS_KEPT: Final = 4096
NO_SLOT: Final = -1
# A slot that is in use: its mark, the record's id, what the caller calls the request, the rest.
_USED: Final = re.compile(rb"\x01([0-9a-f]{32})=([^\x1f\xff]{1,128})\x1f([^\xff]*)\xff")

log = logging.getLogger("switchyard.recorder")


class _Noted(msgspec.Struct, array_like=True, gc=False):
    """What many requests share, so that it is written but once."""

    key: str
    team: str
    requested_model: str
    canonical_model: str
    generation: int | None
    stream: bool
    endpoint: str
    protocol: str
    worker: str
    user_path: str


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(_Noted).decode


class Underway:
    """The slots of one worker. Without a `folder`, or a disk, nothing is noted."""

    def __init__(self, folder: Path | None, *, worker: str) -> None:
        self._folder = folder
        self._worker = worker
        self._path: Path | None = None
        self._fd = -1
        self._map: mmap.mmap | None = None
        self._free: list[int] = []
        self._tails: dict[tuple[int, int, str, bool], tuple[bytes, Key, Resolution]] = {}

    def open(self) -> None:
        if self._folder is None:
            return
        name = f"{self._worker}-{os.getpid()}-{time.time_ns()}"
        path = self._folder / f"{name}{SUFFIX}"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._fd, SLOTS * SLOT_BYTES)
            self._map = mmap.mmap(self._fd, SLOTS * SLOT_BYTES)
        except OSError as error:
            log.error("what this worker is at would not survive it: %s", error)  # noqa: TRY400 - one line
            self._shut()
            return
        self._path = path
        self._free = list(range(SLOTS - 1, -1, -1))

    def close(self) -> None:
        """At the worker's end; what is still noted is found by others."""
        path, is_done = self._path, len(self._free) == SLOTS
        self._free = []
        if self._map is not None:
            self._map.close()
            self._map = None
        if path is not None and is_done:
            with contextlib.suppress(OSError):
                path.unlink()
        self._path = None
        self._shut()

    def _shut(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def note(self, trail: Trail, key: Key, resolution: Resolution) -> None:
        """The request is decided, and providers are called now. About 0.4 µs."""
        if not self._free:
            return
        stream = trail.stream
        known = self._tails.get((id(key), id(resolution), trail.endpoint, stream))
        tail = known[0] if known is not None else self._tail(trail, key, resolution)
        request_id = trail.request_id
        if trail.is_named:
            line = b"\x01%b=%b%b" % (trail.record_id.encode(), request_id, tail)
        else:
            line = b"\x01%b=-%b" % (request_id[len(OWN_PREFIX) :], tail)
        slot = trail.slot = self._free.pop()
        offset = slot * SLOT_BYTES
        self._map[offset : offset + len(line)] = line  # type: ignore[index]  # it is open

    def end(self, trails: Sequence[Trail]) -> None:
        """Their records are in the spool, or given up."""
        mapped = self._map
        for trail in trails:
            slot = trail.slot
            if slot >= 0 and mapped is not None:
                mapped[slot * SLOT_BYTES] = 0
                trail.slot = NO_SLOT
                self._free.append(slot)

    def _tail(self, trail: Trail, key: Key, resolution: Resolution) -> bytes:
        spec = key.spec
        noted = _Noted(
            spec.name[:NAME_LIMIT],
            spec.team[:NAME_LIMIT],
            trail.requested[:NAME_LIMIT],
            trail.canonical_model[:NAME_LIMIT],
            trail.generation,
            trail.stream,
            trail.endpoint[:NAME_LIMIT],
            trail.protocol,
            self._worker,
            spec.user_path[:NAME_LIMIT],
        )
        tail = b"\x1f" + _encode(noted)[: SLOT_BYTES - 256] + b"\xff"
        if len(self._tails) >= TAILS_KEPT:
            self._tails.clear()
        # With what it is of, so that nothing else can have their ids meanwhile.
        self._tails[id(key), id(resolution), trail.endpoint, trail.stream] = (tail, key, resolution)
        return tail


def files_of(data_dir: Path) -> list[Path]:
    """The files of all workers of a host, the dead ones' among them."""
    return sorted((data_dir / RUN_DIR).glob(f"*{SUFFIX}"))


def lost_records(raw: bytes, found_at: float) -> list[RequestRecord]:
    """Records of the requests that are noted in `raw`. `found_at` is Unix time: the latest end."""
    return list(_lost(raw, found_at))


def _lost(raw: bytes, found_at: float) -> Iterator[RequestRecord]:
    for offset in range(0, len(raw), SLOT_BYTES):
        if raw[offset] != 1:
            continue
        used: Any = _USED.match(raw, offset, min(offset + SLOT_BYTES, len(raw)))
        if used is None:
            continue  # torn in the moment of the worker's death
        record_id, request_id = used[1].decode(), used[2].decode("latin-1")
        try:
            noted = _decode(used[3])
        except msgspec.DecodeError:
            noted = _Noted("", "", "", "", None, False, "", "", "", "")
        ran_ms = found_at * 1000 - int(record_id[:12], 16)
        yield RequestRecord(
            id=record_id,
            request_id=OWN_PREFIX + record_id if request_id == "-" else request_id,
            outcome=Outcome.LOST,
            key=noted.key,
            team=noted.team,
            requested_model=noted.requested_model,
            canonical_model=noted.canonical_model,
            stream=noted.stream,
            duration_ms=max(0.0, ran_ms),
            generation=noted.generation,
            detail=Detail(
                worker=noted.worker,
                endpoint=noted.endpoint,
                protocol=noted.protocol,
                user_path=noted.user_path,
            ),
        )
