"""Small files: whole or not at all, and on the disk where that is promised."""

from __future__ import annotations

import os
import resource
import stat

import pytest

from providers.files import keep_private, keep_private_database, write_first, write_whole

pytestmark = pytest.mark.pure


@pytest.fixture
def synced(monkeypatch, tmp_path):
    """What is brought to the disk, each with what `tmp_path`/kept holds at that moment."""
    seen = []
    fsync, kept = os.fsync, tmp_path / "kept"

    def watched(descriptor: int) -> None:
        found = os.fstat(descriptor)
        what = "folder" if stat.S_ISDIR(found.st_mode) else found.st_size
        seen.append((what, kept.read_bytes() if kept.exists() else None))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    return seen


def test_a_file_is_on_the_disk_before_it_takes_its_name_and_its_name_is_then(tmp_path, synced):
    (tmp_path / "kept").write_bytes(b"old")

    write_whole(tmp_path / "kept", b"newer")

    assert synced == [(5, b"old"), ("folder", b"newer")]


def test_who_is_first_has_the_file_and_its_name_on_the_disk(tmp_path, synced):
    assert write_first(tmp_path / "kept", b"mine")
    assert synced == [(4, None), ("folder", b"mine")]


def test_what_is_written_again_soon_does_not_wait_for_the_disk(tmp_path, synced):
    write_whole(tmp_path / "kept", b"new", is_durable=False)

    assert (tmp_path / "kept").read_bytes() == b"new"
    assert synced == []


@pytest.mark.parametrize("is_durable", [True, False])
def test_a_file_is_its_owners_alone_though_it_was_everybodys(tmp_path, is_durable):
    path = tmp_path / "kept"
    path.write_bytes(b"old")
    path.chmod(0o644)

    write_whole(path, b"new", is_durable=is_durable)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("is_durable", [True, False])
def test_what_cannot_be_written_leaves_what_was_there_and_nothing_else(tmp_path, is_durable):
    path = tmp_path / "kept"
    path.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))

    try:
        with pytest.raises(OSError, match="File too large"):
            write_whole(path, bytes(1000), is_durable=is_durable)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert [entry.name for entry in tmp_path.iterdir()] == ["kept"]
    assert path.read_bytes() == b"old"


def test_whoever_is_second_leaves_the_first_ones_file(tmp_path):
    assert write_first(tmp_path / "kept", b"first")
    assert not write_first(tmp_path / "kept", b"second")

    assert (tmp_path / "kept").read_bytes() == b"first"
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept"]


def modes(folder):
    return {
        str(path.relative_to(folder)): oct(stat.S_IMODE(path.lstat().st_mode))
        for path in [folder, *folder.rglob("*")]
    }


def test_a_folder_that_was_everybodys_is_its_owners_with_all_that_is_in_it(tmp_path):
    folder = tmp_path / "data"
    (folder / "spool").mkdir(parents=True)
    outside = tmp_path / "outside"
    for path in (folder / "switchyard.sqlite3", folder / "spool" / "1.ready", outside):
        path.write_bytes(b"x")
        path.chmod(0o666)
    (folder / "link").symlink_to(outside)
    (folder / "read-only").write_bytes(b"x")
    (folder / "read-only").chmod(0o444)
    for path in (folder, folder / "spool"):
        path.chmod(0o755)

    keep_private(folder)

    assert {name: mode for name, mode in modes(folder).items() if name != "link"} == {
        ".": "0o700",
        "spool": "0o700",
        "switchyard.sqlite3": "0o600",
        "spool/1.ready": "0o600",
        "read-only": "0o400",
    }
    assert stat.S_IMODE(outside.stat().st_mode) == 0o666


def test_a_folder_that_everybody_writes_in_is_left_as_it_is(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "theirs").write_bytes(b"x")
    (shared / "theirs").chmod(0o644)
    shared.chmod(0o1777)

    keep_private(shared)

    assert modes(shared) == {".": "0o1777", "theirs": "0o644"}


def test_a_database_elsewhere_is_private_with_what_stands_beside_it(tmp_path):
    for name in ("db", "db-wal", "db-shm"):
        (tmp_path / name).write_bytes(b"x")
        (tmp_path / name).chmod(0o644)

    keep_private_database(str(tmp_path / "db"))

    assert {mode for name, mode in modes(tmp_path).items() if name != "."} == {"0o600"}
