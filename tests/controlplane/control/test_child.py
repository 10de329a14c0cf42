"""The control child's rounds: when it publishes, and what stops it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from django.db import IntegrityError

from controlplane.config import mirror
from controlplane.control import child
from controlplane.control.child import REBUILD_S, Publisher
from controlplane.models import Team
from providers.models import Provider
from providers.secrets.encryption import CannotDecrypt
from routing.gateway.deciding.snapshot import decode
from routing.gateway.link.channel import KEPT_SNAPSHOT_FILE, SNAPSHOT_FILE

if TYPE_CHECKING:
    from pathlib import Path

    from routing.gateway.deciding.snapshot import Snapshot

pytestmark = pytest.mark.django_db


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    made.mkdir()
    return made


@pytest.fixture
def publisher(folder: Path, clock: Clock) -> Publisher:
    return Publisher(folder, {}, clock=clock)


def on_disk(folder: Path) -> Snapshot:
    return decode((folder / SNAPSHOT_FILE).read_bytes())


def names(folder: Path) -> list[str]:
    return [provider.name for provider in on_disk(folder).content.providers]


def test_the_first_round_publishes_even_when_nothing_is_configured(
    publisher: Publisher, folder: Path
) -> None:
    last_round = publisher.round()

    assert last_round.error == ""
    assert last_round.generation == on_disk(folder).generation


def test_an_edit_is_published_by_the_next_round(publisher: Publisher, folder: Path) -> None:
    first = publisher.round()

    Provider.objects.create(name="lab", kind="simulator")
    second = publisher.round()

    assert names(folder) == ["lab"]
    assert (second.generation or 0) > (first.generation or 0)


def test_an_edit_that_routing_does_not_depend_on_makes_no_new_generation(
    publisher: Publisher,
) -> None:
    first = publisher.round()

    Team.objects.create(name="search")

    assert publisher.round() == first


def test_an_update_that_sends_no_signal_is_published_by_the_timer(
    publisher: Publisher, folder: Path, clock: Clock
) -> None:
    Provider.objects.create(name="lab", kind="simulator")
    publisher.round()

    Provider.objects.update(name="laboratory")
    publisher.round()
    at_once = names(folder)
    clock.now += REBUILD_S
    publisher.round()

    assert [at_once, names(folder)] == [["lab"], ["laboratory"]]


def test_what_fails_is_logged_once_keeps_the_generation_and_is_tried_again(
    publisher: Publisher, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="switchyard.control")
    good = publisher.round()
    away = folder.rename(folder.with_name("away"))
    folder.write_text("where the folder was")
    Provider.objects.create(name="lab", kind="simulator")

    failed = [publisher.round() for _ in range(3)]
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    folder.unlink()
    away.rename(folder)
    mended = publisher.round()

    assert [last_round.generation for last_round in failed] == [good.generation] * 3
    assert str(folder) in failed[0].error
    assert len(errors) == 1
    assert mended.error == ""
    assert names(folder) == ["lab"]


def test_a_refused_file_is_in_the_last_round_until_it_is_mended(folder: Path) -> None:
    file = folder / "switchyard.yaml"
    file.write_text("providers: {lab: {kind: simulator, wieght: 1}}\n")
    publisher = Publisher(folder, {"SWITCHYARD_CONFIG": str(file)})

    refused = publisher.round()

    assert refused.generation is not None
    assert "wieght" in refused.refused[0]
    assert publisher.round() == refused


def test_others_are_told_of_an_edit_once_and_not_of_one_that_they_told_of(
    folder: Path, clock: Clock
) -> None:
    noticed: list[str] = []
    publisher = Publisher(folder, {}, clock=clock, noticed=lambda: noticed.append("edit"))
    publisher.round()
    noticed.clear()

    Provider.objects.create(name="lab", kind="simulator")
    publisher.round()
    publisher.round()
    assert noticed == ["edit"]
    Provider.objects.create(name="other", kind="simulator")
    publisher.round(is_told=True)

    assert noticed == ["edit"]
    assert names(folder) == ["lab", "other"]


def test_a_file_that_was_refused_is_told_with_its_time_and_checksum(
    folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "switchyard.yaml"
    file.write_text("providers: 3\n")
    publisher = Publisher(folder, {"SWITCHYARD_CONFIG": str(file)})

    last_round = publisher.round()

    assert "switchyard.yaml:1" in last_round.refused[0]
    assert last_round.refused_at is not None
    assert len(last_round.config_checksum) == 64
    assert publisher.round() == last_round


@pytest.mark.parametrize("error", [IntegrityError("twice"), CannotDecrypt("other keys")])
def test_whatever_keeps_the_file_from_being_read_keeps_no_edit_from_being_published(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    file = tmp_path / "switchyard.yaml"
    file.write_text("providers: {ours: {kind: simulator}}\n")
    publisher = Publisher(folder, {"SWITCHYARD_CONFIG": str(file)})

    def broken(*_args: object) -> bool:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(mirror, "mirror", broken)
        first = publisher.round()
        Provider.objects.create(name="lab", kind="simulator")
        second = publisher.round()
        held = names(folder)
    mended = publisher.round()

    assert str(error) in first.error
    assert (second.generation or 0) > (first.generation or 0) > 0
    assert held == ["lab"]
    assert mended.error == ""
    assert names(folder) == ["lab", "ours"]


def test_neither_a_file_nor_switches_that_fail_keep_an_edit_from_being_published(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "switchyard.yaml"
    file.write_text("providers: {ours: {kind: simulator}}\n")
    publisher = Publisher(folder, {"SWITCHYARD_CONFIG": str(file)})

    def broken(*_args: object) -> int:
        raise IntegrityError("of the file")

    def worse(*_args: object) -> int:
        raise IntegrityError("of switches")

    monkeypatch.setattr(mirror, "mirror", broken)
    monkeypatch.setattr(child, "end_expired", worse)
    Provider.objects.create(name="lab", kind="simulator")

    last_round = publisher.round()

    assert last_round.error == "IntegrityError: of the file; IntegrityError: of switches"
    assert names(folder) == ["lab"]


@pytest.mark.parametrize("broken", [b"", b"nonsense", None])
def test_a_broken_snapshot_is_written_anew_by_the_next_round_without_an_edit(
    publisher: Publisher, folder: Path, broken: bytes | None
) -> None:
    before = publisher.round()
    if broken is None:
        (folder / SNAPSHOT_FILE).unlink()
    else:
        (folder / SNAPSHOT_FILE).write_bytes(broken)

    after = publisher.round()
    assert (after.error, after.generation) == ("", before.generation)
    assert on_disk(folder).generation == before.generation
    assert decode((folder / KEPT_SNAPSHOT_FILE).read_bytes()) == on_disk(folder)
