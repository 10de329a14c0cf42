"""
The configuration file on its way into the database: watched, read, mirrored or refused.

    config_yaml         text -> plain values with their lines
    config_schema       what each block may say
    config_references   what blocks say about each other
    config_environment  the failover variables
    config_document     all of these together: parse() -> Document
    config_mirror       Document -> rows
"""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from controlplane.config.document import (
    Document,
    parse,
    read_text,
    reason_of,
    rules_path,
    unforeseen,
)
from controlplane.config.yaml import ConfigErrors, Mistake, Tree
from providers.secrets.encryption import CannotDecrypt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["ConfigErrors", "Document", "FileWatch", "SyncResult", "parse", "read", "sync_file"]

VARIABLE: Final = "SWITCHYARD_CONFIG"
SETTLE_S: Final = 0.2  # editors truncate before they write
PATIENCE_S: Final = 1.0  # with a file that never stands still

logger = logging.getLogger("switchyard.config")
_logged: set[str] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    """If `applied` is false, nothing has changed: for `errors`, or for what `warnings` say."""

    applied: bool
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def read(environ: Mapping[str, str]) -> Document:
    """The configuration of this environment; without a file it is the environment's alone."""
    filename = environ.get(VARIABLE, "").strip()
    if not filename:
        return parse("", filename="", environ=environ)
    try:
        text = read_text(Path(filename))
    except (OSError, ValueError) as error:
        words = f"the file cannot be read: {reason_of(error)}"
        raise ConfigErrors([Mistake(file=filename, line=0, path="", text=words)]) from error
    return parse(text, filename=filename, environ=environ)


def sync_file(environ: Mapping[str, str]) -> SyncResult:
    """
    Make the database say what file and environment say, or note why that was refused.

    Safe to repeat: what is equal already is not written. Without a file, nothing is taken from a
    host that runs with one. Raises what the database raises, and CannotDecrypt where another host
    runs with other encryption keys.
    """
    from django.db import DatabaseError, DataError  # noqa: PLC0415 - checking needs no rows

    from controlplane.config.mirror import mirror, refuse  # noqa: PLC0415 - as above
    from controlplane.hosts.peers import keeper_of_a_file  # noqa: PLC0415 - as above

    filename = environ.get(VARIABLE, "").strip()
    if not filename and (keeper := keeper_of_a_file()) is not None:
        said = (
            f"{VARIABLE} is not set here, but {keeper.host} ({keeper.data_dir}) runs with"
            f" {keeper.config_file}: its configuration stays, and this host's environment does"
            " not count"
        )
        _log_new(logging.WARNING, [said])
        return SyncResult(applied=False, warnings=(said,))
    try:
        document = read(environ)
        mirror(document)
    except ConfigErrors as error:
        refuse(filename, error.errors)
        _log_new(
            logging.ERROR,
            [f"configuration refused, nothing changed: {line}" for line in error.errors],
        )
        return SyncResult(applied=False, errors=error.errors)
    except Exception as error:
        is_of_the_file = isinstance(error, DataError)  # it holds what no table can
        if isinstance(error, (DatabaseError, CannotDecrypt)) and not is_of_the_file:
            raise  # the next round tries again
        logger.exception("the configuration could not be taken over")
        mistakes = (str(unforeseen(filename, error)),)
        refuse(filename, mistakes)
        return SyncResult(applied=False, errors=mistakes)
    _log_new(logging.WARNING, document.warnings)
    return SyncResult(applied=True, warnings=document.warnings)


def _log_new(level: int, messages: Sequence[str]) -> None:
    """Log what the last reading did not: syncing repeats, its messages need not."""
    for message in messages:
        if message not in _logged:
            logger.log(level, "%s", message)
    _logged.clear()
    _logged.update(messages)


class FileWatch:
    """
    Notices that the configuration file, or the rules file that it names, is another one now.

    It looks at name, time, size and inode only, and reports a change once it has stood still for
    SETTLE_S, so that a file is not read while an editor is writing it, and at the latest after
    PATIENCE_S. `changed()` is true on its first call, and then once per change.
    """

    def __init__(
        self, environ: Mapping[str, str], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        filename = environ.get(VARIABLE, "").strip()
        self._file = Path(filename) if filename else None
        self._environ = environ
        self._clock = clock
        self._rules: Path | None = None
        self._reported: tuple[object, ...] | None = None
        self._latest: tuple[object, ...] = ()
        self._since = self._moving_since = 0.0

    def changed(self) -> bool:
        """Whether to read the configuration again. Never raises: a missing file is a state too."""
        found = (_stamp(self._file), _stamp(self._rules))
        if found == self._reported:
            self._latest = found
            return False
        now = self._clock()
        if found != self._latest:
            if self._latest == self._reported:
                self._moving_since = now
            self._latest, self._since = found, now
        is_moving = now - self._since < SETTLE_S and now - self._moving_since < PATIENCE_S
        if self._reported is not None and is_moving:
            return False
        self._rules = self._named_rules()
        self._reported = self._latest = (found[0], _stamp(self._rules))
        return True

    def checksum(self) -> str:
        """Of both files' bytes as they are now, for comparing hosts; "" without a file."""
        if self._file is None:
            return ""
        digest = hashlib.sha256()
        for path in (self._file, self._rules):
            try:
                raw = path.read_bytes() if path else b""
            except OSError:
                raw = b""  # what is missing differs from what is there
            digest.update(b"%d:" % len(raw) + raw)
        return digest.hexdigest()

    def _named_rules(self) -> Path | None:
        try:
            text = read_text(self._file) if self._file else ""
        except (OSError, ValueError):
            return None  # reading it for good will say why
        if "rules_path" not in text:
            return None
        return rules_path(Tree(text, filename=str(self._file), environ=self._environ))


def _stamp(path: Path | None) -> tuple[int, int, int, int] | None:
    try:
        found = path.stat() if path else None
    except OSError:
        return None  # no file is a state like any other
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns) if found else None
