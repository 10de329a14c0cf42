"""Which published snapshots are kept, and that they can be decided by again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from controlplane.models import PublishedSnapshot, SnapshotContent
from controlplane.publishing import snapshots
from controlplane.publishing.publisher import publish
from controlplane.publishing.snapshots import NEWEST, NotKept, prune, snapshot_of
from controlplane.records.models import RequestRecord
from routing.gateway.deciding.snapshot import checksum
from tests.support import rows

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.django_db

BEGAN = datetime(2026, 11, 1, tzinfo=UTC)


def generations(number: int) -> None:
    """So many, an hour apart."""
    PublishedSnapshot.objects.bulk_create(
        PublishedSnapshot(generation=n, checksum="c") for n in range(1, number + 1)
    )
    for row in PublishedSnapshot.objects.all():
        row.created_at = BEGAN + timedelta(hours=row.generation)
        row.save()


def record(generation: int, *, after: timedelta = timedelta(minutes=30)) -> None:
    at = BEGAN + timedelta(hours=generation) + after
    RequestRecord.objects.create(
        id=RequestRecord.first_id_at(at),
        duration_ms=1,
        outcome="answered",
        generation=generation,
    )


def kept() -> set[int]:
    return set(PublishedSnapshot.objects.values_list("generation", flat=True))


def test_what_is_published_can_be_read_again(tmp_path: Path):
    rows.provider("lab", kind="simulator")
    rows.pool("small", "lab/m")
    published = publish(tmp_path)
    assert snapshot_of(published.generation) == published
    assert checksum(published.content) == published.checksum


def test_publishing_the_same_again_keeps_nothing_twice(tmp_path: Path):
    rows.provider("lab", kind="simulator")
    publish(tmp_path)
    publish(tmp_path)
    assert SnapshotContent.objects.count() == 1


def test_a_generation_that_is_gone_says_so():
    with pytest.raises(NotKept, match="generation 7 is not kept any more"):
        snapshot_of(7)


def test_what_another_version_wrote_is_named_and_not_guessed_at():
    row = PublishedSnapshot.objects.create(generation=3, checksum="c")
    SnapshotContent.objects.create(published=row, packed=b"nonsense")
    with pytest.raises(NotKept, match="generation 3 cannot be read"):
        snapshot_of(3)


def test_the_newest_are_kept_and_older_ones_go():
    generations(NEWEST + 5)
    assert prune() == 5
    assert kept() == set(range(6, NEWEST + 6))
    assert prune() == 0


def test_fewer_than_the_newest_all_stay():
    generations(NEWEST)
    assert prune() == 0


def test_an_older_one_stays_while_a_record_refers_to_it():
    generations(NEWEST + 5)
    record(3)
    prune()
    assert kept() == {3, *range(6, NEWEST + 6)}
    RequestRecord.objects.all().delete()
    prune()
    assert kept() == set(range(6, NEWEST + 6))


def test_a_record_made_just_after_the_next_one_was_published_counts():
    generations(NEWEST + 2)
    record(1, after=timedelta(hours=1, minutes=2))
    prune()
    assert kept() == {1, *range(3, NEWEST + 3)}


def test_both_ends_are_looked_at_when_many_are_referred_to():
    many = NEWEST + 3 * snapshots.LOOKED_AT
    generations(many)
    for generation in range(2, many - NEWEST):
        record(generation)
    assert prune() == 2
    assert kept() == {*range(2, many - NEWEST), *range(many - NEWEST + 1, many + 1)}


def test_a_content_is_kept_with_its_secrets_still_encrypted(tmp_path: Path):
    rows.provider("lab", secret="sk-in-clear-never", kind="openai")
    published = publish(tmp_path)
    content = snapshot_of(published.generation).content
    assert "sk-in-clear-never" not in repr(content)
    assert checksum(content) == published.checksum
