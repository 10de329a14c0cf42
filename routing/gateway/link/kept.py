"""
What providers keep for callers, on this host's disk: for a start without anybody who knows.

A line for each: the hash of owner and id, Unix time of its last use, and who keeps it. The control
child appends what is news and writes the file anew where most of it is past; workers read it before
they serve. Neither ids nor owners can be read from it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from providers.files import write_whole
from routing.gateway.deciding.affinity import STATE, PinEntry
from routing.gateway.deciding.binding import KEPT_S

KEPT_FILE: Final = "kept-ids"
_DIGITS: Final = 16  # of a hash of 64 bits


def read_kept(data_dir: Path) -> list[PinEntry]:
    """What `data_dir` says; nothing if there is no such file. What is torn is left out."""
    try:
        raw = (data_dir / KEPT_FILE).read_text("utf-8", "replace")
    except OSError:
        return []
    return list(_entries(raw.split("\n")[:-1]))


def append_kept(data_dir: Path, entries: Iterable[PinEntry]) -> None:
    """Raises OSError."""
    raw = "".join(map(_line, entries)).encode()
    target = os.open(data_dir / KEPT_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        while raw:
            raw = raw[os.write(target, raw) :]
    finally:
        os.close(target)


def write_kept(data_dir: Path, entries: Iterable[PinEntry]) -> None:
    """The whole file anew. Raises OSError."""
    write_whole(data_dir / KEPT_FILE, "".join(map(_line, entries)).encode(), is_durable=False)


def _line(entry: PinEntry) -> str:
    return f"{entry.session:016x} {entry.used_at:.3f} {entry.candidate}\n"


def _entries(lines: Iterable[str]) -> Iterator[PinEntry]:
    for line in lines:
        place, _, rest = line.partition(" ")
        used_at, _, holder = rest.partition(" ")
        try:
            session, used = int(place, 16), float(used_at)
        except ValueError:
            continue
        if len(place) == _DIGITS and "/" in holder:
            yield PinEntry(
                pool=STATE, session=session, candidate=holder, used_at=used, ttl_s=KEPT_S
            )
