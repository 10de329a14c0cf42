"""
What lies in the spool and is no file of records: put aside, so that all others go on.

A folder, a link, a file that cannot be read or whose end is torn; it is kept for whoever wants to
look, in a folder of its own, and counted (metrics, /readyz).
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import time
from pathlib import Path
from typing import Final

ASIDE_DIR: Final = "aside"
KEPT_FILES: Final = 20  # the oldest go: each may be as large as a spool file

# What says nothing of a file, but of this process or the machine: the next look may do better.
_NOT_ITS_FAULT: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT, errno.EROFS}
)

log = logging.getLogger("switchyard.ingest")


def is_its_fault(error: Exception) -> bool:
    """Whether `error`, met with one file, is a reason to put that file aside."""
    return not (isinstance(error, OSError) and error.errno in _NOT_ITS_FAULT)


def set_aside(path: Path, reason: str) -> None:
    """Move `path` away from the files of records. Raises OSError where that cannot be."""
    folder = path.parent / ASIDE_DIR
    folder.mkdir(mode=0o700, exist_ok=True)
    path.rename(folder / f"{time.time_ns()}-{path.name}"[:250])
    log.error("%s is put aside in %s: %s", path.name, folder, reason)
    files = sorted(entry.name for entry in os.scandir(folder) if not entry.is_dir())
    for name in files[:-KEPT_FILES]:
        with contextlib.suppress(OSError):
            (folder / name).unlink()


def count_aside(folder: Path) -> int:
    """How many things have been put aside in the spool `folder`, and are still there."""
    try:
        return len(os.listdir(folder / ASIDE_DIR))  # noqa: PTH208 - only their number counts
    except OSError:
        return 0
