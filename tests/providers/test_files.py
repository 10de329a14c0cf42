"""Small files: whole or not at all, and on the disk where that is promised."""

from __future__ import annotations

import os
import resource
import stat

import pytest

from providers.files import write_first, write_whole

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
