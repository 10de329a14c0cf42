"""What a worker is at, noted so that it survives the worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from routing.gateway.deciding.keys import Key
from routing.gateway.deciding.resolution import Resolution
from routing.gateway.deciding.resolver import resolve
from routing.gateway.ingress import new_id
from routing.gateway.records.record import OWN_PREFIX
from routing.gateway.records.trail import Trail
from routing.gateway.records.underway import RUN_DIR, SLOTS, Underway, files_of, lost_records
from tests.support.asking import key as key_spec
from tests.support.builders import pool
from tests.support.planning import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from routing.gateway.records.record import RequestRecord

KEY = Key.compile(key_spec("team-key", team="blue", user_path="a/b"))


@pytest.fixture
def resolution() -> Resolution:
    found = resolve(World(pool("m", "a/x")).table, "m")
    assert isinstance(found, Resolution)
    return found


@pytest.fixture
def underway(tmp_path: Path) -> Iterator[Underway]:
    made = Underway(tmp_path / RUN_DIR, worker="1")
    made.open()
    yield made
    made.close()


def trail_of(request_id: bytes | None = None) -> Trail:
    trail = Trail(request_id or new_id(), 0.0)
    trail.requested, trail.canonical_model = "asked", "m"
    trail.endpoint, trail.protocol = "/v1/chat/completions", "openai_chat"
    trail.generation, trail.stream = 7, True
    if request_id is not None:
        trail.is_named, trail.record_id = True, new_id()[len(OWN_PREFIX) :].decode()
    return trail


def left(data_dir: Path) -> list[RequestRecord]:
    [path] = files_of(data_dir)
    return list(lost_records(path.read_bytes(), 2e9))


def test_what_is_noted_can_be_read_by_others_until_its_record_is_stored(
    tmp_path: Path, underway: Underway, resolution: Resolution
) -> None:
    own, named = trail_of(), trail_of(b"the-callers")
    for trail in (own, named):
        underway.note(trail, KEY, resolution)

    first, second = left(tmp_path)
    assert first.request_id == own.request_id.decode()
    assert (second.id, second.request_id) == (named.record_id, "the-callers")
    for record in (first, second):
        assert (record.outcome, record.key, record.team) == ("lost", "team-key", "blue")
        assert (record.requested_model, record.canonical_model) == ("asked", "m")
        assert (record.stream, record.generation) == (True, 7)
        assert record.detail.endpoint == "/v1/chat/completions"
        assert record.duration_ms > 0
    underway.end([own])
    assert [record.request_id for record in left(tmp_path)] == ["the-callers"]
    underway.end([named])
    assert left(tmp_path) == []


def test_a_worker_that_ends_well_leaves_no_file(
    tmp_path: Path, underway: Underway, resolution: Resolution
) -> None:
    trail = trail_of()
    underway.note(trail, KEY, resolution)
    underway.end([trail])
    underway.close()
    assert files_of(tmp_path) == []


def test_more_than_there_is_room_for_is_served_and_not_noted(
    tmp_path: Path, underway: Underway, resolution: Resolution
) -> None:
    trails = [trail_of() for _ in range(SLOTS + 3)]
    for trail in trails:
        underway.note(trail, KEY, resolution)
    assert len(left(tmp_path)) == SLOTS
    underway.end(trails)
    assert left(tmp_path) == []


def test_names_of_any_length_and_kind_fit(
    tmp_path: Path, underway: Underway, resolution: Resolution
) -> None:
    trail = trail_of(b"x" * 128)
    trail.requested = trail.canonical_model = "\U0001f600\x1f\x00\\" * 500
    underway.note(trail, KEY, resolution)
    [record] = left(tmp_path)
    assert record.request_id == "x" * 128


def test_without_a_disk_nothing_is_noted_and_nothing_fails(
    tmp_path: Path, resolution: Resolution
) -> None:
    (tmp_path / RUN_DIR).write_text("in the way")
    underway = Underway(tmp_path / RUN_DIR, worker="1")
    underway.open()
    underway.note(trail := trail_of(), KEY, resolution)
    underway.end([trail])
    underway.close()
