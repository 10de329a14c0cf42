"""
Small files that are there whole or not at all, whenever a process or the machine stops.

What is durable is on the disk when the function returns: a rename is only as durable as the folder
that it is written in. Pure Python: the inference workers write with it as well.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODE = 0o600
FOLDER_MODE = 0o700
UMASK = 0o077


def keep_private(folder: Path) -> None:
    """
    Make `folder` and all that is in it its owner's alone, whoever made it and how.

    What belongs to somebody else is left: they may have put it there, and we could not change it.
    Links are not followed. A folder that everybody may write in, such as /tmp, is nobody's own.
    """
    if folder == folder.parent or folder.stat().st_mode & stat.S_ISVTX:
        return
    _restrict(folder, FOLDER_MODE)
    for parent, folders, files in os.walk(folder):
        for name in folders:
            _restrict(f"{parent}/{name}", FOLDER_MODE)
        for name in files:
            _restrict(f"{parent}/{name}", MODE)


def keep_private_database(path: str) -> None:
    """The same for a SQLite database, wherever it is, and what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        _restrict(path + suffix, MODE)


def _restrict(path: Path | str, mode: int) -> None:
    with contextlib.suppress(OSError):  # gone by now, or not ours
        found = os.lstat(path)
        is_ours = found.st_uid == os.geteuid() and not stat.S_ISLNK(found.st_mode)
        if is_ours and stat.S_IMODE(found.st_mode) & UMASK:
            os.chmod(path, stat.S_IMODE(found.st_mode) & mode)  # noqa: PTH101 - of many, as text


def write_whole(path: Path, raw: bytes, *, is_durable: bool = True) -> None:
    """
    Put `raw` in place of `path`, with mode 0600. Raises OSError, and leaves what was there before.

    Without `is_durable` it may be lost with the machine, which is quicker: for what is written
    again soon.
    """
    with _draft(path, raw, is_durable=is_durable) as draft:
        draft.replace(path)


def write_first(path: Path, raw: bytes) -> bool:
    """Make `path` of `raw`, durable, unless there is one: whether this process was the first."""
    with _draft(path, raw, is_durable=True) as draft:
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
    return True


@contextlib.contextmanager
def _draft(path: Path, raw: bytes, *, is_durable: bool) -> Iterator[Path]:
    """A private file of `raw` beside `path`, gone at the end; then the folder is on the disk."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "wb") as file:
            file.write(raw)
            if is_durable:
                file.flush()
                os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)
    if is_durable:
        _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
