"""
The embedded broker: a folder of messages, for a machine that has nothing else.

kombu's filesystem transport with its sharp edges taken off: a message is written beside the folder
and renamed into it, so that no reader meets half of one; what cannot be read is dropped and logged
instead of ending the worker; messages that nobody fetches are swept. What a killed worker had
fetched is lost, which matters for no job of ours: the next tick sends what is due.
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

from kombu.transport import filesystem, virtual
from kombu.utils.json import dumps, loads

from providers.files import write_whole

SUFFIX: Final = ".msg"
SWEEP_EVERY: Final = 500  # messages
KEPT_S: Final = 600.0

logger = logging.getLogger("switchyard.jobs")


class FolderChannel(filesystem.Channel):  # type: ignore[misc] # kombu has no types
    """Messages lie in `folder`, named by the time, a random id and their queue."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._folder = Path(self.transport_options["folder"])
        self._bindings = self._folder / "bindings"
        for folder in (self._folder, self._bindings):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.data_folder_in = self.data_folder_out = str(self._folder)
        self._puts = 0

    @property
    def control_folder(self) -> Path:
        return self._bindings

    def _put(self, queue: str, payload: Any, **_kwargs: Any) -> None:
        if self._puts % SWEEP_EVERY == 0:
            sweep(self._folder)
        self._puts += 1
        name = f"{time.time_ns()}_{uuid.uuid4()}.{queue}{SUFFIX}"
        _write(self._folder / name, payload)

    def _get(self, queue: str) -> Any:
        ending = f"{queue}{SUFFIX}"
        names = os.listdir(self._folder)  # noqa: PTH208 - looked at twice a second, as names
        for name in sorted(name for name in names if name.partition(".")[2] == ending):
            path = self._folder / name
            try:
                raw = path.read_bytes()
                path.unlink()  # whoever removes it has it
            except FileNotFoundError:
                continue
            try:
                return loads(raw.decode())
            except ValueError as error:
                logger.error("message %s cannot be read, and is dropped: %s", name, error)  # noqa: TRY400 - one line
        raise Empty

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        binding = filesystem.exchange_queue_t(routing_key or "", pattern or "", queue or "")
        known = self.get_table(exchange)
        if binding not in known:
            _write(self._exchange_file(exchange), [binding, *known])

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
            _write(self._exchange_file(exchange), left)


class FolderTransport(filesystem.Transport):  # type: ignore[misc] # kombu has no types
    Channel = FolderChannel
    driver_type = "folder"
    driver_name = "folder"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.state = virtual.BrokerState()  # kombu's is one for all folders


def _write(path: Path, value: Any) -> None:
    """A message that a power cut takes is one that the next tick sends again."""
    write_whole(path, dumps(value).encode(), is_durable=False)


def sweep(folder: Path) -> None:
    """Remove messages that nobody has fetched, and what a killed worker has left."""
    before = time.time() - KEPT_S
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # another worker sweeps, too
            if path.is_file() and path.stat().st_mtime < before:
                path.unlink()
