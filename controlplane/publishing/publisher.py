"""
The database as one numbered snapshot: read, compared, written where the workers look.

Level-triggered: a `Publication` may be made at any time, by any host, and does only what is
missing.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from django.db import IntegrityError, transaction

from controlplane.edits.models import EditCounter
from controlplane.models import PublishedSnapshot
from controlplane.publishing import snapshots
from controlplane.publishing.content import Builder
from controlplane.revisions import history
from providers.files import write_whole
from providers.secrets.fields import keyring
from providers.secrets.redaction import known
from routing.gateway.deciding.snapshot import Content, Snapshot, decode, digest_of, pack, seal
from routing.gateway.deciding.table import compile_table
from routing.gateway.link import channel

if TYPE_CHECKING:
    from pathlib import Path

SNAPSHOT_FILE: Final = channel.SNAPSHOT_FILE
ATTEMPTS: Final = 5

Stamp = tuple[int, int, int]


def publish(data_dir: Path) -> Snapshot:
    """Publish what the database says now, read anew; see Publication.publish."""
    return Publication(data_dir).publish()


class Publication:
    """Publishes below `data_dir`, again and again."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._builder = Builder()
        self._disk: tuple[Stamp, Snapshot] | None = None

    def is_intact(self) -> bool:
        """Whether the file is still the one that was published last."""
        if self._disk is None:
            return True  # nothing has been published yet
        try:
            return _stamp_of(self._data_dir / SNAPSHOT_FILE) == self._disk[0]
        except OSError:
            return False

    def publish(self, *, whole: bool = True) -> Snapshot:
        """
        The snapshot of what the database says now, numbered, and on disk.

        Unless `whole`, it goes by what edits noted where it can. Raises what the database or the
        disk raises, and ValueError if a row holds what no snapshot can or what no worker could
        load; the file is then the one before.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                snapshot = self._numbered(whole=whole)
                break
            except IntegrityError:
                # Another host took the number in the meantime: look again at what it published.
                if attempt == ATTEMPTS:
                    raise
        history.record_published(snapshot.generation)
        return snapshot

    def _numbered(self, *, whole: bool) -> Snapshot:
        # Looked at before reading: who has published in between knows of later edits, perhaps, and
        # has taken the number that this would be.
        latest = PublishedSnapshot.objects.order_by("-generation").first()
        content = self._settled_content(whole=whole)
        packed = pack(content)
        digest = digest_of(packed)
        on_disk = self._on_disk()
        if on_disk.checksum != digest:
            _prove(content, digest)
        if latest is None or latest.checksum != digest:
            # A new database goes on from the file, so that no worker sees a number come back.
            newest = max(latest.generation if latest else 0, on_disk.generation)
            with transaction.atomic():
                latest = PublishedSnapshot.objects.create(generation=newest + 1, checksum=digest)
                snapshots.keep(latest, content, packed)
                snapshots.prune()
        snapshot = Snapshot(
            generation=latest.generation,
            created_at=latest.created_at.timestamp(),
            checksum=digest,
            content=content,
        )
        if (on_disk.generation, on_disk.created_at, on_disk.checksum) != (
            snapshot.generation,
            snapshot.created_at,
            snapshot.checksum,
        ):
            path = _write(self._data_dir, seal(snapshot, packed))
            self._disk = (_stamp_of(path), snapshot)
        return snapshot

    def _settled_content(self, *, whole: bool) -> Content:
        """The content as no edit has cut through it: built again if one came meanwhile."""
        for _attempt in range(ATTEMPTS):
            before = _edits()
            content = self._builder.build(whole=whole)
            if _edits() == before:
                break
            whole = False  # what comes in meanwhile is noted
        return content  # under constant edits the last one; the next round comes soon

    def _on_disk(self) -> Snapshot:
        """What the file holds; it is read again only if it is another one."""
        path = self._data_dir / SNAPSHOT_FILE
        try:
            stamp = _stamp_of(path)
            if self._disk is None or self._disk[0] != stamp:
                self._disk = (stamp, decode(path.read_bytes()))
        except (OSError, ValueError):  # none, or none of ours
            self._disk = None
            return Snapshot(generation=0, created_at=0, checksum="", content=Content())
        return self._disk[1]


def _stamp_of(path: Path) -> Stamp:
    found = path.stat()
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _edits() -> int:
    return EditCounter.objects.filter(pk=1).values_list("value", flat=True).first() or 0


def _prove(content: Content, digest: str) -> None:
    """Compile as the workers will: what they would refuse must not replace what they serve."""
    trial = Snapshot(generation=0, created_at=0, checksum=digest, content=content)
    table = compile_table(trial, decrypt=keyring().decrypt, environ=os.environ)
    known.digests = table.keys


def _write(data_dir: Path, raw: bytes) -> Path:
    """
    Put the snapshot on disk, whole or not at all; where it is.

    A second time, too: a worker that starts while the first is broken serves that one.
    """
    path = data_dir / SNAPSHOT_FILE
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(path, raw)
    write_whole(data_dir / channel.KEPT_SNAPSHOT_FILE, raw, is_durable=False)
    return path
