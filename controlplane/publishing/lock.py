"""The right to publish in a DATA_DIR; the kernel frees it when its holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from routing.gateway.link.channel import RUN_DIR

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Lock:
    """The control child holds it as long as it runs, and so is the hub of its DATA_DIR."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def is_ours(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextlib.contextmanager
def hold_lock(data_dir: Path) -> Iterator[Lock]:
    run = data_dir / RUN_DIR
    run.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(run / "control.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield Lock(fd)
    finally:
        os.close(fd)
