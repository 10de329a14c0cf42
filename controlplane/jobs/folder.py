"""
The embedded broker: a folder of messages, for a machine that has nothing else.

kombu's filesystem transport with its sharp edges taken off: a message is written beside the folder
and renamed into it, so that no reader meets half of one; what cannot be read is set aside and
logged instead of ending the worker; messages that nobody fetches are swept. What a killed worker
had fetched is lost, which matters for no job of ours: the next tick sends what is due.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
import uuid
from pathlib import Path
from queue import Empty
from typing import Any, Final

from kombu.transport import filesystem
from kombu.utils.json import dumps, loads

SUFFIX: Final = ".msg"
SWEEP_EVERY: Final = 500  # messages
KEPT_S: Final = 600.0

logger = logging.getLogger("switchyard.jobs")


class Channel(filesystem.Channel):  # type: ignore[misc] # kombu has no types
    """Messages lie in `folder`, named by the time, a random id and their queue."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._folder = Path(self.transport_options["folder"])
        self._aside = self._folder / "aside"
        self._bindings = self._folder / "bindings"
        for folder in (self._folder, self._aside, self._bindings):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.data_folder_in = self.data_folder_out = str(self._folder)
        self.control_folder = self._bindings
        self._puts = 0

    def _put(self, queue: str, payload: Any, **_kwargs: Any) -> None:
        if self._puts % SWEEP_EVERY == 0:
            sweep(self._folder)
        self._puts += 1
        name = f"{time.time_ns() // 1_000_000}_{uuid.uuid4()}.{queue}{SUFFIX}"
        _write(self._folder / name, dumps(payload))

    def _get(self, queue: str) -> Any:
        ending = f".{queue}{SUFFIX}"
        names = os.listdir(self._folder)  # noqa: PTH208 - looked at twice a second, as names
        for name in sorted(name for name in names if name.endswith(ending)):
            if name.partition(".")[2] != ending[1:]:
                continue
            taken = self._aside / name
            try:
                (self._folder / name).rename(taken)  # whoever renames it first has it
            except FileNotFoundError:
                continue
            try:
                message = loads(taken.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                logger.error("message %s cannot be read, and is left aside: %s", name, error)  # noqa: TRY400 - one line
                continue
            taken.unlink()
            return message
        raise Empty

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        binding = filesystem.exchange_queue_t(routing_key or "", pattern or "", queue or "")
        known = self.get_table(exchange)
        if binding not in known:
            _write(self._exchange_file(exchange), dumps([binding, *known]))

    def get_table(self, exchange: str) -> list[Any]:
        try:
            text = self._exchange_file(exchange).read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        return [filesystem.exchange_queue_t(*binding) for binding in loads(text)]

    def _delete(
        self, queue: str, exchange: str, routing_key: str, pattern: str, *args: Any, **kwargs: Any
    ) -> None:
        del args, kwargs
        self._purge(queue)
        binding = filesystem.exchange_queue_t(routing_key or "", pattern or "", queue or "")
        known = self.get_table(exchange)
        if binding in known:
            left = [other for other in known if other != binding]
            _write(self._exchange_file(exchange), dumps(left))


class Transport(filesystem.Transport):  # type: ignore[misc] # kombu has no types
    Channel = Channel
    driver_type = "folder"
    driver_name = "folder"


def _write(path: Path, text: str) -> None:
    """No fsync: a message that a power cut takes is one that the next tick sends again."""
    beside = path.with_name(f".{uuid.uuid4()}")
    try:
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
        beside.rename(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def sweep(folder: Path) -> None:
    """Remove messages that nobody has fetched, and what a killed worker has left."""
    before = time.time() - KEPT_S
    for path in (*folder.iterdir(), *(folder / "aside").iterdir()):
        with contextlib.suppress(OSError):  # another worker sweeps, too
            if path.is_file() and path.stat().st_mtime < before:
                path.unlink()
